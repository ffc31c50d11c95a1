/* The public interface as a user sees it: only <apq/apq.h>. Numbers are
 * compared with tests/golden and with each other. */
#include <apq/apq.h>

#include "unit/asserts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define GOLDEN "tests/golden/predictor_tiny"

typedef struct parts {
    apq_space *space;
    apq_target *target;
    apq_predictor *predictor;
} parts;

static parts open_parts(void) {
    parts p = {NULL, NULL, NULL};
    assert_status(apq_space_create("tiny", &p.space), APQ_OK);
    assert_status(apq_target_create("bitfusion", &p.target), APQ_OK);
    assert_status(
        apq_predictor_create(p.space, GOLDEN ".safetensors", &p.predictor),
        APQ_OK);
    return p;
}

static void close_parts(parts *p) {
    apq_predictor_destroy(p->predictor);
    apq_target_destroy(p->target);
    apq_space_destroy(p->space);
}

/* The policy of the first line of the golden file, and the line. */
static apq_policy *golden_policy(const apq_space *space, json_t **entry) {
    FILE *f = fopen(GOLDEN ".jsonl", "r");
    assert_non_null(f);
    *entry = json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL);
    assert_int_equal(fclose(f), 0);
    char *text = json_dumps(json_object_get(*entry, "policy"), 0);
    assert_non_null(text);
    apq_policy *policy = NULL;
    assert_status(apq_policy_create(space, text, &policy), APQ_OK);
    free(text);
    return policy;
}

static apq_search_options small_search(void) {
    apq_search_options options = APQ_SEARCH_OPTIONS_INIT;
    options.population = 20;
    options.parents = 5;
    options.iterations = 10;
    return options;
}

static bool is_among(const char *name, const char *const *names) {
    while (*names != NULL && strcmp(*names, name) != 0) {
        names++;
    }
    return *names != NULL;
}

static void test_names(void **state) {
    (void)state;
    parts p = open_parts();
    assert_string_equal(apq_space_name(p.space), "tiny");
    assert_string_equal(apq_target_name(p.target), "bitfusion");
    assert_true(is_among("tiny", apq_space_names()));
    assert_true(is_among("bitfusion", apq_target_names()));
    close_parts(&p);
    apq_search_destroy(NULL);
    apq_policy_destroy(NULL);
}

static void test_refuses_unknown(void **state) {
    (void)state;
    apq_space *space = NULL;
    apq_target *target = NULL;
    assert_status(apq_space_create("tinny", &space), APQ_ERR_ARG);
    assert_non_null(strstr(apq_error_message(), "tinny"));
    assert_null(space);
    assert_status(apq_space_create("no/such.yaml", &space), APQ_ERR_IO);
    assert_null(space);
    assert_status(apq_target_create("bitfussion", &target), APQ_ERR_ARG);
    assert_null(target);
}

static void test_policy_text(void **state) {
    (void)state;
    parts p = open_parts();
    json_t *entry;
    apq_policy *policy = golden_policy(p.space, &entry), *again = NULL;
    char *text = NULL, *twice = NULL;
    assert_status(apq_policy_json(p.space, policy, &text), APQ_OK);
    assert_status(apq_policy_create(p.space, text, &again), APQ_OK);
    assert_status(apq_policy_json(p.space, again, &twice), APQ_OK);
    assert_string_equal(text, twice);
    json_t *written = json_loads(text, 0, NULL);
    json_t *given = json_object_get(entry, "policy");
    assert_true(json_equal(json_object_get(written, "kernel"),
                           json_object_get(given, "kernel")));
    assert_true(json_equal(json_object_get(written, "bits"),
                           json_object_get(given, "bits")));
    json_decref(written);
    json_decref(entry);
    free(twice);

    apq_policy *none = NULL;
    assert_status(apq_policy_create(p.space, "{", &none), APQ_ERR_FORMAT);
    apq_space *other = NULL;
    assert_status(apq_space_create("cifar10", &other), APQ_OK);
    assert_status(apq_policy_create(other, text, &none), APQ_ERR_MISMATCH);
    assert_null(none);
    free(text);
    apq_space_destroy(other);
    apq_policy_destroy(again);
    apq_policy_destroy(policy);
    close_parts(&p);
}

/* A handle given with the wrong space is refused, not misread. */
static void test_policy_of_another_space(void **state) {
    (void)state;
    parts p = open_parts();
    json_t *entry;
    apq_policy *policy = golden_policy(p.space, &entry);
    json_decref(entry);
    apq_space *other = NULL;
    apq_predictor *shipped = NULL;
    apq_cost cost;
    double accuracy;
    char *text = NULL;
    assert_status(apq_space_create("cifar10", &other), APQ_OK);
    assert_status(apq_predictor_create(other, NULL, &shipped), APQ_OK);
    assert_status(apq_target_cost(p.target, other, policy, &cost),
                  APQ_ERR_FORMAT);
    assert_status(apq_predictor_accuracy(shipped, policy, true, &accuracy),
                  APQ_ERR_FORMAT);
    assert_status(apq_policy_json(other, policy, &text), APQ_ERR_FORMAT);
    assert_null(text);

    apq_search *search = NULL;
    apq_search_options options = small_search();
    assert_status(
        apq_search_create(p.space, p.target, shipped, &options, &search),
        APQ_ERR_MISMATCH);
    assert_null(search);
    apq_predictor_destroy(shipped);
    assert_status(apq_predictor_create(other, GOLDEN ".safetensors", &shipped),
                  APQ_ERR_MISMATCH);
    apq_space_destroy(other);
    apq_policy_destroy(policy);
    close_parts(&p);
}

static void test_accuracy(void **state) {
    (void)state;
    parts p = open_parts();
    json_t *entry;
    apq_policy *policy = golden_policy(p.space, &entry);
    double accuracy;
    assert_status(apq_predictor_accuracy(p.predictor, policy, true, &accuracy),
                  APQ_OK);
    assert_near(accuracy,
                json_number_value(json_object_get(entry, "quantised")), 2e-5);
    assert_status(apq_predictor_accuracy(p.predictor, policy, false, &accuracy),
                  APQ_OK);
    assert_near(accuracy, json_number_value(json_object_get(entry, "float")),
                2e-5);
    json_decref(entry);
    apq_policy_destroy(policy);
    close_parts(&p);
}

static void test_cost_is_in_range(void **state) {
    (void)state;
    parts p = open_parts();
    json_t *entry;
    apq_policy *policy = golden_policy(p.space, &entry);
    json_decref(entry);
    apq_cost cost, low, high;
    assert_status(apq_target_cost(p.target, p.space, policy, &cost), APQ_OK);
    assert_status(apq_target_range(p.target, p.space, &low, &high), APQ_OK);
    assert_true(low.latency_ms > 0 && low.latency_ms < high.latency_ms);
    assert_true(cost.latency_ms >= low.latency_ms &&
                cost.latency_ms <= high.latency_ms);
    assert_true(cost.weight_bytes >= low.weight_bytes &&
                cost.weight_bytes <= high.weight_bytes);
    assert_true(low.peak_activation_bytes <= cost.peak_activation_bytes);
    assert_true(cost.peak_activation_bytes <= high.peak_activation_bytes);
    apq_policy_destroy(policy);
    close_parts(&p);
}

static void test_search(void **state) {
    (void)state;
    parts p = open_parts();
    apq_cost low, high, cost;
    assert_status(apq_target_range(p.target, p.space, &low, &high), APQ_OK);
    apq_search_options options = small_search();
    options.latency_ms = (low.latency_ms + high.latency_ms) / 2;
    apq_search *search = NULL;
    assert_status(
        apq_search_create(p.space, p.target, p.predictor, &options, &search),
        APQ_OK);
    const apq_policy *policy = apq_search_policy(search);
    const apq_cost *found = apq_search_cost(search);
    double accuracy;
    assert_true(found->latency_ms <= options.latency_ms);
    assert_status(apq_target_cost(p.target, p.space, policy, &cost), APQ_OK);
    assert_near(found->energy_mj, cost.energy_mj, 0);
    assert_status(apq_predictor_accuracy(p.predictor, policy, true, &accuracy),
                  APQ_OK);
    assert_near(apq_search_accuracy(search), accuracy, 0);
    assert_true(apq_search_is_complete(search));

    char *text = NULL, *policy_text = NULL;
    assert_status(apq_search_json(search, &text), APQ_OK);
    assert_status(apq_policy_json(p.space, policy, &policy_text), APQ_OK);
    json_t *root = json_loads(text, 0, NULL);
    json_t *expected = json_loads(policy_text, 0, NULL);
    assert_true(json_equal(json_object_get(root, "policy"), expected));
    assert_true(json_is_null(json_object_get(root, "predictor_hash")));
    assert_int_equal(json_array_size(json_object_get(root, "history")), 10);
    json_decref(expected);
    json_decref(root);
    free(policy_text);
    free(text);
    apq_search_destroy(search);
    close_parts(&p);
}

static apq_status try_search(const parts *p,
                             const apq_search_options *options) {
    apq_search *search = NULL;
    apq_status st =
        apq_search_create(p->space, p->target, p->predictor, options, &search);
    assert_true((st == APQ_OK) == (search != NULL));
    apq_search_destroy(search);
    return st;
}

static void test_search_refuses(void **state) {
    (void)state;
    parts p = open_parts();
    apq_search_options options = small_search();
    options.latency_ms = 1e-9;
    assert_status(try_search(&p, &options), APQ_ERR_INFEASIBLE);
    assert_non_null(strstr(apq_error_message(), "smallest possible"));
    options.latency_ms = -1;
    assert_status(try_search(&p, &options), APQ_ERR_ARG);
    options.latency_ms = 0;
    options.size_kb = (double)NAN;
    assert_status(try_search(&p, &options), APQ_ERR_ARG);
    options = small_search();
    options.population = 1;
    assert_status(try_search(&p, &options), APQ_ERR_ARG);
    options = small_search();
    options.mutation = 0;
    assert_status(try_search(&p, &options), APQ_ERR_ARG);
    options = small_search();
    options.strategy = "evolutoin";
    assert_status(try_search(&p, &options), APQ_ERR_ARG);
    options.strategy = "random";
    assert_status(try_search(&p, &options), APQ_OK);
    close_parts(&p);
}

/* Stops when asked for the n-th time. */
static bool stop_after(void *ctx) {
    int *n = ctx;
    return --*n <= 0;
}

static void test_stop(void **state) {
    (void)state;
    parts p = open_parts();
    int n = 3;
    apq_progress progress = {.ctx = &n, .stop_requested = stop_after};
    apq_search_options options = small_search();
    options.progress = &progress;
    apq_search *search = NULL;
    assert_status(
        apq_search_create(p.space, p.target, p.predictor, &options, &search),
        APQ_OK);
    assert_false(apq_search_is_complete(search));
    assert_true(apq_search_cost(search)->macs > 0);
    apq_search_destroy(search);
    n = 0;
    assert_status(try_search(&p, &options), APQ_ERR_INTERRUPTED);
    close_parts(&p);
}

static bool count_asked(void *ctx) {
    ++*(int *)ctx;
    return false;
}

/* Whenever the stop comes, in the search or in its baselines, what was found
 * is kept, and is called incomplete; once the search is over, the answer is
 * that of a whole one, or a baseline that beats it. */
static void test_stop_anywhere(void **state) {
    (void)state;
    parts p = open_parts();
    int n_asked = 0;
    apq_progress counting = {.ctx = &n_asked, .stop_requested = count_asked};
    apq_search_options options = small_search();
    options.progress = &counting;
    apq_search *search = NULL;
    assert_status(
        apq_search_create(p.space, p.target, p.predictor, &options, &search),
        APQ_OK);
    assert_true(apq_search_is_complete(search));
    double best = apq_search_accuracy(search), last = 0;
    apq_search_destroy(search);
    assert_true(n_asked > options.iterations);
    for (int at = 2; at <= n_asked; at++) {
        int n = at;
        apq_progress stopping = {.ctx = &n, .stop_requested = stop_after};
        options.progress = &stopping;
        assert_status(apq_search_create(p.space, p.target, p.predictor,
                                        &options, &search),
                      APQ_OK);
        assert_false(apq_search_is_complete(search));
        last = apq_search_accuracy(search);
        assert_true(last > 0 && last <= best);
        apq_search_destroy(search);
    }
    assert_true(last > 0.99 * best);
    close_parts(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refuses_unknown),
        cmocka_unit_test(test_policy_text),
        cmocka_unit_test(test_policy_of_another_space),
        cmocka_unit_test(test_accuracy),
        cmocka_unit_test(test_cost_is_in_range),
        cmocka_unit_test(test_search),
        cmocka_unit_test(test_search_refuses),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_stop_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
