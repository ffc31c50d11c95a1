/* Golden vectors and algebra of the fake quantisers. The golden file also
 * takes another path from $APQ_QUANT_VECTORS (the full set). */
#include "quant/quant.h"

#include "base/rng.h"

#include "unit/asserts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static int load_golden(void **state) {
    const char *path = getenv("APQ_QUANT_VECTORS");
    *state = json_load_file(
        path == NULL ? "tests/golden/op_vectors_quant.json" : path, 0, NULL);
    return *state == NULL ? -1 : 0;
}

static int free_golden(void **state) {
    json_decref(*state);
    return 0;
}

static float *floats(json_t *array, size_t *n) {
    *n = json_array_size(array);
    assert_true(*n > 0);
    float *values = malloc(*n * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < *n; i++) {
        values[i] = (float)json_number_value(json_array_get(array, i));
    }
    return values;
}

static void random_values(float *x, size_t n, uint64_t index) {
    apq_rng rng = apq_rng_make(7, APQ_RNG_TEST, index);
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)(2.0 * apq_rng_normal(&rng));
    }
}

static void test_golden_quant(void **state) {
    size_t n = 0, i = 0;
    float *x = floats(json_object_get(*state, "quant_input"), &n);
    float *y = malloc(n * sizeof *y);
    json_t *entry;
    json_t *all = json_object_get(*state, "quant");
    assert_true(json_array_size(all) > 0);
    json_array_foreach(all, i, entry) {
        size_t n_act = 0, n_weight = 0;
        float *act = floats(json_object_get(entry, "act"), &n_act);
        float *weight = floats(json_object_get(entry, "weight"), &n_weight);
        assert_int_equal(n_act, n);
        assert_int_equal(n_weight, n);
        int bits = (int)json_integer_value(json_object_get(entry, "bits"));
        double range = json_number_value(json_object_get(entry, "act_range"));
        double clip = json_number_value(json_object_get(entry, "weight_range"));
        bool is_signed = !json_is_true(json_object_get(entry, "half_wave"));
        apq_quant_act(x, n, (float)range, bits, is_signed, y);
        for (size_t k = 0; k < n; k++) {
            assert_near((double)y[k], (double)act[k], 1e-6);
        }
        /* The stored range is the maximum of the input. */
        float found = 0.0f;
        assert_int_equal(apq_quant_weight_clip(x, 8, (int64_t)n / 8,
                                               (int64_t)n / 8, 8, &found),
                         APQ_OK);
        assert_near((double)found, clip, 1e-6);
        apq_quant_weights(x, 1, (int64_t)n, (int64_t)n, (float)clip, bits, y,
                          (int64_t)n);
        for (size_t k = 0; k < n; k++) {
            assert_near((double)y[k], (double)weight[k], 1e-6);
        }
        free(act);
        free(weight);
    }
    free(x);
    free(y);
}

static void test_golden_kl(void **state) {
    size_t i = 0;
    json_t *entry;
    json_t *all = json_object_get(*state, "kl");
    assert_true(json_array_size(all) > 0);
    json_array_foreach(all, i, entry) {
        size_t n = 0;
        float *x = floats(json_object_get(entry, "data"), &n);
        const char *bits;
        json_t *expected;
        json_object_foreach(json_object_get(entry, "thr"), bits, expected) {
            float threshold = 0.0f;
            assert_int_equal(
                apq_quant_kl_threshold(x, n, atoi(bits), &threshold), APQ_OK);
            assert_near((double)threshold, json_number_value(expected), 1e-5);
        }
        free(x);
    }
}

static void test_kl_degenerate(void **state) {
    (void)state;
    float equal[64];
    for (int i = 0; i < 64; i++) {
        equal[i] = i % 2 == 0 ? 1.0f : -1.0f;
    }
    float x[4] = {0.0f, 0.0f, 0.0f, 0.0f}, threshold = -1.0f;
    assert_int_equal(apq_quant_kl_threshold(x, 4, 4, &threshold), APQ_OK);
    assert_true(threshold == 0.0f);
    assert_int_equal(apq_quant_kl_threshold(x, 0, 4, &threshold), APQ_OK);
    assert_true(threshold == 0.0f);
    assert_int_equal(apq_quant_kl_threshold(equal, 64, 4, &threshold), APQ_OK);
    assert_true(threshold == 1.0f);
    x[2] = NAN;
    assert_int_equal(apq_quant_kl_threshold(x, 4, 4, &threshold),
                     APQ_ERR_NUMERIC);
}

/* (rows, channels) values: the order of channels in memory says nothing of how
 * a tensor is distributed, however long it is. */
static void test_kl_channels(void **state) {
    (void)state;
    enum { ROWS = 16384, CHANNELS = 32, N = ROWS * CHANNELS };
    float *x = malloc(2 * N * sizeof *x), *turned = x + N;
    assert_non_null(x);
    random_values(x, N, 1);
    for (size_t i = 0; i < N; i++) {
        x[i] *= 0.1f * (float)(1 + i % CHANNELS);
    }
    for (size_t i = 0; i < N; i++) {
        turned[i % CHANNELS * ROWS + i / CHANNELS] = x[i];
    }
    float threshold = 0.0f, other = 0.0f;
    assert_int_equal(apq_quant_kl_threshold(x, N, 4, &threshold), APQ_OK);
    assert_int_equal(apq_quant_kl_threshold(turned, N, 4, &other), APQ_OK);
    assert_near((double)threshold, (double)other, 1e-6);
    /* Part of a long tensor is distributed as the whole. */
    assert_int_equal(apq_quant_kl_threshold(x, N / 8, 4, &other), APQ_OK);
    assert_near((double)other / (double)threshold, 1.0, 0.25);
    free(x);
}

static void test_act_range(void **state) {
    (void)state;
    enum { N = 4000 };
    float x[N], range = 0.0f, threshold = 0.0f;
    random_values(x, N, 2);
    x[5] = 9.0f;
    assert_int_equal(apq_quant_act_range(x, N, 8, false, &range), APQ_OK);
    assert_true(range == 6.0f);
    x[5] = 0.0f;
    for (int i = 0; i < N; i++) {
        x[i] *= 0.25f;
    }
    float max = 0.0f;
    for (int i = 0; i < N; i++) {
        max = fmaxf(max, fabsf(x[i]));
    }
    assert_int_equal(apq_quant_act_range(x, N, 6, true, &range), APQ_OK);
    assert_true(range == max);
    /* Four signed bits are three of magnitude. */
    assert_int_equal(apq_quant_kl_threshold(x, N, 3, &threshold), APQ_OK);
    assert_int_equal(apq_quant_act_range(x, N, 4, true, &range), APQ_OK);
    assert_true(threshold < max && range == threshold);
    /* One bit of magnitude is no search; two signed bits use two. */
    assert_int_equal(apq_quant_kl_threshold(x, N, 2, &threshold), APQ_OK);
    assert_int_equal(apq_quant_act_range(x, N, 2, true, &range), APQ_OK);
    assert_true(range > 0.0f && range == fminf(max, threshold));
    assert_int_equal(apq_quant_kl_threshold(x, N, 4, &threshold), APQ_OK);
    assert_int_equal(apq_quant_act_range(x, N, 4, false, &range), APQ_OK);
    assert_true(range == fminf(max, threshold));
    memset(x, 0, sizeof x);
    assert_int_equal(apq_quant_act_range(x, N, 4, false, &range), APQ_OK);
    assert_true(range == 6.0f);
}

static int compare_floats(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static int count_levels(float *x, size_t n) {
    qsort(x, n, sizeof *x, compare_floats);
    int levels = 1;
    for (size_t i = 1; i < n; i++) {
        levels += x[i] != x[i - 1];
    }
    return levels;
}

static void test_idempotent_and_levels(void **state) {
    (void)state;
    enum { N = 100000 }; /* above the parallel limit */
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    float *z = malloc(N * sizeof *z);
    random_values(x, N, 3);
    for (int bits = 2; bits <= 8; bits++) {
        for (int is_signed = 0; is_signed < 2; is_signed++) {
            float range = 3.1f + 0.07f * (float)bits;
            apq_quant_act(x, N, range, bits, is_signed, y);
            apq_quant_act(y, N, range, bits, is_signed, z);
            assert_memory_equal(y, z, N * sizeof *y);
            float step = apq_quant_act_step(range, bits, is_signed);
            float low = is_signed ? -range : 0.0f;
            for (size_t i = 0; i < N; i++) {
                double target =
                    fmin(fmax((double)x[i], (double)low), (double)range);
                assert_near((double)y[i], target, 0.5001 * (double)step);
            }
            int expected = is_signed ? (1 << bits) - 1 : 1 << bits;
            assert_int_equal(count_levels(y, N), expected);
        }
    }
    /* In place. */
    apq_quant_act(x, N, 3.0f, 4, false, y);
    apq_quant_act(x, N, 3.0f, 4, false, x);
    assert_memory_equal(x, y, N * sizeof *x);
    free(x);
    free(y);
    free(z);
}

static void test_weight_view_and_codes(void **state) {
    (void)state;
    enum { ROWS = 300, COLS = 130, LD = 150, LDO = 133 };
    float *w = malloc(ROWS * LD * sizeof *w);
    float *out = malloc(ROWS * LDO * sizeof *out);
    int8_t *codes = malloc(ROWS * COLS);
    random_values(w, ROWS * LD, 4);
    w[COLS] = 1000.0f; /* outside the view */
    for (int bits = 2; bits <= 8; bits += 2) {
        float clip = 0.0f;
        assert_int_equal(apq_quant_weight_clip(w, ROWS, COLS, LD, bits, &clip),
                         APQ_OK);
        assert_true(clip > 0.0f && clip < 20.0f);
        for (int i = 0; i < ROWS * LDO; i++) {
            out[i] = -77.0f;
        }
        apq_quant_weights(w, ROWS, COLS, LD, clip, bits, out, LDO);
        apq_quant_weight_codes(w, ROWS, COLS, LD, clip, bits, codes);
        float step = apq_quant_weight_step(clip, bits);
        int max = (1 << (bits - 1)) - 1;
        for (int r = 0; r < ROWS; r++) {
            for (int c = 0; c < COLS; c++) {
                int code = codes[r * COLS + c];
                assert_true(abs(code) <= max);
                assert_true(step * (float)code == out[r * LDO + c]);
                double v = fmin(fmax((double)w[r * LD + c], -(double)clip),
                                (double)clip);
                assert_near((double)out[r * LDO + c], v, 0.5001 * (double)step);
            }
            for (int c = COLS; c < LDO; c++) {
                assert_true(out[r * LDO + c] == -77.0f);
            }
        }
    }
    /* All-zero weights have a zero clip and stay zero. */
    memset(w, 0, ROWS * LD * sizeof *w);
    apq_quant_weights(w, ROWS, COLS, LD, 0.0f, 4, out, LDO);
    assert_true(out[0] == 0.0f && out[(ROWS - 1) * LDO] == 0.0f);
    apq_quant_weight_codes(w, ROWS, COLS, LD, 0.0f, 4, codes);
    assert_int_equal(codes[0], 0);
    free(w);
    free(out);
    free(codes);
}

/* Loss sum(c * clamp(x, low, r)): the function whose gradient the
 * straight-through rule is. */
static double clamp_loss(const float *x, const float *c, size_t n, double r,
                         bool is_signed) {
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        double low = is_signed ? -r : 0.0;
        sum += (double)c[i] * fmin(fmax((double)x[i], low), r);
    }
    return sum;
}

static void test_backward(void **state) {
    (void)state;
    enum { N = 70001 };
    float *x = malloc(N * sizeof *x), *dy = malloc(N * sizeof *dy);
    float *dx = malloc(N * sizeof *dx);
    random_values(x, N, 5);
    random_values(dy, N, 6);
    const double r = 2.5, h = 1e-7;
    for (size_t i = 0; i < N; i++) { /* keep off the kinks */
        if (fabs(fabs((double)x[i]) - r) < 1e-5) {
            x[i] = 0.5f;
        }
    }
    for (int is_signed = 0; is_signed < 2; is_signed++) {
        double grad = 0.0;
        apq_quant_act_backward(x, dy, N, (float)r, is_signed, dx, &grad);
        double expected = (clamp_loss(x, dy, N, r + h, is_signed) -
                           clamp_loss(x, dy, N, r - h, is_signed)) /
                          (2.0 * h);
        assert_near(grad, expected, 1e-3 * (1.0 + fabs(expected)));
        for (size_t i = 0; i < N; i++) {
            bool inside =
                x[i] <= (float)r && x[i] >= (is_signed ? -(float)r : 0.0f);
            assert_true(dx[i] == (inside ? dy[i] : 0.0f));
        }
    }
    double apart = 0.0, aliased = 0.0;
    apq_quant_act_backward(x, dy, N, 2.5f, true, dx, &apart);
    apq_quant_act_backward(x, dy, N, 2.5f, true, dy, &aliased);
    assert_true(apart == aliased);
    assert_memory_equal(dx, dy, N * sizeof *dx);
    free(x);
    free(dy);
    free(dx);
}

/* A uniform signal of full scale: 6.02 dB a bit, 10 log10(4 / step^2). */
static void test_sqnr(void **state) {
    (void)state;
    enum { N = 20000 };
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    for (int i = 0; i < N; i++) {
        x[i] = (float)((i + 0.5) * 2.0 / N - 1.0);
    }
    for (int bits = 3; bits <= 8; bits++) {
        double step = (double)apq_quant_weight_step(1.0f, bits);
        apq_quant_weights(x, 1, N, N, 1.0f, bits, y, N);
        assert_near(apq_quant_sqnr_db(x, y, N), 10 * log10(4 / (step * step)),
                    0.02);
    }
    const float a[] = {3, 4}, b[] = {3, 3}, zeros[] = {0, 0};
    assert_near(apq_quant_sqnr_db(a, b, 2), 10 * log10(25), 1e-12);
    assert_true(apq_quant_sqnr_db(a, a, 2) == (double)INFINITY);
    assert_true(isnan(apq_quant_sqnr_db(zeros, zeros, 2)));
    free(x);
    free(y);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_golden_quant, load_golden,
                                        free_golden),
        cmocka_unit_test_setup_teardown(test_golden_kl, load_golden,
                                        free_golden),
        cmocka_unit_test(test_kl_degenerate),
        cmocka_unit_test(test_kl_channels),
        cmocka_unit_test(test_act_range),
        cmocka_unit_test(test_idempotent_and_levels),
        cmocka_unit_test(test_weight_view_and_codes),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_sqnr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
