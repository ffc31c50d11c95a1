#ifndef APQ_CLI_PROGRESS_H
#define APQ_CLI_PROGRESS_H

#include "base/log.h"

#include <stdbool.h>
#include <stdint.h>

/* Progress on standard error: on a terminal one line that updates itself,
 * elsewhere one plain line every 10 s. Rates and the time left are measured
 * from the first update of the same work. One thread per handle. */
typedef struct apq_cli_progress {
    apq_progress base; /* give &self.base to the library */
    bool is_terminal, is_quiet, has_line;
    char what[64];
    uint64_t first_done;
    double start_s, last_s;
} apq_cli_progress;

void apq_cli_progress_init(apq_cli_progress *self, bool is_quiet);
/* Ends the updating line, so that later output starts on its own line. */
void apq_cli_progress_end(apq_cli_progress *self);

/* SIGINT and SIGTERM ask the running step to stop after saving its state; a
 * second signal ends the process at once. */
void apq_cli_catch_signals(void);

#endif
