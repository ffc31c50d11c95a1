#ifndef APQ_BACKEND_CPU_KERNELS_H
#define APQ_BACKEND_CPU_KERNELS_H

#include "backend/backend.h"

#include <stdbool.h>
#include <stdint.h>

/* The inner loops, compiled once per instruction set. `lanes` floats are one
 * vector; "packed" data are blocks of `lanes` channels, one vector a pixel,
 * 64-byte aligned, zero in the lanes beyond the channels. */

/* One output row of a correlation over packed pixels:
 *   out[t*out_step + l] = sum over u < n_rows, v < KX of
 *       in[u*in_row + (t*STRIDE + v)*lanes + l] * w[(u*KX + v)*lanes + l]
 * for t < n_out and l < n_valid. Steps in floats. */
typedef struct apq_row_args {
    const float *in;
    int64_t in_row;
    const float *w;
    int n_rows;
    float *out;
    int64_t out_step;
    int n_out;
    int n_valid;
} apq_row_args;
typedef void (*apq_row_kernel)(const apq_row_args *args);

/* One kernel row of the weight gradient, over n_rows rows of n_out packed
 * output pixels (n_out a multiple of APQ_WGRAD_UNROLL, the rest zero):
 *   acc[v*lanes + l] += sum over i, t of
 *       x[i*x_row + (t*STRIDE + v)*lanes + l] * dy[i*dy_row + t*lanes + l] */
typedef struct apq_wgrad_args {
    const float *x;
    int64_t x_row;
    const float *dy;
    int64_t dy_row;
    int n_rows;
    int n_out;
    float *acc;
} apq_wgrad_args;
typedef void (*apq_wgrad_kernel)(const apq_wgrad_args *args);

enum {
    APQ_WGRAD_UNROLL = 4,
    APQ_MAX_KX = 7,
    APQ_PRODUCT_VECTORS = 3,
    APQ_GEMM_MAX_TILE = 8 * 32, /* floats of one micro-tile, any set */
};

/* (rows, channels) of a larger tensor, rows `step` values apart. */
typedef struct apq_tile {
    int64_t rows;
    int channels;
    int64_t step;
    bool is_bf16; /* bfloat16 (uint16_t), else float */
} apq_tile;

/* Where rows go that become factors of a product in bfloat16, two values a
 * float's place ("slot"); NULL: not wanted.
 *   by_row:  slot (r, c/2) holds channels c and c + 1 of row r
 *   by_pair: slot (r/2, c) holds channel c of rows r and r + 1
 * `whole` channels a row, those beyond the tile's zero, as is the row that
 * an odd count lacks. */
typedef struct apq_slots {
    float *by_row, *by_pair;
    int64_t whole;
} apq_slots;

/* c (M, n_valid) = a b, or c + a b when is_added; a (M, depth) with rows
 * a_step apart, or (depth, M) in the transposed kernels; b (depth, N*lanes)
 * read whole, (N-1)*lanes < n_valid <= N*lanes. In bfloat16 a and b are
 * slots, each the two values of two steps of the depth. */
typedef struct apq_product_args {
    int64_t depth;
    const float *a;
    int64_t a_step;
    const float *b;
    int64_t b_step;
    float *c;
    int64_t c_step;
    int n_valid;
    bool is_added;
} apq_product_args;
typedef void (*apq_product_kernel)(const apq_product_args *args);

/* Per-channel parameters repeated over one row of `length` floats. */
typedef struct apq_bn_params {
    const float *scale, *shift, *mean;
    const float *slope,
        *offset; /* backward apply: dx -= slope*(x-mean) + offset */
    float clip, step;
} apq_bn_params;

typedef struct apq_cpu_kernels {
    const char *name;
    int lanes;
    /* [STRIDE - 1][KX], NULL where unused. */
    apq_row_kernel row[2][APQ_MAX_KX + 1];
    apq_wgrad_kernel wgrad[2][APQ_MAX_KX + 1];
    /* dst[r*dst_step + b*dst_block + l] = N(src) of channel b*lanes + l, zero
     * in the lanes beyond the channels. */
    void (*norm_rows)(const apq_tile *tile, const void *src,
                      const apq_norm *norm, float *dst, int64_t dst_step,
                      int64_t dst_block);
    /* Likewise of by_g * g + by_z * z + constant, both as the tile says; of g
     * alone without slopes. */
    void (*slope_rows)(const apq_tile *tile, const void *g, const void *z,
                       const apq_bn_slopes *slopes, float *dst,
                       int64_t dst_step, int64_t dst_block);
    /* The same two into slots. */
    void (*norm_slots)(const apq_tile *tile, const void *src,
                       const apq_norm *norm, const apq_slots *dst);
    void (*slope_slots)(const apq_tile *tile, const void *g, const void *z,
                        const apq_bn_slopes *slopes, const apq_slots *dst);
    /* dst, rows dst_step apart = src (float) in bfloat16. */
    void (*round_rows)(const apq_tile *tile, const float *src, uint16_t *dst,
                       int64_t dst_step);
    /* sum, square (channels): of x - shift and its square, overwritten. */
    void (*column_sums)(const apq_tile *tile, const float *x,
                        const float *shift, float *sum, float *square);
    /* g (float, rows g_step apart) = g where 0 < v < clip, else 0; v =
     * scale*x + shift, x as the tile says. sum_g, sum_gx (channels)
     * overwritten with the sums of g and g * (x - mean); returns the sum of
     * the old g over v >= clip. */
    double (*mask_reduce)(const apq_tile *tile, const void *x, float *g,
                          int64_t g_step, const apq_norm *norm, float *sum_g,
                          float *sum_gx);
    /* [bfloat16][transposed][N - 1][0: 1 row, 1: 4 rows,
     * 2: product_rows[N - 1]] */
    apq_product_kernel product[2][2][APQ_PRODUCT_VECTORS][3];
    int product_rows[APQ_PRODUCT_VECTORS];
    /* residual may be NULL. */
    void (*bn_apply)(const float *x, const float *residual, int64_t rows,
                     int length, const apq_bn_params *params, float *y);
    /* sum_g, sum_gx (length) overwritten, the second without inv_std; returns
     * the sum of dy over v >= clip. */
    double (*bn_reduce)(const float *x, const float *dy, int64_t rows,
                        int length, const apq_bn_params *params, float *sum_g,
                        float *sum_gx);
    void (*bn_backward)(const float *x, const float *dy, int64_t rows,
                        int length, const apq_bn_params *params, float *dx);
    /* tile (gemm_m, gemm_n) = a (depth, gemm_m) transposed * b (depth,
     * gemm_n), all packed. */
    int gemm_m, gemm_n;
    void (*gemm_tile)(int64_t depth, const float *a, const float *b,
                      float *tile);
} apq_cpu_kernels;

extern const apq_cpu_kernels apq_kernels_portable;
extern const apq_cpu_kernels apq_kernels_avx2;
extern const apq_cpu_kernels apq_kernels_avx512;
extern const apq_cpu_kernels apq_kernels_avx512bf16;

/* The best set this machine runs within apq_backend_limit_isa(). */
const apq_cpu_kernels *apq_cpu_kernels_get(void);
/* Whether a limit is set: oneDNN, which has its own dispatch, is then not
 * used. */
int apq_cpu_isa_is_limited(void);

/* 64-byte aligned floats of the arena, not zeroed. */
APQ_NODISCARD apq_status apq_cpu_take(apq_arena *arena, int64_t n_floats,
                                      float **out);
/* Address of a value of a float or bfloat16 tensor. */
static inline const void *apq_at(const void *data, bool is_bf16,
                                 int64_t index) {
    return (const char *)data + index * (is_bf16 ? 2 : 4);
}
static inline void *apq_at_out(void *data, bool is_bf16, int64_t index) {
    return (char *)data + index * (is_bf16 ? 2 : 4);
}
/* The vectors from a channel on. */
apq_norm apq_norm_from(const apq_norm *norm, int channel);
apq_bn_slopes apq_slopes_from(const apq_bn_slopes *slopes, int channel);

/* 64-byte aligned, not zeroed; NULL on exhaustion. Release with free(). */
float *apq_cpu_scratch(int64_t n_floats);

#endif
