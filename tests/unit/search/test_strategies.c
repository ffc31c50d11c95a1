/* What every strategy owes beyond the contract: the optimum of a space small
 * enough to enumerate, going on after a kill, and an archive in order. */
#include "unit/search/toy.h"

#include "search/front.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* `tiny` with one width a block and two bit-widths: 1.1 million policies. */
static void reduce(toy *t) {
    toy_init(t, "tiny");
    t->cap_seen = 0;
    t->space.n_bits = 2;
    t->space.bits[1] = 8;
    for (int b = 0; b < t->space.n_blocks; b++) {
        t->space.blocks[b].min_channels = t->space.blocks[b].max_channels;
    }
    t->max_cost = toy_budget(t, 0.5);
}

typedef struct half {
    double value, cost;
} half;

enum { SETTINGS = 32, MAX_HALF = SETTINGS + SETTINGS * SETTINGS };

static void set_block(const toy *t, int b, int i, apq_policy *policy) {
    policy->kernel[b] = (int8_t)t->space.kernels[i & 1];
    for (int g = 0; g < APQ_N_BIT_GENES; g++) {
        policy->bits[g][b] = (int8_t)t->space.bits[(i >> (1 + g)) & 1];
    }
}

/* All settings of one stage, the other as in `rest`. */
static size_t enumerate(const toy *t, int stage, const apq_policy *rest,
                        half *out) {
    size_t n = 0;
    int b = t->space.stages[stage].first_block;
    apq_policy policy = *rest;
    for (int depth = 1; depth <= 2; depth++) {
        policy.depth[stage] = (int8_t)depth;
        for (int i = 0; i < (depth == 1 ? SETTINGS : SETTINGS * SETTINGS);
             i++) {
            set_block(t, b, i % SETTINGS, &policy);
            set_block(t, b + 1, i / SETTINGS, &policy);
            out[n++] = (half){toy_value(t, &policy), toy_cost(t, &policy)};
        }
    }
    return n;
}

static double true_optimum(const toy *t) {
    half *a = calloc(2 * MAX_HALF, sizeof *a);
    assert_non_null(a);
    half *b = a + MAX_HALF;
    apq_policy rest;
    apq_policy_smallest(&t->space, 4, &rest);
    assert_int_equal(t->space.n_stages, 2);
    size_t n = enumerate(t, 0, &rest, a);
    assert_int_equal(n, MAX_HALF);
    assert_int_equal(enumerate(t, 1, &rest, b), MAX_HALF);
    double value = toy_value(t, &rest), cost = toy_cost(t, &rest);
    double best = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            double v = a[i].value + b[k].value - value;
            bool fits = a[i].cost + b[k].cost - cost <= t->max_cost;
            best = fits && v > best ? v : best;
        }
    }
    free(a);
    return best;
}

static void test_optimum(void **state) {
    (void)state;
    toy t;
    reduce(&t);
    double optimum = true_optimum(&t);
    const char *const *names = apq_strategy_names();
    for (; *names != NULL; names++) {
        int n_found = 0;
        for (uint64_t seed = 1; seed <= 10; seed++) {
            apq_driver_options options = toy_options(&t, *names, 500);
            options.population = 100;
            options.parents = 25;
            options.seed = seed;
            apq_search_result *result = NULL;
            assert_int_equal(apq_search_run(&t.space, &options, &result),
                             APQ_OK);
            assert_true(result->best_value <= optimum + 1e-9);
            n_found += result->best_value >= optimum - 1e-9 ? 1 : 0;
            apq_search_result_destroy(result);
        }
        print_message("%s: the optimum in %d of 10\n", *names, n_found);
        if (strcmp(*names, "random") != 0 && n_found < 9) {
            fail_msg("%s: the optimum in %d of 10", *names, n_found);
        }
    }
    toy_fini(&t);
}

/* A saved search in memory, and a stop after some batches. */
typedef struct memory {
    void *bytes;
    size_t n;
    int n_saves, n_updates, limit;
} memory;

static apq_status memory_save(void *ctx, const void *bytes, size_t n) {
    memory *m = ctx;
    free(m->bytes);
    m->bytes = malloc(n);
    assert_non_null(m->bytes);
    memcpy(m->bytes, bytes, n);
    m->n = n;
    m->n_saves++;
    return APQ_OK;
}

static apq_status memory_load(void *ctx, void **bytes, size_t *n) {
    const memory *m = ctx;
    *bytes = NULL;
    if (m->bytes != NULL) {
        *n = m->n;
        *bytes = malloc(m->n);
        assert_non_null(*bytes);
        memcpy(*bytes, m->bytes, m->n);
    }
    return APQ_OK;
}

static void count(void *ctx, const char *what, uint64_t done, uint64_t total,
                  const char *detail) {
    memory *m = ctx;
    (void)what;
    (void)done;
    (void)total;
    (void)detail;
    m->n_updates++;
}

static bool is_over(void *ctx) {
    const memory *m = ctx;
    return m->n_updates >= m->limit;
}

static apq_search_result *run(toy *t, const apq_driver_options *options) {
    apq_search_result *result = NULL;
    if (apq_search_run(&t->space, options, &result) != APQ_OK) {
        fail_msg("%s: %s", options->strategy, apq_error_message());
    }
    return result;
}

static void expect_same(const apq_search_result *a,
                        const apq_search_result *b) {
    assert_int_equal(a->n_evaluations, b->n_evaluations);
    assert_int_equal(a->n_cached, b->n_cached);
    assert_int_equal(a->n_top, b->n_top);
    assert_int_equal(a->n_front, b->n_front);
    assert_int_equal(a->n_history, b->n_history);
    assert_int_equal(a->n_scores, b->n_scores);
    for (size_t i = 0; i < a->n_top; i++) {
        assert_int_equal(a->top[i].hash, b->top[i].hash);
    }
    for (size_t i = 0; i < a->n_front; i++) {
        assert_int_equal(a->front[i].hash, b->front[i].hash);
    }
    for (size_t i = 0; i < a->n_history; i++) {
        assert_int_equal(a->history[i].evaluations, b->history[i].evaluations);
        assert_true(fabs(a->history[i].mean - b->history[i].mean) <= 0);
        assert_true(fabs(a->history[i].best - b->history[i].best) <= 0);
        assert_true(fabs(a->history[i].feasible - b->history[i].feasible) <= 0);
        assert_true(fabs(a->history[i].diversity - b->history[i].diversity) <=
                    0);
    }
}

/* Cut after every few batches and begun again until it is done. */
static void check_resume(const char *strategy) {
    toy whole, cut;
    toy_init(&whole, "cifar10");
    toy_init(&cut, "cifar10");
    whole.max_cost = cut.max_cost = toy_budget(&whole, 0.3);
    apq_driver_options options = toy_options(&whole, strategy, 15);
    options.front_cap = 12;
    apq_search_result *expected = run(&whole, &options);

    memory m = {.limit = 3};
    apq_search_saver saver = {
        .ctx = &m, .save = memory_save, .load = memory_load, .key = "k"};
    apq_progress progress = {
        .ctx = &m, .update = count, .stop_requested = is_over};
    options.ctx = &cut;
    options.saver = &saver;
    options.progress = &progress;
    apq_search_result *result = run(&cut, &options);
    int n_runs = 1;
    while (result->is_stopped) {
        apq_search_result_destroy(result);
        m.limit = m.n_updates + 2;
        result = run(&cut, &options);
        n_runs++;
    }
    assert_true(n_runs > 3);
    assert_true(m.n_saves > n_runs);
    assert_int_equal(cut.trace, whole.trace);
    expect_same(expected, result);
    apq_search_result_destroy(result);

    /* A state of another search, or a damaged one, is not used. */
    m.limit = m.n_updates + 1000;
    saver.key = "other";
    cut.trace = 0;
    result = run(&cut, &options);
    assert_int_equal(cut.trace, whole.trace);
    apq_search_result_destroy(result);
    ((unsigned char *)m.bytes)[m.n / 2] ^= 1;
    cut.trace = 0;
    result = run(&cut, &options);
    assert_int_equal(cut.trace, whole.trace);
    apq_search_result_destroy(result);
    apq_search_result_destroy(expected);
    free(m.bytes);
    toy_fini(&whole);
    toy_fini(&cut);
}

static void test_resume(void **state) {
    (void)state;
    for (const char *const *name = apq_strategy_names(); *name; name++) {
        check_resume(*name);
    }
}

/* Other seeds or starts are another search: what was saved is not used. */
static void check_begins_anew(bool has_seeds, bool has_starts) {
    toy cut, fresh;
    toy_init(&cut, "cifar10");
    toy_init(&fresh, "cifar10");
    cut.max_cost = fresh.max_cost = toy_budget(&cut, 0.3);
    memory m = {.limit = 3};
    apq_search_saver saver = {
        .ctx = &m, .save = memory_save, .load = memory_load, .key = "k"};
    apq_progress progress = {
        .ctx = &m, .update = count, .stop_requested = is_over};
    apq_driver_options options = toy_options(&cut, "evolution", 15);
    options.saver = &saver;
    options.progress = &progress;
    apq_search_result *result = run(&cut, &options);
    assert_true(result->is_stopped);
    apq_search_result_destroy(result);
    cut.trace = 0;
    m.limit = m.n_updates + 1000;

    apq_policy cheap, good;
    apq_policy_smallest(&cut.space, cut.space.bits[1], &cheap);
    apq_policy_largest(&cut.space, cut.space.bits[0], &good);
    options.seeds = &cheap;
    options.n_seeds = has_seeds;
    options.starts = &good;
    options.n_starts = has_starts;
    apq_search_result_destroy(run(&cut, &options));
    options.ctx = &fresh;
    options.saver = NULL;
    apq_search_result_destroy(run(&fresh, &options));
    assert_int_equal(cut.trace, fresh.trace);
    free(m.bytes);
    toy_fini(&cut);
    toy_fini(&fresh);
}

static void test_other_policies(void **state) {
    (void)state;
    check_begins_anew(true, false);
    check_begins_anew(false, true);
}

/* Random budgets: all that is asked is legal and within them, and of the
 * front nothing is better than another in everything. */
static void check_property(const char *strategy, uint64_t seed) {
    toy t;
    toy_init(&t, "imagenet-apq");
    apq_rng rng = apq_rng_make(seed, APQ_RNG_TEST, 1);
    double share = apq_rng_uniform(&rng);
    t.max_cost = toy_budget(&t, share * share);
    apq_driver_options options = toy_options(&t, strategy, 30);
    options.seed = seed;
    options.front_cap = 10;
    apq_search_result *result = run(&t, &options);
    assert_int_equal(t.n_illegal, 0);
    assert_int_equal(t.n_infeasible, 0);
    assert_int_equal(t.n_repeated, 0);
    assert_true(result->n_front >= 1 && result->n_front <= 10);
    assert_true(fabs(result->front[0].score.value - result->best_value) <= 0);
    for (size_t i = 0; i < result->n_front; i++) {
        for (size_t k = 0; k < result->n_front; k++) {
            assert_false(apq_score_dominates(&result->front[i].score,
                                             &result->front[k].score));
            assert_true(i == k ||
                        result->front[i].hash != result->front[k].hash);
        }
    }
    apq_search_result_destroy(result);
    toy_fini(&t);
}

static void test_property(void **state) {
    (void)state;
    for (const char *const *name = apq_strategy_names(); *name; name++) {
        for (uint64_t seed = 1; seed <= 5; seed++) {
            check_property(*name, seed);
        }
    }
}

static void test_dominates(void **state) {
    (void)state;
    apq_score a = {.value = 1, .cost = {1, 1, 1, NAN}};
    apq_score b = a;
    assert_false(apq_score_dominates(&a, &b));
    b.cost[2] = 2;
    assert_true(apq_score_dominates(&a, &b));
    assert_false(apq_score_dominates(&b, &a));
    b.value = 2;
    assert_false(apq_score_dominates(&a, &b));
    assert_false(apq_score_dominates(&b, &a));
}

/* A toy that keeps its first population. */
typedef struct recorder {
    toy t; /* first: the callbacks of the toy see it */
    int8_t depths[20][APQ_MAX_STAGES];
    size_t n;
} recorder;

static apq_status record(void *ctx, const apq_policy *batch, size_t n,
                         apq_score *scores) {
    recorder *r = ctx;
    for (size_t i = 0; i < n && r->n < 20; i++) {
        memcpy(r->depths[r->n++], batch[i].depth, APQ_MAX_STAGES);
    }
    return toy_evaluate(&r->t, batch, n, scores);
}

static bool has_early_depths(const recorder *r, const apq_policy *policy,
                             size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (memcmp(r->depths[i], policy->depth, APQ_MAX_STAGES) == 0) {
            return true;
        }
    }
    return false;
}

/* Depth stays as in the half of the first population that counts, and all
 * that is kept comes from mutation. */
static void test_as_released(void **state) {
    (void)state;
    recorder *r = calloc(1, sizeof *r);
    assert_non_null(r);
    toy_init(&r->t, "imagenet-apq");
    r->t.max_cost = toy_budget(&r->t, 0.4);
    apq_driver_options options = toy_options(&r->t, "evolution", 30);
    options.ctx = r;
    options.evaluate = record;
    apq_search_result *result = run(&r->t, &options);
    uint64_t trace = r->t.trace;
    size_t n_early = 0;
    for (size_t i = 0; i < result->n_top; i++) {
        n_early += has_early_depths(r, &result->top[i].policy, 10) ? 1 : 0;
    }
    assert_true(n_early < result->n_top); /* only under the flag */
    apq_search_result_destroy(result);
    r->n = 0;
    r->t.trace = 0;
    r->t.n_seen = 0;
    options.as_released = true;
    result = run(&r->t, &options);
    assert_true(r->t.trace != trace);
    assert_int_equal(r->t.n_illegal, 0);
    for (size_t i = 0; i < result->n_top; i++) {
        assert_true(has_early_depths(r, &result->top[i].policy, 10));
    }
    apq_search_result_destroy(result);
    options.strategy = "nsga2";
    assert_int_equal(apq_search_run(&r->t.space, &options, &result),
                     APQ_ERR_ARG);
    toy_fini(&r->t);
    free(r);
}

/* Polishing a found policy never loses it; an infeasible start is
 * brought under budget. */
static void check_starts(const char *strategy) {
    toy t;
    toy_init(&t, "cifar10");
    t.max_cost = toy_budget(&t, 0.3);
    apq_driver_options options = toy_options(&t, "evolution", 20);
    apq_search_result *result = run(&t, &options);
    apq_policy starts[2];
    apq_policy_largest(&t.space, 8, &starts[0]);
    starts[1] = result->best;
    double value = result->best_value;
    apq_search_result_destroy(result);
    t.n_seen = 0;
    options = toy_options(&t, strategy, 3);
    options.starts = starts;
    options.n_starts = 2;
    result = run(&t, &options);
    assert_true(result->best_value >= value);
    assert_int_equal(t.n_infeasible, 0);
    apq_search_result_destroy(result);
    toy_fini(&t);
}

static void test_starts(void **state) {
    (void)state;
    for (const char *const *name = apq_strategy_names(); *name; name++) {
        check_starts(*name);
    }
}

static void test_time_limit(void **state) {
    (void)state;
    toy t;
    toy_init(&t, "tiny");
    apq_driver_options options = toy_options(&t, "random", 1000);
    options.time_limit_s = 1e-9;
    apq_search_result *result = run(&t, &options);
    assert_true(result->is_timed_out);
    assert_false(result->is_stopped);
    assert_int_equal(result->n_evaluations + result->n_cached, 20);
    apq_search_result_destroy(result);
    toy_fini(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_optimum),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_property),
        cmocka_unit_test(test_dominates),
        cmocka_unit_test(test_as_released),
        cmocka_unit_test(test_starts),
        cmocka_unit_test(test_time_limit),
        cmocka_unit_test(test_other_policies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
