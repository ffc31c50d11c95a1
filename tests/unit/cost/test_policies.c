/* Whole policies of the authors against the latency and energy their own
 * table gives: space, lowering and target together. */
#include "cost/cost.h"

#include "base/file.h"
#include "space/space.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static const char path[] = "tests/golden/apq_policies.jsonl";

static void check_line(const apq_space *space, apq_target *target,
                       const char *line, size_t n_bytes) {
    json_t *row = json_loadb(line, n_bytes, 0, NULL);
    assert_non_null(row);
    char *spec = json_dumps(json_object_get(row, "spec"), JSON_COMPACT);
    assert_non_null(spec);
    double latency_ms = json_number_value(json_object_get(row, "latency_ms"));
    double energy_mj = json_number_value(json_object_get(row, "energy_mj"));
    apq_policy policy;
    apq_ir_network net;
    apq_cost cost;
    if (apq_policy_from_json(space, spec, path, &policy) != APQ_OK ||
        apq_policy_lower(space, &policy, &net) != APQ_OK ||
        apq_cost_network(target, &net, &cost) != APQ_OK) {
        fail_msg("%s", apq_error_message());
    }
    if (!(fabs(cost.latency_ms - latency_ms) <= 1e-9) ||
        !(fabs(cost.energy_mj - energy_mj) <= 1e-9)) {
        fail_msg("%.60s: %.12g ms, %.12g mJ", line, cost.latency_ms,
                 cost.energy_mj);
    }
    free(spec);
    json_decref(row);
}

static void policies_cost_what_the_table_says(void **state) {
    (void)state;
    apq_space space;
    apq_target *target = NULL;
    char *text = NULL;
    size_t n_bytes;
    assert_int_equal(apq_space_load("imagenet-apq", &space), APQ_OK);
    assert_int_equal(apq_target_load("bitfusion", &target), APQ_OK);
    assert_int_equal(apq_file_read(path, &text, &n_bytes), APQ_OK);
    int n_checked = 0;
    for (const char *at = text; *at != '\0';) {
        size_t n = strcspn(at, "\n");
        check_line(&space, target, at, n);
        at += n + (at[n] == '\n');
        n_checked++;
    }
    assert_true(n_checked >= 40);
    free(text);
    apq_target_destroy(target);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_cost_what_the_table_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
