/* What every strategy of the registry must do, whatever its method. */
#include "unit/search/toy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef void (*contract_fn)(const char *strategy);

static void for_all(contract_fn check) {
    const char *const *names = apq_strategy_names();
    assert_non_null(names[0]);
    for (size_t i = 0; names[i] != NULL; i++) {
        check(names[i]);
    }
}

static apq_search_result *must_run(toy *t, const apq_driver_options *options) {
    apq_search_result *result = NULL;
    apq_status st = apq_search_run(&t->space, options, &result);
    if (st != APQ_OK) {
        fail_msg("%s: %s", options->strategy, apq_error_message());
    }
    return result;
}

static void check_table(const char *strategy) {
    const apq_strategy_ops *ops = NULL;
    assert_int_equal(apq_strategy_find(strategy, &ops), APQ_OK);
    assert_string_equal(ops->name, strategy);
    assert_string_equal(ops->summary, apq_strategy_summary(strategy));
    assert_true(ops->state_bytes > 0);
    assert_non_null(ops->init);
    assert_non_null(ops->ask);
    assert_non_null(ops->tell);
}

static void test_table(void **state) {
    (void)state;
    for_all(check_table);
}

static void check_candidates(const char *strategy) {
    toy t;
    toy_init(&t, "cifar10");
    t.max_cost = toy_budget(&t, 0.3);
    apq_driver_options options = toy_options(&t, strategy, 15);
    apq_search_result *result = must_run(&t, &options);
    assert_int_equal(t.n_illegal, 0);
    assert_int_equal(t.n_infeasible, 0);
    assert_int_equal(t.n_repeated, 0);
    assert_int_equal(t.n_scored, result->n_evaluations);
    assert_int_equal(result->n_evaluations + result->n_cached, 20 * 15);
    assert_false(result->is_stopped);
    apq_search_result_destroy(result);
    toy_fini(&t);
}

static void test_candidates(void **state) {
    (void)state;
    for_all(check_candidates);
}

static void check_result(const char *strategy) {
    toy t;
    toy_init(&t, "cifar10");
    t.max_cost = toy_budget(&t, 0.3);
    apq_driver_options options = toy_options(&t, strategy, 15);
    apq_search_result *result = must_run(&t, &options);
    assert_int_equal(result->n_history, 15);
    for (size_t i = 0; i < result->n_history; i++) {
        const apq_search_history_row *row = &result->history[i];
        assert_int_equal(row->iteration, i + 1);
        assert_true(row->mean <= row->best);
        assert_true(row->feasible > 0 && row->feasible <= 1);
        assert_true(row->diversity > 0 && row->diversity < 1);
        if (i > 0) {
            assert_true(row->best >= row[-1].best);
            assert_true(row->evaluations >= row[-1].evaluations);
        }
    }
    const apq_search_history_row *last = &result->history[14];
    assert_int_equal(last->evaluations, result->n_evaluations);
    assert_true(!(last->best < result->best_value) &&
                !(last->best > result->best_value));
    assert_true(fabs(toy_value(&t, &result->best) - result->best_value) <=
                1e-12);
    assert_true(toy_cost(&t, &result->best) <= t.max_cost);
    assert_int_equal(result->n_top, APQ_SEARCH_MAX_TOP);
    assert_memory_equal(&result->best, &result->top[0].policy,
                        sizeof result->best);
    for (size_t i = 0; i < result->n_top; i++) {
        const apq_search_entry *entry = &result->top[i];
        assert_true(toy_cost(&t, &entry->policy) <= t.max_cost);
        assert_true(fabs(entry->score.cost[0] - toy_cost(&t, &entry->policy)) <=
                    1e-12);
        assert_int_equal(entry->hash,
                         apq_policy_hash(&t.space, &entry->policy));
        for (size_t k = 0; k < i; k++) {
            assert_true(result->top[k].hash != entry->hash);
            assert_true(result->top[k].score.value >= entry->score.value);
        }
    }
    apq_search_result_destroy(result);
    toy_fini(&t);
}

static void test_result(void **state) {
    (void)state;
    for_all(check_result);
}

static uint64_t trace_of(const char *strategy, uint64_t seed, bool is_flat) {
    toy t;
    toy_init(&t, "tiny");
    t.is_flat = is_flat;
    t.max_cost = toy_budget(&t, 0.5);
    apq_driver_options options = toy_options(&t, strategy, 10);
    options.seed = seed;
    apq_search_result *result = must_run(&t, &options);
    if (is_flat) { /* ties are settled by hash */
        for (size_t i = 1; i < result->n_top; i++) {
            assert_true(result->top[i - 1].hash < result->top[i].hash);
        }
    }
    uint64_t trace = t.trace;
    apq_search_result_destroy(result);
    toy_fini(&t);
    return trace;
}

static void check_trace(const char *strategy) {
    assert_int_equal(trace_of(strategy, 3, false),
                     trace_of(strategy, 3, false));
    assert_int_equal(trace_of(strategy, 3, true), trace_of(strategy, 3, true));
    assert_true(trace_of(strategy, 3, false) != trace_of(strategy, 4, false));
}

static void test_trace(void **state) {
    (void)state;
    for_all(check_trace);
}

/* Uniform draws are hopeless at 2 % above the cheapest: the seeds carry. */
static void check_tight(const char *strategy) {
    toy t;
    toy_init(&t, "cifar10");
    t.max_cost = toy_budget(&t, 0.02);
    apq_driver_options options = toy_options(&t, strategy, 5);
    apq_policy seed;
    apq_policy_smallest(&t.space, t.space.bits[0], &seed);
    options.seeds = &seed;
    options.n_seeds = 1;
    apq_search_result *result = must_run(&t, &options);
    assert_int_equal(t.n_infeasible, 0);
    assert_int_equal(result->n_evaluations + result->n_cached, 20 * 5);
    /* Better than the seed itself: the walk goes upward. */
    assert_true(result->best_value > toy_value(&t, &seed));
    assert_true(result->n_evaluations > 20);
    apq_search_result_destroy(result);
    toy_fini(&t);
}

static void test_tight(void **state) {
    (void)state;
    for_all(check_tight);
}

static void check_infeasible(const char *strategy) {
    toy t;
    toy_init(&t, "tiny");
    t.max_cost = 0.0;
    apq_driver_options options = toy_options(&t, strategy, 5);
    apq_search_result *result = (apq_search_result *)&t;
    assert_int_equal(apq_search_run(&t.space, &options, &result),
                     APQ_ERR_INFEASIBLE);
    assert_null(result);
    assert_int_equal(t.n_scored, 0);
    toy_fini(&t);
}

static void test_infeasible(void **state) {
    (void)state;
    for_all(check_infeasible);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),  cmocka_unit_test(test_candidates),
        cmocka_unit_test(test_result), cmocka_unit_test(test_trace),
        cmocka_unit_test(test_tight),  cmocka_unit_test(test_infeasible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
