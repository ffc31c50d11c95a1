#ifndef APQ_CLI_COMPLETION_H
#define APQ_CLI_COMPLETION_H

#include <stdio.h>

/* The shells, as their templates are called. */
typedef enum apq_shell {
    APQ_SHELL_BASH,
    APQ_SHELL_ZSH,
    APQ_SHELL_FISH
} apq_shell;

/* Writes the completion of apq for a shell: its template with every @marker@
 * filled from the command tables. Failures to write stay in ferror(out). */
void apq_completion_write(FILE *out, apq_shell shell, const char *template);

#endif
