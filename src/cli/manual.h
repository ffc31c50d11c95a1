#ifndef APQ_CLI_MANUAL_H
#define APQ_CLI_MANUAL_H

#include "cli/command.h"

#include <stdio.h>

/* "lut build" -> "apq-lut-build"; of the program "apq". False when `size`
 * bytes are too few. */
bool apq_manual_name(const apq_command *command, char *out, size_t size);

/* Writes the man page of a command, part of `parent` (NULL: the program).
 * Failures to write stay in ferror(out). */
void apq_manual_page(FILE *out, const apq_command *command,
                     const apq_command *parent);

#endif
