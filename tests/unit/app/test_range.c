/* Exact cost ranges: the published range of the paper's space, attained by
 * the returned policies, and never left by random ones. */
#include "app/range.h"

#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static apq_cost cost_of(const apq_space *space, apq_target *target,
                        const apq_policy *policy) {
    apq_ir_network net;
    apq_cost cost;
    assert_int_equal(apq_policy_lower(space, policy, &net), APQ_OK);
    if (apq_cost_network(target, &net, &cost) != APQ_OK) {
        fail_msg("%s", apq_error_message());
    }
    return cost;
}

static void check_close(double actual, double expected, double tolerance) {
    if (!(fabs(actual - expected) <= tolerance)) {
        fail_msg("%.12g is not %.12g within %g", actual, expected, tolerance);
    }
}

static void paper_space_has_its_known_range(void **state) {
    (void)state;
    apq_space space;
    apq_target *target = NULL;
    apq_cost low, high;
    assert_int_equal(apq_space_load("imagenet-apq", &space), APQ_OK);
    assert_int_equal(apq_target_load("bitfusion", &target), APQ_OK);
    assert_int_equal(apq_app_range(&space, target, &low, &high), APQ_OK);
    check_close(low.latency_ms, 2.95915, 5e-6);
    check_close(high.latency_ms, 46.792338, 5e-7);
    check_close(low.energy_mj, 5.1071, 5e-5);
    check_close(high.energy_mj, 41.6046, 5e-5);
    assert_true(isnan(low.peak_activation_bytes));

    /* The analytic fields peak at the corners. */
    apq_policy corner;
    apq_policy_largest(&space, 8, &corner);
    apq_cost largest = cost_of(&space, target, &corner);
    check_close(high.bitops, largest.bitops, 1.0);
    check_close(high.macs, largest.macs, 0.5);
    check_close(high.params, largest.params, 0.5);
    check_close(high.weight_bytes, largest.weight_bytes, 0.5);
    apq_policy_smallest(&space, 4, &corner);
    apq_cost smallest = cost_of(&space, target, &corner);
    check_close(low.bitops, smallest.bitops, 1.0);
    check_close(low.weight_bytes, smallest.weight_bytes, 0.5);
    /* Energy does not peak there: 41.6046 against 40.6846 mJ. */
    assert_true(high.energy_mj > largest.energy_mj + 0.5);
    apq_target_destroy(target);
}

static void range_holds_and_is_attained(void **state) {
    (void)state;
    for (const char *const *name = apq_space_names(); *name != NULL; name++) {
        apq_space space;
        apq_target *target = NULL;
        apq_cost low, high;
        assert_int_equal(apq_space_load(*name, &space), APQ_OK);
        assert_int_equal(apq_target_load("bitfusion", &target), APQ_OK);
        assert_int_equal(apq_app_range(&space, target, &low, &high), APQ_OK);
        for (int f = 0; f < APQ_COST_PEAK_ACTIVATION_BYTES; f++) {
            apq_cost_field field = (apq_cost_field)f;
            apq_policy policy;
            assert_int_equal(apq_app_cheapest(&space, target, field, &policy),
                             APQ_OK);
            apq_cost cost = cost_of(&space, target, &policy);
            double bound = apq_cost_get(&low, field);
            check_close(apq_cost_get(&cost, field), bound, 1e-9 * bound);
            assert_true(bound < apq_cost_get(&high, field));
        }
        apq_rng rng = apq_rng_make(7, APQ_RNG_TEST, 0);
        for (int i = 0; i < 300; i++) {
            apq_policy policy;
            apq_policy_random(&space, &rng, &policy);
            apq_ir_network net;
            apq_cost cost;
            assert_int_equal(apq_policy_lower(&space, &policy, &net), APQ_OK);
            apq_status st = apq_cost_network(target, &net, &cost);
            if (st == APQ_ERR_UNSUPPORTED) {
                continue;
            }
            assert_int_equal(st, APQ_OK);
            for (int f = 0; f < APQ_COST_PEAK_ACTIVATION_BYTES; f++) {
                double value = apq_cost_get(&cost, (apq_cost_field)f);
                double lower = apq_cost_get(&low, (apq_cost_field)f);
                double upper = apq_cost_get(&high, (apq_cost_field)f);
                assert_true(value >= lower * (1.0 - 1e-12));
                assert_true(value <= upper * (1.0 + 1e-12));
            }
        }
        apq_target_destroy(target);
    }
}

static void peak_memory_is_not_additive(void **state) {
    (void)state;
    apq_space space;
    apq_target *target = NULL;
    apq_policy policy;
    assert_int_equal(apq_space_load("tiny", &space), APQ_OK);
    assert_int_equal(apq_target_load("bitfusion", &target), APQ_OK);
    assert_int_equal(apq_app_cheapest(&space, target,
                                      APQ_COST_PEAK_ACTIVATION_BYTES, &policy),
                     APQ_ERR_ARG);
    apq_target_destroy(target);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paper_space_has_its_known_range),
        cmocka_unit_test(range_holds_and_is_attained),
        cmocka_unit_test(peak_memory_is_not_additive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
