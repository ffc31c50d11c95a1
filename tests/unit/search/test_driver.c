/* The driver's own duties, and evolution against random sampling. */
#include "unit/asserts.h"
#include "unit/search/toy.h"

#include "search/cache.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static double best_of(const char *space, const char *strategy, double fraction,
                      int population, uint64_t seed) {
    toy t;
    toy_init(&t, space);
    t.max_cost = toy_budget(&t, fraction);
    apq_driver_options options = toy_options(&t, strategy, 40);
    options.seed = seed;
    options.population = population;
    options.parents = population / 4;
    apq_search_result *result = NULL;
    assert_int_equal(apq_search_run(&t.space, &options, &result), APQ_OK);
    double best = result->best_value;
    apq_search_result_destroy(result);
    toy_fini(&t);
    return best;
}

static void beats_random(const char *space, double fraction, int population,
                         double margin) {
    for (uint64_t seed = 1; seed <= 3; seed++) {
        double evolution =
            best_of(space, "evolution", fraction, population, seed);
        double uniform = best_of(space, "random", fraction, population, seed);
        if (!(evolution >= uniform * margin)) {
            fail_msg("%s, seed %d: evolution %.4f, random %.4f", space,
                     (int)seed, evolution, uniform);
        }
    }
}

static void test_evolution_beats_random(void **state) {
    (void)state;
    beats_random("tiny", 0.4, 20, 1.01);
    beats_random("cifar10", 0.3, 60, 1.05);
    beats_random("cifar10", 0.05, 100, 1.0);
}

/* Depth and bits are searched: without a budget the optimum of the toy takes
 * every stage to full depth and every bit gene to its maximum. */
static void test_evolution_reaches_corner(void **state) {
    (void)state;
    toy t;
    toy_init(&t, "tiny");
    apq_driver_options options = toy_options(&t, "evolution", 300);
    options.feasible = NULL;
    apq_search_result *result = NULL;
    assert_int_equal(apq_search_run(&t.space, &options, &result), APQ_OK);
    for (int s = 0; s < t.space.n_stages; s++) {
        assert_int_equal(result->best.depth[s], t.space.stages[s].max_depth);
    }
    int n_low = 0;
    for (int b = 0; b < t.space.n_blocks; b++) {
        for (int g = 0; g < APQ_N_BIT_GENES; g++) {
            int most = t.space.bits[t.space.n_bits - 1];
            n_low += result->best.bits[g][b] < most ? 1 : 0;
        }
    }
    assert_true(n_low <= 1);
    apq_search_result_destroy(result);
    toy_fini(&t);
}

static void expect_refused(const toy *t, apq_driver_options options,
                           const char *word) {
    apq_search_result *result = NULL;
    assert_int_equal(apq_search_run(&t->space, &options, &result), APQ_ERR_ARG);
    assert_null(result);
    assert_message(word);
}

static void test_options(void **state) {
    (void)state;
    toy t;
    toy_init(&t, "tiny");
    const apq_driver_options good = toy_options(&t, "random", 2);
    apq_driver_options bad = good;
    bad.population = 1;
    expect_refused(&t, bad, "population 1");
    bad = good;
    bad.parents = 21;
    expect_refused(&t, bad, "parents 21");
    bad.parents = 0;
    expect_refused(&t, bad, "parents 0");
    bad = good;
    bad.iterations = 0;
    expect_refused(&t, bad, "iterations 0");
    bad = good;
    bad.mutation = 0.9e-6;
    expect_refused(&t, bad, "mutation 9e-07");
    bad.mutation = 1.5;
    expect_refused(&t, bad, "mutation 1.5");
    bad.mutation = (double)NAN;
    expect_refused(&t, bad, "mutation");
    bad = good;
    bad.evaluate = NULL;
    expect_refused(&t, bad, "evaluation");
    bad = good;
    bad.strategy = "evoluton";
    expect_refused(&t, bad, "'evolution'");
    bad.strategy = "randm";
    expect_refused(&t, bad, "'random'");
    bad.strategy = NULL;
    expect_refused(&t, bad, "strategy");
    bad = good;
    apq_policy illegal;
    apq_policy_smallest(&t.space, t.space.bits[0], &illegal);
    illegal.kernel[0] = 4;
    bad.seeds = &illegal;
    bad.n_seeds = 1;
    apq_search_result *result = NULL;
    assert_int_not_equal(apq_search_run(&t.space, &bad, &result), APQ_OK);
    assert_null(result);
    assert_int_equal(t.n_scored, 0);
    toy_fini(&t);
}

/* Far more candidates than a one-parent population has networks near it. */
static void test_duplicates_cost_nothing(void **state) {
    (void)state;
    toy t;
    toy_init(&t, "tiny");
    apq_policy seed;
    apq_policy_smallest(&t.space, t.space.bits[0], &seed);
    t.max_cost = toy_cost(&t, &seed); /* nothing but the cheapest fits */
    apq_driver_options options = toy_options(&t, "random", 10);
    options.seeds = &seed;
    options.n_seeds = 1;
    apq_search_result *result = NULL;
    assert_int_equal(apq_search_run(&t.space, &options, &result), APQ_OK);
    assert_int_equal(t.n_scored, 1);
    assert_int_equal(result->n_evaluations, 1);
    assert_int_equal(result->n_cached, 199);
    assert_int_equal(result->n_top, 1);
    assert_int_equal(result->n_history, 10);
    apq_search_result_destroy(result);
    toy_fini(&t);
}

static void test_cache(void **state) {
    (void)state;
    apq_score_cache cache = {0};
    enum { N = 5000 };
    for (int pass = 0; pass < 2; pass++) {
        for (uint64_t i = 0; i < N; i++) {
            size_t entry;
            bool is_new;
            uint64_t hash = (i % 7) | (i << 32); /* colliding low bits */
            assert_int_equal(apq_score_cache_at(&cache, hash, &entry, &is_new),
                             APQ_OK);
            assert_int_equal(entry, i);
            assert_int_equal(is_new, pass == 0);
            if (is_new) {
                cache.scores[entry].value = (double)i;
            } else {
                assert_true(fabs(cache.scores[entry].value - (double)i) <= 0.0);
            }
        }
    }
    apq_score_cache_fini(&cache);
}

typedef struct stopper {
    uint64_t n_updates, limit, done, total;
    char detail[64];
} stopper;

static void count_update(void *ctx, const char *what, uint64_t done,
                         uint64_t total, const char *detail) {
    stopper *s = ctx;
    assert_non_null(what);
    s->n_updates++;
    s->done = done;
    s->total = total;
    strncpy(s->detail, detail, sizeof s->detail - 1);
}

static bool stop_now(void *ctx) {
    const stopper *s = ctx;
    return s->n_updates >= s->limit;
}

static void test_stop(void **state) {
    (void)state;
    toy t;
    toy_init(&t, "tiny");
    stopper s = {.limit = 3};
    apq_progress progress = {
        .ctx = &s, .update = count_update, .stop_requested = stop_now};
    apq_driver_options options = toy_options(&t, "evolution", 10);
    options.progress = &progress;
    apq_search_result *result = NULL;
    assert_int_equal(apq_search_run(&t.space, &options, &result), APQ_OK);
    assert_true(result->is_stopped);
    assert_int_equal(result->n_history, 3);
    assert_int_equal(s.done, 60);
    assert_int_equal(s.total, 200);
    assert_non_null(strstr(s.detail, "best"));
    assert_true(fabs(toy_value(&t, &result->best) - result->best_value) <=
                1e-12);
    apq_search_result_destroy(result);
    s = (stopper){.limit = 0};
    assert_int_equal(apq_search_run(&t.space, &options, &result),
                     APQ_ERR_INTERRUPTED);
    assert_null(result);
    toy_fini(&t);
}

static apq_status evaluate_nan(void *ctx, const apq_policy *batch, size_t n,
                               apq_score *scores) {
    (void)ctx;
    (void)batch;
    scores[n - 1].value = (double)NAN;
    return APQ_OK;
}

static apq_status evaluate_fails(void *ctx, const apq_policy *batch, size_t n,
                                 apq_score *scores) {
    (void)ctx;
    (void)batch;
    (void)n;
    (void)scores;
    APQ_FAIL(APQ_ERR_IO, "the predictor is gone");
}

/* Half of the policies are found out only by the evaluation. */
static apq_status evaluate_rejects(void *ctx, const apq_policy *batch, size_t n,
                                   apq_score *scores) {
    toy *t = ctx;
    APQ_TRY(toy_evaluate(t, batch, n, scores));
    for (size_t i = 0; i < n; i++) {
        scores[i].is_feasible = scores[i].cost[0] <= t->max_cost;
    }
    return APQ_OK;
}

static void test_evaluation_outcomes(void **state) {
    (void)state;
    toy t;
    toy_init(&t, "tiny");
    apq_driver_options options = toy_options(&t, "evolution", 10);
    apq_search_result *result = NULL;
    options.evaluate = evaluate_nan;
    assert_int_equal(apq_search_run(&t.space, &options, &result),
                     APQ_ERR_NUMERIC);
    options.evaluate = evaluate_fails;
    assert_int_equal(apq_search_run(&t.space, &options, &result), APQ_ERR_IO);
    assert_string_equal(apq_error_message(), "the predictor is gone");
    options.evaluate = evaluate_rejects;
    options.feasible = NULL;
    t.max_cost = toy_budget(&t, 0.4);
    assert_int_equal(apq_search_run(&t.space, &options, &result), APQ_OK);
    assert_true(t.n_infeasible > 0);
    for (size_t i = 0; i < result->n_top; i++) {
        assert_true(result->top[i].score.cost[0] <= t.max_cost);
    }
    apq_search_result_destroy(result);
    t.max_cost = 0.0; /* the evaluation rejects everything */
    assert_int_equal(apq_search_run(&t.space, &options, &result),
                     APQ_ERR_INFEASIBLE);
    toy_fini(&t);
}

/* The search ends after so many iterations without a better best, no sooner. */
static void test_patience(void **state) {
    (void)state;
    enum { PATIENCE = 10, ITERATIONS = 300 };
    toy t;
    toy_init(&t, "tiny");
    t.max_cost = toy_budget(&t, 0.4);
    apq_driver_options options = toy_options(&t, "evolution", ITERATIONS);
    options.patience = PATIENCE;
    apq_search_result *result = NULL;
    assert_int_equal(apq_search_run(&t.space, &options, &result), APQ_OK);
    size_t n = result->n_history;
    assert_in_range(n, PATIENCE + 2, ITERATIONS - 1);
    assert_false(result->is_stopped);
    double best = result->best_value;
    int n_same = 0;
    for (size_t i = 0; i < n; i++) {
        bool is_better =
            i == 0 || result->history[i].best > result->history[i - 1].best;
        n_same = is_better ? 0 : n_same + 1;
        assert_true(n_same < PATIENCE || i == n - 1);
    }
    assert_int_equal(n_same, PATIENCE);
    assert_true(result->history[n - 1].best == best);
    apq_search_result_destroy(result);
    options.patience = -1;
    expect_refused(&t, options, "patience -1");
    toy_fini(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evolution_beats_random),
        cmocka_unit_test(test_evolution_reaches_corner),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_duplicates_cost_nothing),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_evaluation_outcomes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
