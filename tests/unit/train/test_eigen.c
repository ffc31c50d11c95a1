/* Eigenvectors: those of a matrix worked out by hand, and the definition for
 * random ones. */
#include "train/eigen.h"

#include "base/rng.h"

#include "unit/asserts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { MAX = 27 };

/* [2 1; 1 2]: 3 along (1, 1), 1 along (1, -1). */
static void two_dimensions_match_the_hand_computation(void **state) {
    (void)state;
    double a[4] = {2, 1, 1, 2}, values[2], v[4];
    apq_eigen_symmetric(2, a, values, v);
    assert_near(values[0], 3, 1e-14);
    assert_near(values[1], 1, 1e-14);
    assert_near(v[0] * v[1], 0.5, 1e-14);
    assert_near(v[2] * v[3], -0.5, 1e-14);
}

static double dot(const double *x, const double *y, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) {
        sum += x[i] * y[i];
    }
    return sum;
}

static void check(int n, const double *a) {
    double copy[MAX * MAX], values[MAX], v[MAX * MAX];
    memcpy(copy, a, (size_t)(n * n) * sizeof *a);
    apq_eigen_symmetric(n, copy, values, v);
    for (int i = 0; i < n; i++) {
        assert_true(i == 0 || values[i] <= values[i - 1]);
        for (int j = 0; j < n; j++) {
            assert_near(dot(v + i * n, v + j * n, n), i == j, 1e-12);
            assert_near(dot(a + j * n, v + i * n, n), values[i] * v[i * n + j],
                        1e-11);
        }
    }
}

static void random_matrices_are_taken_apart(void **state) {
    (void)state;
    static const int sizes[] = {1, 2, 3, 10, MAX};
    apq_rng rng = apq_rng_make(1, APQ_RNG_TEST, 0);
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        int n = sizes[k];
        double a[MAX * MAX];
        for (int i = 0; i < n; i++) {
            for (int j = 0; j <= i; j++) {
                a[i * n + j] = a[j * n + i] = apq_rng_normal(&rng);
            }
        }
        check(n, a);
    }
}

/* Nothing to rotate, equal values, and a rank of 1. */
static void degenerate_matrices_are_taken_apart(void **state) {
    (void)state;
    double a[16] = {0};
    check(4, a);
    for (int i = 0; i < 4; i++) {
        a[5 * i] = 7;
    }
    check(4, a);
    for (int i = 0; i < 16; i++) {
        a[i] = 1;
    }
    check(4, a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_dimensions_match_the_hand_computation),
        cmocka_unit_test(random_matrices_are_taken_apart),
        cmocka_unit_test(degenerate_matrices_are_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
