/* The predictor's arithmetic: every instruction set against plain loops in
 * double precision, at sizes that fill no vector, and the promise that a value
 * depends on its policy alone. */
#include "predictor/kernels.h"
#include "predictor/predictor_private.h"

#include "base/memory.h"

#include "unit/asserts.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const isas[] = {"portable", "avx2", "avx512"};
enum { N_ISAS = 3 };
static const int sizes[] = {1, 3, 17, 100, 400};
enum { N_SIZES = 5 };

static void expect_near(double actual, double expected, double tolerance,
                        const char *isa) {
    if (!(fabs(actual - expected) <= tolerance)) {
        fail_msg("%s: %.9g is not %.9g within %g", isa, actual, expected,
                 tolerance);
    }
}

static float *random_floats(size_t n, uint64_t index, double sigma) {
    float *x = apq_calloc(n, sizeof *x);
    assert_non_null(x);
    apq_rng rng = apq_rng_make(7, APQ_RNG_TEST, index);
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)(sigma * apq_rng_normal(&rng));
    }
    return x;
}

static void check_gemm(const apq_mlp_kernels *kernels, int m, int n, int k,
                       bool is_transposed) {
    size_t un = (size_t)n, um = (size_t)m, uk = (size_t)k;
    float *a = random_floats(um * uk, 1, 1.0);
    float *b = random_floats(uk * un, 2, 1.0 / sqrt(k));
    float *bias = random_floats(un, 3, 1.0);
    float *packed = random_floats(apq_gemm_packed_size(k, n), 4, 1.0);
    float *c = random_floats(um * un + 1, 5, 1.0);
    float guard = c[um * un];
    apq_gemm_pack(k, n, b, un, 1, packed);
    apq_gemm_job job = {.m = m,
                        .n = n,
                        .k = k,
                        .a = a,
                        .a_row = is_transposed ? 1 : uk,
                        .a_col = is_transposed ? um : 1,
                        .packed = packed,
                        .bias = is_transposed ? NULL : bias,
                        .relu = !is_transposed,
                        .c = c,
                        .c_row = un};
    apq_gemm(kernels, &job);
    for (size_t i = 0; i < um; i++) {
        for (size_t j = 0; j < un; j++) {
            double sum = is_transposed ? 0.0 : (double)bias[j];
            for (size_t l = 0; l < uk; l++) {
                sum += (double)a[i * job.a_row + l * job.a_col] *
                       (double)b[l * un + j];
            }
            sum = job.relu && sum < 0.0 ? 0.0 : sum;
            expect_near((double)c[i * un + j], sum, 5e-6, kernels->isa);
        }
    }
    assert_true(c[um * un] == guard);
    free(a);
    free(b);
    free(bias);
    free(packed);
    free(c);
}

static void test_products(void **state) {
    (void)state;
    static const int rows[] = {1, 2, 3, 5, 7, 12, 19, 23};
    for (int i = 0; i < N_ISAS; i++) {
        const apq_mlp_kernels *kernels = apq_mlp_kernels_find(isas[i]);
        for (int s = 0; kernels != NULL && s < N_SIZES; s++) {
            for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
                check_gemm(kernels, rows[r], sizes[s], sizes[s], false);
            }
            check_gemm(kernels, sizes[s], sizes[s], 7, true);
        }
    }
}

/* Rows picked by index are the product of a one-hot vector. */
static void test_gather(void **state) {
    (void)state;
    enum { ROWS = 9, PICKED = 5, FIRST = 2 };
    static const int rows[PICKED] = {2, 4, 5, 7, 10}; /* FIRST is row 0 */
    for (int i = 0; i < N_ISAS * N_SIZES; i++) {
        const apq_mlp_kernels *kernels = apq_mlp_kernels_find(isas[i % N_ISAS]);
        size_t n = (size_t)sizes[i / N_ISAS];
        float *table = random_floats(ROWS * n, 1, 1.0);
        float *start = random_floats(n, 2, 1.0);
        float *out = random_floats(n + 1, 3, 1.0);
        float *before = random_floats(n + 1, 3, 1.0);
        for (int k = 0; kernels != NULL && k <= PICKED; k++) {
            apq_gather_job job = {.table = table,
                                  .stride = n,
                                  .rows = rows,
                                  .n_rows = k,
                                  .first_row = FIRST,
                                  .start = start,
                                  .n = n,
                                  .relu = k % 2 == 1,
                                  .is_added = k >= 2,
                                  .out = out};
            memcpy(out, before, (n + 1) * sizeof *out);
            kernels->gather(&job);
            for (size_t j = 0; j < n; j++) {
                double sum = (double)start[j];
                for (int r = 0; r < k; r++) {
                    sum += (double)table[(size_t)(rows[r] - FIRST) * n + j];
                }
                sum = job.relu && sum < 0.0 ? 0.0 : sum;
                sum += job.is_added ? (double)before[j] : 0.0;
                expect_near((double)out[j], sum, 2e-6, kernels->isa);
            }
            assert_true(out[n] == before[n]);
        }
        free(table);
        free(start);
        free(out);
        free(before);
    }
}

static void test_dot(void **state) {
    (void)state;
    for (int s = 0; s < N_SIZES; s++) {
        size_t n = (size_t)sizes[s];
        float *a = random_floats(n, 1, 1.0), *b = random_floats(n, 2, 1.0);
        double sum = 0.25;
        for (size_t j = 0; j < n; j++) {
            sum += (double)a[j] * (double)b[j];
        }
        const apq_mlp_kernels *plain = apq_mlp_kernels_find("portable");
        for (int i = 0; i < N_ISAS; i++) {
            const apq_mlp_kernels *kernels = apq_mlp_kernels_find(isas[i]);
            if (kernels != NULL) {
                double got = kernels->dot(0.25, a, b, n);
                expect_near(got, sum, 1e-12, kernels->isa);
                assert_true(got == plain->dot(0.25, a, b, n));
            }
        }
        free(a);
        free(b);
    }
}

static void test_find(void **state) {
    (void)state;
    assert_non_null(apq_mlp_kernels_find(NULL));
    assert_string_equal(apq_mlp_kernels_find("portable")->isa, "portable");
    assert_null(apq_mlp_kernels_find("sse9"));
}

/* Whole predictions --------------------------------------------------- */

enum { BATCH = 257 };

/* A predictor whose every part is random; values are about a fraction. */
static apq_predictor *random_predictor(const apq_space *space, int hidden) {
    apq_predictor *p = NULL;
    assert_status(apq_predictor_create_random(space, hidden, 11, &p), APQ_OK);
    float *noise = random_floats(p->begin[APQ_N_PARTS], 9, 0.1);
    for (size_t i = 0; i < p->begin[APQ_N_PARTS]; i++) {
        bool is_large =
            i < p->begin[APQ_PART_B0] ||
            (i >= p->begin[APQ_PART_W1] && i < p->begin[APQ_PART_B1]) ||
            (i >= p->begin[APQ_PART_W2] && i < p->begin[APQ_PART_B2]);
        p->params[i] = is_large ? p->params[i] : noise[i];
    }
    for (size_t i = p->begin[APQ_PART_W]; i < p->begin[APQ_PART_B]; i++) {
        p->params[i] /= (float)sqrt(hidden);
    }
    apq_predictor_repack(p);
    free(noise);
    return p;
}

/* y (H) = W x + b, [out][in], of n inputs. */
static void dense(const apq_predictor *p, apq_predictor_part weight,
                  const double *x, double *y) {
    size_t h = (size_t)p->hidden;
    const float *w = p->params + p->begin[weight];
    const float *b = p->params + p->begin[weight + 1];
    for (size_t i = 0; i < h; i++) {
        y[i] = (double)b[i];
        for (size_t j = 0; j < h; j++) {
            y[i] += (double)w[i * h + j] * x[j];
        }
        y[i] = y[i] > 0.0 ? y[i] : 0.0;
    }
}

/* The definition in predictor.h, word for word, in double. */
static double reference(const apq_predictor *p, const apq_policy *policy,
                        bool with_bits) {
    enum { MAX = 512 };
    int active[6 * APQ_MAX_BLOCKS];
    double h1[MAX], h2[MAX], h3[MAX];
    size_t h = (size_t)p->hidden;
    size_t n = apq_encode(&p->space, policy, with_bits, active);
    for (size_t j = 0; j < h; j++) {
        double arch = (double)p->params[p->begin[APQ_PART_B0] + j];
        double bits = (double)p->params[p->begin[APQ_PART_BQ] + j];
        for (size_t k = 0; k < n; k++) {
            bool is_bit = active[k] >= p->n_arch;
            size_t row = (size_t)(is_bit ? active[k] - p->n_arch : active[k]);
            size_t at = p->begin[is_bit ? APQ_PART_WQ : APQ_PART_W0];
            *(is_bit ? &bits : &arch) += (double)p->params[at + row * h + j];
        }
        h1[j] = (arch > 0.0 ? arch : 0.0) + (with_bits ? bits : 0.0);
    }
    dense(p, APQ_PART_W1, h1, h2);
    dense(p, APQ_PART_W2, h2, h3);
    double sum = (double)p->params[p->begin[APQ_PART_B]];
    for (size_t j = 0; j < h; j++) {
        sum += (double)p->params[p->begin[APQ_PART_W] + j] * h3[j];
    }
    return sum;
}

static void make_policies(const apq_space *space, apq_policy *policies) {
    apq_rng rng = apq_rng_make(3, APQ_RNG_TEST, 0);
    for (size_t i = 0; i < BATCH; i++) {
        apq_policy_random(space, &rng, &policies[i]);
    }
}

static void check_predictor(apq_predictor *p, const apq_policy *policies) {
    double want[BATCH], got[BATCH];
    for (int i = 0; i < N_ISAS; i++) {
        p->kernels = apq_mlp_kernels_find(isas[i]);
        for (int bits = 0; p->kernels != NULL && bits < 2; bits++) {
            assert_status(
                apq_predictor_predict(p, policies, BATCH, bits == 1, want),
                APQ_OK);
            for (int k = 0; k < BATCH; k += 16) {
                expect_near(want[k], reference(p, &policies[k], bits == 1),
                            1e-6, isas[i]);
            }
        }
        /* The same alone, in any company, and with any number of threads. */
        for (size_t n = 1; p->kernels != NULL && n <= BATCH;
             n += n < 26 ? 1 : 21) {
            omp_set_num_threads((int)(n % 3) + 1);
            memset(got, 0, sizeof got);
            const apq_policy *first = policies + BATCH - n;
            assert_status(apq_predictor_predict(p, first, n, true, got),
                          APQ_OK);
            assert_memory_equal(got, want + BATCH - n, n * sizeof *got);
        }
        omp_set_num_threads(1);
    }
}

static void test_predictions(void **state) {
    (void)state;
    apq_space space;
    assert_status(apq_space_load("imagenet-apq", &space), APQ_OK);
    static apq_policy policies[BATCH];
    make_policies(&space, policies);
    for (int s = 0; s < N_SIZES; s++) {
        apq_predictor *p = random_predictor(&space, sizes[s]);
        check_predictor(p, policies);
        apq_predictor_destroy(p);
    }
}

/* Predictions of several threads at once, each with its own memory. */
static void test_concurrent(void **state) {
    (void)state;
    enum { CALLS = 8 };
    apq_space space;
    assert_status(apq_space_load("tiny", &space), APQ_OK);
    static apq_policy policies[BATCH];
    make_policies(&space, policies);
    apq_predictor *p = random_predictor(&space, 37);
    static double want[BATCH], got[CALLS][BATCH];
    assert_status(apq_predictor_predict(p, policies, BATCH, true, want),
                  APQ_OK);
    int n_failed = 0;
#pragma omp parallel for num_threads(4) reduction(+ : n_failed)
    for (int i = 0; i < CALLS; i++) {
        n_failed +=
            apq_predictor_predict(p, policies, BATCH, true, got[i]) != APQ_OK;
    }
    assert_int_equal(n_failed, 0);
    for (int i = 0; i < CALLS; i++) {
        assert_memory_equal(got[i], want, sizeof want);
    }
    apq_predictor_destroy(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),    cmocka_unit_test(test_gather),
        cmocka_unit_test(test_dot),         cmocka_unit_test(test_find),
        cmocka_unit_test(test_predictions), cmocka_unit_test(test_concurrent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
