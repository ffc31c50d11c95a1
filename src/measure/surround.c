/* The network around a single layer. A price belongs to a shape, so what the
 * shape does not tell is fixed: every linear 1 x 1 layer (a bottleneck's end)
 * adds a residual and keeps its output for one, as most of them do. */
#include "measure/program.h"

#include <stdio.h>

/* Appends a 1 x 1 layer that continues the last one's output. */
static apq_ir_layer *append(apq_ir_network *net, int out_channels,
                            bool has_relu6) {
    const apq_ir_layer *last = &net->layers[net->n_layers - 1];
    apq_ir_layer *l = &net->layers[net->n_layers];
    *l = (apq_ir_layer){
        .kind = APQ_IR_POINTWISE,
        .role = APQ_ROLE_EXPAND,
        .block = -1,
        .in_channels = last->out_channels,
        .out_channels = out_channels,
        .kernel = 1,
        .stride = 1,
        .in_size = last->out_size,
        .out_size = last->out_size,
        .weight_bits = 8,
        .act_bits = 8,
        .is_act_signed = !last->has_relu6,
        .has_relu6 = has_relu6,
        .residual_from = -1,
        .is_priced = true,
    };
    (void)snprintf(l->name, sizeof l->name, "layer%zu", net->n_layers);
    net->n_layers++;
    return l;
}

/* An image convolution to few channels, the cheapest start there is. */
static void start(apq_ir_network *net, int size, int channels) {
    net->resolution = size;
    net->n_layers = 1;
    net->layers[0] = (apq_ir_layer){
        .name = "layer0",
        .kind = APQ_IR_CONV,
        .role = APQ_ROLE_STEM,
        .block = -1,
        .in_channels = 1,
        .out_channels = channels,
        .kernel = 1,
        .stride = 1,
        .in_size = size,
        .out_size = size,
        .weight_bits = 8,
        .act_bits = 8,
        .is_input_image = true,
        .has_relu6 = true,
        .residual_from = -1,
        .is_priced = true,
    };
}

static void place(apq_ir_network *net, const apq_ir_layer *layer, size_t *at) {
    *at = net->n_layers;
    net->layers[net->n_layers++] = *layer;
    apq_ir_layer *l = &net->layers[*at];
    (void)snprintf(l->name, sizeof l->name, "layer%zu", *at);
    l->residual_from = -1;
}

static void finish(apq_ir_network *net) {
    apq_ir_layer *l = append(net, 8, false);
    l->kind = APQ_IR_LINEAR;
    l->role = APQ_ROLE_CLASSIFIER;
    l->out_size = 1;
    net->n_classes = l->out_channels;
}

void apq_program_surround(const apq_ir_layer *layer, apq_ir_network *out,
                          size_t *at) {
    enum { FEW = 8 };
    *out = (apq_ir_network){0};
    if (layer->kind == APQ_IR_CONV) {
        out->resolution = layer->in_size;
        place(out, layer, at);
        (void)append(out, FEW, true);
        finish(out);
        return;
    }
    bool is_bottleneck = layer->kind == APQ_IR_POINTWISE && !layer->has_relu6;
    start(out, layer->in_size, is_bottleneck ? FEW : layer->in_channels);
    if (layer->kind == APQ_IR_LINEAR) {
        (void)append(out, layer->in_channels, true);
        place(out, layer, at);
        out->n_classes = layer->out_channels;
        return;
    }
    if (is_bottleneck) {
        size_t from = out->n_layers;
        (void)append(out, layer->out_channels, false);
        (void)append(out, layer->in_channels, !layer->is_act_signed);
        place(out, layer, at);
        out->layers[*at].residual_from = (int)from;
        /* Whoever reads the sum makes the layer keep it. */
        (void)append(out, FEW, true);
        append(out, layer->out_channels, false)->residual_from = (int)*at;
        (void)append(out, FEW, true);
    } else {
        if (layer->is_act_signed) {
            (void)append(out, layer->in_channels, false);
        }
        place(out, layer, at);
        (void)append(out, FEW, true);
    }
    finish(out);
}
