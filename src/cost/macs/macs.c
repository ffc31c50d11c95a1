/* Analytic costs, the same for every target. BitOps are the sum of MACs times
 * weight bits times activation bits over all layers, fixed ones included, as
 * APQ (CVPR 2020, table 2) counts them: 19.2 G for an 8-bit MobileNetV2. */
#include "cost/macs/macs.h"

void apq_macs_layer(const apq_ir_layer *layer, apq_cost *out) {
    int64_t macs = apq_ir_layer_macs(layer);
    int64_t weights = apq_ir_layer_weights(layer);
    /* Scale and shift of the batch norm, or the bias, stay at 32 bits. */
    int64_t n_wide = 2 * (int64_t)layer->out_channels;
    if (layer->kind == APQ_IR_LINEAR) {
        n_wide = layer->out_channels;
        weights -= n_wide;
    }
    out->macs = (double)macs;
    out->bitops = (double)(macs * layer->weight_bits * layer->act_bits);
    out->searchable_bitops = layer->is_searchable ? out->bitops : 0.0;
    out->params = (double)(weights + n_wide);
    out->weight_bytes =
        (double)(weights * layer->weight_bits + n_wide * 32) / 8.0;
}

/* A tensor takes the act bits of the layer that reads it; the logits 32. */
static int64_t output_bits(const apq_ir_network *network, size_t i) {
    const apq_ir_layer *l = &network->layers[i];
    int64_t pixels = (int64_t)l->out_size * l->out_size;
    int64_t bits = 32;
    if (l->kind == APQ_IR_LINEAR) {
        pixels = 1;
    }
    if (i + 1 < network->n_layers) {
        bits = network->layers[i + 1].act_bits;
    }
    return pixels * l->out_channels * bits;
}

double apq_cost_activation_bytes(const apq_ir_network *network, size_t layer) {
    const apq_ir_layer *l = &network->layers[layer];
    int64_t alive =
        (int64_t)l->in_size * l->in_size * l->in_channels * l->act_bits +
        output_bits(network, layer);
    for (size_t j = layer; j < network->n_layers; j++) {
        int from = network->layers[j].residual_from;
        /* When the block starts the residual is the input itself. */
        if (from >= 0 && (size_t)from + 1 < layer) {
            alive += output_bits(network, (size_t)from);
        }
    }
    return (double)alive / 8.0;
}
