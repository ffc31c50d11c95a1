#ifndef APQ_NN_STREAMS_H
#define APQ_NN_STREAMS_H

#include "nn/net.h"

/* Outputs of linear layers (batch norm without ReLU6), which residuals add up,
 * are signed codes of 8 bits. All layers that a chain of residuals joins are a
 * stream and have one range, so that their sum is a sum of codes. The image has
 * such codes, too; what is pooled has unsigned ones. These ranges are chosen at
 * calibration and frozen: the act_range of the stem and of the layers that read
 * a stream as it is, the out_range of all others. */

/* Whether the layer's output belongs to a stream. */
bool apq_nn_is_in_stream(const apq_nn_layer *l);
/* Whether layer i reads the codes of a stream as they are: in 8 bits. A layer
 * of fewer bits rounds them again. */
bool apq_nn_reads_stream(const apq_nn_net *net, size_t i);
/* Whether the act_range of layer i is frozen. */
bool apq_nn_has_frozen_range(const apq_nn_net *net, size_t i);

/* What is added to sums of layer i, in whole units of them: `scale` is what the
 * sum is multiplied by, `value` becomes a multiple of the input's step times
 * the weights' step times |scale|. Where that is no number of 30 bits, nothing
 * is rounded. */
float apq_nn_round_bias(const apq_nn_net *net, size_t i, int channel,
                        float scale, float value);

/* Chooses all these ranges after a training pass of n_images images with
 * streams in float, which stored the outputs of all linear layers. Errors:
 * NUMERIC for values that are not finite. */
APQ_NODISCARD apq_status apq_nn_calibrate_streams(apq_nn_net *net,
                                                  const float *images,
                                                  int n_images);

#endif
