/* Convolutions joined with batch norms by the definition: each is the plain
 * operators in a row, with every tensor between them stored. */
#include "backend/ref/ref.h"

#include "backend/check.h"

/* n floats of the arena; fails where it is exhausted. */
static apq_status take(apq_arena *arena, int64_t n, float **out) {
    *out = apq_arena_alloc(arena, (size_t)n, sizeof(**out));
    if (*out == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "convolution: out of memory for %lld values",
                 (long long)n);
    }
    return APQ_OK;
}

/* *y = N(x), x itself where there is no norm. */
static apq_status normalised(const apq_norm *norm, const float *x, int64_t rows,
                             int channels, apq_arena *arena, const float **y) {
    *y = x;
    if (norm->scale == NULL || rows == 0) {
        return APQ_OK;
    }
    float *out;
    APQ_TRY(take(arena, rows * channels, &out));
    *y = out;
    return apq_ref_bn_apply(&(apq_bn_apply_args){
        .rows = rows,
        .channels = channels,
        .x = x,
        .scale = norm->scale,
        .shift = norm->shift,
        .clip = norm->clip,
        .step = norm->step,
        .y = out,
    });
}

/* *dz = the gradient that the slopes make of g and z. */
static apq_status sloped(const apq_conv_backward *a, int64_t rows, int channels,
                         const float **dz) {
    *dz = a->g;
    if (a->slopes.by_g == NULL || rows == 0) {
        return APQ_OK;
    }
    const float *g = a->g, *z = a->z;
    float *out;
    APQ_TRY(take(a->arena, rows * channels, &out));
    for (int64_t i = 0; i < rows * channels; i++) {
        int64_t c = i % channels;
        out[i] = (float)((double)a->slopes.by_g[c] * (double)g[i] +
                         (double)a->slopes.by_z[c] * (double)z[i] +
                         (double)a->slopes.constant[c]);
    }
    *dz = out;
    return APQ_OK;
}

/* Masks dx and sums it up where x has a norm. */
static apq_status reduce(const apq_conv_backward *a, int64_t rows,
                         int channels) {
    const apq_norm *norm = &a->norm;
    if (norm->scale == NULL || a->dx == NULL || rows == 0) {
        return APQ_OK;
    }
    APQ_TRY(apq_ref_bn_backward_reduce(&(apq_bn_backward_args){
        .rows = rows,
        .channels = channels,
        .x = a->x,
        .dy = a->dx,
        .mean = norm->mean,
        .inv_std = norm->inv_std,
        .scale = norm->scale,
        .shift = norm->shift,
        .clip = norm->clip,
        .sum_g = a->sum_g,
        .sum_gx = a->sum_gx,
        .clip_grad = a->clip_grad,
    }));
    const float *x = a->x;
    float *dx = a->dx;
    for (int64_t i = 0; i < rows * channels && norm->clip > 0.0F; i++) {
        if (!apq_ref_is_inside_clip(norm, x[i], i % channels)) {
            dx[i] = 0.0F;
        }
    }
    return APQ_OK;
}

/* *x = the rows of a pointwise convolution: x, or the patches of that image. */
static apq_status rows_of(const apq_pointwise_shape *s,
                          const apq_depthwise_shape *patches, apq_arena *arena,
                          const float **x) {
    if (patches == NULL) {
        return APQ_OK;
    }
    float *col;
    APQ_TRY(take(arena, s->rows * s->in_channels, &col));
    APQ_TRY(apq_ref_im2col(patches, *x, col));
    *x = col;
    return APQ_OK;
}

static apq_status statistics(const apq_conv_forward *a, int64_t rows,
                             int channels) {
    return a->mean == NULL ? APQ_OK
                           : apq_ref_bn_statistics(rows, channels, a->z,
                                                   a->mean, a->variance);
}

static apq_status pointwise_forward(const apq_pointwise_shape *s,
                                    const apq_conv_forward *a) {
    const float *y, *x = a->x;
    APQ_TRY(rows_of(s, a->patches, a->arena, &x));
    APQ_TRY(normalised(&a->norm, x, s->rows, s->in_channels, a->arena, &y));
    APQ_TRY(apq_ref_gemm(&(apq_gemm_args){
        .is_b_transposed = true,
        .m = s->rows,
        .n = s->out_channels,
        .k = s->in_channels,
        .a = y,
        .lda = s->in_channels,
        .b = a->w,
        .ldb = s->ldw,
        .c = a->z,
        .ldc = s->out_channels,
    }));
    return statistics(a, s->rows, s->out_channels);
}

static apq_status pointwise_backward(const apq_pointwise_shape *s,
                                     const apq_conv_backward *a) {
    const float *y, *dz, *x = a->x;
    APQ_TRY(rows_of(s, a->patches, a->arena, &x));
    APQ_TRY(normalised(&a->norm, x, s->rows, s->in_channels, a->arena, &y));
    APQ_TRY(sloped(a, s->rows, s->out_channels, &dz));
    apq_gemm_args product = {
        .is_a_transposed = true,
        .m = s->out_channels,
        .n = s->in_channels,
        .k = s->rows,
        .a = dz,
        .lda = s->out_channels,
        .b = y,
        .ldb = s->in_channels,
        .beta = 1.0F,
        .c = a->dw,
        .ldc = a->lddw,
    };
    if (a->dw != NULL) {
        APQ_TRY(apq_ref_gemm(&product));
    }
    if (a->dx == NULL) {
        return APQ_OK;
    }
    product = (apq_gemm_args){
        .m = s->rows,
        .n = s->in_channels,
        .k = s->out_channels,
        .a = dz,
        .lda = s->out_channels,
        .b = a->w,
        .ldb = s->ldw,
        .c = a->dx,
        .ldc = s->in_channels,
    };
    APQ_TRY(apq_ref_gemm(&product));
    return reduce(a, s->rows, s->in_channels);
}

static int64_t in_rows(const apq_depthwise_shape *s) {
    return (int64_t)s->n * s->in_height * s->in_width;
}

static int64_t out_rows(const apq_depthwise_shape *s) {
    return (int64_t)s->n * apq_conv_out(s->in_height, s->stride) *
           apq_conv_out(s->in_width, s->stride);
}

/* What the expansion makes of its input. */
static apq_status expanded(const apq_expand *e, int64_t rows, int channels,
                           apq_arena *arena, const float **z) {
    float *out;
    APQ_TRY(take(arena, rows * channels, &out));
    *z = out;
    return apq_ref_gemm(&(apq_gemm_args){
        .is_b_transposed = true,
        .m = rows,
        .n = channels,
        .k = e->in_channels,
        .a = e->x,
        .lda = e->in_channels,
        .b = e->w,
        .ldb = e->ldw,
        .c = out,
        .ldc = channels,
    });
}

static apq_status depthwise_forward(const apq_depthwise_shape *s,
                                    const apq_conv_forward *a) {
    const float *y, *x = a->x;
    if (a->expand.x != NULL) {
        APQ_TRY(expanded(&a->expand, in_rows(s), s->channels, a->arena, &x));
    }
    APQ_TRY(normalised(&a->norm, x, in_rows(s), s->channels, a->arena, &y));
    apq_ref_depthwise_plain(s, y, a->w, a->z);
    return statistics(a, out_rows(s), s->channels);
}

static apq_status plain_backward(const apq_depthwise_shape *s,
                                 const apq_conv_backward *a) {
    const float *y, *dz;
    APQ_TRY(normalised(&a->norm, a->x, in_rows(s), s->channels, a->arena, &y));
    APQ_TRY(sloped(a, out_rows(s), s->channels, &dz));
    if (a->dw != NULL) {
        apq_ref_depthwise_weights(s, y, dz, a->dw, a->lddw);
    }
    if (a->dx == NULL) {
        return APQ_OK;
    }
    apq_ref_depthwise_data(s, dz, a->w, a->dx);
    return reduce(a, in_rows(s), s->channels);
}

/* The depthwise part with the expansion's output stored, then the expansion. */
static apq_status depthwise_backward(const apq_depthwise_shape *s,
                                     const apq_conv_backward *a) {
    const apq_expand *e = &a->expand;
    int64_t rows = in_rows(s);
    int k = s->channels;
    if (e->x == NULL || rows == 0) {
        return plain_backward(s, a);
    }
    apq_conv_backward wide = *a;
    const float *z;
    float *dx, *slopes;
    APQ_TRY(expanded(e, rows, k, a->arena, &z));
    APQ_TRY(take(a->arena, rows * k, &dx));
    wide.x = z;
    wide.dx = dx;
    APQ_TRY(take(a->arena, 2 * (int64_t)k, &slopes));
    APQ_TRY(plain_backward(s, &wide));
    for (int c = 0; c < k; c++) {
        double scale = (double)a->norm.scale[c] / (double)rows;
        double slope =
            scale * (double)a->sum_gx[c] * (double)a->norm.inv_std[c];
        slopes[c] = (float)-slope;
        slopes[k + c] = (float)(slope * (double)a->norm.mean[c] -
                                scale * (double)a->sum_g[c]);
    }
    return pointwise_backward(
        &(apq_pointwise_shape){rows, e->in_channels, k, e->ldw},
        &(apq_conv_backward){
            .g = wide.dx,
            .z = wide.x,
            .slopes = {a->norm.scale, slopes, slopes + k},
            .x = e->x,
            .w = e->w,
            .dw = e->dw,
            .lddw = e->lddw,
            .dx = a->dx,
            .arena = a->arena,
        });
}

/* The definition is that of float. */
static apq_status refuse_bfloat16(const apq_format *format) {
    if (format->precision != APQ_FLOAT32) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "backend \"ref\" computes in float32 only");
    }
    return APQ_OK;
}

/* Checks, runs and gives the workspace back, whether it failed or not. */
#define REWOUND(check, shape, args, run)                                       \
    do {                                                                       \
        APQ_TRY(check(shape));                                                 \
        APQ_TRY(refuse_bfloat16(&(args)->format));                             \
        apq_arena_mark mark = apq_arena_position((args)->arena);               \
        apq_status st = run((shape), (args));                                  \
        apq_arena_rewind((args)->arena, mark);                                 \
        return st;                                                             \
    } while (0)

apq_status apq_ref_pointwise_forward(const apq_pointwise_shape *shape,
                                     const apq_conv_forward *args) {
    REWOUND(apq_check_pointwise, shape, args, pointwise_forward);
}

apq_status apq_ref_pointwise_backward(const apq_pointwise_shape *shape,
                                      const apq_conv_backward *args) {
    REWOUND(apq_check_pointwise, shape, args, pointwise_backward);
}

apq_status apq_ref_depthwise_forward(const apq_depthwise_shape *shape,
                                     const apq_conv_forward *args) {
    REWOUND(apq_check_depthwise, shape, args, depthwise_forward);
}

apq_status apq_ref_depthwise_backward(const apq_depthwise_shape *shape,
                                      const apq_conv_backward *args) {
    REWOUND(apq_check_depthwise, shape, args, depthwise_backward);
}

/* moments (C + C*C): mean and covariance, in double until stored. */
static void moments_of(const float *x, int64_t rows, int channels,
                       float *moments) {
    float *covariance = moments + channels;
    for (int i = 0; i < channels; i++) {
        double sum = 0.0;
        for (int64_t r = 0; r < rows; r++) {
            sum += (double)x[r * channels + i];
        }
        moments[i] = (float)(sum / (double)rows);
    }
    for (int i = 0; i < channels * channels; i++) {
        int a = i / channels;
        int b = i % channels;
        double sum = 0.0;
        for (int64_t r = 0; r < rows; r++) {
            sum += ((double)x[r * channels + a] - (double)moments[a]) *
                   ((double)x[r * channels + b] - (double)moments[b]);
        }
        covariance[i] = (float)(sum / (double)rows);
    }
}

apq_status apq_ref_expand_statistics(const apq_pointwise_shape *shape,
                                     const float *x, const float *w,
                                     float *mean, float *variance,
                                     float *moments, apq_arena *arena) {
    APQ_TRY(apq_check_pointwise(shape));
    APQ_TRY(apq_check_rows(shape->rows, shape->in_channels));
    moments_of(x, shape->rows, shape->in_channels, moments);
    apq_arena_mark mark = apq_arena_position(arena);
    float *z;
    APQ_TRY(take(arena, shape->rows * shape->out_channels, &z));
    apq_status st = apq_ref_pointwise_forward(shape, &(apq_conv_forward){
                                                         .x = x,
                                                         .w = w,
                                                         .z = z,
                                                         .mean = mean,
                                                         .variance = variance,
                                                         .arena = arena,
                                                     });
    apq_arena_rewind(arena, mark);
    return st;
}
