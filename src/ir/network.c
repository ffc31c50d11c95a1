/* Names of layers' kinds, arithmetic over the layer list and its consistency
 * check. */
#include "ir/network.h"

const char *const apq_ir_kind_names[APQ_IR_N_KINDS + 1] = {
    [APQ_IR_CONV] = "conv",
    [APQ_IR_POINTWISE] = "pointwise",
    [APQ_IR_DEPTHWISE] = "depthwise",
    [APQ_IR_LINEAR] = "linear",
};

const char *apq_ir_kind_name(apq_ir_kind kind) {
    APQ_ASSERT((unsigned)kind < APQ_IR_N_KINDS);
    return apq_ir_kind_names[kind];
}

int64_t apq_ir_layer_weights(const apq_ir_layer *layer) {
    int64_t k = layer->in_channels;
    int64_t taps = (int64_t)layer->kernel * layer->kernel;
    switch (layer->kind) {
    case APQ_IR_DEPTHWISE:
        return taps * k;
    case APQ_IR_LINEAR:
        return k * layer->out_channels + layer->out_channels;
    case APQ_IR_CONV:
    case APQ_IR_POINTWISE:
        break;
    }
    return taps * k * layer->out_channels;
}

size_t apq_ir_layer_outputs(const apq_ir_layer *layer) {
    size_t side = (size_t)layer->out_size;
    return side * side * (size_t)layer->out_channels;
}

int64_t apq_ir_layer_macs(const apq_ir_layer *layer) {
    int64_t pixels = (int64_t)layer->out_size * layer->out_size;
    if (layer->kind == APQ_IR_LINEAR) {
        return (int64_t)layer->in_channels * layer->out_channels;
    }
    return pixels * apq_ir_layer_weights(layer);
}

apq_status apq_ir_check(const apq_ir_network *network) {
    if (network->n_layers == 0 || network->n_layers > APQ_IR_MAX_LAYERS) {
        APQ_FAIL(APQ_ERR_ARG, "network has %zu layers, legal 1..%d",
                 network->n_layers, APQ_IR_MAX_LAYERS);
    }
    for (size_t i = 0; i < network->n_layers; i++) {
        const apq_ir_layer *l = &network->layers[i];
        if (l->weight_bits < 2 || l->weight_bits > 8 || l->act_bits < 2 ||
            l->act_bits > 8) {
            APQ_FAIL(APQ_ERR_ARG, "%s: bits W%d A%d outside 2..8", l->name,
                     l->weight_bits, l->act_bits);
        }
        if (l->kernel % 2 == 0 || l->stride < 1 || l->in_channels < 1 ||
            l->out_channels < 1) {
            APQ_FAIL(APQ_ERR_ARG, "%s: illegal shape", l->name);
        }
        if (l->kind != APQ_IR_LINEAR &&
            l->out_size != (l->in_size + l->stride - 1) / l->stride) {
            APQ_FAIL(APQ_ERR_ARG, "%s: output side %d does not follow from %d",
                     l->name, l->out_size, l->in_size);
        }
        if (i > 0 && l->in_channels != network->layers[i - 1].out_channels) {
            APQ_FAIL(APQ_ERR_ARG, "%s: %d input channels after %d", l->name,
                     l->in_channels, network->layers[i - 1].out_channels);
        }
        if (l->residual_from >= (int)i) {
            APQ_FAIL(APQ_ERR_ARG, "%s: residual from a later layer", l->name);
        }
    }
    return APQ_OK;
}
