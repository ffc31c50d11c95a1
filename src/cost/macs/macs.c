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

/* A tensor is kept in the act bits of the layer that reads it; what a layer
 * without ReLU6 says in 8, whoever reads it, since residuals are added up in
 * these; the logits in 32. */
static int64_t kept_bits(const apq_ir_network *network, size_t i) {
    if (i + 1 == network->n_layers) {
        return 32;
    }
    return network->layers[i].has_relu6 ? network->layers[i + 1].act_bits : 8;
}

static int64_t output_bits(const apq_ir_network *network, size_t i) {
    const apq_ir_layer *l = &network->layers[i];
    bool is_vector = l->kind == APQ_IR_LINEAR;
    int64_t pixels = is_vector ? 1 : (int64_t)l->out_size * l->out_size;
    return pixels * l->out_channels * kept_bits(network, i);
}

double apq_cost_activation_bytes(const apq_ir_network *network, size_t layer) {
    const apq_ir_layer *l = &network->layers[layer];
    int64_t in_bits = layer > 0 ? kept_bits(network, layer - 1) : l->act_bits;
    int64_t alive =
        (int64_t)l->in_size * l->in_size * l->in_channels * in_bits +
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
