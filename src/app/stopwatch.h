#ifndef APQ_APP_STOPWATCH_H
#define APQ_APP_STOPWATCH_H

#include "app/rapl.h"
#include "base/log.h"
#include "base/status.h"
#include "store/effort.h"

/* Meters a step of a run and adds what it spent to cost.jsonl. It stands
 * between the step and the progress it reports to: each report is an occasion
 * to write, so that no thread of its own is needed and a kill loses at most
 * one interval. It only observes: results do not depend on it. */
typedef struct apq_stopwatch {
    apq_progress base;         /* give this to the step */
    const apq_progress *outer; /* where reports go on to; NULL: nowhere */
    double interval_s;
    char path[APQ_PATH_MAX]; /* of cost.jsonl; empty: not assigned */
    apq_effort next;         /* the line to be written */
    double last_wall_s, last_core_s;
    double n_processes, n_machines; /* at the same work */
    apq_rapl rapl;
} apq_stopwatch;

/* Starts the clocks; `interval_s` is the wish, 0.1 ... 60 s are possible. The
 * stopwatch must not move afterwards. */
void apq_stopwatch_start(apq_stopwatch *watch, double interval_s,
                         const apq_progress *outer);
/* From now on, and for the time since the start or the last line, writes go to
 * the run directory under this step. `input` may be "". */
APQ_NODISCARD apq_status apq_stopwatch_assign(apq_stopwatch *watch,
                                              const char *run_dir,
                                              const char *step,
                                              const char *input);
/* The work is shared with equal processes: what this one and its machine spend
 * counts once for each of them. */
void apq_stopwatch_share(apq_stopwatch *watch, int n_processes, int n_machines);
/* Operations of the training, for the lines to come. */
void apq_stopwatch_set_flop(apq_stopwatch *watch, double flop);
/* Adds the line of the time since the last one; nothing when not assigned. */
APQ_NODISCARD apq_status apq_stopwatch_write(apq_stopwatch *watch);

#endif
