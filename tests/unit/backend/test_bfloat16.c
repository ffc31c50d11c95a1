/* Convolutions in bfloat16 against ref in float. Where every factor has 8 bits
 * or fewer, nothing but what is stored may differ; with other factors the
 * difference is bounded by their rounding. */
#include "unit/backend/conv_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Relative error of rounding to 8 bits, and of a product of two such. */
static const double U = 1.0 / 256.0;
static const double U2 = 2.0 / 256.0 + 1.0 / 65536.0;

/* Every format; without a bfloat16 tensor, with either and with both. */
static const apq_format k_formats[] = {
    {APQ_BFLOAT16, false, false},
    {APQ_BFLOAT16, true, false},
    {APQ_BFLOAT16, false, true},
    {APQ_BFLOAT16, true, true},
};
enum { N_FORMATS = sizeof(k_formats) / sizeof(k_formats[0]) };

/* Multiples of `step`, at most 1 in size. */
static void coarsen(float *values, int64_t n, float step) {
    for (int64_t i = 0; i < n; i++) {
        values[i] = step * rintf(values[i] / step);
    }
}

/* scale 1 or 2, shift and mean in quarters, slopes 1, 1/2 and quarters: with
 * data in eighths what a norm or the slopes make is a multiple of 1/16 below
 * 4, which has 6 bits. */
static void open_exact(const conv *c, tensors *t) {
    open_inputs(c, t);
    int64_t in = c->in_channels;
    int64_t k = c->out_channels;
    coarsen(t->x, c->in_rows * in, 0.125F);
    coarsen(t->w, c->w_rows * c->ldw, 0.125F);
    coarsen(t->g, c->out_rows * k, 0.125F);
    coarsen(t->z_given, c->out_rows * k, 0.125F);
    coarsen(t->in_vectors + in, 2 * in, 0.25F);
    coarsen(t->out_vectors + 2 * k, k, 0.25F);
    for (int64_t i = 0; i < in; i++) {
        t->in_vectors[i] = i % 3 == 0 ? 2.0F : 1.0F;
    }
    for (int64_t i = 0; i < k; i++) {
        t->out_vectors[i] = 1.0F;
        t->out_vectors[k + i] = i % 2 == 0 ? 0.5F : -0.5F;
    }
}

static void check_exact(const variant *v, const conv *c, int flags) {
    tensors got = {0};
    open_exact(c, &got);
    tensors want = got;
    open_outputs(c, &got);
    open_outputs(c, &want);
    assert_int_equal(run_forward(v->backend, c, &got, flags, true), APQ_OK);
    assert_int_equal(run_forward(reference(), c, &want, flags, true), APQ_OK);
    int64_t n_z = c->out_rows * c->out_channels;
    int64_t n_x = c->in_rows * c->in_channels;
    expect_equal(v, "z", got.z, want.z, n_z,
                 c->format.is_z_bf16 ? U + 1e-5 : 1e-5);
    expect_equal(v, "statistics", got.statistics, want.statistics,
                 2 * (int64_t)c->out_channels, 1e-5);
    assert_int_equal(run_backward(v->backend, c, &got, flags), APQ_OK);
    assert_int_equal(run_backward(reference(), c, &want, flags), APQ_OK);
    double tol = 2e-6 * sqrt((double)c->out_rows) + 1e-5;
    expect_equal(v, "dw", got.dw, want.dw, c->w_rows * (c->ldw + 2), tol);
    if ((flags & WITHOUT_DX) == 0) {
        expect_equal(v, "dx", got.dx, want.dx, n_x,
                     c->format.is_x_bf16 ? U + 2e-5 : 2e-5);
    }
    if ((flags & WITH_NORM) != 0 && (flags & WITHOUT_DX) == 0) {
        expect_equal(v, "sums", got.sums, want.sums,
                     2 * (int64_t)c->in_channels, 1e-4);
        assert_true(fabs(got.clip_grad - want.clip_grad) <=
                    1e-4 * (1.0 + fabs(want.clip_grad)));
    }
    close_inputs(&got);
    close_outputs(&got);
    close_outputs(&want);
}

static const int k_flags[] = {
    0,
    WITH_NORM | WITH_CLIP | WITH_SLOPES,
    WITH_NORM | WITH_SLOPES,
    WITH_SLOPES | WITHOUT_DX,
    WITH_NORM | WITH_CLIP | WITHOUT_DW,
};
enum { N_FLAGS = sizeof(k_flags) / sizeof(k_flags[0]) };

static const int k_shapes[][3] = {
    {1, 1, 1},     {3, 17, 8},    {40, 33, 1},   {50, 3, 40},
    {64, 96, 24},  {13, 1, 29},   {97, 50, 17},  {200, 16, 96},
    {500, 27, 16}, {130, 64, 10}, {77, 136, 65}, {701, 48, 112},
};
enum { N_SHAPES = sizeof(k_shapes) / sizeof(k_shapes[0]) };

static void exact_pointwise(const variant *v) {
    for (int i = 0; i < N_SHAPES * N_FORMATS; i++) {
        const int *s = k_shapes[i / N_FORMATS];
        conv c = make_pointwise(s[0], s[1], s[2], i % 2 == 0 ? 0 : 5);
        c.format = k_formats[i % N_FORMATS];
        check_exact(v, &c, k_flags[i % N_FLAGS]);
        check_exact(v, &c, k_flags[(i + 2) % N_FLAGS]);
    }
}

static void exact_depthwise(const variant *v) {
    static const int k_channels[] = {1, 3, 17, 40};
    static const int k_sides[][2] = {{1, 1}, {5, 7}, {8, 8}, {16, 9}};
    for (int i = 0; i < 4 * 4 * N_FORMATS; i++) {
        const int *side = k_sides[i / 4 % 4];
        for (int kernel = 3; kernel <= 7; kernel += 2) {
            int stride = 1 + (i + kernel / 2) % 2;
            conv c = make_depthwise(1 + i % 3, side[0], side[1],
                                    k_channels[i % 4], kernel, stride, 0);
            c.format = k_formats[i / 16];
            check_exact(v, &c, k_flags[1]);
            check_exact(v, &c, k_flags[(i + kernel) % N_FLAGS]);
        }
    }
    /* Several channel groups. */
    for (int stride = 1; stride <= 2; stride++) {
        conv large = make_depthwise(1, 33, 31, 200, 5, stride, 0);
        large.format = k_formats[3];
        check_exact(v, &large, k_flags[1]);
    }
}

/* |got - want| <= U2 * sums of the sizes of all products, and a little. */
static void expect_bound(const variant *v, const char *what, const float *got,
                         const float *want, const float *sizes, int64_t n) {
    double worst = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double off = fabs((double)got[i] - (double)want[i]);
        double bound = U2 * (double)sizes[i] + 1e-4;
        if (!(off <= bound)) {
            fail_msg("%s %s: %s[%lld] is %.9g, want %.9g within %.3g",
                     v->backend->name, v->isa != NULL ? v->isa : "auto", what,
                     (long long)i, (double)got[i], (double)want[i], bound);
        }
        worst = fmax(worst, off / bound);
    }
    /* And it was rounded at all: else the precision is not looked at. */
    assert_true(n < 100 || worst > 1e-3);
}

static void positive(float *values, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        values[i] = fabsf(values[i]);
    }
}

/* Random factors. The same products of sizes alone give the bound. */
static void check_bound(const variant *v, const conv *c) {
    tensors got = {0}, sizes = {0};
    open_inputs(c, &got);
    open_inputs(c, &sizes);
    tensors want = got;
    open_outputs(c, &got);
    open_outputs(c, &want);
    open_outputs(c, &sizes);
    int64_t n_z = c->out_rows * c->out_channels;
    int64_t n_x = c->in_rows * c->in_channels;
    int64_t n_w = c->w_rows * (c->ldw + 2);
    positive(sizes.x, n_x);
    positive(sizes.w, c->w_rows * c->ldw);
    positive(sizes.g, n_z);
    positive(sizes.dw, n_w);
    tensors *all[] = {&got, &want, &sizes};
    for (int i = 0; i < 3; i++) {
        const apq_backend *b = i == 0 ? v->backend : reference();
        assert_int_equal(run_forward(b, c, all[i], 0, false), APQ_OK);
        assert_int_equal(run_backward(b, c, all[i], 0), APQ_OK);
    }
    expect_bound(v, "z", got.z, want.z, sizes.z, n_z);
    expect_bound(v, "dx", got.dx, want.dx, sizes.dx, n_x);
    expect_bound(v, "dw", got.dw, want.dw, sizes.dw, n_w);
    close_inputs(&got);
    close_inputs(&sizes);
    close_outputs(&got);
    close_outputs(&want);
    close_outputs(&sizes);
}

static void bound_pointwise(const variant *v) {
    for (int i = 0; i < N_SHAPES; i++) {
        const int *s = k_shapes[i];
        conv c = make_pointwise(s[0], s[1], s[2], 0);
        c.format.precision = APQ_BFLOAT16;
        check_bound(v, &c);
    }
}

/* Sizes of the products that an expansion's gradients are sums of: those of g,
 * which ref finds with the expansion's output stored, with a*w and x. */
static void expansion_sizes(const conv *c, tensors *t, const expansion *e,
                            int in, int64_t ldw, float *dx, float *dw) {
    int64_t k = c->in_channels;
    tensors plain = *t;
    plain.x = guarded_new(c->in_rows * k);
    open_outputs(c, &plain);
    assert_int_equal(
        reference()->pointwise_forward(
            &(apq_pointwise_shape){c->in_rows, in, (int)k, ldw},
            &(apq_conv_forward){
                .x = e->x, .w = e->w, .z = plain.x, .arena = case_arena()}),
        APQ_OK);
    assert_int_equal(run_backward(reference(), c, &plain,
                                  WITH_NORM | WITH_CLIP | WITH_SLOPES),
                     APQ_OK);
    memset(dx, 0, (size_t)(c->in_rows * in) * sizeof *dx);
    memset(dw, 0, (size_t)(k * (ldw + 1)) * sizeof *dw);
    for (int64_t i = 0; i < c->in_rows * k; i++) {
        float g = fabsf(plain.dx[i] * t->in_vectors[i % k]);
        for (int j = 0; j < in; j++) {
            dx[i / k * in + j] += g * fabsf(e->w[i % k * ldw + j]);
            dw[i % k * (ldw + 1) + j] += g * fabsf(e->x[i / k * in + j]);
        }
    }
    guarded_free(plain.x);
    close_outputs(&plain);
}

/* An expansion in front: what it makes is exact, so that ref and bfloat16
 * clamp the same values; its gradient is not. */
static void check_expansion(const variant *v, const conv *c, int in,
                            int64_t ldw) {
    tensors got = {0}, want = {0};
    open_exact(c, &got);
    open_exact(c, &want);
    open_outputs(c, &got);
    open_outputs(c, &want);
    int64_t k = c->in_channels;
    expansion e[2] = {open_expansion(c, in, ldw), open_expansion(c, in, ldw)};
    for (int i = 0; i < 2; i++) {
        coarsen(e[i].x, c->in_rows * in, 0.125F);
        coarsen(e[i].w, k * ldw, 0.125F);
    }
    run_expanded(v->backend, c, &got, &e[0], in, ldw);
    run_expanded(reference(), c, &want, &e[1], in, ldw);
    expect_equal(v, "expanded z", got.z, want.z, c->out_rows * k, 3e-5);
    expect_equal(v, "depthwise dw", got.dw, want.dw, c->w_rows * (c->ldw + 2),
                 2e-6 * sqrt((double)c->out_rows) + 1e-5);
    expect_equal(v, "expanded sums", got.sums, want.sums, 2 * k, 1e-4);
    float *dx = guarded_new(c->in_rows * in);
    float *dw = guarded_new(k * (ldw + 1));
    expansion_sizes(c, &want, &e[1], in, ldw, dx, dw);
    expect_bound(v, "expanded dx", e[0].dx, e[1].dx, dx, c->in_rows * in);
    expect_bound(v, "expanded dw", e[0].dw, e[1].dw, dw, k * (ldw + 1));
    guarded_free(dx);
    guarded_free(dw);
    close_inputs(&got);
    close_inputs(&want);
    close_outputs(&got);
    close_outputs(&want);
    close_expansion(&e[0]);
    close_expansion(&e[1]);
}

static void bound_expansion(const variant *v) {
    static const int k_expansions[][5] = {
        /* images, side, in, out, extra */
        {3, 5, 1, 3, 0},    {2, 8, 5, 17, 2},   {4, 7, 16, 96, 0},
        {2, 20, 24, 50, 8}, {5, 4, 33, 200, 0}, {2, 33, 12, 104, 0},
    };
    for (int i = 0; i < 6 * 3; i++) {
        const int *s = k_expansions[i / 3];
        conv c = make_depthwise(s[0], s[1], s[1], s[3], 3 + 2 * (i % 3),
                                1 + (i + i / 3) % 2, s[4]);
        c.format.precision = APQ_BFLOAT16;
        check_expansion(v, &c, s[2], s[2] + s[4]);
    }
}

/* Of one and two threads, each again the same; of both the same but for the
 * order of sums. */
static void repeatable(const variant *v) {
    conv kinds[] = {make_depthwise(5, 16, 16, 40, 5, 1, 0),
                    make_pointwise(4000, 24, 40, 0)};
    for (int i = 0; i < 2; i++) {
        conv *c = &kinds[i];
        c->format = k_formats[3];
        tensors t[4] = {{0}};
        open_exact(c, &t[0]);
        for (int j = 0; j < 4; j++) {
            t[j] = t[0];
            open_outputs(c, &t[j]);
        }
        int64_t n_w = c->w_rows * (c->ldw + 2);
        int64_t n_x = c->in_rows * c->in_channels;
        int64_t n_z = c->out_rows * c->out_channels;
        for (int j = 0; j < 4; j++) {
            apq_backend_set_threads(1 + j / 2);
            assert_int_equal(run_forward(v->backend, c, &t[j], 3, true),
                             APQ_OK);
            assert_int_equal(run_backward(v->backend, c, &t[j], 11), APQ_OK);
        }
        for (int j = 0; j < 4; j += 2) {
            expect_equal(v, "again", t[j + 1].dw, t[j].dw, n_w, 0.0);
            expect_equal(v, "again", t[j + 1].sums, t[j].sums,
                         2 * (int64_t)c->in_channels, 0.0);
        }
        expect_equal(v, "two threads z", t[2].z, t[0].z, n_z, 0.0);
        expect_equal(v, "two threads dx", t[2].dx, t[0].dx, n_x, 0.0);
        expect_equal(v, "two threads dw", t[2].dw, t[0].dw, n_w, 1e-4);
        close_inputs(&t[0]);
        for (int j = 0; j < 4; j++) {
            close_outputs(&t[j]);
        }
    }
    apq_backend_set_threads(2);
}

static void test_exact_pointwise(void **state) {
    (void)state;
    for_variants(exact_pointwise);
}

static void test_exact_depthwise(void **state) {
    (void)state;
    for_variants(exact_depthwise);
}

static void test_bound_pointwise(void **state) {
    (void)state;
    for_variants(bound_pointwise);
}

static void test_bound_expansion(void **state) {
    (void)state;
    for_variants(bound_expansion);
}

static void test_repeatable(void **state) {
    (void)state;
    for_variants(repeatable);
}

static void test_refusals(void **state) {
    (void)state;
    conv c = make_pointwise(4, 2, 2, 0);
    float values[16] = {0};
    apq_conv_forward args = {
        .format = {APQ_FLOAT32, true, false},
        .x = values,
        .w = values,
        .z = values,
        .arena = case_arena(),
    };
    const apq_backend *cpu = NULL;
    assert_int_equal(apq_backend_find("cpu", &cpu), APQ_OK);
    assert_int_equal(cpu->pointwise_forward(&c.pointwise, &args), APQ_ERR_ARG);
    args.format = (apq_format){APQ_BFLOAT16, false, false};
    assert_false(reference()->has_bfloat16);
    assert_int_equal(reference()->pointwise_forward(&c.pointwise, &args),
                     APQ_ERR_UNSUPPORTED);
}

int main(void) {
    apq_backend_set_threads(2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_exact_pointwise),
        cmocka_unit_test(test_exact_depthwise),
        cmocka_unit_test(test_bound_pointwise),
        cmocka_unit_test(test_bound_expansion),
        cmocka_unit_test(test_repeatable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
