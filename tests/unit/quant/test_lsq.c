/* Learned steps: values and codes, gradients against differences of the
 * straight-through function, initial steps. */
#include "quant/lsq.h"

#include "base/rng.h"

#include "unit/asserts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void random_values(float *x, size_t n, uint64_t index) {
    apq_rng rng = apq_rng_make(8, APQ_RNG_TEST, index);
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)apq_rng_normal(&rng);
    }
}

/* What is quantised: codes of weights are as many below 0 as above. */
typedef enum kind { UNSIGNED, SIGNED, WEIGHT } kind;

/* The function that straight-through gradients belong to: x_q of (x, s) with
 * the clamped side and the rounding error kept as at (x0, s0). */
static double surrogate(double x, double s, double x0, double s0, int bits,
                        kind of) {
    double high = pow(2, of == UNSIGNED ? bits : bits - 1) - 1;
    double low = of == UNSIGNED ? 0 : of == SIGNED ? -high - 1 : -high;
    double v = x0 / s0;
    if (v <= low || v >= high) {
        return s * (v <= low ? low : high);
    }
    return x + s * (rint(v) - v);
}

static const double tiny = 1e-6;

static double slope_by_x(double x, double s, int bits, kind of) {
    return (surrogate(x + tiny, s, x, s, bits, of) -
            surrogate(x - tiny, s, x, s, bits, of)) /
           (2 * tiny);
}

static double slope_by_step(double x, double s, int bits, kind of) {
    return (surrogate(x, s + tiny, x, s, bits, of) -
            surrogate(x, s - tiny, x, s, bits, of)) /
           (2 * tiny);
}

/* A step that leaves values on both sides of the limits. */
static float clipping_step(int bits, bool is_signed) {
    return 1.3F / (float)apq_lsq_highest(bits, is_signed);
}

/* Where float and double may round to different codes. */
static void keep_off_ties(float *x, size_t n, float step) {
    for (size_t i = 0; i < n; i++) {
        double v = (double)x[i] / (double)step;
        if (fabs(fabs(v - rint(v)) - 0.5) < 1e-3) {
            x[i] += 0.01F * step;
        }
    }
}

static void activations_match_differences(void **state) {
    (void)state;
    enum { N = 40001 }; /* above the parallel limit */
    float *x = malloc(N * sizeof *x), *dy = malloc(N * sizeof *dy);
    float *y = malloc(N * sizeof *y), *dx = malloc(N * sizeof *dx);
    random_values(x, N, 1);
    random_values(dy, N, 2);
    for (int bits = 4; bits <= 8; bits += 2) {
        for (int sign = 0; sign < 2; sign++) {
            float step = clipping_step(bits, sign != 0);
            keep_off_ties(x, N, step);
            double dstep, want = 0, size = 0;
            apq_lsq_act(x, N, step, bits, sign != 0, y);
            apq_lsq_act_backward(x, dy, N, step, bits, sign != 0, dx, &dstep);
            for (int i = 0; i < N; i++) {
                double at = (double)x[i], s = (double)step, g = (double)dy[i];
                assert_near((double)y[i],
                            surrogate(at, s, at, s, bits, (kind)sign), 1e-5);
                assert_near((double)dx[i],
                            g * slope_by_x(at, s, bits, (kind)sign), 1e-5);
                double by_step = g * slope_by_step(at, s, bits, (kind)sign);
                want += by_step;
                size += fabs(by_step);
            }
            assert_near(dstep, want, 1e-5 * size);
            assert_true(size > 1000.0);
        }
    }
    /* In place. */
    double apart, aliased;
    apq_lsq_act_backward(x, dy, N, 0.1F, 4, true, dx, &apart);
    apq_lsq_act_backward(x, dy, N, 0.1F, 4, true, dy, &aliased);
    assert_true(apart == aliased);
    assert_memory_equal(dx, dy, N * sizeof *dx);
    free(x);
    free(dy);
    free(y);
    free(dx);
}

/* Of x = scale * z + shift that was never stored: with what lies above, the
 * whole gradient of the step. */
static void norms_give_the_same_step_gradient(void **state) {
    (void)state;
    enum { ROWS = 701, C = 53, N = ROWS * C };
    float *z = malloc(N * sizeof *z), *x = malloc(N * sizeof *x);
    float *dy = malloc(N * sizeof *dy), *dx = malloc(N * sizeof *dx);
    float scale[C], shift[C];
    random_values(z, N, 3);
    random_values(dy, N, 4);
    random_values(scale, C, 5);
    random_values(shift, C, 6);
    for (int i = 0; i < N; i++) {
        x[i] = scale[i % C] * z[i] + shift[i % C];
    }
    for (int bits = 4; bits <= 8; bits += 2) {
        float step = clipping_step(bits, false);
        double high = apq_lsq_highest(bits, false), want, above = 0;
        apq_lsq_act_backward(x, dy, N, step, bits, false, dx, &want);
        for (int i = 0; i < N; i++) {
            above += (double)x[i] >= high * (double)step ? (double)dy[i] : 0.0;
        }
        double all = apq_lsq_inside(z, dy, ROWS, C, scale, shift, step, bits);
        double masked =
            apq_lsq_inside(z, dx, ROWS, C, scale, shift, step, bits);
        assert_true(fabs(all) > 1.0);
        assert_near(masked, all, 1e-9);
        assert_near(all + high * above, want, 2e-2);
    }
    free(z);
    free(x);
    free(dy);
    free(dx);
}

enum { K = 7, DEPTH = 12, LD = 15 };

/* Weights of K channels as rows, or, as of depthwise layers, columns. */
static apq_lsq_weights weights_of(const float *w, const float *steps,
                                  bool is_column, int bits) {
    return (apq_lsq_weights){
        .w = w,
        .channels = K,
        .n = DEPTH,
        .by_channel = is_column ? 1 : LD,
        .by_value = is_column ? LD : 1,
        .out_by_channel = is_column ? 1 : DEPTH,
        .out_by_value = is_column ? K : 1,
        .bits = bits,
        .steps = steps,
    };
}

static void check_weights(bool is_column, int bits) {
    float w[LD * LD], dw[LD * LD], out[K * DEPTH], dout[K * DEPTH];
    float steps[K], dsteps[K];
    int8_t codes[K * DEPTH];
    random_values(w, LD * LD, 7);
    random_values(dout, K * DEPTH, 8);
    for (int k = 0; k < K; k++) {
        steps[k] = (0.8F + 0.1F * (float)k) * clipping_step(bits, true);
        dsteps[k] = 5.0F;
    }
    for (int i = 0; i < LD * LD; i++) {
        dw[i] = 3.0F;
    }
    apq_lsq_weights t = weights_of(w, steps, is_column, bits);
    apq_lsq_quantise_weights(&t, out);
    apq_lsq_weight_codes(&t, codes);
    apq_lsq_weights_backward(&t, dout, dw, dsteps);
    int n_lowest = 0;
    for (int k = 0; k < K; k++) {
        double want = 0, s = (double)steps[k];
        for (int i = 0; i < DEPTH; i++) {
            int at = is_column ? i * LD + k : k * LD + i;
            int dense = is_column ? i * K + k : k * DEPTH + i;
            double x = (double)w[at], g = (double)dout[dense];
            assert_near((double)out[dense], surrogate(x, s, x, s, bits, WEIGHT),
                        1e-5);
            assert_true(steps[k] * (float)codes[dense] == out[dense]);
            n_lowest += codes[dense] == -apq_lsq_highest(bits, true);
            assert_near((double)dw[at], 3 + g * slope_by_x(x, s, bits, WEIGHT),
                        1e-5);
            dw[at] = 3.0F;
            want += g * slope_by_step(x, s, bits, WEIGHT);
        }
        want *= pow(7 / (pow(2, bits - 1) - 1), 1.5) /
                sqrt(DEPTH * (pow(2, bits - 1) - 1));
        assert_near((double)dsteps[k], 5 + want, 1e-4 * (1 + fabs(want)));
    }
    assert_true(n_lowest > 0);
    for (int i = 0; i < LD * LD; i++) { /* nothing beside the view */
        assert_true(dw[i] == 3.0F);
    }
}

static void weights_match_differences(void **state) {
    (void)state;
    for (int bits = 4; bits <= 8; bits += 2) {
        check_weights(false, bits);
        check_weights(true, bits);
    }
}

static double error_of(const float *w, int n, double step, int bits) {
    double high = pow(2, bits - 1) - 1, sum = 0;
    for (int i = 0; i < n; i++) {
        double x = (double)w[i], v = fmin(fmax(x / step, -high), high);
        sum += pow(step * rint(v) - x, 2);
    }
    return sum;
}

/* The best of many steps, found without the function's own steps. */
static double least_error(const float *w, int n, double largest, int bits) {
    double least = INFINITY, high = pow(2, bits - 1) - 1;
    for (int i = 1000; i >= 250; i--) {
        least = fmin(least, error_of(w, n, largest / high * i / 1000, bits));
    }
    return least;
}

static void initial_steps_have_the_least_error(void **state) {
    (void)state;
    enum { C = 3, N = 400 };
    float w[C * N], steps[C];
    random_values(w, (size_t)C * N, 9);
    memset(w, 0, N * sizeof *w);
    w[2 * N] = 9.0F; /* an outlier in channel 2 */
    for (int bits = 2; bits <= 8; bits++) {
        apq_lsq_weights t = {.w = w,
                             .channels = C,
                             .n = N,
                             .by_channel = N,
                             .by_value = 1,
                             .bits = bits};
        apq_lsq_weight_steps(&t, steps);
        assert_true(steps[0] > 0.0F && steps[0] < 1e-3F);
        for (int k = 1; k < C; k++) {
            const float *x = w + k * N;
            double largest = 0;
            for (int i = 0; i < N; i++) {
                largest = fmax(largest, fabs((double)x[i]));
            }
            double least = least_error(x, N, largest, bits);
            assert_true(error_of(x, N, (double)steps[k], bits) < 1.03 * least);
        }
        /* What is worth clipping at 4 bits is not at 8. */
        float reach = steps[2] * (float)apq_lsq_highest(bits, true);
        assert_true(bits != 4 || reach < 6.0F);
        assert_true(bits != 8 || reach > 8.0F);
    }
}

static void limits_and_scale(void **state) {
    (void)state;
    assert_int_equal(apq_lsq_lowest(4, true), -8);
    assert_int_equal(apq_lsq_highest(4, true), 7);
    assert_int_equal(apq_lsq_lowest(4, false), 0);
    assert_int_equal(apq_lsq_highest(4, false), 15);
    assert_int_equal(apq_lsq_lowest(8, true), -128);
    assert_near(apq_lsq_scale(100, 4, false), 1 / sqrt(1500.0), 1e-12);
    assert_near(apq_lsq_scale(100, 2, true), 1 / sqrt(100.0), 1e-12);
    /* A clipped value moves the limit P s by P^2 times the scale. */
    for (int bits = 5; bits <= 8; bits++) {
        double high = apq_lsq_highest(bits, true);
        assert_near(high * high * apq_lsq_scale(100, bits, true),
                    49 * apq_lsq_scale(100, 4, true), 1e-12);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations_match_differences),
        cmocka_unit_test(norms_give_the_same_step_gradient),
        cmocka_unit_test(weights_match_differences),
        cmocka_unit_test(initial_steps_have_the_least_error),
        cmocka_unit_test(limits_and_scale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
