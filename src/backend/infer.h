#ifndef APQ_BACKEND_INFER_H
#define APQ_BACKEND_INFER_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* Evaluation of whole networks: batch norms folded into weights and biases,
 * and every inverted-residual block run image by image, so that its wide
 * tensor stays in cache. Letters and weight layouts: see backend.h. */

/* y = clamp(scale[k] * (convolution of x with w)[k] + shift[k]), K output
 * channels on square images; padding R/2. */
typedef struct apq_infer_layer {
    int in_channels, out_channels; /* equal for depthwise */
    int kernel, stride;            /* 1, 1 for pointwise and linear */
    int in_size, out_size;         /* H = W; out = ceil(in / stride) */
    const float *w;                /* dense (K, R*R*C), pointwise (K, ldw),
                                      depthwise (R*R, ldw) */
    int64_t ldw;
    const float *scale; /* (K); NULL: all 1 */
    const float *shift; /* (K) */
    float clip;         /* y in 0..clip; <= 0: linear */
} apq_infer_layer;

/* Expansion (optional), depthwise convolution, projection. */
typedef struct apq_infer_block {
    bool has_expand, is_residual; /* residual: adds the block's input */
    apq_infer_layer expand, depthwise, project;
} apq_infer_block;

/* A chain: image, stem, blocks, mix, average over all pixels, classifier. */
typedef struct apq_infer_network {
    apq_infer_layer stem; /* dense */
    int n_blocks;
    const apq_infer_block *blocks;
    apq_infer_layer mix;        /* pointwise */
    apq_infer_layer classifier; /* linear, sizes 1 */
} apq_infer_network;

/* A network ready to run: folded and packed weights, working memory. */
typedef struct apq_infer apq_infer;

typedef struct apq_infer_ops {
    /* Whether this machine multiplies bfloat16. */
    bool (*has_bfloat16)(void);
    /* Best rate in FLOP/s of bfloat16 products of 1024^3 over about `seconds`,
     * as apq_backend_gemm_peak(); 0: there is none to compare with. */
    double (*bfloat16_peak)(double seconds);
    /* Copies what it needs. With is_bfloat16 the operands of pointwise
     * products are rounded to bfloat16; sums, depthwise convolutions, stem,
     * residuals and classifier stay float32. Uses up to the OpenMP threads set
     * now. Errors: NOMEM; UNSUPPORTED without has_bfloat16(). */
    apq_status (*create)(const apq_infer_network *network, bool is_bfloat16,
                         apq_infer **out);
    void (*destroy)(apq_infer *infer);
    /* images (N,H,W,C) -> logits (N, classes), N >= 1. Allocates nothing. The
     * logits of an image depend on nothing but the image: not on N, its place
     * or the thread count. */
    void (*run)(apq_infer *infer, const float *images, int n_images,
                float *logits);
} apq_infer_ops;

#endif
