#ifndef APQ_DEPLOY_INT_KERNELS_H
#define APQ_DEPLOY_INT_KERNELS_H

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

/* From the int32 sum a of output channel k to the output:
 *   v = scale[k] * a + shift[k] (+ residual)
 *   value = clip > 0 ? clamp(v, 0, clip) : v
 *   code = roundeven(clamp(v * code_scale, code_low, code_high)) + code_zero */
typedef struct apq_int_layer {
    int in_channels, out_channels; /* C, K */
    int64_t ldx, ldy;              /* C and K rounded up to whole lanes */
    int kernel, stride;
    int in_size, out_size;
    int in_zero; /* code that means 0: 0 or APQ_INT_ZERO */
    const int32_t *w;
    const int32_t *init; /* (ldy) first value of a: minus in_zero * sum w */
    const float *scale, *shift; /* (ldy) */
    float clip;
    float code_scale, code_low, code_high;
    int code_zero;
} apq_int_layer;

/* Where a layer writes; (pixels, ldy) each. NULL: not wanted. */
typedef struct apq_int_output {
    uint8_t *codes;
    float *values;
    const float *residual;
} apq_int_output;

/* n rounded up to whole lanes. */
int64_t apq_int_lanes(int64_t n);
/* Rows and columns of the padded input of a depthwise or dense layer. */
void apq_int_padded_size(const apq_int_layer *layer, int *height, int *width);

/* 1 x 1, stride 1: x (in_size^2, ldx). */
void apq_int_pointwise(const apq_int_layer *layer, const uint8_t *x,
                       const apq_int_output *out);
/* One filter per channel: x (in_size^2, ldx); ring is scratch of `kernel`
 * rows of the padded width, ldx numbers a pixel. */
void apq_int_depthwise(const apq_int_layer *layer, const uint8_t *x,
                       int32_t *ring, const apq_int_output *out);
/* Dense convolution of float pixels with integer weights, the stem: image
 * (in_size^2, in_channels) dense; depth is R*R*C, taps row-major; padded is
 * scratch of the padded size with in_channels floats a pixel. init is not
 * read: v = scale * (sum of pixel * code) + shift. */
void apq_int_stem(const apq_int_layer *layer, const float *image, float *padded,
                  const apq_int_output *out);
/* sum x[i] * w[i]; n * 255 * 128 below 2^31. */
int32_t apq_int_dot(const uint8_t *x, const int8_t *w, int n);
/* codes = roundeven(clamp(x * scale, 0, high)); NaN gives 0. */
void apq_int_encode(const float *x, int n, float scale, float high,
                    uint8_t *codes);

#endif
