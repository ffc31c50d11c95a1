#ifndef APQ_DEPLOY_INT_MODEL_H
#define APQ_DEPLOY_INT_MODEL_H

#include "base/memory.h"
#include "base/status.h"
#include "ir/network.h"
#include "nn/net.h"

#include <stdint.h>

/* A quantised network as whole numbers: what the integer engines run and every
 * export writes. int_reference.h defines what it computes.
 *
 * A tensor holds codes; its values are step * code. Inputs of layers have the
 * bits of the policy; the image, the outputs of linear layers, which residuals
 * add up, and what is pooled have 8. All layers that a chain of residuals joins
 * have one output step, so that adding them up is adding codes. */
typedef struct apq_int_codes {
    float step;    /* > 0 */
    int low, high; /* legal codes, within -128 .. 127 or 0 .. 255 */
} apq_int_codes;

/* Convolution, batch norm, rounding. */
typedef struct apq_int_conv {
    apq_ir_layer ir; /* name, kind, shapes, bits */
    apq_int_codes in, out;
    /* (K, depth) codes within +-(2^(weight_bits-1) - 1); depth is C, R*R*C
     * with taps row-major or, depthwise, R*R. */
    const int8_t *w;
    const float *weight_step; /* (K) > 0; batch norm's gain is in it */
    const int32_t *bias;      /* (K) in units of in.step * weight_step[k] */
    const float *rescale;     /* (K) float32 in.step*weight_step[k]/out.step */
    /* (256) from code + 128 of what the layer reads to its input code; NULL
     * where both are one. */
    const int8_t *reround;
} apq_int_conv;

typedef struct apq_int_model {
    apq_arena *arena; /* owns all tables */
    int resolution, image_channels;
    int n_convs;
    apq_int_conv convs[APQ_IR_MAX_LAYERS];
    /* Pool and classifier. */
    apq_ir_layer classifier;
    float pool_rescale; /* float32 out.step / (pooled.step * pixels) */
    apq_int_codes pooled;
    int n_classes, channels;
    const int8_t *w;          /* (n_classes, channels) */
    const float *weight_step; /* (n_classes) > 0 */
    const int32_t *bias;      /* (n_classes) */
    const float *logit_scale; /* (n_classes) pooled.step * weight_step */
} apq_int_model;

/* Copies what it needs, so the net and its weights may go. The net must be
 * calibrated (is_quantised) and hold batch-norm statistics. Errors:
 * UNSUPPORTED for a net that is not quantised, another structure than the
 * spaces lower to, or a layer too deep for 32-bit sums; NUMERIC for a step,
 * range or variance that is not a legal number; NOMEM. */
APQ_NODISCARD apq_status apq_int_model_create(const apq_nn_net *net,
                                              apq_int_model **out);
/* NULL is fine. */
void apq_int_model_destroy(apq_int_model *model);

/* Products that a sum of the layer adds up. */
int64_t apq_int_depth(const apq_ir_layer *ir);

#endif
