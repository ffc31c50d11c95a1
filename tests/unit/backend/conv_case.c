/* Cases of convolutions: inputs lie between NaN guards, what is accumulated
 * onto starts from random values. */
#include "unit/backend/conv_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

conv make_pointwise(int64_t rows, int in, int out, int64_t extra) {
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

conv make_depthwise(int n, int height, int width, int channels, int kernel,
                    int stride, int64_t extra) {
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

apq_norm norm_of(const conv *c, const tensors *t, int flags) {
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

/* bfloat16 between guards of NaN; the values of src, if any, are kept whole. */
static uint16_t *narrow_new(const float *src, int64_t n) {
    uint16_t *p = calloc((size_t)n + 2 * GUARD, sizeof *p);
    assert_non_null(p);
    memset(p, 0xff, ((size_t)n + 2 * GUARD) * sizeof *p);
    for (int64_t i = 0; i < n && src != NULL; i++) {
        uint32_t bits;
        memcpy(&bits, src + i, sizeof bits);
        assert_int_equal(bits & 0xffffU, 0);
        p[GUARD + i] = (uint16_t)(bits >> 16);
    }
    return p + GUARD;
}

/* dst, if any, = p, which is then released; its guards must be intact. */
static void narrow_close(uint16_t *p, float *dst, int64_t n) {
    for (int64_t i = 0; i < n && dst != NULL; i++) {
        uint32_t bits = (uint32_t)p[i] << 16;
        memcpy(dst + i, &bits, sizeof bits);
    }
    for (int i = 0; i < GUARD; i++) {
        assert_int_equal(p[i - GUARD], 0xffff);
        assert_int_equal(p[n + i], 0xffff);
    }
    free(p - GUARD);
}

static apq_format format_for(const apq_backend *b, const conv *c) {
    return b == reference() ? (apq_format){0} : c->format;
}

apq_status run_forward(const apq_backend *b, const conv *c, const tensors *t,
                       int flags, bool with_sums) {
    int64_t n_x = c->in_rows * c->in_channels;
    int64_t n_z = c->out_rows * c->out_channels;
    uint16_t *x = narrow_new(c->format.is_x_bf16 ? t->x : NULL, n_x);
    uint16_t *z = narrow_new(NULL, n_z);
    apq_conv_forward args = {
        .format = format_for(b, c),
        .x = t->x,
        .norm = norm_of(c, t, flags),
        .w = t->w,
        .z = t->z,
        .mean = with_sums ? t->statistics : NULL,
        .variance = with_sums ? t->statistics + c->out_channels : NULL,
        .arena = case_arena(),
    };
    args.x = args.format.is_x_bf16 ? (const void *)x : t->x;
    args.z = args.format.is_z_bf16 ? (void *)z : t->z;
    apq_status st = c->is_depthwise
                        ? b->depthwise_forward(&c->depthwise, &args)
                        : b->pointwise_forward(&c->pointwise, &args);
    narrow_close(x, NULL, n_x);
    narrow_close(z, args.format.is_z_bf16 ? t->z : NULL, n_z);
    return st;
}

apq_status run_backward(const apq_backend *b, const conv *c, tensors *t,
                        int flags) {
    int k = c->out_channels;
    int64_t n_x = c->in_rows * c->in_channels;
    int64_t n_z = c->out_rows * k;
    bool is_x_bf16 = c->format.is_x_bf16;
    bool is_z_bf16 = c->format.is_z_bf16;
    uint16_t *x = narrow_new(is_x_bf16 ? t->x : NULL, n_x);
    uint16_t *g = narrow_new(is_z_bf16 ? t->g : NULL, n_z);
    uint16_t *z = narrow_new(is_z_bf16 ? t->z_given : NULL, n_z);
    uint16_t *dx = narrow_new(NULL, n_x);
    apq_conv_backward args = {
        .format = format_for(b, c),
        .norm = norm_of(c, t, flags),
        .w = t->w,
        .dw = (flags & WITHOUT_DW) != 0 ? NULL : t->dw,
        .lddw = c->ldw + 2,
        .sum_g = t->sums,
        .sum_gx = t->sums + c->in_channels,
        .clip_grad = &t->clip_grad,
        .arena = case_arena(),
    };
    is_x_bf16 = args.format.is_x_bf16;
    is_z_bf16 = args.format.is_z_bf16;
    args.g = is_z_bf16 ? (const void *)g : t->g;
    args.z = is_z_bf16 ? (const void *)z : t->z_given;
    args.x = is_x_bf16 ? (const void *)x : t->x;
    if ((flags & WITHOUT_DX) == 0) {
        args.dx = is_x_bf16 ? (void *)dx : t->dx;
    }
    if ((flags & WITH_SLOPES) != 0) {
        args.slopes = (apq_bn_slopes){t->out_vectors, t->out_vectors + k,
                                      t->out_vectors + 2 * (int64_t)k};
    }
    apq_status st = c->is_depthwise
                        ? b->depthwise_backward(&c->depthwise, &args)
                        : b->pointwise_backward(&c->pointwise, &args);
    narrow_close(x, NULL, n_x);
    narrow_close(g, NULL, n_z);
    narrow_close(z, NULL, n_z);
    narrow_close(dx, args.dx == (void *)dx ? t->dx : NULL, n_x);
    return st;
}

void open_inputs(const conv *c, tensors *t) {
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

void open_outputs(const conv *c, tensors *t) {
    t->z = guarded_new(c->out_rows * c->out_channels);
    t->statistics = guarded_new(2 * (int64_t)c->out_channels);
    t->dw = guarded_random(c->w_rows * (c->ldw + 2), 7); /* accumulated onto */
    t->dx = guarded_new(c->in_rows * c->in_channels);
    t->sums = guarded_new(2 * (int64_t)c->in_channels);
}

void close_inputs(tensors *t) {
    float *all[] = {t->x,       t->w,          t->g,
                    t->z_given, t->in_vectors, t->out_vectors};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        guarded_free(all[i]);
    }
}

void close_outputs(tensors *t) {
    float *all[] = {t->z, t->statistics, t->dw, t->dx, t->sums};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        guarded_free(all[i]);
    }
}

expansion open_expansion(const conv *c, int in, int64_t ldw) {
    int64_t k = c->in_channels;
    return (expansion){
        .x = guarded_random(c->in_rows * in, 8),
        .w = guarded_random(k * ldw, 9),
        .statistics = guarded_new(2 * k + in + (int64_t)in * in),
        .dw = guarded_random(k * (ldw + 1), 10),
        .dx = guarded_new(c->in_rows * in),
    };
}

void close_expansion(expansion *e) {
    float *all[] = {e->x, e->w, e->statistics, e->dw, e->dx};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        guarded_free(all[i]);
    }
}

void run_expanded(const apq_backend *b, const conv *c, tensors *t, expansion *e,
                  int in, int64_t ldw) {
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
        .format = format_for(b, c),
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
        .format = forward.format,
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
