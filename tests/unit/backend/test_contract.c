/* Every operator of every backend and instruction set against ref, on odd
 * sizes; inputs lie between NaN guards, so a read beyond them shows. */
#include "unit/backend/cases.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

/* Patches ---------------------------------------------------------------- */

static void check_im2col(const variant *v) {
    for (int i = 0; i < 4 * 2 * 3; i++) {
        static const int k_channels[] = {1, 3, 17};
        apq_depthwise_shape s = {
            .n = 2,
            .in_height = 5,
            .in_width = 8,
            .channels = k_channels[i % 3],
            .kernel = 1 + 2 * (i / 6),
            .stride = 1 + i / 3 % 2,
        };
        int64_t out = 2 * ((5 + s.stride - 1) / s.stride) *
                      ((8 + s.stride - 1) / s.stride);
        int64_t n = out * s.kernel * s.kernel * s.channels;
        float *x = guarded_random((int64_t)2 * 5 * 8 * s.channels, 5);
        float *col = guarded_new(n);
        float *col_ref = guarded_new(n);
        assert_int_equal(v->backend->im2col(&s, x, col), APQ_OK);
        assert_int_equal(reference()->im2col(&s, x, col_ref), APQ_OK);
        expect_equal(v, "col", col, col_ref, n, 0.0);
        guarded_free(x);
        guarded_free(col);
        guarded_free(col_ref);
    }
}

static void test_im2col(void **state) {
    (void)state;
    for_variants(check_im2col);
}

/* Products --------------------------------------------------------------- */

static void check_gemm_case(const variant *v, int64_t m, int64_t n, int64_t k,
                            int flags) {
    apq_gemm_args g = {
        .is_a_transposed = (flags & 1) != 0,
        .is_b_transposed = (flags & 2) != 0,
        .m = m,
        .n = n,
        .k = k,
        .beta = (flags & 4) != 0 ? 1.0F : 0.0F,
    };
    int64_t extra = (flags & 8) != 0 ? 3 : 0;
    g.lda = (g.is_a_transposed ? m : k) + extra;
    g.ldb = (g.is_b_transposed ? k : n) + extra;
    g.ldc = n + extra;
    int64_t nc = m * g.ldc;
    float *a = guarded_random((g.is_a_transposed ? k : m) * g.lda, 6);
    float *b = guarded_random((g.is_b_transposed ? n : k) * g.ldb, 7);
    float *c = guarded_random(nc, 8);
    float *c_ref = guarded_copy(c, nc);
    if (m > 0 && n > 0 && g.beta <= 0.0F) {
        c[0] = NAN; /* beta 0 must not read c */
    }
    g.a = a;
    g.b = b;
    g.c = c;
    assert_int_equal(v->backend->gemm(&g), APQ_OK);
    g.c = c_ref;
    assert_int_equal(reference()->gemm(&g), APQ_OK);
    expect_equal(v, "c", c, c_ref, nc, 3e-5);
    guarded_free(a);
    guarded_free(b);
    guarded_free(c);
    guarded_free(c_ref);
}

static void check_gemm(const variant *v) {
    static const int k_sizes[][3] = {
        {1, 1, 1},    {3, 17, 8},  {40, 33, 1},    {7, 5, 300},
        {64, 96, 24}, {13, 1, 29}, {1, 50, 17},    {0, 4, 4},
        {4, 0, 4},    {5, 6, 0},   {100, 70, 530},
    };
    for (size_t i = 0; i < sizeof(k_sizes) / sizeof(k_sizes[0]); i++) {
        for (int flags = 0; flags < 16; flags++) {
            check_gemm_case(v, k_sizes[i][0], k_sizes[i][1], k_sizes[i][2],
                            flags);
        }
    }
}

static void test_gemm(void **state) {
    (void)state;
    for_variants(check_gemm);
}

/* Batch normalisation ---------------------------------------------------- */

static const int k_bn_shapes[][2] = {
    {1, 1},   {1, 17},  {2, 3},    {49, 8},   {300, 1},  {1000, 17},
    {75, 40}, {64, 96}, {33, 136}, {700, 24}, {3, 5000}, {2049, 131},
};

enum { N_BN_SHAPES = sizeof(k_bn_shapes) / sizeof(k_bn_shapes[0]) };

/* Levels may differ by one step where v / step lies half-way. */
static void expect_levels(const apq_bn_apply_args *a, const float *got,
                          const float *want) {
    int64_t n_off = 0;
    for (int64_t i = 0; i < a->rows * a->channels; i++) {
        double d = fabs((double)got[i] - (double)want[i]);
        if (!(d <= 1e-6)) {
            assert_true(d <= (double)a->step * 1.0001);
            n_off++;
        }
    }
    assert_true(n_off <= a->rows * a->channels / 1000 + 1);
}

static void check_apply_case(const variant *v, int64_t rows, int channels,
                             int flags) {
    int64_t n = rows * channels;
    float *x = guarded_random(n, 10);
    float *scale = guarded_random(channels, 11);
    float *shift = guarded_random(channels, 12);
    float *residual = guarded_random(n, 13);
    float *y_ref = guarded_new(n);
    bool is_in_place = (flags & 8) != 0;
    float *y = is_in_place ? guarded_copy(x, n) : guarded_new(n);
    apq_bn_apply_args args = {
        .rows = rows,
        .channels = channels,
        .x = x,
        .scale = scale,
        .shift = shift,
        .residual = (flags & 1) != 0 ? residual : NULL,
        .clip = (flags & 2) != 0 ? 0.75F : 0.0F,
        .step = (flags & 4) != 0 ? 0.05F : 0.0F,
        .y = y_ref,
        .arena = case_arena(),
    };
    assert_int_equal(reference()->bn_apply(&args), APQ_OK);
    args.y = y;
    args.x = is_in_place ? y : x;
    assert_int_equal(v->backend->bn_apply(&args), APQ_OK);
    if ((flags & 6) == 6) {
        expect_levels(&args, y, y_ref);
    } else {
        expect_equal(v, "bn y", y, y_ref, n, 1e-6);
    }
    assert_true(guarded_intact(y, n));
    float *all[] = {x, scale, shift, residual, y, y_ref};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        guarded_free(all[i]);
    }
}

static void check_apply(const variant *v) {
    for (int i = 0; i < N_BN_SHAPES; i++) {
        for (int flags = 0; flags < 16; flags++) {
            check_apply_case(v, k_bn_shapes[i][0], k_bn_shapes[i][1], flags);
        }
    }
    /* A NaN is not clamped away; ties go to the even level; levels of bit
     * patterns that a shortcut by adding 2^23 would lose. */
    float x[6] = {NAN, 0.5F, 1.5F, 2.5F, 4194305.0F, 16777218.0F};
    float one[1] = {1.0F};
    float zero[1] = {0.0F};
    float y[6];
    apq_bn_apply_args args = {
        .rows = 6,
        .channels = 1,
        .x = x,
        .scale = one,
        .shift = zero,
        .clip = 1e9F,
        .step = 1.0F,
        .y = y,
        .arena = case_arena(),
    };
    assert_int_equal(v->backend->bn_apply(&args), APQ_OK);
    static const float k_want[6] = {NAN,  0.0F,       2.0F,
                                    2.0F, 4194305.0F, 16777218.0F};
    assert_true(isnan(y[0]));
    assert_memory_equal(y + 1, k_want + 1, sizeof(y) - sizeof(y[0]));
}

static void test_apply(void **state) {
    (void)state;
    for_variants(check_apply);
}

static void check_backward_case(const variant *v, int64_t rows, int channels,
                                float clip) {
    int64_t n = rows * channels;
    float *x = guarded_random(n, 14);
    float *dy = guarded_random(n, 15);
    float *params = guarded_random(4 * (int64_t)channels, 16);
    for (int c = 0; c < channels; c++) {
        params[c] = 1.5F + params[c]; /* inv_std > 0 */
    }
    float *sums = guarded_new(2 * (int64_t)channels);
    float *sums_ref = guarded_new(2 * (int64_t)channels);
    float *dx_ref = guarded_new(n);
    double clip_grad = (double)NAN;
    double clip_ref = (double)NAN;
    apq_bn_backward_args args = {
        .rows = rows,
        .channels = channels,
        .x = x,
        .dy = dy,
        .inv_std = params,
        .mean = params + channels,
        .scale = params + 2 * (int64_t)channels,
        .shift = params + 3 * (int64_t)channels,
        .clip = clip,
        .sum_g = sums_ref,
        .sum_gx = sums_ref + channels,
        .clip_grad = &clip_ref,
        .dx = dx_ref,
        .arena = case_arena(),
    };
    assert_int_equal(reference()->bn_backward_reduce(&args), APQ_OK);
    assert_int_equal(reference()->bn_backward_apply(&args), APQ_OK);
    args.sum_g = sums;
    args.sum_gx = sums + channels;
    args.clip_grad = &clip_grad;
    assert_int_equal(v->backend->bn_backward_reduce(&args), APQ_OK);
    expect_equal(v, "bn sums", sums, sums_ref, 2 * (int64_t)channels, 3e-5);
    assert_true(fabs(clip_grad - clip_ref) <= 1e-4 * (1.0 + fabs(clip_ref)));
    args.dx = dy; /* in place */
    assert_int_equal(v->backend->bn_backward_apply(&args), APQ_OK);
    expect_equal(v, "bn dx", dy, dx_ref, n, 1e-5);
    float *all[] = {x, dy, params, sums, sums_ref, dx_ref};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        guarded_free(all[i]);
    }
}

/* Both ends of the clamp are shut: no gradient at v = 0 or v = clip, and v =
 * clip counts for the gradient of the clamp. */
static void check_clamp_ends(const apq_backend *backend) {
    float x[4] = {0.0F, 0.25F, 0.5F, 0.75F};
    float dy[4] = {1.0F, 2.0F, 4.0F, 8.0F};
    float one = 1.0F;
    float zero = 0.0F;
    float sum_g = NAN;
    float sum_gx = NAN;
    double clip_grad = (double)NAN;
    apq_bn_backward_args args = {
        .rows = 4,
        .channels = 1,
        .x = x,
        .dy = dy,
        .mean = &zero,
        .inv_std = &one,
        .scale = &one,
        .shift = &zero,
        .clip = 0.5F,
        .sum_g = &sum_g,
        .sum_gx = &sum_gx,
        .clip_grad = &clip_grad,
        .arena = case_arena(),
    };
    assert_int_equal(backend->bn_backward_reduce(&args), APQ_OK);
    assert_true(fabs((double)sum_g - 2.0) <= 1e-6);
    assert_true(fabs((double)sum_gx - 0.5) <= 1e-6);
    assert_true(fabs(clip_grad - 12.0) <= 1e-6);
}

static void check_backward(const variant *v) {
    check_clamp_ends(reference());
    check_clamp_ends(v->backend);
    for (int i = 0; i < N_BN_SHAPES; i++) {
        check_backward_case(v, k_bn_shapes[i][0], k_bn_shapes[i][1], 0.0F);
        check_backward_case(v, k_bn_shapes[i][0], k_bn_shapes[i][1], 0.5F);
    }
}

static void test_backward(void **state) {
    (void)state;
    for_variants(check_backward);
}

/* Refusals and registry --------------------------------------------------- */

static void test_refusals(void **state) {
    (void)state;
    const apq_backend *found = NULL;
    assert_int_equal(apq_backend_find("gpu9", &found), APQ_ERR_ARG);
    assert_non_null(strstr(apq_error_message(), "\"cpu\""));
    assert_int_equal(apq_backend_limit_isa("sse9"), APQ_ERR_ARG);
    assert_int_equal(apq_backend_find("auto", &found), APQ_OK);
    assert_string_equal(found->name, "cpu");
    float buffer[64] = {0};
    for (int i = 0; apq_backend_list()[i] != NULL; i++) {
        const apq_backend *b = apq_backend_list()[i];
        apq_gemm_args g = {.m = 2,
                           .n = 2,
                           .k = 2,
                           .lda = 1,
                           .ldb = 2,
                           .ldc = 2,
                           .a = buffer,
                           .b = buffer,
                           .c = buffer};
        assert_int_equal(b->gemm(&g), APQ_ERR_ARG);
        g.lda = 2;
        g.beta = 0.5F;
        assert_int_equal(b->gemm(&g), APQ_ERR_ARG);
        apq_bn_apply_args apply = {.rows = 0, .channels = 1};
        assert_int_equal(b->bn_apply(&apply), APQ_ERR_ARG);
    }
}

int main(void) {
    apq_backend_set_threads(2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_im2col),   cmocka_unit_test(test_apply),
        cmocka_unit_test(test_backward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
