/* Networks layer by layer. */
#include "unit/nn/chain.h"

#include <stddef.h>
#include <stdio.h>

apq_ir_layer *chain_append(apq_ir_network *net, int channels, apq_ir_kind kind,
                           int out_channels, int kernel, int stride) {
    const apq_ir_layer *last =
        net->n_layers > 0 ? &net->layers[net->n_layers - 1] : NULL;
    int in_size = last != NULL ? last->out_size : net->resolution;
    apq_ir_layer *l = &net->layers[net->n_layers];
    *l = (apq_ir_layer){
        .kind = kind,
        .block = -1,
        .in_channels = last != NULL ? last->out_channels : channels,
        .out_channels = out_channels,
        .kernel = kernel,
        .stride = stride,
        .in_size = in_size,
        .out_size = (in_size + stride - 1) / stride,
        .weight_bits = 8,
        .act_bits = 8,
        .has_relu6 = true,
        .residual_from = -1,
    };
    (void)snprintf(l->name, sizeof l->name, "layer%d", (int)net->n_layers++);
    return l;
}
