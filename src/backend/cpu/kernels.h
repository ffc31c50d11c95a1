#ifndef APQ_BACKEND_CPU_KERNELS_H
#define APQ_BACKEND_CPU_KERNELS_H

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
    APQ_GEMM_MAX_TILE = 8 * 32, /* floats of one micro-tile, any set */
};

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
    /* One row of `width` pixels of `channels` floats, `step` apart, into
     * consecutive blocks `block` floats apart. */
    void (*pack)(const float *src, int64_t step, int width, int channels,
                 float *dst, int64_t block);
    /* sum, square (length): sums of x - shift and its square over `rows` rows,
     * overwritten. */
    void (*bn_sums)(const float *x, int64_t rows, int length,
                    const float *shift, float *sum, float *square);
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

/* The best set this machine runs within apq_backend_limit_isa(). */
const apq_cpu_kernels *apq_cpu_kernels_get(void);
/* Whether a limit is set: oneDNN, which has its own dispatch, is then not
 * used. */
int apq_cpu_isa_is_limited(void);

/* 64-byte aligned, not zeroed; NULL on exhaustion. Release with free(). */
float *apq_cpu_scratch(int64_t n_floats);

#endif
