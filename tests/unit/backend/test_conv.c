/* The convolutions of every backend and instruction set against ref, with and
 * without norms on their input, statistics of their output and gradients that
 * are formed as they are read. Inputs lie between NaN guards. */
#include "unit/backend/conv_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void compare_backward(const variant *v, const conv *c,
                             const tensors *got, const tensors *want,
                             int flags) {
    /* Also the floats between channels and ld, which must not change. */
    double tol = 2e-6 * sqrt((double)c->out_rows) + 1e-5;
    expect_equal(v, "dw", got->dw, want->dw, c->w_rows * (c->ldw + 2), tol);
    if ((flags & WITHOUT_DX) != 0) {
        return;
    }
    expect_equal(v, "dx", got->dx, want->dx, c->in_rows * c->in_channels, 2e-5);
    if ((flags & WITH_NORM) != 0) {
        expect_equal(v, "sums", got->sums, want->sums,
                     2 * (int64_t)c->in_channels, 1e-4);
        assert_true(fabs(got->clip_grad - want->clip_grad) <=
                    1e-4 * (1.0 + fabs(want->clip_grad)));
    }
}

static void check_conv(const variant *v, const conv *c, int flags) {
    tensors got = {0};
    open_inputs(c, &got);
    tensors want = got;
    open_outputs(c, &got);
    open_outputs(c, &want);
    bool with_sums = (flags & WITH_SLOPES) != 0;
    assert_int_equal(run_forward(v->backend, c, &got, flags, with_sums),
                     APQ_OK);
    assert_int_equal(run_forward(reference(), c, &want, flags, with_sums),
                     APQ_OK);
    /* A level may flip where a value lies half-way between two. */
    double tol = (flags & WITH_STEP) != 0 ? 0.02 : 1e-5;
    expect_equal(v, "z", got.z, want.z, c->out_rows * c->out_channels, tol);
    if (with_sums) {
        expect_equal(v, "statistics", got.statistics, want.statistics,
                     2 * (int64_t)c->out_channels, tol);
    }
    if ((flags & WITH_STEP) == 0) {
        assert_int_equal(run_backward(v->backend, c, &got, flags), APQ_OK);
        assert_int_equal(run_backward(reference(), c, &want, flags), APQ_OK);
        compare_backward(v, c, &got, &want, flags);
    }
    close_inputs(&got);
    close_outputs(&got);
    close_outputs(&want);
}

static const int k_flags[] = {
    0,
    WITH_NORM | WITH_CLIP | WITH_SLOPES,
    WITH_NORM | WITH_SLOPES,
    WITH_NORM | WITH_CLIP | WITH_STEP,
    WITH_SLOPES | WITHOUT_DX,
    WITH_NORM | WITH_CLIP | WITHOUT_DW,
};

enum { N_FLAGS = sizeof(k_flags) / sizeof(k_flags[0]) };

static void check_pointwise(const variant *v) {
    static const int k_shapes[][3] = {
        {1, 1, 1},     {3, 17, 8},    {40, 33, 1},   {50, 3, 40},
        {64, 96, 24},  {13, 1, 29},   {97, 50, 17},  {200, 16, 96},
        {500, 27, 16}, {130, 64, 10}, {77, 136, 65}, {701, 48, 112},
    };
    for (size_t i = 0; i < sizeof(k_shapes) / sizeof(k_shapes[0]); i++) {
        const int *s = k_shapes[i];
        conv c = make_pointwise(s[0], s[1], s[2], i % 2 == 0 ? 0 : 5);
        for (int f = 0; f < N_FLAGS; f++) {
            check_conv(v, &c, k_flags[f]);
        }
    }
}

static void test_pointwise(void **state) {
    (void)state;
    for_variants(check_pointwise);
}

static void check_depthwise(const variant *v) {
    static const int k_channels[] = {1, 3, 8, 17, 40, 136};
    static const int k_sides[][2] = {{1, 1}, {5, 7}, {7, 5},
                                     {8, 8}, {4, 4}, {16, 9}};
    for (int i = 0; i < 6 * 6; i++) {
        for (int kernel = 3; kernel <= 7; kernel += 2) {
            for (int stride = 1; stride <= 2; stride++) {
                conv c = make_depthwise(1 + i % 3, k_sides[i / 6][0],
                                        k_sides[i / 6][1], k_channels[i % 6],
                                        kernel, stride, (i % 2) * 5);
                check_conv(v, &c, k_flags[1]);
                check_conv(v, &c, k_flags[(i + kernel + stride) % N_FLAGS]);
            }
        }
    }
    /* Several channel groups. */
    for (int stride = 1; stride <= 2; stride++) {
        conv large = make_depthwise(1, 33, 31, 200, 5, stride, 0);
        check_conv(v, &large, k_flags[0]);
        check_conv(v, &large, k_flags[1]);
    }
}

static void test_depthwise(void **state) {
    (void)state;
    for_variants(check_depthwise);
}

/* A depthwise convolution behind an expansion from `in` channels ----------- */

static void check_expansion_case(const variant *v, const conv *c, int in,
                                 int64_t ldw) {
    tensors got = {0}, want = {0};
    open_inputs(c, &got);
    open_inputs(c, &want);
    open_outputs(c, &got);
    open_outputs(c, &want);
    expansion e = open_expansion(c, in, ldw);
    expansion e_want = open_expansion(c, in, ldw);
    run_expanded(v->backend, c, &got, &e, in, ldw);
    run_expanded(reference(), c, &want, &e_want, in, ldw);
    int64_t k = c->in_channels;
    expect_equal(v, "expanded z", got.z, want.z, c->out_rows * k, 3e-5);
    expect_equal(v, "expanded statistics", e.statistics, e_want.statistics,
                 2 * k + in + (int64_t)in * in, 1e-5);
    compare_backward(v, c, &got, &want, WITHOUT_DX);
    expect_equal(v, "expanded sums", got.sums, want.sums, 2 * k, 1e-4);
    expect_equal(v, "expanded dx", e.dx, e_want.dx, c->in_rows * in, 2e-4);
    expect_equal(v, "expanded dw", e.dw, e_want.dw, k * (ldw + 1), 2e-4);
    close_inputs(&got);
    close_inputs(&want);
    close_outputs(&got);
    close_outputs(&want);
    close_expansion(&e);
    close_expansion(&e_want);
}

static void check_expansion(const variant *v) {
    static const int k_shapes[][5] = {
        /* images, side, in, out, extra */
        {3, 5, 1, 3, 0},    {2, 8, 5, 17, 2},   {4, 7, 16, 96, 0},
        {2, 20, 24, 50, 8}, {5, 4, 33, 200, 0},
    };
    for (size_t i = 0; i < sizeof(k_shapes) / sizeof(k_shapes[0]); i++) {
        const int *s = k_shapes[i];
        for (int j = 0; j < 3; j++) {
            conv c = make_depthwise(s[0], s[1], s[1], s[3], 3 + 2 * j,
                                    1 + (int)(i + (size_t)j) % 2, s[4]);
            check_expansion_case(v, &c, s[2], s[2] + s[4]);
        }
    }
    /* Several channel groups. */
    conv large = make_depthwise(2, 33, 33, 104, 7, 2, 0);
    check_expansion_case(v, &large, 12, 12);
}

static void test_expansion(void **state) {
    (void)state;
    for_variants(check_expansion);
}

/* A mean far above the deviation: naive sums of squares fail. The first input
 * channel is 1 and its weights are the means. */
static void check_far_mean(const variant *v) {
    conv c = make_pointwise(1500, 4, 19, 0);
    tensors t = {0};
    open_inputs(&c, &t);
    open_outputs(&c, &t);
    for (int64_t i = 0; i < c.in_rows; i++) {
        t.x[4 * i] = 1.0F;
    }
    for (int k = 0; k < 19; k++) {
        t.w[4 * k] = 10.0F * (float)(k % 7);
        for (int i = 1; i < 4; i++) {
            t.w[4 * k + i] *= 0.01F;
        }
    }
    assert_int_equal(run_forward(v->backend, &c, &t, 0, true), APQ_OK);
    for (int k = 0; k < 19; k++) {
        double mean = 0.0, variance = 0.0;
        for (int64_t i = 0; i < c.in_rows; i++) {
            mean += (double)t.z[19 * i + k] / (double)c.in_rows;
        }
        for (int64_t i = 0; i < c.in_rows; i++) {
            double d = (double)t.z[19 * i + k] - mean;
            variance += d * d / (double)c.in_rows;
        }
        assert_true(fabs((double)t.statistics[k] - mean) <= 1e-5);
        assert_true(fabs((double)t.statistics[19 + k] - variance) <=
                    1e-5 * variance);
    }
    close_inputs(&t);
    close_outputs(&t);
}

static void test_far_mean(void **state) {
    (void)state;
    for_variants(check_far_mean);
}

/* Rows formed from an image against the same rows stored. */
static void check_patches_of(const variant *v, const apq_depthwise_shape *image,
                             apq_precision precision) {
    enum { K = 11 };
    const apq_backend *b = v->backend;
    int out_h = (image->in_height + image->stride - 1) / image->stride;
    int out_w = (image->in_width + image->stride - 1) / image->stride;
    int64_t rows = (int64_t)image->n * out_h * out_w;
    int depth = image->kernel * image->kernel * image->channels;
    apq_pointwise_shape shape = {rows, depth, K, depth};
    float *x = guarded_random((int64_t)image->n * image->in_height *
                                  image->in_width * image->channels,
                              1);
    float *col = guarded_new(rows * depth);
    float *w = guarded_random(K * depth, 2);
    float *g = guarded_random(rows * K, 3);
    float *z[2], *dw[2];
    assert_int_equal(reference()->im2col(image, x, col), APQ_OK);
    for (int i = 0; i < 2; i++) {
        z[i] = guarded_new(rows * K);
        dw[i] = guarded_random(K * depth, 4);
        const float *input = i == 0 ? col : x;
        const apq_depthwise_shape *patches = i == 0 ? NULL : image;
        apq_conv_forward forward = {
            .format.precision = precision,
            .x = input,
            .w = w,
            .z = z[i],
            .patches = patches,
            .arena = case_arena(),
        };
        assert_int_equal(b->pointwise_forward(&shape, &forward), APQ_OK);
        apq_conv_backward backward = {
            .format.precision = precision,
            .g = g,
            .x = input,
            .w = w,
            .dw = dw[i],
            .lddw = depth,
            .patches = patches,
            .arena = case_arena(),
        };
        assert_int_equal(b->pointwise_backward(&shape, &backward), APQ_OK);
    }
    expect_equal(v, "patches z", z[1], z[0], rows * K, 0.0);
    expect_equal(v, "patches dw", dw[1], dw[0], K * (int64_t)depth, 0.0);
    float *all[] = {x, col, w, g, z[0], z[1], dw[0], dw[1]};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        guarded_free(all[i]);
    }
}

static void check_patches(const variant *v) {
    static const apq_depthwise_shape k_images[] = {
        {2, 5, 7, 3, 3, 1, 0}, {3, 8, 8, 3, 5, 2, 0},   {9, 9, 16, 3, 3, 1, 0},
        {2, 6, 6, 1, 7, 1, 0}, {2, 12, 12, 4, 3, 2, 0}, {3, 32, 32, 3, 3, 2, 0},
        {1, 1, 1, 3, 3, 1, 0}, {2, 20, 20, 5, 3, 1, 0},
    };
    for (size_t i = 0; i < sizeof k_images / sizeof k_images[0]; i++) {
        check_patches_of(v, &k_images[i], APQ_FLOAT32);
        check_patches_of(v, &k_images[i], APQ_BFLOAT16);
    }
}

static void test_patches(void **state) {
    (void)state;
    variant ref = {.backend = reference()};
    apq_depthwise_shape image = {2, 5, 7, 3, 3, 2, 0};
    check_patches_of(&ref, &image, APQ_FLOAT32);
    for_variants(check_patches);
}

static void check_repeatable(const variant *v) {
    conv kinds[] = {make_depthwise(5, 16, 16, 40, 5, 1, 0),
                    make_pointwise(4000, 24, 40, 0)};
    apq_backend_set_threads(3);
    assert_int_equal(apq_backend_threads(), 3);
    for (int i = 0; i < 2; i++) {
        const conv *c = &kinds[i];
        tensors first = {0};
        open_inputs(c, &first);
        tensors second = first;
        open_outputs(c, &first);
        open_outputs(c, &second);
        tensors *both[] = {&first, &second};
        for (int j = 0; j < 2; j++) {
            assert_int_equal(run_forward(v->backend, c, both[j], 3, true),
                             APQ_OK);
            assert_int_equal(run_backward(v->backend, c, both[j], 11), APQ_OK);
        }
        expect_equal(v, "again", second.statistics, first.statistics,
                     2 * (int64_t)c->out_channels, 0.0);
        expect_equal(v, "again", second.dw, first.dw, c->w_rows * (c->ldw + 2),
                     0.0);
        expect_equal(v, "again", second.sums, first.sums,
                     2 * (int64_t)c->in_channels, 0.0);
        close_inputs(&first);
        close_outputs(&first);
        close_outputs(&second);
    }
    apq_backend_set_threads(2);
}

static void test_repeatable(void **state) {
    (void)state;
    for_variants(check_repeatable);
}

static void test_refusals(void **state) {
    (void)state;
    for (int i = 0; apq_backend_list()[i] != NULL; i++) {
        const apq_backend *b = apq_backend_list()[i];
        apq_conv_forward forward = {.arena = case_arena()};
        apq_conv_backward backward = {.arena = case_arena()};
        apq_depthwise_shape s = {1, 2, 2, 2, 4, 1, 2};
        assert_int_equal(b->depthwise_forward(&s, &forward), APQ_ERR_ARG);
        s.kernel = 3;
        s.stride = 3;
        assert_int_equal(b->depthwise_backward(&s, &backward), APQ_ERR_ARG);
        s.stride = 1;
        s.ldw = 1;
        assert_int_equal(b->depthwise_backward(&s, &backward), APQ_ERR_ARG);
        apq_pointwise_shape p = {4, 2, 0, 2};
        assert_int_equal(b->pointwise_forward(&p, &forward), APQ_ERR_ARG);
        p.out_channels = 2;
        p.ldw = 1;
        assert_int_equal(b->pointwise_backward(&p, &backward), APQ_ERR_ARG);
        /* Nothing to do is no error. */
        p.ldw = 2;
        p.rows = 0;
        assert_int_equal(b->pointwise_forward(&p, &forward), APQ_OK);
    }
}

int main(void) {
    apq_backend_set_threads(2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),   cmocka_unit_test(test_pointwise),
        cmocka_unit_test(test_depthwise),  cmocka_unit_test(test_expansion),
        cmocka_unit_test(test_patches),    cmocka_unit_test(test_far_mean),
        cmocka_unit_test(test_repeatable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
