#ifndef APQ_QUANT_QUANT_H
#define APQ_QUANT_QUANT_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a network is quantised: A, below, or B, learned steps (lsq.h). */
typedef enum apq_quantiser {
    APQ_QUANTISER_APQ,
    APQ_QUANTISER_LSQ,
} apq_quantiser;

/* Quantiser A: linear, per tensor, with a clip chosen by KL divergence below
 * 5 bits and the maximum otherwise. Source: the released code of HAQ and APQ,
 * and the intent of APQ Eq. 5.
 *   weights  s = t / (2^(b-1)-1), w_q = s * roundeven(clamp(w,-t,t) / s)
 *   unsigned activations (after ReLU6)  s = r / (2^b-1),   clamp to [0,r]
 *   signed activations (linear outputs) s = r / (2^(b-1)-1), clamp to [-r,r] */

/* Threshold on |x| minimising the KL-style distance of cumulative
 * distributions at 2^(bits-1) levels; max |x| when there are too few values.
 * Every value counts, in the bins of at most 65,536. bits 2..8. The result may
 * exceed max |x| by half a bin, as the authors'. Errors: NOMEM; NUMERIC when a
 * value is not finite. */
APQ_NODISCARD apq_status apq_quant_kl_threshold(const float *x, size_t n,
                                                int bits, float *threshold);

/* Clip t of a weight view (rows, cols) with leading dimension ld. */
APQ_NODISCARD apq_status apq_quant_weight_clip(const float *w, int64_t rows,
                                               int64_t cols, int64_t ld,
                                               int bits, float *clip);
/* out (rows, cols) with leading dimension ldo = fake-quantised w. */
void apq_quant_weights(const float *w, int64_t rows, int64_t cols, int64_t ld,
                       float clip, int bits, float *out, int64_t ldo);
/* Dense (rows, cols) integer codes, bits 2..8, in -(2^(b-1)-1) .. 2^(b-1)-1. */
void apq_quant_weight_codes(const float *w, int64_t rows, int64_t cols,
                            int64_t ld, float clip, int bits, int8_t *codes);
float apq_quant_weight_step(float clip, int bits);

/* Range r from a sample of activations: min(6, max |x|), and the KL
 * threshold too when the magnitude has fewer than 5 bits; 6 when all are 0. */
APQ_NODISCARD apq_status apq_quant_act_range(const float *x, size_t n, int bits,
                                             bool is_signed, float *range);
float apq_quant_act_step(float range, int bits, bool is_signed);
/* y = fake-quantised x; may alias. */
void apq_quant_act(const float *x, size_t n, float range, int bits,
                   bool is_signed, float *y);
/* y = step * code, code = clamp(roundeven(x / step), -128, 127) and step =
 * range / 127. With a residual, of such values, its codes are added to the
 * codes, and clamped again. y may alias x or the residual. */
void apq_quant_stream(const float *x, const float *residual, size_t n,
                      float range, float *y);
/* Signal to quantisation noise of n values [dB]:
 * 10 log10(sum x^2 / sum (x - quantised)^2); infinite where nothing was lost,
 * NaN where all are zero. */
double apq_quant_sqnr_db(const float *x, const float *quantised, size_t n);
/* Straight-through: dx = dy inside the range, 0 outside; *range_grad = sum of
 * dy above minus sum below (PACT-style). dx may alias dy. */
void apq_quant_act_backward(const float *x, const float *dy, size_t n,
                            float range, bool is_signed, float *dx,
                            double *range_grad);

#endif
