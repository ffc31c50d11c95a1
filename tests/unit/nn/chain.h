#ifndef APQ_TESTS_UNIT_NN_CHAIN_H
#define APQ_TESTS_UNIT_NN_CHAIN_H

#include "ir/network.h"

/* Appends a layer that reads the last one, or the image of `channels` channels
 * where it is the first: "layerN", 8 bits, with ReLU6, unsigned, without a
 * residual. The caller may change what it likes. */
apq_ir_layer *chain_append(apq_ir_network *net, int channels, apq_ir_kind kind,
                           int out_channels, int kernel, int stride);

#endif
