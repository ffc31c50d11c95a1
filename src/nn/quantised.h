#ifndef APQ_NN_QUANTISED_H
#define APQ_NN_QUANTISED_H

#include "nn/net.h"

/* Weights and inputs of a layer as the quantiser of its net has them, whichever
 * that is. `l` is a layer of `net`, calibrated. */

/* Rows and columns of the weight matrix as it is stored. */
void apq_nn_weight_matrix(const apq_ir_layer *ir, int64_t *rows, int64_t *cols);

/* out (rows, cols), dense: fake-quantised weights. */
void apq_nn_quantise_weights(const apq_nn_net *net, const apq_nn_layer *l,
                             float *out);
/* codes (rows, cols), dense: whole numbers that are weights when multiplied by
 * the step of their output channel; never -128. */
void apq_nn_weight_codes(const apq_nn_net *net, const apq_nn_layer *l,
                         int8_t *codes);
/* Step of output channel k; 0 where quantiser APQ found zeros only. */
float apq_nn_weight_step(const apq_nn_net *net, const apq_nn_layer *l, int k);
/* Codes of the layer's input; the step is that of apq_quant_act_step(). */
int apq_nn_lowest_code(const apq_nn_net *net, const apq_nn_layer *l);
int apq_nn_highest_code(const apq_nn_layer *l);

/* Chooses clip or steps of the weights. Errors: NOMEM; NUMERIC for weights
 * that are not finite. */
APQ_NODISCARD apq_status apq_nn_calibrate_weights(const apq_nn_net *net,
                                                  apq_nn_layer *l);

/* Whether gradients of weights and inputs have to be passed through steps:
 * quantised by LSQ. */
bool apq_nn_learns_steps(const apq_nn_net *net);

/* y = quantised x, n inputs of the layer; may alias. */
void apq_nn_quantise_input(const apq_nn_net *net, const apq_nn_layer *l,
                           const float *x, size_t n, float *y);
/* Back through it: dy becomes dx, act_range_grad grows. */
void apq_nn_input_backward(const apq_nn_net *net, apq_nn_layer *l,
                           const float *x, size_t n, float *dy);
/* The same for the input that the norm of layer i clamps and rounds, of which
 * only its gradient dy is known, masked or not; *clip_grad as of
 * bn_backward_reduce. dy is left alone. */
void apq_nn_norm_range_backward(apq_nn_net *net, size_t i, const float *dy,
                                double clip_grad);
/* With LSQ: from dw of the weights as used, dense, to l->dw and steps. */
void apq_nn_weights_backward(const apq_nn_net *net, apq_nn_layer *l,
                             const float *dw);

#endif
