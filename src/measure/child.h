#ifndef APQ_MEASURE_CHILD_H
#define APQ_MEASURE_CHILD_H

#include "base/log.h"
#include "base/status.h"

#include <stddef.h>

/* A program that reads lines on its standard input and answers lines on its
 * standard output; its standard error is ours. It runs in a process group of
 * its own, which is killed when the handle is closed; should this process die
 * first, the program is killed by the system (Linux) or finds its input at an
 * end. */
typedef struct apq_child apq_child;

/* command: NULL-terminated words, the first looked up in PATH when it has no
 * '/'; folder: where it starts, and what a relative path is relative to. Both
 * borrowed until closed. Errors: IO when it cannot be started; NOMEM. */
APQ_NODISCARD apq_status apq_child_open(char *const *command,
                                        const char *folder, apq_child **out);
/* Closes its input, waits half a second, then kills. NULL is fine. */
void apq_child_close(apq_child *child);

/* Sends a line (without its newline) and waits for one; *answer is borrowed
 * until the next call. Errors, after which every call fails alike: EXTERNAL
 * when it died or took longer than timeout_s; FORMAT for a line above 1 MiB,
 * one with a zero byte, or output that no line has asked for; INTERRUPTED
 * when `progress` (NULL: nobody) wants to stop. */
APQ_NODISCARD apq_status apq_child_ask(apq_child *child, const char *line,
                                       double timeout_s,
                                       const apq_progress *progress,
                                       const char **answer);

#endif
