/* The convolutions of every backend and instruction set against ref, with and
 * without norms on their input, statistics of their output and gradients that
 * are formed as they are read. Inputs lie between NaN guards. */
#include "unit/backend/cases.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* What a case asks for. */
enum {
    WITH_NORM = 1,
    WITH_CLIP = 2,
    WITH_STEP = 4,
    WITH_SLOPES = 8,
    WITHOUT_DW = 16,
    WITHOUT_DX = 32,
};

/* One convolution: sizes, and its shape as either kind. */
typedef struct conv {
    bool is_depthwise;
    apq_pointwise_shape pointwise;
    apq_depthwise_shape depthwise;
    int64_t in_rows, out_rows, w_rows, ldw;
    int in_channels, out_channels;
} conv;

/* The tensors of a case; what is written has one copy a backend. */
typedef struct tensors {
    float *x, *w, *g, *z_given;
    float *in_vectors;  /* (4, C): scale, shift, mean, inv_std */
    float *out_vectors; /* (3, K): the slopes */
    float *z, *statistics;
    float *dw, *dx, *sums;
    double clip_grad;
} tensors;

static const apq_backend *reference(void) {
    const apq_backend *ref = NULL;
    assert_int_equal(apq_backend_find("ref", &ref), APQ_OK);
    return ref;
}

static void expect_equal(const variant *v, const char *what, const float *got,
                         const float *want, int64_t n, double tol) {
    int64_t i = first_difference(got, want, n, tol);
    if (i >= 0) {
        fail_msg("%s %s: %s[%lld] is %.9g, want %.9g", v->backend->name,
                 v->isa != NULL ? v->isa : "auto", what, (long long)i,
                 (double)got[i], (double)want[i]);
    }
    assert_true(guarded_intact(got, n));
}

static conv make_pointwise(int64_t rows, int in, int out, int64_t extra) {
    return (conv){
        .pointwise = {rows, in, out, in + extra},
        .in_rows = rows,
        .out_rows = rows,
        .w_rows = out,
        .ldw = in + extra,
        .in_channels = in,
        .out_channels = out,
    };
}

static conv make_depthwise(int n, int height, int width, int channels,
                           int kernel, int stride, int64_t extra) {
    int64_t out = (int64_t)n * ((height + stride - 1) / stride) *
                  ((width + stride - 1) / stride);
    return (conv){
        .is_depthwise = true,
        .depthwise = {n, height, width, channels, kernel, stride,
                      channels + extra},
        .in_rows = (int64_t)n * height * width,
        .out_rows = out,
        .w_rows = (int64_t)kernel * kernel,
        .ldw = channels + extra,
        .in_channels = channels,
        .out_channels = channels,
    };
}

static apq_norm norm_of(const conv *c, const tensors *t, int flags) {
    if ((flags & WITH_NORM) == 0) {
        return (apq_norm){0};
    }
    return (apq_norm){
        .scale = t->in_vectors,
        .shift = t->in_vectors + c->in_channels,
        .mean = t->in_vectors + 2 * (int64_t)c->in_channels,
        .inv_std = t->in_vectors + 3 * (int64_t)c->in_channels,
        .clip = (flags & WITH_CLIP) != 0 ? 0.75F : 0.0F,
        .step = (flags & WITH_STEP) != 0 ? 0.75F / 15.0F : 0.0F,
    };
}

static apq_status run_forward(const apq_backend *b, const conv *c,
                              const tensors *t, int flags, bool with_sums) {
    apq_conv_forward args = {
        .x = t->x,
        .norm = norm_of(c, t, flags),
        .w = t->w,
        .z = t->z,
        .mean = with_sums ? t->statistics : NULL,
        .variance = with_sums ? t->statistics + c->out_channels : NULL,
        .arena = case_arena(),
    };
    return c->is_depthwise ? b->depthwise_forward(&c->depthwise, &args)
                           : b->pointwise_forward(&c->pointwise, &args);
}

static apq_status run_backward(const apq_backend *b, const conv *c, tensors *t,
                               int flags) {
    int k = c->out_channels;
    apq_conv_backward args = {
        .g = t->g,
        .z = t->z_given,
        .x = t->x,
        .norm = norm_of(c, t, flags),
        .w = t->w,
        .dw = (flags & WITHOUT_DW) != 0 ? NULL : t->dw,
        .lddw = c->ldw + 2,
        .dx = (flags & WITHOUT_DX) != 0 ? NULL : t->dx,
        .sum_g = t->sums,
        .sum_gx = t->sums + c->in_channels,
        .clip_grad = &t->clip_grad,
        .arena = case_arena(),
    };
    if ((flags & WITH_SLOPES) != 0) {
        args.slopes = (apq_bn_slopes){t->out_vectors, t->out_vectors + k,
                                      t->out_vectors + 2 * (int64_t)k};
    }
    return c->is_depthwise ? b->depthwise_backward(&c->depthwise, &args)
                           : b->pointwise_backward(&c->pointwise, &args);
}

static void open_inputs(const conv *c, tensors *t) {
    int64_t in = c->in_channels;
    t->x = guarded_random(c->in_rows * in, 1);
    t->w = guarded_random(c->w_rows * c->ldw, 2);
    t->g = guarded_random(c->out_rows * c->out_channels, 3);
    t->z_given = guarded_random(c->out_rows * c->out_channels, 4);
    t->in_vectors = guarded_random(4 * in, 5);
    t->out_vectors = guarded_random(3 * (int64_t)c->out_channels, 6);
    for (int64_t i = 0; i < in; i++) {
        t->in_vectors[i] += 1.5F;
        t->in_vectors[3 * in + i] += 1.5F;
    }
}

static void open_outputs(const conv *c, tensors *t) {
    t->z = guarded_new(c->out_rows * c->out_channels);
    t->statistics = guarded_new(2 * (int64_t)c->out_channels);
    t->dw = guarded_random(c->w_rows * (c->ldw + 2), 7); /* accumulated onto */
    t->dx = guarded_new(c->in_rows * c->in_channels);
    t->sums = guarded_new(2 * (int64_t)c->in_channels);
}

static void close_inputs(tensors *t) {
    float *all[] = {t->x,       t->w,          t->g,
                    t->z_given, t->in_vectors, t->out_vectors};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        guarded_free(all[i]);
    }
}

static void close_outputs(tensors *t) {
    float *all[] = {t->z, t->statistics, t->dw, t->dx, t->sums};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        guarded_free(all[i]);
    }
}

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

/* Runs `check` for every variant. */
static void for_variants(void (*check)(const variant *v)) {
    variant list[16];
    int n = variants_all(list, 16);
    assert_true(n >= 2);
    for (int i = 0; i < n; i++) {
        assert_true(variant_use(&list[i]));
        check(&list[i]);
    }
    assert_int_equal(apq_backend_limit_isa(NULL), APQ_OK);
}

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

/* What the expansion adds to a case. */
typedef struct expansion {
    float *x, *w;
    float *statistics; /* (2, K) and (C + C*C) */
    float *dw, *dx;
} expansion;

static expansion open_expansion(const conv *c, int in, int64_t ldw) {
    int64_t k = c->in_channels;
    return (expansion){
        .x = guarded_random(c->in_rows * in, 8),
        .w = guarded_random(k * ldw, 9),
        .statistics = guarded_new(2 * k + in + (int64_t)in * in),
        .dw = guarded_random(k * (ldw + 1), 10),
        .dx = guarded_new(c->in_rows * in),
    };
}

static void close_expansion(expansion *e) {
    float *all[] = {e->x, e->w, e->statistics, e->dw, e->dx};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        guarded_free(all[i]);
    }
}

/* Statistics, forward and backward; the norm between the two convolutions is
 * that of the statistics found. */
static void run_expanded(const apq_backend *b, const conv *c, tensors *t,
                         expansion *e, int in, int64_t ldw) {
    int k = c->in_channels;
    float *moments = e->statistics + 2 * (int64_t)k;
    apq_pointwise_shape wide = {c->in_rows, in, k, ldw};
    assert_int_equal(b->expand_statistics(&wide, e->x, e->w, e->statistics,
                                          e->statistics + k, moments,
                                          case_arena()),
                     APQ_OK);
    for (int i = 0; i < k; i++) {
        float inv_std = 1.0F / sqrtf(e->statistics[k + i] + 1e-3F);
        t->in_vectors[k + i] = 0.4F - e->statistics[i] * t->in_vectors[i];
        t->in_vectors[2 * k + i] = e->statistics[i];
        t->in_vectors[3 * k + i] = inv_std;
    }
    apq_expand expand = {e->x, in, e->w, ldw, moments, e->dw, ldw + 1};
    apq_conv_forward forward = {
        .norm = norm_of(c, t, WITH_NORM | WITH_CLIP),
        .w = t->w,
        .z = t->z,
        .mean = t->statistics,
        .variance = t->statistics + k,
        .expand = expand,
        .arena = case_arena(),
    };
    assert_int_equal(b->depthwise_forward(&c->depthwise, &forward), APQ_OK);
    apq_conv_backward backward = {
        .g = t->g,
        .z = t->z_given,
        .slopes = {t->out_vectors, t->out_vectors + k,
                   t->out_vectors + 2 * (int64_t)k},
        .norm = forward.norm,
        .w = t->w,
        .dw = t->dw,
        .lddw = c->ldw + 2,
        .dx = e->dx,
        .sum_g = t->sums,
        .sum_gx = t->sums + k,
        .clip_grad = &t->clip_grad,
        .expand = expand,
        .arena = case_arena(),
    };
    assert_int_equal(b->depthwise_backward(&c->depthwise, &backward), APQ_OK);
}

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
        cmocka_unit_test(test_refusals),  cmocka_unit_test(test_pointwise),
        cmocka_unit_test(test_depthwise), cmocka_unit_test(test_expansion),
        cmocka_unit_test(test_far_mean),  cmocka_unit_test(test_repeatable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
