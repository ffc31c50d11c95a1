/* The integer kernels against sums written out by hand and against their
 * definition, exactly. */
#include "deploy/int_kernels.h"

#include "deploy/int_reference.h"

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
    /* 2 + 1-4+9, 510-510+... = 512, 32, 12; 127 times 6, 765, 10, 8, less 1270.
     * A quarter of the former, halves to even: 2, 128, 8, 3; a 127th of the
     * latter: -4, 755, 0, -2, within 0..255. */
    static const int expected[4][2] = {{2, 0}, {128, 255}, {8, 0}, {3, 0}};
    uint8_t x[(4 + SPARE) * LANES] = {0}, y[(4 + SPARE) * LANES];
    int32_t w[3 * LANES] = {0};
    for (int p = 0; p < 4; p++) {
        memcpy(x + p * LANES, codes[p], 3);
    }
    for (int c = 0; c < 3; c++) {
        w[c * LANES] = weights[0][c];
        w[c * LANES + 1] = weights[1][c];
    }
    const int32_t init[LANES] = {2, -1270};
    const float scale[LANES] = {0.25F, 1.0F / 127.0F};
    const apq_int_layer layer = {
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
        .code_high = 255,
    };
    apq_int_pointwise(&layer, x, NULL, y);
    for (int p = 0; p < 4; p++) {
        assert_int_equal(y[p * LANES], expected[p][0]);
        assert_int_equal(y[p * LANES + 1], expected[p][1]);
    }
}

/* Signed codes: stored plus 128, taken off again by init. */
static void signed_input_and_residual(void **state) {
    (void)state;
    uint8_t x[(1 + SPARE) * LANES] = {0};
    x[0] = 128 - 127;
    x[1] = 128 + 5;
    int32_t w[2 * LANES] = {0};
    w[0] = -1;
    w[LANES] = 3;
    const int32_t init[LANES] = {-128 * (-1 + 3)};
    const float scale[LANES] = {0.5F};
    uint8_t residual[(1 + SPARE) * LANES] = {128 - 100};
    uint8_t y[(1 + SPARE) * LANES];
    const apq_int_layer layer = {
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
        .code_low = -128,
        .code_high = 127,
        .code_zero = APQ_INT_ZERO,
    };
    apq_int_pointwise(&layer, x, NULL, y);
    assert_int_equal(y[0], 128 + 71); /* (127 + 15) / 2 */
    apq_int_pointwise(&layer, x, residual, y);
    assert_int_equal(y[0], 128 + 71 - 100);
    residual[0] = 128 + 57;
    apq_int_pointwise(&layer, x, residual, y);
    assert_int_equal(y[0], 255);
    /* The residual is added to a code that was clamped already. */
    x[0] = 128 + 127;
    x[1] = 0;
    residual[0] = 128 + 3;
    apq_int_pointwise(&layer, x, residual, y);
    assert_int_equal(y[0], 3);
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
    uint8_t *y = calloc(n_out, 1), *residual = calloc(n_out, 1);
    assert_true(x && taps && w && init && scale && y && residual);
    for (size_t i = 0; i < n_in; i++) {
        x[i] = (uint8_t)(i * 37 % 256);
    }
    for (size_t i = 0; i < n_out; i++) {
        residual[i] = (uint8_t)(i * 71 % 256);
    }
    for (int c = 0; c < channels; c++) {
        scale[c] = 0.01F + 0.001F * (float)c;
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
        .code_low = -128,
        .code_high = 127,
        .code_zero = APQ_INT_ZERO,
    };
    const apq_int_codes to = {.low = -128, .high = 127};
    int height, width;
    apq_int_padded_size(&layer, &height, &width);
    int32_t *ring = malloc((size_t)(kernel * width * ld) * sizeof *ring);
    assert_non_null(ring);
    apq_int_depthwise(&layer, x, ring, residual, y);
    for (int oy = 0; oy < out_size; oy++) {
        for (int ox = 0; ox < out_size; ox++) {
            for (int c = 0; c < channels; c++) {
                int32_t sum = depthwise_sum(&layer, x, taps, c, oy, ox);
                int64_t at = (oy * out_size + ox) * ld + c;
                int code = apq_int_round((float)sum * scale[c], &to);
                code += residual[at] - APQ_INT_ZERO;
                code = code < -128 ? -128 : code > 127 ? 127 : code;
                assert_int_equal(y[at], code + APQ_INT_ZERO);
            }
        }
    }
    free(x);
    free(taps);
    free(w);
    free(init);
    free(scale);
    free(y);
    free(residual);
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

/* 3 x 3 ones over a 2 x 2 image of codes 5: 4 pixels are always seen. */
static void stem_by_hand(void **state) {
    (void)state;
    const float image[4] = {0.5F, 0.5F, 0.5F, 0.5F};
    uint8_t codes[4], y[(4 + SPARE) * LANES], padded[64];
    apq_int_encode_image(image, 4, 0.1F, codes);
    int32_t w[9 * LANES] = {0};
    for (int t = 0; t < 9; t++) {
        w[t * LANES] = 1;
        w[t * LANES + 1] = t == 4 ? 127 : 0;
    }
    const int32_t init[LANES] = {7 - 128 * 9, -128 * 127};
    const float scale[LANES] = {1.0F, 0.2F};
    const apq_int_layer layer = {
        .in_channels = 1,
        .out_channels = 2,
        .ldx = LANES,
        .ldy = LANES,
        .kernel = 3,
        .stride = 1,
        .in_size = 2,
        .out_size = 2,
        .in_zero = APQ_INT_ZERO,
        .w = w,
        .init = init,
        .scale = scale,
        .code_high = 63,
    };
    int height, width;
    apq_int_padded_size(&layer, &height, &width);
    assert_true(height * width <= 64);
    apq_int_stem(&layer, codes, padded, y);
    for (int p = 0; p < 4; p++) {
        assert_int_equal(y[p * LANES], 27);
        assert_int_equal(y[p * LANES + 1], 63);
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

static void images_are_rounded_to_even_and_clamped(void **state) {
    (void)state;
    const float x[7] = {0.25F, 0.75F, 1.25F, -3.25F, 1e30F, -1e30F, 0.0F};
    static const int expected[7] = {0, 2, 2, -6, 127, -128, 0};
    uint8_t codes[7];
    apq_int_encode_image(x, 7, 0.5F, codes);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(codes[i], 128 + expected[i]);
    }
}

/* Means of 2 pixels: 2.5 to even, 4, and 300 clamped; products and biases. */
static void classifier_by_hand(void **state) {
    (void)state;
    static const int32_t totals[3] = {5, 8, 600};
    static const int8_t w[6] = {1, 2, 3, -1, 0, 1};
    static const int32_t bias[2] = {-10, 7};
    static const float scale[2] = {0.5F, 2.0F};
    uint8_t pooled[3];
    float logits[2];
    const apq_int_head head = {
        .n_classes = 2,
        .channels = 3,
        .pool_rescale = 0.5F,
        .pooled_high = 255,
        .w = w,
        .bias = bias,
        .logit_scale = scale,
    };
    apq_int_classify(&head, totals, pooled, logits);
    assert_true(logits[0] == 0.5F * (2 + 8 + 765 - 10));
    assert_true(logits[1] == 2.0F * (-2 + 255 + 7));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pointwise_by_hand),
        cmocka_unit_test(signed_input_and_residual),
        cmocka_unit_test(depthwise_is_its_definition),
        cmocka_unit_test(stem_by_hand),
        cmocka_unit_test(extremes_do_not_overflow),
        cmocka_unit_test(images_are_rounded_to_even_and_clamped),
        cmocka_unit_test(classifier_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
