/* The price table against whole networks priced layer by layer, and its
 * cheapest policy against random ones. */
#include "app/price.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

enum { N_FIELDS = APQ_BUDGET_N_FIELDS, N_POLICIES = 200 };

static void open_all(const char *name, apq_space *space, apq_target **target,
                     apq_price_table **table) {
    assert_int_equal(apq_space_load(name, space), APQ_OK);
    assert_int_equal(apq_target_load("bitfusion", target), APQ_OK);
    assert_int_equal(apq_price_table_create(space, *target, table), APQ_OK);
}

static void compare_with_networks(const char *name) {
    apq_space space;
    apq_target *target;
    apq_price_table *table;
    open_all(name, &space, &target, &table);
    apq_rng rng = apq_rng_make(7, APQ_RNG_TEST, 0);
    int n_priced = 0;
    for (int i = 0; i < N_POLICIES; i++) {
        apq_policy policy;
        apq_ir_network network;
        apq_cost cost;
        double expected[N_FIELDS], got[N_FIELDS];
        apq_policy_random(&space, &rng, &policy);
        assert_int_equal(apq_policy_lower(&space, &policy, &network), APQ_OK);
        apq_price_policy(table, &policy, got);
        apq_status st = apq_cost_network(target, &network, &cost);
        if (st == APQ_ERR_UNSUPPORTED) {
            assert_true(isinf(got[APQ_BUDGET_LATENCY_MS]));
            continue;
        }
        assert_int_equal(st, APQ_OK);
        n_priced++;
        apq_budget_of_cost(&cost, expected);
        for (int f = 0; f < N_FIELDS; f++) {
            if (!(fabs(got[f] - expected[f]) <= 1e-9 * expected[f])) {
                fail_msg("%s: policy %d, %s: %g, expected %g", name, i,
                         apq_budget_name((apq_budget_field)f), got[f],
                         expected[f]);
            }
        }
    }
    assert_true(n_priced > N_POLICIES / 4);
    apq_price_table_destroy(table);
    apq_target_destroy(target);
}

static void test_equals_network(void **state) {
    (void)state;
    compare_with_networks("tiny");
    compare_with_networks("cifar10");
}

static void test_cheapest(void **state) {
    (void)state;
    apq_space space;
    apq_target *target;
    apq_price_table *table;
    open_all("cifar10", &space, &target, &table);
    apq_rng rng = apq_rng_make(8, APQ_RNG_TEST, 0);
    for (int bits = 0; bits <= 8; bits += 4) {
        for (int f = 0; f < N_FIELDS; f++) {
            double weight[N_FIELDS] = {0}, low[N_FIELDS], other[N_FIELDS];
            apq_policy cheapest, policy;
            weight[f] = 1;
            assert_int_equal(apq_price_cheapest(table, bits, weight, &cheapest),
                             APQ_OK);
            assert_int_equal(apq_policy_check(&space, &cheapest), APQ_OK);
            apq_price_policy(table, &cheapest, low);
            assert_true(low[f] > 0 && !isinf(low[f]));
            for (int i = 0; i < N_POLICIES; i++) {
                apq_policy_random(&space, &rng, &policy);
                if (bits != 0) {
                    apq_policy_set_bits(&space, bits, &policy);
                }
                apq_price_policy(table, &policy, other);
                assert_true(low[f] <= other[f]);
            }
        }
    }
    apq_price_table_destroy(table);
    apq_target_destroy(target);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_network),
        cmocka_unit_test(test_cheapest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
