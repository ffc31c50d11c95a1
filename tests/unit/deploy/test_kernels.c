/* The integer kernels against sums written out by hand and against their
 * definition, exactly. */
#include "deploy/int_kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LANES = APQ_INT_LANES, SPARE = APQ_INT_TILE - 1 };

/* Two pixels square, three channels in, two out. */
static void pointwise_by_hand(void **state) {
    (void)state;
    static const uint8_t codes[4][3] = {
        {1, 2, 3}, {255, 255, 255}, {0, 0, 10}, {7, 0, 1}};
    static const int8_t weights[2][3] = {{1, -2, 3}, {127, 127, 127}};
    /* 1-4+9, 255-510+765, 30, 7+3; 127 times the sums 6, 765, 10, 8. */
    static const float expected[4][2] = {
        {6, 762}, {510, 97155}, {30, 1270}, {10, 1016}};
    /* Half of it plus 1, halves to even, at most 255. */
    static const int expected_codes[4][2] = {
        {4, 255}, {255, 255}, {16, 255}, {6, 255}};
    uint8_t x[(4 + SPARE) * LANES] = {0};
    int32_t w[3 * LANES] = {0};
    for (int p = 0; p < 4; p++) {
        memcpy(x + p * LANES, codes[p], 3);
    }
    for (int c = 0; c < 3; c++) {
        w[c * LANES] = weights[0][c];
        w[c * LANES + 1] = weights[1][c];
    }
    const int32_t init[LANES] = {0};
    float scale[LANES] = {1.0F, 1.0F}, shift[LANES] = {0};
    float values[(4 + SPARE) * LANES];
    uint8_t out_codes[(4 + SPARE) * LANES];
    apq_int_layer layer = {
        .in_channels = 3,
        .out_channels = 2,
        .ldx = LANES,
        .ldy = LANES,
        .kernel = 1,
        .stride = 1,
        .in_size = 2,
        .out_size = 2,
        .w = w,
        .init = init,
        .scale = scale,
        .shift = shift,
        .code_scale = 1.0F,
        .code_high = 255.0F,
    };
    apq_int_pointwise(&layer, x, &(apq_int_output){.values = values});
    for (int p = 0; p < 4; p++) {
        assert_true(values[p * LANES] == expected[p][0]);
        assert_true(values[p * LANES + 1] == expected[p][1]);
    }
    scale[0] = scale[1] = 0.5F;
    shift[0] = shift[1] = 1.0F;
    apq_int_pointwise(&layer, x, &(apq_int_output){.codes = out_codes});
    for (int p = 0; p < 4; p++) {
        assert_int_equal(out_codes[p * LANES], expected_codes[p][0]);
        assert_int_equal(out_codes[p * LANES + 1], expected_codes[p][1]);
    }
    /* 0.25 * {6, 510, 30, 10} = 1.5, 127.5, 7.5, 2.5: halves to even. */
    static const int halves[4] = {2, 128, 8, 2};
    scale[0] = 0.25F;
    shift[0] = 0.0F;
    apq_int_pointwise(&layer, x, &(apq_int_output){.codes = out_codes});
    for (int p = 0; p < 4; p++) {
        assert_int_equal(out_codes[p * LANES], halves[p]);
    }
}

/* Signed codes: stored plus 128, taken off again by init. */
static void signed_input_and_residual(void **state) {
    (void)state;
    uint8_t x[(1 + SPARE) * LANES] = {0};
    x[0] = 128 - 127;
    x[1] = 128 + 5;
    int32_t w[2 * LANES] = {0};
    w[0] = -127;
    w[LANES] = 3;
    int32_t init[LANES] = {-128 * (-127 + 3)};
    const float scale[LANES] = {1.0F}, shift[LANES] = {0};
    float residual[(1 + SPARE) * LANES] = {-16200.0F};
    float values[(1 + SPARE) * LANES];
    uint8_t codes[(1 + SPARE) * LANES];
    apq_int_layer layer = {
        .in_channels = 2,
        .out_channels = 1,
        .ldx = LANES,
        .ldy = LANES,
        .kernel = 1,
        .stride = 1,
        .in_size = 1,
        .out_size = 1,
        .in_zero = APQ_INT_ZERO,
        .w = w,
        .init = init,
        .scale = scale,
        .shift = shift,
        .code_scale = 1.0F,
        .code_low = -31.0F,
        .code_high = 31.0F,
        .code_zero = APQ_INT_ZERO,
    };
    apq_int_output out = {
        .codes = codes, .values = values, .residual = residual};
    apq_int_pointwise(&layer, x, &out);
    assert_true(values[0] == 16129.0F + 15.0F - 16200.0F); /* -56 */
    assert_int_equal(codes[0], 128 - 31);
    residual[0] = -16144.0F - 9.0F;
    layer.clip = 6.0F; /* of the values, not of the codes */
    apq_int_pointwise(&layer, x, &out);
    assert_true(values[0] == 0.0F);
    assert_int_equal(codes[0], 128 - 9);
}

/* The definition, with zeros around the image. */
static int32_t depthwise_sum(const apq_int_layer *l, const uint8_t *x,
                             const int8_t *taps, int c, int oy, int ox) {
    int32_t sum = 0;
    int pad = l->kernel / 2;
    for (int ky = 0; ky < l->kernel; ky++) {
        for (int kx = 0; kx < l->kernel; kx++) {
            int y = oy * l->stride + ky - pad, xx = ox * l->stride + kx - pad;
            if (y < 0 || xx < 0 || y >= l->in_size || xx >= l->in_size) {
                continue;
            }
            sum +=
                (x[((int64_t)y * l->in_size + xx) * l->ldx + c] - l->in_zero) *
                taps[(ky * l->kernel + kx) * l->in_channels + c];
        }
    }
    return sum;
}

static void check_depthwise(int size, int channels, int kernel, int stride,
                            int in_zero) {
    int64_t ld = apq_int_lanes(channels);
    int out_size = (size + stride - 1) / stride;
    size_t n_in = (size_t)((size * size + SPARE) * ld);
    size_t n_out = (size_t)((out_size * out_size + SPARE) * ld);
    int n_taps = kernel * kernel;
    uint8_t *x = calloc(n_in, 1);
    int8_t *taps = calloc((size_t)(n_taps * channels), 1);
    int32_t *w = calloc((size_t)(n_taps * ld), sizeof *w);
    int32_t *init = calloc((size_t)ld, sizeof *init);
    float *scale = calloc((size_t)ld, sizeof *scale);
    float *shift = calloc((size_t)ld, sizeof *shift);
    float *values = calloc(n_out, sizeof *values);
    assert_true(x && taps && w && init && scale && shift && values);
    for (size_t i = 0; i < n_in; i++) {
        x[i] = (uint8_t)(i * 37 % 256);
    }
    for (int c = 0; c < channels; c++) {
        scale[c] = 1.0F;
        for (int t = 0; t < n_taps; t++) {
            int8_t tap = (int8_t)((t * channels + c) * 29 % 255 - 127);
            taps[t * channels + c] = tap;
            w[(c / LANES * n_taps + t) * LANES + c % LANES] = tap;
            init[c] -= in_zero * tap;
        }
    }
    apq_int_layer layer = {
        .in_channels = channels,
        .out_channels = channels,
        .ldx = ld,
        .ldy = ld,
        .kernel = kernel,
        .stride = stride,
        .in_size = size,
        .out_size = out_size,
        .in_zero = in_zero,
        .w = w,
        .init = init,
        .scale = scale,
        .shift = shift,
    };
    int height, width;
    apq_int_padded_size(&layer, &height, &width);
    int32_t *ring = malloc((size_t)(kernel * width * ld) * sizeof *ring);
    assert_non_null(ring);
    apq_int_depthwise(&layer, x, ring, &(apq_int_output){.values = values});
    for (int oy = 0; oy < out_size; oy++) {
        for (int ox = 0; ox < out_size; ox++) {
            for (int c = 0; c < channels; c++) {
                int32_t sum = depthwise_sum(&layer, x, taps, c, oy, ox);
                assert_true(values[(oy * out_size + ox) * ld + c] ==
                            (float)sum);
            }
        }
    }
    free(x);
    free(taps);
    free(w);
    free(init);
    free(scale);
    free(shift);
    free(values);
    free(ring);
}

static void depthwise_is_its_definition(void **state) {
    (void)state;
    check_depthwise(8, 16, 3, 1, 0);
    check_depthwise(7, 24, 5, 2, 0);
    check_depthwise(5, 40, 7, 1, 0);
    check_depthwise(4, 8, 7, 2, 0);
    check_depthwise(1, 8, 3, 1, 0);
    check_depthwise(6, 24, 3, 2, APQ_INT_ZERO);
}

/* 3 x 3 ones over a 2 x 2 image of pixels 0.5: 4 pixels are always seen. */
static void stem_by_hand(void **state) {
    (void)state;
    const float image[4] = {0.5F, 0.5F, 0.5F, 0.5F};
    int32_t w[9 * LANES] = {0};
    for (int t = 0; t < 9; t++) {
        w[t * LANES] = 1;
        w[t * LANES + 1] = t == 4 ? -127 : 0;
    }
    const float scale[LANES] = {1.0F, 2.0F}, shift[LANES] = {0.0F, 7.0F};
    float values[(4 + SPARE) * LANES];
    apq_int_layer layer = {
        .in_channels = 1,
        .out_channels = 2,
        .ldx = LANES,
        .ldy = LANES,
        .kernel = 3,
        .stride = 1,
        .in_size = 2,
        .out_size = 2,
        .w = w,
        .scale = scale,
        .shift = shift,
    };
    float padded[64];
    int height, width;
    apq_int_padded_size(&layer, &height, &width);
    assert_true(height * width <= 64);
    apq_int_stem(&layer, image, padded, &(apq_int_output){.values = values});
    for (int p = 0; p < 4; p++) {
        assert_true(values[p * LANES] == 2.0F);
        assert_true(values[p * LANES + 1] == -120.0F);
    }
}

static void extremes_do_not_overflow(void **state) {
    (void)state;
    enum { DEPTH = 66311 };
    uint8_t *x = malloc(DEPTH);
    int8_t *w = malloc(DEPTH);
    assert_non_null(x);
    assert_non_null(w);
    memset(x, 255, DEPTH);
    memset(w, 127, DEPTH);
    assert_int_equal(apq_int_dot(x, w, DEPTH), 255 * 127 * DEPTH);
    memset(w, -127, DEPTH);
    assert_int_equal(apq_int_dot(x, w, DEPTH), -255 * 127 * DEPTH);
    free(x);
    free(w);
}

static void encoding_rounds_to_even_and_clamps(void **state) {
    (void)state;
    const float x[6] = {0.25F, 0.75F, 1.25F, -3.0F, 1e9F, NAN};
    static const int expected[6] = {0, 2, 2, 0, 15, 0};
    uint8_t codes[6];
    apq_int_encode(x, 6, 2.0F, 15.0F, codes);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(codes[i], expected[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pointwise_by_hand),
        cmocka_unit_test(signed_input_and_residual),
        cmocka_unit_test(depthwise_is_its_definition),
        cmocka_unit_test(stem_by_hand),
        cmocka_unit_test(extremes_do_not_overflow),
        cmocka_unit_test(encoding_rounds_to_even_and_clamps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
