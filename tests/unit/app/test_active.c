/* Active collection on the tiny recipe: what is measured last was found under
 * the budget and is new. */
#include "app/app.h"
#include "cost/cost.h"
#include "space/space.h"
#include "store/records.h"

#include "unit/asserts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const double budget_ms = 0.009;
enum { N_RANDOM = 12, N_ACTIVE = 24 };

static double latency(const apq_space *space, apq_target *target,
                      const char *text) {
    apq_policy policy;
    apq_ir_network network;
    apq_cost cost;
    assert_status(apq_policy_from_json(space, text, "record", &policy), APQ_OK);
    assert_status(apq_policy_lower(space, &policy, &network), APQ_OK);
    assert_status(apq_cost_network(target, &network, &cost), APQ_OK);
    return cost.latency_ms;
}

static void test_found_under_budget(void **state) {
    (void)state;
    char dir[] = "/tmp/apq-active-XXXXXX", path[64], command[96];
    assert_non_null(mkdtemp(dir));
    apq_recipe recipe;
    apq_space space;
    apq_target *target;
    apq_records *records;
    apq_record *rows;
    size_t n;
    assert_status(apq_recipe_load("recipes/tiny.yaml", &recipe), APQ_OK);
    recipe.search.latency_ms = budget_ms;
    recipe.collect.qat_steps = 0;
    recipe.collect.quantised_records = N_RANDOM;
    recipe.collect.active_records = N_ACTIVE;
    assert_status(apq_app_train(&recipe, dir, NULL), APQ_OK);
    assert_status(apq_app_collect(&recipe, dir, NULL), APQ_OK);
    assert_status(apq_space_load("tiny", &space), APQ_OK);
    assert_status(apq_target_load("bitfusion", &target), APQ_OK);
    (void)snprintf(path, sizeof path, "%s/run.db", dir);
    assert_status(apq_records_open(path, &records), APQ_OK);
    assert_status(apq_records_all(records, APQ_RECORD_QUANTISED, &rows, &n),
                  APQ_OK);
    assert_int_equal(n, N_RANDOM + N_ACTIVE);
    int n_dear = 0;
    for (size_t i = 0; i < n; i++) {
        double ms = latency(&space, target, rows[i].policy);
        n_dear += i < N_RANDOM && ms > budget_ms;
        assert_true(i < N_RANDOM || ms <= budget_ms);
        for (size_t k = 0; i >= N_RANDOM && k < i; k++) {
            assert_true(rows[k].policy_hash != rows[i].policy_hash);
        }
    }
    /* The budget excludes most random policies: it was not met by chance. */
    assert_true(n_dear > N_RANDOM / 2);
    free(rows);
    apq_records_close(records);
    apq_target_destroy(target);
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static bool stop_at_200th(void *ctx) {
    return ++*(int *)ctx >= 200;
}

/* A few questions while networks are measured; all others are the fit's. */
static void test_stopped_while_fitting(void **state) {
    (void)state;
    char dir[] = "/tmp/apq-active-XXXXXX", command[96];
    assert_non_null(mkdtemp(dir));
    apq_recipe recipe;
    assert_status(apq_recipe_load("recipes/tiny.yaml", &recipe), APQ_OK);
    recipe.collect.qat_steps = 0;
    recipe.collect.float_records = recipe.collect.quantised_records = 4;
    recipe.collect.active_records = 1;
    recipe.predictor.epochs = 2000;
    assert_status(apq_app_train(&recipe, dir, NULL), APQ_OK);
    int n_asked = 0;
    const apq_progress progress = {.ctx = &n_asked,
                                   .stop_requested = stop_at_200th};
    assert_int_equal(apq_app_collect(&recipe, dir, &progress),
                     APQ_ERR_INTERRUPTED);
    assert_int_equal(n_asked, 200);
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_under_budget),
        cmocka_unit_test(test_stopped_while_fitting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
