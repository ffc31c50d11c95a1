#ifndef APQ_QUANT_LSQ_H
#define APQ_QUANT_LSQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Quantiser B: linear with learned steps, one per output channel of weights
 * and one per tensor of activations. Source: LSQ (ICLR 2020).
 *   v = x / s, x_q = s * roundeven(clamp(v, -N, P))
 *   signed: N = 2^(b-1), P = 2^(b-1)-1; unsigned (after ReLU6): N = 0,
 *   P = 2^b-1; weights: N = P = 2^(b-1)-1, so that codes can be negated
 * and straight-through, with the rounding error as a constant:
 *   dx = dy inside, 0 outside
 *   ds = sum of dy * (round(v)-v inside, -N below, P above)
 * LSQ multiplies ds by apq_lsq_scale. bits 2..8, steps > 0. */

/* P of above. */
int apq_lsq_highest(int bits, bool is_signed);
/* -N of above, of activations. */
int apq_lsq_lowest(int bits, bool is_signed);
/* LSQ's 1 / sqrt(n * P), n the values that share a step; above 4 bits times
 * (P of 4 bits / P)^1.5, so that limits P * s move no faster than there. */
double apq_lsq_scale(int64_t n, int bits, bool is_signed);

/* A weight tensor: value i of channel k is w[k * by_channel + i * by_value].
 * What is made of it is dense: at k * out_by_channel + i * out_by_value. */
typedef struct apq_lsq_weights {
    const float *w;
    int64_t channels, n; /* n values a channel */
    int64_t by_channel, by_value;
    int64_t out_by_channel, out_by_value;
    int bits;
    const float *steps; /* (channels); not read by apq_lsq_weight_steps */
} apq_lsq_weights;

/* Initial steps: of those that reach from a quarter of a channel's largest |w|
 * to all of it, the one with the least squared error; a channel of zeros gets
 * a tiny one. */
void apq_lsq_weight_steps(const apq_lsq_weights *t, float *steps);
/* out: x_q; codes: round(v). */
void apq_lsq_quantise_weights(const apq_lsq_weights *t, float *out);
void apq_lsq_weight_codes(const apq_lsq_weights *t, int8_t *codes);
/* From dout, dense: adds dx to dw, which lies as w does, and ds times
 * apq_lsq_scale(n) to dsteps (channels). */
void apq_lsq_weights_backward(const apq_lsq_weights *t, const float *dout,
                              float *dw, float *dsteps);

/* y = x_q; may alias. */
void apq_lsq_act(const float *x, size_t n, float step, int bits, bool is_signed,
                 float *y);
/* dx may alias dy. *dstep = ds, not scaled. */
void apq_lsq_act_backward(const float *x, const float *dy, size_t n, float step,
                          int bits, bool is_signed, float *dx, double *dstep);
/* The share of *dstep that comes from inside, for unsigned activations
 * x = scale[c] * z + shift[c] of z (rows, channels) that were never stored;
 * dy where x is outside may be anything. */
double apq_lsq_inside(const float *z, const float *dy, int64_t rows,
                      int channels, const float *scale, const float *shift,
                      float step, int bits);

#endif
