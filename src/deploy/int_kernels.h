#ifndef APQ_DEPLOY_INT_KERNELS_H
#define APQ_DEPLOY_INT_KERNELS_H

#include "base/memory.h"
#include "deploy/int_model.h"

#include <stddef.h>
#include <stdint.h>

/* The loops of the integer engine, one image at a time.
 *
 * Activations are (pixels, ld) rows of u8 codes, ld a multiple of
 * APQ_INT_LANES; a signed code c is stored as c + APQ_INT_ZERO. Weights are s8
 * codes, widened once so that products need no conversion, in blocks of
 * APQ_INT_LANES output channels: (K/LANES, depth, LANES), zero beyond K. Loops
 * run in tiles of APQ_INT_TILE pixels without tails, so every activation buffer
 * has APQ_INT_TILE - 1 spare pixels at its end. */
enum { APQ_INT_LANES = 16, APQ_INT_TILE = 4, APQ_INT_ZERO = 128 };

/* From the int32 sum a of output channel k to the stored code:
 *   code = clamp(roundeven(scale[k] * a), code_low, code_high)
 *   with a residual: code = clamp(code + the residual's code)
 *   stored = code + code_zero */
typedef struct apq_int_layer {
    int in_channels, out_channels; /* C, K */
    int64_t ldx, ldy;              /* C and K rounded up to whole lanes */
    int kernel, stride;
    int in_size, out_size;
    int in_zero; /* what is stored for 0: 0 or APQ_INT_ZERO */
    /* (256) from what is stored of a code that is read to what is stored of the
     * code that it is rounded to; NULL where it stays the same. */
    const uint8_t *reround;
    const int32_t *w;    /* as above; NULL where kernels have others */
    const int32_t *init; /* (ldy) first value of a: bias - in_zero * sum w */
    const float *scale;  /* (ldy) */
    int code_low, code_high, code_zero;
} apq_int_layer;

/* n rounded up to whole lanes. */
int64_t apq_int_lanes(int64_t n);
/* What is stored for the code 0. */
int apq_int_zero(const apq_int_codes *codes);
/* Rows and columns of the padded input of a depthwise or dense layer. */
void apq_int_padded_size(const apq_int_layer *layer, int *height, int *width);

/* All of a convolution but w; init and scale are 0 beyond K, tables are in the
 * arena. Errors: NOMEM. */
APQ_NODISCARD apq_status apq_int_layer_init(apq_arena *arena,
                                            const apq_int_conv *conv,
                                            apq_int_layer *out);

/* The codes of an image of n values: stored[i] = clamp(roundeven(x[i] / step))
 * + 128. */
void apq_int_encode_image(const float *x, int64_t n, float step,
                          uint8_t *stored);

/* Outputs are y (out_size^2, ldy); residual NULL or as y. */

/* 1 x 1, stride 1: x (in_size^2, ldx). */
void apq_int_pointwise(const apq_int_layer *layer, const uint8_t *x,
                       const uint8_t *residual, uint8_t *y);
/* One filter per channel: x (in_size^2, ldx); ring is scratch of `kernel`
 * rows of the padded width, ldx numbers a pixel. */
void apq_int_depthwise(const apq_int_layer *layer, const uint8_t *x,
                       int32_t *ring, const uint8_t *residual, uint8_t *y);
/* Dense convolution of an image, the stem: x (in_size^2, in_channels) dense;
 * depth is R*R*C, taps row-major; padded is scratch of the padded size with
 * in_channels bytes a pixel. */
void apq_int_stem(const apq_int_layer *layer, const uint8_t *x, uint8_t *padded,
                  uint8_t *y);
/* y[i] = table[x[i]]. */
void apq_int_reround(const uint8_t *table, const uint8_t *x, int64_t n,
                     uint8_t *y);

/* The classifier after the pool. */
typedef struct apq_int_head {
    int n_classes, channels;
    float pool_rescale;
    int pooled_high;
    const int8_t *w;
    const int32_t *bias;
    const float *logit_scale;
} apq_int_head;

/* Its tables, copied into the arena. Errors: NOMEM. */
APQ_NODISCARD apq_status apq_int_head_create(apq_arena *arena,
                                             const apq_int_model *model,
                                             apq_int_head *out);
/* totals (channels): codes summed over all pixels -> logits (n_classes); pooled
 * is scratch (channels). */
void apq_int_classify(const apq_int_head *head, const int32_t *totals,
                      uint8_t *pooled, float *logits);

/* sum x[i] * w[i]; n * 255 * 128 below 2^31. */
int32_t apq_int_dot(const uint8_t *x, const int8_t *w, int n);

#endif
