/* Rank measures on cases counted by hand. */
#include "predictor/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_near(double actual, double expected) {
    if (!(fabs(actual - expected) <= 1e-12)) {
        fail_msg("%.15g is not %.15g", actual, expected);
    }
}

static void test_order(void **state) {
    (void)state;
    const double up[5] = {1, 2, 3, 4, 5}, down[5] = {5, 4, 3, 2, 1};
    const double swapped[5] = {1, 3, 2, 4, 5};
    assert_near(apq_kendall_tau_b(up, up, 5), 1.0);
    assert_near(apq_kendall_tau_b(down, up, 5), -1.0);
    assert_near(apq_kendall_tau_b(swapped, up, 5), 0.8);
    assert_near(apq_pairwise_accuracy(up, up, 5), 1.0);
    assert_near(apq_pairwise_accuracy(down, up, 5), 0.0);
    assert_near(apq_pairwise_accuracy(swapped, up, 5), 0.9);
}

static void test_ties(void **state) {
    (void)state;
    /* Six pairs: one tied in x, one tied in y, one agrees, three do not. */
    const double x[4] = {1, 1, 2, 3}, y[4] = {1, 2, 2, 0.5};
    /* (0,1) tie x; (0,2) agree; (0,3) not; (1,2) tie y; (1,3), (2,3) not. */
    assert_near(apq_kendall_tau_b(x, y, 4), (1.0 - 3.0) / 5.0);
    /* What is not told apart is half right. */
    assert_near(apq_pairwise_accuracy(x, y, 4), 1.5 / 5.0);
    const double same[4] = {7, 7, 7, 7};
    assert_near(apq_kendall_tau_b(same, y, 4), 0.0);
    assert_near(apq_pairwise_accuracy(same, y, 4), 0.5);
}

/* Without two records that differ there is no order to find. */
static void test_no_order(void **state) {
    (void)state;
    const double x[3] = {1, 2, 3}, same[3] = {7, 7, 7};
    assert_true(isnan(apq_kendall_tau_b(x, same, 3)));
    assert_true(isnan(apq_pairwise_accuracy(x, same, 3)));
    assert_true(isnan(apq_kendall_tau_b(x, same, 1)));
    assert_true(isnan(apq_pairwise_accuracy(x, same, 0)));
}

static void test_rmse(void **state) {
    (void)state;
    const double x[2] = {1, 2}, y[2] = {4, -2};
    assert_near(apq_rmse(x, y, 2), sqrt(12.5));
    assert_near(apq_rmse(x, y, 0), 0.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_no_order),
        cmocka_unit_test(test_rmse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
