/* Scores of resamples against counting pairs, coverage of the bootstrap on
 * data whose truth is known, and the ceiling against simulated labels. */
#include "predictor/statistics.h"

#include "base/rng.h"
#include "predictor/metrics.h"

#include "unit/asserts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const double pi = 3.14159265358979323846;

/* Values with many ties: few levels. */
static void draw(apq_rng *rng, uint32_t levels, size_t n, double *x,
                 double *y) {
    for (size_t i = 0; i < n; i++) {
        x[i] = apq_rng_below(rng, levels);
        y[i] = x[i] + apq_rng_below(rng, levels);
    }
}

/* NaN is NaN. */
static void assert_same(double a, double b) {
    assert_int_equal(isnan(a) != 0, isnan(b) != 0);
    if (!isnan(a)) {
        assert_near(a, b, 1e-12);
    }
}

static void test_brute_force(void **state) {
    (void)state;
    enum { N = 60 };
    apq_rng rng = apq_rng_make(1, APQ_RNG_TEST, 0);
    for (uint32_t round = 0; round < 200; round++) {
        double x[N], y[N], many_x[2 * N], many_y[2 * N];
        size_t n = 1 + apq_rng_below(&rng, N);
        draw(&rng, 2 + round % 40, n, x, y);
        apq_ranking *ranking = NULL;
        assert_status(apq_ranking_create(x, y, n, &ranking), APQ_OK);
        apq_scores s = apq_ranking_scores(ranking, NULL);
        assert_same(s.kendall_tau, apq_kendall_tau_b(x, y, n));
        assert_same(s.pairwise_accuracy, apq_pairwise_accuracy(x, y, n));
        assert_near(s.rmse, apq_rmse(x, y, n), 1e-12);

        /* A resample is the same as writing its records out. */
        uint32_t weights[N];
        size_t total = 0;
        apq_bootstrap_weights(7, round, n, weights);
        for (size_t i = 0; i < n; i++) {
            for (uint32_t k = 0; k < weights[i]; k++) {
                many_x[total] = x[i];
                many_y[total++] = y[i];
            }
        }
        assert_int_equal(total, n);
        s = apq_ranking_scores(ranking, weights);
        assert_same(s.kendall_tau, apq_kendall_tau_b(many_x, many_y, n));
        assert_same(s.pairwise_accuracy,
                    apq_pairwise_accuracy(many_x, many_y, n));
        assert_near(s.rmse, apq_rmse(many_x, many_y, n), 1e-12);
        apq_ranking_destroy(ranking);
    }
}

/* Of normal pairs with correlation r: tau is 2 asin(r) / pi, so many pairs are
 * in order, and the mean squared difference is 2 - 2 r. Source: Kendall 1948,
 * section 9. */
static void test_coverage(void **state) {
    (void)state;
    enum { N = 80, ROUNDS = 200 };
    const double r = 0.7, tau = 2.0 / pi * asin(r);
    int covered[3] = {0};
    double widths = 0.0;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        apq_rng rng = apq_rng_make(2, APQ_RNG_TEST, round);
        double x[N], y[N];
        for (int i = 0; i < N; i++) {
            x[i] = apq_rng_normal(&rng);
            y[i] = r * x[i] + sqrt(1.0 - r * r) * apq_rng_normal(&rng);
        }
        apq_quality q;
        assert_status(apq_quality_measure(x, y, N, round, &q), APQ_OK);
        assert_int_equal(q.n, N);
        const apq_interval *intervals[3] = {&q.pairwise_accuracy,
                                            &q.kendall_tau, &q.rmse};
        const double truths[3] = {0.5 + tau / 2.0, tau, sqrt(2.0 - 2.0 * r)};
        for (int k = 0; k < 3; k++) {
            assert_true(intervals[k]->low <= intervals[k]->value &&
                        intervals[k]->value <= intervals[k]->high);
            covered[k] += intervals[k]->low <= truths[k] &&
                          truths[k] <= intervals[k]->high;
        }
        widths += (q.kendall_tau.high - q.kendall_tau.low) / ROUNDS;
    }
    /* 95 % of 200 is 190; a fair one falls below 178 once in 10,000. */
    for (int k = 0; k < 3; k++) {
        if (covered[k] < 178) {
            fail_msg("measure %d: %d of %d intervals cover", k, covered[k],
                     (int)ROUNDS);
        }
    }
    /* Nor do they cover by being wide: the deviation of tau is about 0.055. */
    if (!(widths > 0.15 && widths < 0.28)) {
        fail_msg("tau's intervals are %g wide", widths);
    }
}

static void test_seeded(void **state) {
    (void)state;
    enum { N = 40 };
    apq_rng rng = apq_rng_make(4, APQ_RNG_TEST, 0);
    double x[N], y[N];
    for (int i = 0; i < N; i++) {
        x[i] = apq_rng_normal(&rng);
        y[i] = x[i] + apq_rng_normal(&rng);
    }
    apq_quality q[3];
    for (uint64_t i = 0; i < 3; i++) {
        assert_status(apq_quality_measure(x, y, N, i / 2, &q[i]), APQ_OK);
    }
    assert_true(q[0].rmse.low == q[1].rmse.low);
    assert_true(q[0].kendall_tau.high == q[1].kendall_tau.high);
    assert_true(q[0].rmse.low != q[2].rmse.low);
}

static void test_not_known(void **state) {
    (void)state;
    const double x[3] = {0.5, 0.6, 0.7}, y[3] = {0.5, 0.5, 0.9};
    apq_quality q;
    /* One record has no pairs, and an error, but no interval of it. */
    assert_status(apq_quality_measure(x, y, 1, 1, &q), APQ_OK);
    assert_true(isnan(q.pairwise_accuracy.value));
    assert_true(isnan(q.kendall_tau.value));
    assert_near(q.rmse.value, 0.0, 0.0);
    assert_true(isnan(q.rmse.low) && isnan(q.rmse.high));
    /* Nor do two that are alike; the error has an interval. */
    assert_status(apq_quality_measure(x, y, 2, 1, &q), APQ_OK);
    assert_true(isnan(q.pairwise_accuracy.value));
    assert_true(isnan(q.pairwise_accuracy.low));
    assert_true(q.rmse.low < q.rmse.high);
    /* Resamples without a pair say nothing: 1/2 would be of none. */
    assert_status(apq_quality_measure(x, y, 3, 1, &q), APQ_OK);
    assert_near(q.pairwise_accuracy.value, 1.0, 0.0);
    assert_near(q.pairwise_accuracy.low, 1.0, 0.0);
}

static void test_gaps(void **state) {
    (void)state;
    const double y[5] = {0.10, 0.105, 0.115, 0.14, 0.14};
    const double x[5] = {0.2, 0.1, 0.3, 0.3, 0.5};
    apq_gap gaps[APQ_N_GAPS];
    /* Differences: 0.005, 0.015, 0.04, 0.04; 0.01, 0.035, 0.035; 0.025, 0.025;
     * the last pair ties. */
    apq_pairwise_by_gap(x, y, 5, 0.012, gaps);
    assert_int_equal(gaps[0].n_pairs, 2); /* one wrong, one right */
    assert_near(gaps[0].accuracy, 0.5, 1e-12);
    assert_int_equal(gaps[1].n_pairs, 1);
    assert_near(gaps[1].accuracy, 1.0, 1e-12);
    assert_int_equal(gaps[2].n_pairs, 6); /* one predicted alike */
    assert_near(gaps[2].accuracy, 5.5 / 6.0, 1e-12);
    assert_near(gaps[1].low, 0.012, 1e-12);
    assert_near(gaps[1].high, 0.024, 1e-12);
    assert_true(isinf(gaps[2].high));
    apq_pairwise_by_gap(x, y, 2, 0.001, gaps);
    assert_int_equal(gaps[0].n_pairs, 0);
    assert_true(isnan(gaps[0].accuracy));
}

/* Labels of 1000 images each around normal accuracies: the truth itself orders
 * so many pairs of them. */
static void test_ceiling(void **state) {
    (void)state;
    enum { N = 1500, IMAGES = 1000 };
    apq_rng rng = apq_rng_make(3, APQ_RNG_TEST, 0);
    static double truth[N], label[N];
    static int64_t counts[N];
    for (int i = 0; i < N; i++) {
        int right = 0;
        truth[i] = 0.8 + 0.015 * apq_rng_normal(&rng);
        for (int k = 0; k < IMAGES; k++) {
            right += apq_rng_chance(&rng, truth[i]);
        }
        label[i] = (double)right / IMAGES;
        counts[i] = IMAGES;
    }
    apq_label_noise noise = apq_label_noise_of(label, counts, N, 0);
    assert_near(noise.noise, sqrt(0.8 * 0.2 / IMAGES), 1e-4);
    assert_near(noise.spread, 0.015, 0.001);
    assert_near(noise.ceiling, apq_pairwise_accuracy(truth, label, N), 0.015);
    /* What other random numbers add to it is not of the truth either. */
    apq_label_noise more = apq_label_noise_of(label, counts, N, 0.01);
    assert_near(more.noise, hypot(noise.noise, 0.01), 1e-12);
    assert_near(hypot(more.spread, 0.01), noise.spread, 1e-12);
    assert_true(more.ceiling < noise.ceiling);
    /* No noise, and nothing but noise. */
    const double sure[2] = {0.0, 1.0}, same[2] = {0.5, 0.5};
    assert_near(apq_label_noise_of(sure, counts, 2, 0).ceiling, 1.0, 1e-12);
    assert_near(apq_label_noise_of(same, counts, 2, 0).ceiling, 0.5, 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_brute_force), cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_seeded),      cmocka_unit_test(test_not_known),
        cmocka_unit_test(test_gaps),        cmocka_unit_test(test_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
