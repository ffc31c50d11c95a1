#ifndef APQ_NN_INFER_H
#define APQ_NN_INFER_H

#include "nn/net.h"

/* Evaluation of a float network by its backend's fused path (infer.h of
 * backend) with the weights and statistics that the net has now; later changes
 * of the net are not seen. run and destroy are those of net->backend->infer.
 *
 * *out is NULL where there is no such path: the net is quantised, is not a
 * stem, inverted-residual blocks, a mix and a classifier, or the backend has
 * none. apq_nn_forward(APQ_NN_EVAL) then remains.
 * Errors: NOMEM; UNSUPPORTED, bfloat16 on a machine or path without it. */
APQ_NODISCARD apq_status apq_nn_infer_create(const apq_nn_net *net,
                                             bool is_bfloat16, apq_infer **out);

#endif
