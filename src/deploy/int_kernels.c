/* Convolutions of 8-bit codes with 32-bit sums: a tile of pixels by a vector
 * of output channels stays in registers while the depth is walked. Plain
 * loops of fixed length that the compiler turns into vector code. */
#include "deploy/int_kernels.h"

#include "base/simd.h"

#include <float.h>
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

/* Round half to even, |v| < 2^22; clamps NaN to low so that the conversion
 * to an integer is always defined. */
static inline float round_clamped(float v, float low, float high) {
    const float shift = 12582912.0F; /* 1.5 * 2^23 */
    v = v > low ? v : low;
    v = v < high ? v : high;
    return (v + shift) - shift;
}

/* One pixel's LANES sums to codes and values at offset `at`. What a store of
 * codes might alias is read first, into locals. */
static inline void finish(const apq_int_layer *l, const apq_int_output *out,
                          const float *sum, int64_t k, int64_t at) {
    const float *scale = l->scale + k, *shift = l->shift + k;
    float v[LANES];
#pragma omp simd
    for (int i = 0; i < LANES; i++) {
        v[i] = sum[i] * scale[i] + shift[i];
    }
    if (out->residual != NULL) {
        const float *residual = out->residual + at;
#pragma omp simd
        for (int i = 0; i < LANES; i++) {
            v[i] += residual[i];
        }
    }
    if (out->values != NULL) {
        float low = l->clip > 0.0F ? 0.0F : -FLT_MAX;
        float high = l->clip > 0.0F ? l->clip : FLT_MAX;
        float *values = out->values + at;
#pragma omp simd
        for (int i = 0; i < LANES; i++) {
            float y = v[i] < low ? low : v[i];
            values[i] = y > high ? high : y;
        }
    }
    if (out->codes != NULL) {
        float code_scale = l->code_scale;
        float low = l->code_low, high = l->code_high;
        int zero = l->code_zero;
        uint8_t *codes = out->codes + at;
#pragma omp simd
        for (int i = 0; i < LANES; i++) {
            float q = round_clamped(v[i] * code_scale, low, high);
            codes[i] = (uint8_t)((int)q + zero);
        }
    }
}

static inline void finish_tile(const apq_int_layer *l,
                               const apq_int_output *out,
                               int32_t acc[TILE][LANES], int64_t k,
                               int64_t pixel) {
    for (int t = 0; t < TILE; t++) {
        float sum[LANES];
        for (int i = 0; i < LANES; i++) {
            sum[i] = (float)acc[t][i];
        }
        finish(l, out, sum, k, (pixel + t) * l->ldy + k);
    }
}

APQ_SIMD_CLONES
static void pointwise(const apq_int_layer *l, const uint8_t *x,
                      const apq_int_output *out) {
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
            finish_tile(l, out, acc, k, p);
        }
    }
}

void apq_int_pointwise(const apq_int_layer *layer, const uint8_t *x,
                       const apq_int_output *out) {
    pointwise(layer, x, out);
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
                          int width, int oy, const apq_int_output *out) {
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
            finish_tile(l, out, acc, k, (int64_t)oy * l->out_size + ox);
        }
    }
}

void apq_int_depthwise(const apq_int_layer *l, const uint8_t *x, int32_t *ring,
                       const apq_int_output *out) {
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
        depthwise_row(l, ring, width, oy, out);
    }
}

APQ_SIMD_CLONES
static void stem(const apq_int_layer *l, const float *padded, int width,
                 const apq_int_output *out) {
    int64_t ldx = l->in_channels;
    int64_t step = l->stride * ldx;
    int row_depth = l->kernel * l->in_channels;
    for (int oy = 0; oy < l->out_size; oy++) {
        const float *row = padded + (int64_t)oy * l->stride * width * ldx;
        for (int64_t k = 0; k < l->ldy; k += LANES) {
            for (int ox = 0; ox < l->out_size; ox += TILE) {
                const int32_t *w = l->w + k * l->kernel * row_depth;
                float acc[TILE][LANES] = {{0.0F}};
                for (int ky = 0; ky < l->kernel; ky++) {
                    const float *x = row + ox * step + ky * width * ldx;
                    for (int j = 0; j < row_depth; j++) {
                        for (int t = 0; t < TILE; t++) {
                            float a = x[t * step + j];
#pragma omp simd
                            for (int i = 0; i < LANES; i++) {
                                acc[t][i] += a * (float)w[i];
                            }
                        }
                        w += LANES;
                    }
                }
                int64_t pixel = (int64_t)oy * l->out_size + ox;
                for (int t = 0; t < TILE; t++) {
                    finish(l, out, acc[t], k, (pixel + t) * l->ldy + k);
                }
            }
        }
    }
}

void apq_int_stem(const apq_int_layer *l, const float *image, float *padded,
                  const apq_int_output *out) {
    int height, width, pad = l->kernel / 2;
    apq_int_padded_size(l, &height, &width);
    size_t pixel = (size_t)l->in_channels;
    size_t n = (size_t)l->in_size * pixel;
    memset(padded, 0, (size_t)height * (size_t)width * pixel * sizeof *padded);
    for (int y = 0; y < l->in_size; y++) {
        memcpy(padded +
                   ((size_t)(y + pad) * (size_t)width + (size_t)pad) * pixel,
               image + (size_t)y * n, n * sizeof *image);
    }
    stem(l, padded, width, out);
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

void apq_int_encode(const float *x, int n, float scale, float high,
                    uint8_t *codes) {
    for (int i = 0; i < n; i++) {
        codes[i] = (uint8_t)(int)round_clamped(x[i] * scale, 0.0F, high);
    }
}
