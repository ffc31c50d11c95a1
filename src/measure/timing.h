#ifndef APQ_MEASURE_TIMING_H
#define APQ_MEASURE_TIMING_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Repeated timing with a watch on the clock: a fixed reference kernel runs
 * between batches of repetitions, and a batch whose two neighbours deviate
 * from the baseline is thrown away and done again. */

/* What is timed. Times come from now_s, so tests need no real clock. */
typedef struct apq_timing_hooks {
    double (*now_s)(void *ctx);   /* monotonic */
    void (*reference)(void *ctx); /* fixed work, some tens of microseconds */
    apq_status (*prepare)(void *ctx); /* OPTIONAL. Untimed, before each run */
    apq_status (*run)(void *ctx);     /* one repetition */
    /* OPTIONAL. Called at every eighth of the time: sets up anew what is
     * timed, so that where it lies in memory is part of the spread. */
    apq_status (*renew)(void *ctx);
    void *ctx;
} apq_timing_hooks;

typedef struct apq_timing_options {
    double seconds;   /* stop after this time, once enough are good */
    double max_drift; /* relative, of the reference */
} apq_timing_options;

/* The reference over the life of a session. */
typedef struct apq_timing_clock {
    double baseline_s;  /* median of the reference; 0: not yet taken */
    double overhead_s;  /* of reading the clock; taken off every time */
    size_t n_repeated;  /* batches done again because of drift */
    size_t n_unsettled; /* results with drifting batches; the baseline moved */
    size_t n_stale; /* times that the baseline fell: results before ran slow */
} apq_timing_clock;

typedef struct apq_timing {
    double median_s;
    double spread_s; /* half the interquartile range */
    int64_t count;
    bool is_settled; /* all within max_drift of the baseline */
} apq_timing;

/* Times hooks->run: at least 24 repetitions and options->seconds, at most
 * four times as long when batches are repeated; then what is there is used,
 * is_settled is false and the baseline is taken anew. The baseline is taken at
 * the first call. Errors: those of the hooks. */
APQ_NODISCARD apq_status apq_timing_run(const apq_timing_hooks *hooks,
                                        const apq_timing_options *options,
                                        apq_timing_clock *clock,
                                        apq_timing *out);

/* Median of n >= 1 values and half the distance between their quartiles
 * (linear interpolation between order statistics). Sorts the values. */
void apq_timing_median(double *values, size_t n, double *median,
                       double *half_iqr);

#endif
