#ifndef APQ_BACKEND_BACKEND_H
#define APQ_BACKEND_BACKEND_H

#include "backend/infer.h"
#include "base/memory.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The arithmetic. Activations are NHWC, float32 unless a call says otherwise,
 * densely packed with the active channel count C; weights are views into
 * larger tensors, given by a pointer and a leading dimension. `ref` is the
 * definition: plain loops. Every other backend is tested against it over the
 * whole registry.
 *
 * Letters: N images, H W input sides, P = N*H'*W' output pixels, C input
 * channels, K output channels, R = S kernel side. */

/* Precision of a convolution. APQ_BFLOAT16 rounds both factors of the products
 * of pointwise convolutions and expansions to bfloat16 (the upper half of a
 * float, half to even) and adds in float; depthwise convolutions, norms and
 * sums stay in float. */
typedef enum apq_precision { APQ_FLOAT32, APQ_BFLOAT16 } apq_precision;

/* How a convolution computes and what it reads and writes. bfloat16 tensors
 * need the precision APQ_BFLOAT16. */
typedef struct apq_format {
    apq_precision precision;
    bool is_x_bf16; /* x and dx are bfloat16, else float */
    bool is_z_bf16; /* z and g */
} apq_format;

/* c (m,n) = op(a) op(b) + beta * c, row-major, beta 0 or 1.
 * op(a) is (m,k): a is (m,k) with lda >= k, or (k,m) with lda >= m when
 * is_a_transposed; likewise b (k,n) or (n,k). c must not alias a or b. */
typedef struct apq_gemm_args {
    bool is_a_transposed, is_b_transposed;
    int64_t m, n, k;
    const float *a;
    int64_t lda;
    const float *b;
    int64_t ldb;
    float beta;
    float *c;
    int64_t ldc;
} apq_gemm_args;

/* Depthwise convolution, padding R/2, H' = ceil(H / stride), likewise W'.
 *   x (N,H,W,C)  w (R*R,C) tap-major with leading dimension ldw  y (N,H',W',C)
 * Taps are in row-major order of the kernel. Any C >= 1, R in {3,5,7},
 * stride in {1,2}. */
typedef struct apq_depthwise_shape {
    int n, in_height, in_width, channels, kernel, stride;
    int64_t ldw;
} apq_depthwise_shape;

/* Batch normalisation with clamp, on (P,C).
 * Forward:  v = scale[c] * x + shift[c] + residual (if any);
 *   clip > 0: y = min(max(v, 0), clip), a NaN staying one; else y = v;
 *   step > 0: y = step * roundeven(y / step)   (only with clip > 0).
 * scale = gamma / sqrt(var + eps), shift = beta - mean * scale. */
typedef struct apq_bn_apply_args {
    int64_t rows; /* P */
    int channels; /* C */
    const float *x;
    const float *scale, *shift; /* (C) */
    const float *residual;      /* (P,C) or NULL */
    float clip;                 /* <= 0: linear */
    float step;                 /* <= 0: not quantised */
    float *y;                   /* (P,C), may alias x */
    apq_arena *arena;           /* workspace; rewound on return */
} apq_bn_apply_args;

/* Batch normalisation backward, in two passes over (P,C).
 * g = dy where clip <= 0 or 0 < v < clip, else 0, with v = scale*x + shift.
 * reduce: sum_g[c] = sum g;  sum_gx[c] = sum g * (x - mean[c]) * inv_std[c];
 *         *clip_grad = sum of dy where v >= clip (0 when clip <= 0).
 *         The three are overwritten, not accumulated.
 * apply:  dx = scale[c] * (g - sum_g[c]/P - xhat * sum_gx[c]/P),
 *         xhat = (x - mean) * inv_std;   dx may alias dy. */
typedef struct apq_bn_backward_args {
    int64_t rows;
    int channels;
    const float *x;
    const float *dy;
    const float *mean, *inv_std, *scale, *shift; /* (C) */
    float clip;
    float *sum_g, *sum_gx; /* (C): outputs of reduce, inputs of apply */
    double *clip_grad;
    float *dx;        /* (P,C) */
    apq_arena *arena; /* workspace; rewound on return */
} apq_bn_backward_args;

/* A batch norm whose output is not stored: whoever reads x (P,C) forms
 *   N(x) = the y of bn_apply without residual
 * on the way. scale NULL: N(x) = x, and nothing else is read. */
typedef struct apq_norm {
    const float *scale, *shift;  /* (C) */
    const float *mean, *inv_std; /* (C), read by backward only */
    float clip, step;
} apq_norm;

/* Gradient of a batch norm's input as it is read, per channel:
 *   dz = by_g * g + by_z * z + constant.
 * by_g NULL: dz = g, and nothing else is read. */
typedef struct apq_bn_slopes {
    const float *by_g, *by_z, *constant; /* (K) */
} apq_bn_slopes;

/* Pointwise convolution: P pixels, w (K, ldw >= C). */
typedef struct apq_pointwise_shape {
    int64_t rows;
    int in_channels, out_channels;
    int64_t ldw;
} apq_pointwise_shape;

/* A pointwise convolution whose output (P,K) is not stored: the depthwise
 * convolution that reads it forms it from the narrower x (P,C) on the way,
 * forward and backward. x NULL: none, and nothing else is read. */
typedef struct apq_expand {
    const float *x;
    int in_channels; /* C */
    const float *w;  /* (K, ldw >= C) */
    int64_t ldw;
    const float *moments; /* of expand_statistics; read by backward */
    float *dw;            /* (K, lddw), accumulated by backward; or NULL */
    int64_t lddw;
} apq_expand;

/* z = convolution of N(x) with w. mean, variance (K), biased, are those of z
 * before it is rounded to its format; both NULL: not wanted. z must not alias
 * x. */
typedef struct apq_conv_forward {
    apq_format format;
    const void *x;
    apq_norm norm;
    const float *w;
    void *z;
    float *mean, *variance;
    apq_expand expand; /* depthwise only: makes x, which is not read; needs a
                          norm */
    /* Pointwise only: x is an image, its rows are patches as im2col makes
     * them; float, without norm and, backward, without dx. NULL: none. */
    const apq_depthwise_shape *patches;
    apq_arena *arena; /* workspace; rewound on return */
} apq_conv_forward;

/* From the gradient dz of z = convolution of N(x) with w:
 *   dw += gradient of w, leading dimension lddw (NULL: not wanted);
 *   dx  = gradient of N(x) (NULL: not wanted), overwritten.
 * Where norm.scale is set, dx is masked to 0 < v < clip (clip > 0),
 * v = scale*x + shift, and the sums are those of bn_backward_reduce with
 * dx for g: sum_g, sum_gx (C), *clip_grad. dx must not alias x, g or z.
 * With an expansion the batch norm between the two is left behind, too: dx is
 * the gradient of expand.x, whose weights' gradient is added to expand.dw. */
typedef struct apq_conv_backward {
    apq_format format;
    const void *g, *z; /* z only with slopes */
    apq_bn_slopes slopes;
    const void *x;
    apq_norm norm;
    const float *w;
    float *dw;
    int64_t lddw;
    void *dx; /* float with an expansion */
    float *sum_g, *sum_gx;
    double *clip_grad;
    apq_expand expand;                  /* as in forward; dx is then required */
    const apq_depthwise_shape *patches; /* as in forward */
    apq_arena *arena;                   /* workspace; rewound on return */
} apq_conv_backward;

typedef struct apq_backend {
    const char *name;
    const char *summary;
    /* Whether this machine can run it. */
    bool (*is_available)(void);
    /* Whether it computes in APQ_BFLOAT16. */
    bool has_bfloat16;

    /* REQUIRED. All are safe to call from one thread at a time and use up to
     * the OpenMP thread limit inside. */
    apq_status (*gemm)(const apq_gemm_args *args);
    apq_status (*pointwise_forward)(const apq_pointwise_shape *shape,
                                    const apq_conv_forward *args);
    apq_status (*pointwise_backward)(const apq_pointwise_shape *shape,
                                     const apq_conv_backward *args);
    /* Statistics of what an expansion makes, without making it: mean, variance
     * (K), biased; moments (C + C*C): mean and covariance of its input. */
    apq_status (*expand_statistics)(const apq_pointwise_shape *shape,
                                    const float *x, const float *w, float *mean,
                                    float *variance, float *moments,
                                    apq_arena *arena);
    apq_status (*depthwise_forward)(const apq_depthwise_shape *shape,
                                    const apq_conv_forward *args);
    apq_status (*depthwise_backward)(const apq_depthwise_shape *shape,
                                     const apq_conv_backward *args);
    /* Dense convolution as a product: col (N*H'*W', R*R*C), taps row-major,
     * zero padded; col = the patches of x (N,H,W,C). Also R = 1; ldw is not
     * read. */
    apq_status (*im2col)(const apq_depthwise_shape *shape, const float *x,
                         float *col);
    apq_status (*bn_apply)(const apq_bn_apply_args *args);
    apq_status (*bn_backward_reduce)(const apq_bn_backward_args *args);
    apq_status (*bn_backward_apply)(const apq_bn_backward_args *args);

    /* OPTIONAL. NULL: networks are evaluated operator by operator. */
    const apq_infer_ops *infer;
} apq_backend;

/* "ref", "cpu", or "auto" (the fastest available). Borrowed, static. Unknown
 * names are refused with the list of legal ones. */
APQ_NODISCARD apq_status apq_backend_find(const char *name,
                                          const apq_backend **out);
/* The complete list, NULL-terminated. */
const apq_backend *const *apq_backend_list(void);

/* Instruction sets found at run time, e.g. "AVX-512" , "AVX2", "portable";
 * static text. */
const char *apq_backend_isa(void);

/* Restricts `cpu` to "portable", "avx2", "avx512" or "avx512bf16" kernels,
 * oneDNN left out;
 * NULL lifts it. For tests and benchmarks, between operator calls. Unknown
 * names and sets this machine lacks are refused (APQ_ERR_ARG,
 * APQ_ERR_UNSUPPORTED). */
APQ_NODISCARD apq_status apq_backend_limit_isa(const char *isa);

/* OpenMP threads used inside operators; 0 = all cores. */
void apq_backend_set_threads(int n_threads);
int apq_backend_threads(void);

/* Best GEMM rate in FLOP/s of a backend over about `seconds`, at 1024^3 and
 * the current thread count: the denominator of peak fractions. */
double apq_backend_gemm_peak(const apq_backend *backend, double seconds);

#endif
