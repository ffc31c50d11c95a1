#ifndef APQ_DEPLOY_INT_REFERENCE_H
#define APQ_DEPLOY_INT_REFERENCE_H

#include "base/status.h"
#include "deploy/int_model.h"

/* The meaning of an integer model, as plainly as it can be written. Slow: for
 * tests and for the verification of exports.
 *
 *   image     x = clamp(rne(value / step))
 *   sum       a = bias[k] + sum of x * w, exact in 32 bits; pixels outside of
 *             the image are 0
 *   output    y = clamp(rne((float)a * rescale[k]))
 *   residual  y = clamp(y + codes of the layer it is from)
 *   input     x = reround[y + 128], where the next layer has one, else y
 *   pool      p = clamp(rne((float)(sum of y) * pool_rescale))
 *   logits    (float)a * logit_scale[k]
 *
 * rne rounds halves to even; (float), * and / are float32 operations, rounded
 * once each; clamp is to the legal codes of what is written. ReLU6 is the clamp
 * of what reads it: its codes are not below 0 nor, times their step, above 6.
 */

/* image (H, W, image_channels), finite -> logits (n_classes). codes: NULL, or
 * one pointer for each convolution: NULL or where its output is left, (out_size
 * * out_size, K), after the residual was added. Errors: NOMEM. */
APQ_NODISCARD apq_status apq_int_reference_run(const apq_int_model *model,
                                               const float *image,
                                               int16_t *const *codes,
                                               float *logits);

/* clamp(rne(x)) for any float; NaN is low. */
int apq_int_round(float x, const apq_int_codes *to);

#endif
