/* Wall clock, processor time of all threads (getrusage) and, where readable,
 * the energy counters, between two lines of cost.jsonl. */
#include "app/stopwatch.h"

#include "app/machine.h"
#include "backend/backend.h"

#include <apq/apq.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static double seconds(struct timeval t) {
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

static double core_seconds(void) {
    struct rusage use;
    if (getrusage(RUSAGE_SELF, &use) != 0) {
        return 0;
    }
    return seconds(use.ru_utime) + seconds(use.ru_stime);
}

/* A line that cannot be written now is part of the next one; the last line of
 * a step reports the failure. */
static void tick(apq_stopwatch *watch) {
    if (watch->path[0] != '\0' &&
        apq_now_s() - watch->last_wall_s >= watch->interval_s) {
        apq_status st = apq_stopwatch_write(watch);
        (void)st;
    }
}

static void note(void *ctx, const char *line) {
    apq_stopwatch *watch = ctx;
    apq_note(watch->outer, "%s", line);
}

static void update(void *ctx, const char *what, uint64_t done, uint64_t total,
                   const char *detail) {
    apq_stopwatch *watch = ctx;
    tick(watch);
    apq_progress_update(watch->outer, what, done, total, detail);
}

static void measure(void *ctx, const char *series, double at, double value) {
    apq_stopwatch *watch = ctx;
    apq_progress_measure(watch->outer, series, at, value);
}

static bool stop_requested(void *ctx) {
    apq_stopwatch *watch = ctx;
    return apq_stop_requested(watch->outer);
}

void apq_stopwatch_start(apq_stopwatch *watch, double interval_s,
                         const apq_progress *outer) {
    *watch = (apq_stopwatch){
        .base = {.ctx = watch,
                 .note = note,
                 .update = update,
                 .measure = measure,
                 .stop_requested = stop_requested},
        .outer = outer,
        .interval_s = fmin(60, fmax(0.1, interval_s)),
        .last_wall_s = apq_now_s(),
        .last_core_s = core_seconds(),
        .n_processes = 1,
        .n_machines = 1,
    };
    apq_machine machine;
    apq_machine_probe(&machine);
    (void)snprintf(watch->next.cpu, sizeof watch->next.cpu, "%s", machine.cpu);
    (void)snprintf(watch->next.version, sizeof watch->next.version, "%s",
                   apq_version());
    apq_rapl_open(&watch->rapl, "/sys/class/powercap");
}

apq_status apq_stopwatch_assign(apq_stopwatch *watch, const char *run_dir,
                                const char *step, const char *input) {
    APQ_TRY(apq_path_join(watch->path, run_dir, "cost.jsonl"));
    (void)snprintf(watch->next.step, sizeof watch->next.step, "%s", step);
    (void)snprintf(watch->next.input, sizeof watch->next.input, "%s", input);
    watch->next.flop = 0;
    return APQ_OK;
}

void apq_stopwatch_share(apq_stopwatch *watch, int n_processes,
                         int n_machines) {
    watch->n_processes = n_processes;
    watch->n_machines = n_machines;
}

void apq_stopwatch_set_flop(apq_stopwatch *watch, double flop) {
    watch->next.flop = flop;
}

apq_status apq_stopwatch_write(apq_stopwatch *watch) {
    if (watch->path[0] == '\0') {
        return APQ_OK;
    }
    double wall_s = apq_now_s(), core_s = core_seconds();
    apq_effort *next = &watch->next;
    /* What an earlier write could not store is still in energy_j. */
    next->energy_j += watch->n_machines * apq_rapl_joules(&watch->rapl);
    next->wall_s = wall_s - watch->last_wall_s;
    next->core_s = watch->n_processes * fmax(0, core_s - watch->last_core_s);
    next->threads = (int)watch->n_processes * apq_backend_threads();
    APQ_TRY(apq_effort_append(watch->path, next));
    watch->last_wall_s = wall_s;
    watch->last_core_s = core_s;
    next->energy_j = 0;
    return APQ_OK;
}
