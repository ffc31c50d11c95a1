/* Batches of repetitions between runs of a fixed kernel. Medians, because the
 * disturbances of a machine are rare and one-sided; the reference, because a
 * changed clock or a neighbour on the core shifts all repetitions alike. */
#include "measure/timing.h"

#include "base/sort.h"

#include <stdlib.h>

enum {
    MAX_TIMES = 2048,
    MIN_TIMES = 24,
    BATCH = 8,
    N_REFERENCE = 3, /* the median of these is one reading */
    N_BASELINE = 15, /* readings of the first baseline */
    N_EMPTY = 101,   /* intervals without work: the clock itself */
    N_SETUPS = 8,
    PATIENCE = 4, /* budgets spent at most */
};

typedef struct times {
    double good[MAX_TIMES], drifted[MAX_TIMES];
    size_t n_good, n_drifted;
} times;

static double quantile(const double *sorted, size_t n, double q) {
    double at = q * (double)(n - 1);
    size_t low = (size_t)at;
    size_t high = low + 1 < n ? low + 1 : low;
    double part = at - (double)low;
    return sorted[low] + part * (sorted[high] - sorted[low]);
}

void apq_timing_median(double *values, size_t n, double *median,
                       double *half_iqr) {
    APQ_ASSERT(n >= 1);
    apq_sort_doubles(values, n);
    *median = quantile(values, n, 0.5);
    *half_iqr = (quantile(values, n, 0.75) - quantile(values, n, 0.25)) / 2.0;
}

static double read_reference(const apq_timing_hooks *hooks) {
    double took[N_REFERENCE], median, ignored;
    for (int i = 0; i < N_REFERENCE; i++) {
        double before = hooks->now_s(hooks->ctx);
        hooks->reference(hooks->ctx);
        took[i] = hooks->now_s(hooks->ctx) - before;
    }
    apq_timing_median(took, N_REFERENCE, &median, &ignored);
    return median;
}

static void take_baseline(const apq_timing_hooks *hooks,
                          apq_timing_clock *clock) {
    double readings[N_BASELINE], ignored;
    for (int i = 0; i < N_BASELINE; i++) {
        readings[i] = read_reference(hooks);
    }
    apq_timing_median(readings, N_BASELINE, &clock->baseline_s, &ignored);
    double empty[N_EMPTY];
    for (int i = 0; i < N_EMPTY; i++) {
        double before = hooks->now_s(hooks->ctx);
        empty[i] = hooks->now_s(hooks->ctx) - before;
    }
    apq_timing_median(empty, N_EMPTY, &clock->overhead_s, &ignored);
}

static bool is_near(const apq_timing_clock *clock, double reference,
                    double max_drift) {
    return reference <= clock->baseline_s * (1.0 + max_drift) &&
           reference >= clock->baseline_s / (1.0 + max_drift);
}

static apq_status run_batch(const apq_timing_hooks *hooks, double *took) {
    for (int i = 0; i < BATCH; i++) {
        if (hooks->prepare != NULL) {
            APQ_TRY(hooks->prepare(hooks->ctx));
        }
        double before = hooks->now_s(hooks->ctx);
        APQ_TRY(hooks->run(hooks->ctx));
        took[i] = hooks->now_s(hooks->ctx) - before;
    }
    return APQ_OK;
}

static void keep(const apq_timing_clock *clock, double *all, size_t *n,
                 const double *took) {
    for (int i = 0; i < BATCH && *n < MAX_TIMES; i++) {
        double time = took[i] - clock->overhead_s;
        all[(*n)++] = time > 0.0 ? time : 0.0;
    }
}

/* Both neighbours were faster than the baseline by more than the limit. When
 * a second look confirms it, the baseline was taken on a slower machine than
 * there is now; a moment of higher clock is drift like any other. */
static bool lower_baseline(const apq_timing_hooks *hooks,
                           apq_timing_clock *clock, double before, double after,
                           double max_drift) {
    double slower = before > after ? before : after;
    double limit = clock->baseline_s / (1.0 + max_drift);
    if (slower >= limit) {
        return false;
    }
    apq_timing_clock again = *clock;
    take_baseline(hooks, &again);
    if (again.baseline_s >= limit) {
        return false;
    }
    *clock = again;
    clock->n_stale++;
    return true;
}

static apq_status collect(const apq_timing_hooks *hooks,
                          const apq_timing_options *options,
                          apq_timing_clock *clock, times *t) {
    double start = hooks->now_s(hooks->ctx);
    double renew_s = options->seconds / N_SETUPS;
    double before = read_reference(hooks);
    for (;;) {
        double took[BATCH];
        APQ_TRY(run_batch(hooks, took));
        double after = read_reference(hooks);
        if (lower_baseline(hooks, clock, before, after, options->max_drift)) {
            t->n_good = 0;
        }
        if (is_near(clock, before, options->max_drift) &&
            is_near(clock, after, options->max_drift)) {
            keep(clock, t->good, &t->n_good, took);
        } else {
            keep(clock, t->drifted, &t->n_drifted, took);
            clock->n_repeated++;
        }
        before = after;
        double spent = hooks->now_s(hooks->ctx) - start;
        bool is_enough = t->n_good >= MIN_TIMES && spent >= options->seconds;
        if (is_enough || t->n_good == MAX_TIMES ||
            (spent >= PATIENCE * options->seconds &&
             t->n_good + t->n_drifted >= MIN_TIMES)) {
            return APQ_OK;
        }
        if (hooks->renew != NULL && spent >= renew_s) {
            APQ_TRY(hooks->renew(hooks->ctx));
            before = read_reference(hooks);
            renew_s += options->seconds / N_SETUPS;
        }
    }
}

apq_status apq_timing_run(const apq_timing_hooks *hooks,
                          const apq_timing_options *options,
                          apq_timing_clock *clock, apq_timing *out) {
    if (clock->baseline_s <= 0.0) {
        take_baseline(hooks, clock);
    }
    times *t = calloc(1, sizeof *t);
    if (t == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "timing: out of memory");
    }
    apq_status st = collect(hooks, options, clock, t);
    if (st == APQ_OK) {
        out->is_settled = t->n_good >= MIN_TIMES;
        if (!out->is_settled) {
            clock->n_unsettled++;
            take_baseline(hooks, clock);
            for (size_t i = 0; i < t->n_drifted && t->n_good < MAX_TIMES; i++) {
                t->good[t->n_good++] = t->drifted[i];
            }
        }
        out->count = (int64_t)t->n_good;
        apq_timing_median(t->good, t->n_good, &out->median_s, &out->spread_s);
    }
    free(t);
    return st;
}
