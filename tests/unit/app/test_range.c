/* Exact cost ranges: the published range of the paper's space, attained by
 * the returned policies, and never left by random ones. */
#include "app/range.h"

#include "base/rng.h"

#include "unit/asserts.h"

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
    assert_status(apq_cost_network(target, &net, &cost), APQ_OK);
    return cost;
}

static apq_price_table *get_range(const apq_space *space, apq_target *target,
                                  apq_cost *low, apq_cost *high) {
    apq_price_table *table = NULL;
    assert_int_equal(apq_price_table_create(space, target, &table), APQ_OK);
    assert_int_equal(apq_app_range(table, low, high), APQ_OK);
    return table;
}

static void paper_space_has_its_known_range(void **state) {
    (void)state;
    apq_space space;
    apq_target *target = NULL;
    apq_cost low, high;
    assert_int_equal(apq_space_load("imagenet-apq", &space), APQ_OK);
    assert_int_equal(apq_target_load("bitfusion", &target), APQ_OK);
    apq_price_table *table = get_range(&space, target, &low, &high);
    assert_near(low.latency_ms, 2.95915, 5e-6);
    assert_near(high.latency_ms, 46.792338, 5e-7);
    assert_near(low.energy_mj, 5.1071, 5e-5);
    assert_near(high.energy_mj, 41.6046, 5e-5);
    /* 32 channels in and out of the first depthwise layer, 112 x 112. */
    assert_near(low.peak_activation_bytes, 802816, 0.5);

    /* The analytic fields peak at the corners. */
    apq_policy corner;
    apq_policy_largest(&space, 8, &corner);
    apq_cost largest = cost_of(&space, target, &corner);
    assert_near(high.bitops, largest.bitops, 1.0);
    assert_near(high.macs, largest.macs, 0.5);
    assert_near(high.params, largest.params, 0.5);
    assert_near(high.weight_bytes, largest.weight_bytes, 0.5);
    apq_policy_smallest(&space, 4, &corner);
    apq_cost smallest = cost_of(&space, target, &corner);
    assert_near(low.bitops, smallest.bitops, 1.0);
    assert_near(low.weight_bytes, smallest.weight_bytes, 0.5);
    /* Energy does not peak there: 41.6046 against 40.6846 mJ. */
    assert_true(high.energy_mj > largest.energy_mj + 0.5);

    /* Kernel 7 with 4 bits, 1 of 9 pairs; its rows in the table are absent. */
    apq_excluded excluded;
    apq_app_excluded(table, &excluded);
    assert_int_equal(excluded.n_forbidden * 9, excluded.n_choices);
    assert_int_equal(excluded.n_unsupported, 0);
    assert_string_equal(excluded.text, "7x7 depthwise with 4-bit activations");
    apq_price_table_destroy(table);
    apq_target_destroy(target);
}

/* First block and classifier: 1.180 ms and 1.353 mJ, whatever the policy. */
static void full_network_costs_more(void **state) {
    (void)state;
    apq_space space;
    apq_target *target = NULL;
    apq_cost low[2], high[2];
    assert_int_equal(apq_space_load("imagenet-apq", &space), APQ_OK);
    assert_int_equal(apq_target_load("bitfusion", &target), APQ_OK);
    for (int all = 0; all < 2; all++) {
        space.prices_all_layers = all == 1;
        apq_price_table_destroy(
            get_range(&space, target, &low[all], &high[all]));
    }
    const double ms = (452500 + 83649 + 53721) / 5e5;
    const double mj = 0.881686 + 0.291441 + 0.179853;
    assert_near(ms, 1.180, 5e-4);
    assert_near(mj, 1.353, 5e-4);
    assert_near(low[1].latency_ms - low[0].latency_ms, ms, 1e-9);
    assert_near(high[1].latency_ms - high[0].latency_ms, ms, 1e-9);
    assert_near(low[1].energy_mj - low[0].energy_mj, mj, 2e-6);
    assert_near(high[1].energy_mj - high[0].energy_mj, mj, 2e-6);
    assert_true(low[1].macs == low[0].macs);
    apq_target_destroy(target);
}

/* The policies that apq_price_cheapest finds have the smallest values. */
static void check_attained(const apq_price_table *table, apq_target *target,
                           const apq_cost *low, const apq_cost *high) {
    const apq_space *space = apq_price_space(table);
    double bounds[APQ_BUDGET_N_FIELDS], upper[APQ_BUDGET_N_FIELDS];
    apq_budget_of_cost(low, bounds);
    apq_budget_of_cost(high, upper);
    for (int f = 0; f < APQ_BUDGET_N_FIELDS; f++) {
        double weight[APQ_BUDGET_N_FIELDS] = {0};
        double costs[APQ_BUDGET_N_FIELDS];
        apq_policy policy;
        weight[f] = 1;
        assert_int_equal(apq_price_cheapest(table, 0, weight, &policy), APQ_OK);
        apq_cost cost = cost_of(space, target, &policy);
        apq_budget_of_cost(&cost, costs);
        assert_near(costs[f], bounds[f], 1e-9 * bounds[f]);
        assert_true(bounds[f] < upper[f]);
    }
}

static void range_holds_and_is_attained(void **state) {
    (void)state;
    for (const char *const *name = apq_space_names(); *name != NULL; name++) {
        apq_space space;
        apq_target *target = NULL;
        apq_cost low, high;
        assert_int_equal(apq_space_load(*name, &space), APQ_OK);
        assert_int_equal(apq_target_load("bitfusion", &target), APQ_OK);
        apq_price_table *table = get_range(&space, target, &low, &high);
        check_attained(table, target, &low, &high);
        apq_price_table_destroy(table);
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
            for (int f = 0; f < APQ_COST_N_FIELDS; f++) {
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

/* Sets what the peak depends on from the digits of `code`: depth, and for
 * each block extreme channels and the two act bits. */
static void decode_memory(const apq_space *space, long code,
                          apq_policy *policy) {
    apq_policy_smallest(space, space->bits[space->n_bits - 1], policy);
    for (int s = 0; s < space->n_stages; s++) {
        const apq_space_stage *stage = &space->stages[s];
        int n = stage->max_depth - stage->min_depth + 1;
        policy->depth[s] = (int8_t)(stage->min_depth + code % n);
        code /= n;
    }
    for (int b = 0; b < space->n_blocks; b++) {
        const apq_space_block *block = &space->blocks[b];
        policy->channels[b] = (int16_t)(code % 2 == 0 ? block->min_channels
                                                      : block->max_channels);
        code /= 2;
        policy->bits[APQ_PW_ACT][b] = (int8_t)space->bits[code % space->n_bits];
        code /= space->n_bits;
        policy->bits[APQ_DW_ACT][b] = (int8_t)space->bits[code % space->n_bits];
        code /= space->n_bits;
    }
}

/* A space so narrow at its ends that the blocks decide. */
static void peak_is_that_of_all_policies(void **state) {
    (void)state;
    apq_space space;
    apq_target *target = NULL;
    apq_cost low, high;
    assert_int_equal(apq_space_load("tiny", &space), APQ_OK);
    space.stem_channels = space.first_channels = 1;
    space.image_channels = 1;
    space.blocks[0].in_channels = 1;
    space.blocks[0].has_residual = false;
    assert_int_equal(apq_target_load("bitfusion", &target), APQ_OK);
    apq_price_table_destroy(get_range(&space, target, &low, &high));
    long n = 1;
    for (int s = 0; s < space.n_stages; s++) {
        n *= space.stages[s].max_depth - space.stages[s].min_depth + 1;
    }
    for (int b = 0; b < space.n_blocks; b++) {
        n *= 2L * space.n_bits * space.n_bits;
    }
    double least = (double)INFINITY, most = 0.0;
    for (long code = 0; code < n; code++) {
        apq_policy policy;
        apq_ir_network net;
        decode_memory(&space, code, &policy);
        assert_int_equal(apq_policy_lower(&space, &policy, &net), APQ_OK);
        double peak = 0.0;
        for (size_t l = 0; l < net.n_layers; l++) {
            peak = fmax(peak, apq_cost_activation_bytes(&net, l));
        }
        least = fmin(least, peak);
        most = fmax(most, peak);
    }
    assert_near(low.peak_activation_bytes, least, 0.0);
    assert_near(high.peak_activation_bytes, most, 0.0);
    assert_true(least < most);
    apq_target_destroy(target);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paper_space_has_its_known_range),
        cmocka_unit_test(range_holds_and_is_attained),
        cmocka_unit_test(full_network_costs_more),
        cmocka_unit_test(peak_is_that_of_all_policies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
