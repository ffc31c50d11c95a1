/* Convolutions of 8-bit codes with 32-bit sums: a tile of pixels by a vector
 * of output channels stays in registers while the depth is walked. Plain
 * loops of fixed length that the compiler turns into vector code. */
#include "deploy/int_kernels.h"

#include "base/simd.h"

#include <string.h>

enum { LANES = APQ_INT_LANES, TILE = APQ_INT_TILE };

int64_t apq_int_lanes(int64_t n) {
    return (n + LANES - 1) / LANES * LANES;
}

static int max_int(int a, int b) {
    return a > b ? a : b;
}

void apq_int_padded_size(const apq_int_layer *l, int *height, int *width) {
    int pad = l->kernel / 2;
    int tiled = (l->out_size + TILE - 1) / TILE * TILE;
    *height =
        max_int((l->out_size - 1) * l->stride + l->kernel, l->in_size + pad);
    *width = max_int((tiled - 1) * l->stride + l->kernel, l->in_size + pad);
}

/* Tables ------------------------------------------------------------------ */

int apq_int_zero(const apq_int_codes *codes) {
    return codes->low < 0 ? APQ_INT_ZERO : 0;
}

static apq_status make_channel_tables(apq_arena *arena,
                                      const apq_int_conv *conv,
                                      apq_int_layer *out) {
    size_t ldy = (size_t)apq_int_lanes(conv->ir.out_channels);
    int32_t *init = apq_arena_alloc(arena, ldy, sizeof *init);
    float *scale = apq_arena_alloc(arena, ldy, sizeof *scale);
    if (init == NULL || scale == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "integer evaluation: out of memory");
    }
    memset(init, 0, ldy * sizeof *init);
    memset(scale, 0, ldy * sizeof *scale);
    int64_t depth = apq_int_depth(&conv->ir);
    for (int k = 0; k < conv->ir.out_channels; k++) {
        int32_t sum = 0;
        for (int64_t d = 0; d < depth; d++) {
            sum += conv->w[k * depth + d];
        }
        init[k] = conv->bias[k] - apq_int_zero(&conv->in) * sum;
        scale[k] = conv->rescale[k];
    }
    out->init = init;
    out->scale = scale;
    return APQ_OK;
}

static apq_status make_reround_table(apq_arena *arena, const apq_int_conv *conv,
                                     apq_int_layer *out) {
    if (conv->reround == NULL) {
        return APQ_OK;
    }
    uint8_t *table = apq_arena_alloc(arena, 256, 1);
    if (table == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "integer evaluation: out of memory");
    }
    for (int i = 0; i < 256; i++) {
        table[i] = (uint8_t)(conv->reround[i] + apq_int_zero(&conv->in));
    }
    out->reround = table;
    return APQ_OK;
}

apq_status apq_int_layer_init(apq_arena *arena, const apq_int_conv *conv,
                              apq_int_layer *out) {
    *out = (apq_int_layer){
        .in_channels = conv->ir.in_channels,
        .out_channels = conv->ir.out_channels,
        .ldx = apq_int_lanes(conv->ir.in_channels),
        .ldy = apq_int_lanes(conv->ir.out_channels),
        .kernel = conv->ir.kernel,
        .stride = conv->ir.stride,
        .in_size = conv->ir.in_size,
        .out_size = conv->ir.out_size,
        .in_zero = apq_int_zero(&conv->in),
        .code_low = conv->out.low,
        .code_high = conv->out.high,
        .code_zero = apq_int_zero(&conv->out),
    };
    APQ_TRY(make_reround_table(arena, conv, out));
    return make_channel_tables(arena, conv, out);
}

/* To codes ---------------------------------------------------------------- */

/* Round half to even, |v| < 2^22; clamps NaN to low so that the conversion
 * to an integer is always defined. */
static inline float round_clamped(float v, float low, float high) {
    const float shift = 12582912.0F; /* 1.5 * 2^23 */
    v = v > low ? v : low;
    v = v < high ? v : high;
    return (v + shift) - shift;
}

APQ_SIMD_CLONES
static void encode_image(const float *x, int64_t n, float step,
                         uint8_t *stored) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float code = round_clamped(x[i] / step, -128.0F, 127.0F);
        stored[i] = (uint8_t)((int)code + APQ_INT_ZERO);
    }
}

void apq_int_encode_image(const float *x, int64_t n, float step,
                          uint8_t *stored) {
    encode_image(x, n, step, stored);
}

void apq_int_reround(const uint8_t *table, const uint8_t *x, int64_t n,
                     uint8_t *y) {
    for (int64_t i = 0; i < n; i++) {
        y[i] = table[x[i]];
    }
}

static inline int clamp_code(const apq_int_layer *l, int code) {
    code = code > l->code_low ? code : l->code_low;
    return code < l->code_high ? code : l->code_high;
}

/* One pixel's LANES sums; all are read before any is written. */
static inline void finish(const apq_int_layer *l, const int32_t *sum, int64_t k,
                          const uint8_t *residual, uint8_t *y) {
    const float *scale = l->scale + k;
    float low = (float)l->code_low, high = (float)l->code_high;
    int zero = l->code_zero;
    int code[LANES];
#pragma omp simd
    for (int i = 0; i < LANES; i++) {
        code[i] = (int)round_clamped((float)sum[i] * scale[i], low, high);
    }
    if (residual != NULL) {
        for (int i = 0; i < LANES; i++) {
            code[i] = clamp_code(l, code[i] + residual[i] - zero);
        }
    }
    for (int i = 0; i < LANES; i++) {
        y[i] = (uint8_t)(code[i] + zero);
    }
}

static inline void finish_tile(const apq_int_layer *l, int32_t acc[TILE][LANES],
                               int64_t k, int64_t pixel,
                               const uint8_t *residual, uint8_t *y) {
    for (int t = 0; t < TILE; t++) {
        int64_t at = (pixel + t) * l->ldy + k;
        finish(l, acc[t], k, residual == NULL ? NULL : residual + at, y + at);
    }
}

/* Convolutions ------------------------------------------------------------ */

APQ_SIMD_CLONES
static void pointwise(const apq_int_layer *l, const uint8_t *x,
                      const uint8_t *residual, uint8_t *y) {
    int64_t pixels = (int64_t)l->in_size * l->in_size;
    int64_t ldx = l->ldx;
    int depth = l->in_channels;
    for (int64_t k = 0; k < l->ldy; k += LANES) {
        const int32_t *w = l->w + k * depth;
        for (int64_t p = 0; p < pixels; p += TILE) {
            const uint8_t *rows = x + p * ldx;
            int32_t acc[TILE][LANES];
            for (int t = 0; t < TILE; t++) {
                memcpy(acc[t], l->init + k, sizeof acc[t]);
            }
            for (int c = 0; c < depth; c++) {
                for (int t = 0; t < TILE; t++) {
                    int32_t a = rows[t * ldx + c];
#pragma omp simd
                    for (int i = 0; i < LANES; i++) {
                        acc[t][i] += a * w[c * LANES + i];
                    }
                }
            }
            finish_tile(l, acc, k, p, residual, y);
        }
    }
}

void apq_int_pointwise(const apq_int_layer *layer, const uint8_t *x,
                       const uint8_t *residual, uint8_t *y) {
    pointwise(layer, x, residual, y);
}

/* Row y of the padded input, as the products want it. */
APQ_SIMD_CLONES
static void widen_row(const apq_int_layer *l, const uint8_t *x, int y,
                      int width, int32_t *row) {
    int64_t n = width * l->ldx;
    int64_t begin = l->kernel / 2 * l->ldx;
    int64_t n_in = l->in_size * l->ldx;
    int32_t zero = l->in_zero;
    for (int64_t i = 0; i < n; i++) {
        row[i] = zero;
    }
    y -= l->kernel / 2;
    if (y < 0 || y >= l->in_size) {
        return;
    }
    for (int64_t i = 0; i < n_in; i++) {
        row[begin + i] = x[y * n_in + i];
    }
}

/* One output row. A tile may run over its end: those pixels are the start of
 * the next row, which overwrites them, or the spare ones after the last. */
APQ_SIMD_CLONES
static void depthwise_row(const apq_int_layer *l, const int32_t *ring,
                          int width, int oy, const uint8_t *residual,
                          uint8_t *y) {
    int64_t ldx = l->ldx;
    int64_t step = l->stride * ldx;
    int kernel = l->kernel;
    for (int64_t k = 0; k < l->ldy; k += LANES) {
        for (int ox = 0; ox < l->out_size; ox += TILE) {
            const int32_t *w = l->w + k * kernel * kernel;
            int32_t acc[TILE][LANES];
            for (int t = 0; t < TILE; t++) {
                memcpy(acc[t], l->init + k, sizeof acc[t]);
            }
            for (int ky = 0; ky < kernel; ky++) {
                int slot = (oy * l->stride + ky) % kernel;
                const int32_t *x = ring + slot * width * ldx + ox * step + k;
                for (int kx = 0; kx < kernel; kx++) {
                    for (int t = 0; t < TILE; t++) {
#pragma omp simd
                        for (int i = 0; i < LANES; i++) {
                            acc[t][i] += x[t * step + i] * w[i];
                        }
                    }
                    x += ldx;
                    w += LANES;
                }
            }
            finish_tile(l, acc, k, (int64_t)oy * l->out_size + ox, residual, y);
        }
    }
}

void apq_int_depthwise(const apq_int_layer *l, const uint8_t *x, int32_t *ring,
                       const uint8_t *residual, uint8_t *y) {
    int height, width;
    apq_int_padded_size(l, &height, &width);
    int n_rows = 0; /* widened so far; row y is in slot y mod kernel */
    for (int oy = 0; oy < l->out_size; oy++) {
        int end = oy * l->stride + l->kernel;
        n_rows = max_int(n_rows, oy * l->stride);
        for (; n_rows < end; n_rows++) {
            int64_t slot = n_rows % l->kernel;
            widen_row(l, x, n_rows, width, ring + slot * width * l->ldx);
        }
        depthwise_row(l, ring, width, oy, residual, y);
    }
}

APQ_SIMD_CLONES
static void stem(const apq_int_layer *l, const uint8_t *padded, int width,
                 uint8_t *y) {
    int64_t ldx = l->in_channels;
    int64_t step = l->stride * ldx;
    int row_depth = l->kernel * l->in_channels;
    for (int oy = 0; oy < l->out_size; oy++) {
        const uint8_t *row = padded + (int64_t)oy * l->stride * width * ldx;
        for (int64_t k = 0; k < l->ldy; k += LANES) {
            for (int ox = 0; ox < l->out_size; ox += TILE) {
                const int32_t *w = l->w + k * l->kernel * row_depth;
                int32_t acc[TILE][LANES];
                for (int t = 0; t < TILE; t++) {
                    memcpy(acc[t], l->init + k, sizeof acc[t]);
                }
                for (int ky = 0; ky < l->kernel; ky++) {
                    const uint8_t *x = row + ox * step + ky * width * ldx;
                    for (int j = 0; j < row_depth; j++) {
                        for (int t = 0; t < TILE; t++) {
                            int32_t a = x[t * step + j];
#pragma omp simd
                            for (int i = 0; i < LANES; i++) {
                                acc[t][i] += a * w[i];
                            }
                        }
                        w += LANES;
                    }
                }
                finish_tile(l, acc, k, (int64_t)oy * l->out_size + ox, NULL, y);
            }
        }
    }
}

void apq_int_stem(const apq_int_layer *l, const uint8_t *x, uint8_t *padded,
                  uint8_t *y) {
    int height, width, pad = l->kernel / 2;
    apq_int_padded_size(l, &height, &width);
    size_t pixel = (size_t)l->in_channels;
    size_t n = (size_t)l->in_size * pixel;
    memset(padded, l->in_zero, (size_t)height * (size_t)width * pixel);
    for (int row = 0; row < l->in_size; row++) {
        memcpy(padded +
                   ((size_t)(row + pad) * (size_t)width + (size_t)pad) * pixel,
               x + (size_t)row * n, n);
    }
    stem(l, padded, width, y);
}

/* Classifier -------------------------------------------------------------- */

apq_status apq_int_head_create(apq_arena *arena, const apq_int_model *m,
                               apq_int_head *out) {
    size_t n = (size_t)m->n_classes, n_weights = n * (size_t)m->channels;
    int8_t *w = apq_arena_alloc(arena, n_weights, sizeof *w);
    int32_t *bias = apq_arena_alloc(arena, n, sizeof *bias);
    float *scale = apq_arena_alloc(arena, n, sizeof *scale);
    if (w == NULL || bias == NULL || scale == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "integer evaluation: out of memory");
    }
    memcpy(w, m->w, n_weights * sizeof *w);
    memcpy(bias, m->bias, n * sizeof *bias);
    memcpy(scale, m->logit_scale, n * sizeof *scale);
    *out = (apq_int_head){
        .n_classes = m->n_classes,
        .channels = m->channels,
        .pool_rescale = m->pool_rescale,
        .pooled_high = m->pooled.high,
        .w = w,
        .bias = bias,
        .logit_scale = scale,
    };
    return APQ_OK;
}

APQ_SIMD_CLONES
static int32_t dot(const uint8_t *x, const int8_t *w, int n) {
    int32_t sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++) {
        sum += x[i] * w[i];
    }
    return sum;
}

int32_t apq_int_dot(const uint8_t *x, const int8_t *w, int n) {
    return dot(x, w, n);
}

void apq_int_classify(const apq_int_head *h, const int32_t *totals,
                      uint8_t *pooled, float *logits) {
    for (int c = 0; c < h->channels; c++) {
        float mean = (float)totals[c] * h->pool_rescale;
        float code = round_clamped(mean, 0.0F, (float)h->pooled_high);
        pooled[c] = (uint8_t)(int)code;
    }
    for (int k = 0; k < h->n_classes; k++) {
        const int8_t *w = h->w + (int64_t)k * h->channels;
        int32_t sum = h->bias[k] + apq_int_dot(pooled, w, h->channels);
        logits[k] = (float)sum * h->logit_scale[k];
    }
}
