#ifndef APQ_CLI_PROGRESS_H
#define APQ_CLI_PROGRESS_H

#include "base/log.h"
#include "cli/chart.h"

#include <stdbool.h>
#include <stdint.h>

/* Progress on standard error: on a terminal a line that updates itself, below
 * a small chart of what has been measured; elsewhere, and on a terminal that is
 * "dumb", one plain line every 10 s. Rates and the time left are measured from
 * the first update of the same work. One thread per handle. */
typedef struct apq_cli_progress {
    apq_progress base; /* give &self.base to the library */
    bool is_terminal, is_quiet;
    char what[64];
    uint64_t first_done;
    double start_s, last_s;
    apq_chart chart; /* of the same work */
    int n_drawn;     /* lines on the terminal, the cursor is on the last */
    int drawn[APQ_CHART_LINES + 1]; /* their lengths */
} apq_cli_progress;

void apq_cli_progress_init(apq_cli_progress *self, bool is_quiet);
/* Removes what updates itself, so that later output starts on its own line. */
void apq_cli_progress_end(apq_cli_progress *self);

/* SIGINT, SIGTERM and SIGUSR1 ask the running step to stop after saving its
 * state; a second signal ends the process at once. SIGPIPE is ignored. */
void apq_cli_catch_signals(void);
/* Ends the process as SIGPIPE does by default. */
void apq_cli_end_by_pipe(void);

#endif
