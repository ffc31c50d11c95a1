/* Medians, and the watch on the clock, on times that are made up: a machine
 * whose speed follows a script. */
#include "measure/timing.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* A clock that only work moves. Everything takes `slowness` times longer
 * while the machine is slow. */
typedef struct machine {
    double now_s;
    double slow_from_s, slow_until_s, slowness;
    double run_s;
    double read_s; /* that reading the clock takes */
    int n_runs, n_prepared, n_renewed;
    bool fails;
} machine;

static const double REFERENCE_S = 1e-4;

static void work(machine *m, double seconds) {
    bool is_slow = m->now_s >= m->slow_from_s && m->now_s < m->slow_until_s;
    m->now_s += seconds * (is_slow ? m->slowness : 1.0);
}

static double now(void *ctx) {
    machine *m = ctx;
    m->now_s += m->read_s;
    return m->now_s;
}

static void reference(void *ctx) {
    work(ctx, REFERENCE_S);
}

static apq_status prepare(void *ctx) {
    machine *m = ctx;
    m->n_prepared++;
    work(m, 5e-4);
    return APQ_OK;
}

static apq_status run(void *ctx) {
    machine *m = ctx;
    m->n_runs++;
    if (m->fails) {
        APQ_FAIL(APQ_ERR_NOMEM, "run failed");
    }
    work(m, m->run_s);
    return APQ_OK;
}

static apq_status renew(void *ctx) {
    machine *m = ctx;
    m->n_renewed++;
    work(m, 1e-3);
    return APQ_OK;
}

static apq_timing_hooks hooks_of(machine *m) {
    return (apq_timing_hooks){.now_s = now,
                              .reference = reference,
                              .prepare = prepare,
                              .run = run,
                              .renew = renew,
                              .ctx = m};
}

static const apq_timing_options options = {.seconds = 0.05, .max_drift = 0.05};

static void check_close(double a, double b) {
    if (!(fabs(a - b) <= 1e-9 * fabs(b) + 1e-15)) {
        fail_msg("%.12g is not %.12g", a, b);
    }
}

static void median_and_quartiles(void **state) {
    (void)state;
    double median, half_iqr;
    double one[] = {7.0};
    apq_timing_median(one, 1, &median, &half_iqr);
    check_close(median, 7.0);
    check_close(half_iqr, 0.0);
    double odd[] = {5.0, 1.0, 4.0, 2.0, 3.0};
    apq_timing_median(odd, 5, &median, &half_iqr);
    check_close(median, 3.0);
    check_close(half_iqr, 1.0); /* quartiles 2 and 4 */
    double even[] = {4.0, 1.0, 3.0, 2.0};
    apq_timing_median(even, 4, &median, &half_iqr);
    check_close(median, 2.5);
    check_close(half_iqr, 0.75); /* quartiles 1.75 and 3.25 */
    /* One disturbed repetition moves neither. */
    double outlier[] = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 100.0};
    apq_timing_median(outlier, 8, &median, &half_iqr);
    check_close(median, 1.0);
    check_close(half_iqr, 0.0);
}

static void a_steady_machine_settles(void **state) {
    (void)state;
    machine m = {.run_s = 2e-4};
    apq_timing_clock clock = {0};
    apq_timing timing;
    apq_timing_hooks hooks = hooks_of(&m);
    assert_int_equal(apq_timing_run(&hooks, &options, &clock, &timing), APQ_OK);
    check_close(timing.median_s, 2e-4); /* without what was prepared */
    assert_true(timing.is_settled);
    assert_int_equal(timing.count, m.n_runs);
    assert_int_equal(m.n_prepared, m.n_runs);
    assert_true(m.n_renewed == 6 || m.n_renewed == 7); /* of 8 parts */
    assert_true(timing.count >= 24);
    assert_true(m.now_s >= options.seconds && m.now_s < 0.08);
    check_close(clock.baseline_s, REFERENCE_S);
    assert_int_equal(clock.n_repeated, 0);
}

/* Layers may take no longer than a few readings of the clock. */
static void reading_the_clock_is_not_counted(void **state) {
    (void)state;
    machine m = {.run_s = 1e-7, .read_s = 3e-8};
    apq_timing_clock clock = {0};
    apq_timing timing;
    apq_timing_hooks hooks = hooks_of(&m);
    assert_int_equal(apq_timing_run(&hooks, &options, &clock, &timing), APQ_OK);
    if (!(fabs(timing.median_s - 1e-7) <= 1e-12)) {
        fail_msg("%g s instead of 1e-07", timing.median_s);
    }
}

/* What was measured while the clock was low is thrown away. */
static void slow_batches_are_repeated(void **state) {
    (void)state;
    machine m = {.run_s = 2e-4,
                 .slow_from_s = 0.02,
                 .slow_until_s = 0.04,
                 .slowness = 1.2};
    apq_timing_clock clock = {0};
    apq_timing timing;
    apq_timing_hooks hooks = hooks_of(&m);
    assert_int_equal(apq_timing_run(&hooks, &options, &clock, &timing), APQ_OK);
    check_close(timing.median_s, 2e-4);
    assert_true(timing.spread_s < 1e-9);
    assert_true(timing.is_settled);
    /* Those that a change of the clock cut in two, too. */
    assert_int_equal(clock.n_repeated, 3);
    assert_true(timing.count < m.n_runs);
    assert_int_equal(clock.n_unsettled, 0);
}

/* Below the limit nothing is repeated. */
static void small_drift_is_allowed(void **state) {
    (void)state;
    machine m = {.run_s = 2e-4,
                 .slow_from_s = 0.02,
                 .slow_until_s = 0.04,
                 .slowness = 1.03};
    apq_timing_clock clock = {0};
    apq_timing timing;
    apq_timing_hooks hooks = hooks_of(&m);
    assert_int_equal(apq_timing_run(&hooks, &options, &clock, &timing), APQ_OK);
    assert_int_equal(clock.n_repeated, 0);
}

static void a_slow_machine_is_reported(void **state) {
    (void)state;
    machine m = {.run_s = 2e-4,
                 .slow_from_s = 0.01,
                 .slow_until_s = (double)INFINITY,
                 .slowness = 1.5};
    apq_timing_clock clock = {0};
    apq_timing timing;
    apq_timing_hooks hooks = hooks_of(&m);
    assert_int_equal(apq_timing_run(&hooks, &options, &clock, &timing), APQ_OK);
    assert_false(timing.is_settled);
    assert_int_equal(clock.n_unsettled, 1);
    assert_true(m.now_s < 6.0 * options.seconds); /* patience has an end */
    /* From there the slow clock is the baseline: the next one settles. */
    check_close(clock.baseline_s, 1.5 * REFERENCE_S);
    assert_int_equal(apq_timing_run(&hooks, &options, &clock, &timing), APQ_OK);
    assert_true(timing.is_settled);
    check_close(timing.median_s, 3e-4);
    assert_int_equal(clock.n_unsettled, 1);
}

/* A baseline that was taken while the machine was busy. */
static void a_faster_machine_moves_the_baseline(void **state) {
    (void)state;
    machine m = {.run_s = 2e-4, .slow_until_s = 0.04, .slowness = 2.0};
    apq_timing_clock clock = {0};
    apq_timing timing;
    apq_timing_hooks hooks = hooks_of(&m);
    assert_int_equal(apq_timing_run(&hooks, &options, &clock, &timing), APQ_OK);
    assert_int_equal(clock.n_stale, 1);
    check_close(clock.baseline_s, REFERENCE_S);
    check_close(timing.median_s, 2e-4);
    assert_true(timing.spread_s < 1e-9);
    assert_true(timing.is_settled);
}

static void errors_pass_through(void **state) {
    (void)state;
    machine m = {.run_s = 2e-4, .fails = true};
    apq_timing_clock clock = {0};
    apq_timing timing;
    apq_timing_hooks hooks = hooks_of(&m);
    assert_int_equal(apq_timing_run(&hooks, &options, &clock, &timing),
                     APQ_ERR_NOMEM);
    assert_int_equal(m.n_runs, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(median_and_quartiles),
        cmocka_unit_test(a_steady_machine_settles),
        cmocka_unit_test(reading_the_clock_is_not_counted),
        cmocka_unit_test(slow_batches_are_repeated),
        cmocka_unit_test(small_drift_is_allowed),
        cmocka_unit_test(a_slow_machine_is_reported),
        cmocka_unit_test(a_faster_machine_moves_the_baseline),
        cmocka_unit_test(errors_pass_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
