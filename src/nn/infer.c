/* Describes a network to the fused evaluation of a backend: its layers cut into
 * blocks, batch norms as scales and shifts to fold into the weights. */
#include "nn/infer.h"

#include <math.h>
#include <stdlib.h>

static const float RELU6 = 6.0F;

/* The chain as blocks, with the scales and shifts of all layers. */
typedef struct description {
    apq_infer_network network;
    apq_infer_block blocks[APQ_IR_MAX_LAYERS];
    float *norms; /* owned */
} description;

static const apq_ir_layer *layer_at(const apq_nn_net *net, size_t i) {
    return &net->layers[i].ir;
}

/* Layers of the block that begins at layer i; 0: none does. */
static size_t block_length(const apq_nn_net *net, size_t i) {
    size_t n = layer_at(net, i)->kind == APQ_IR_POINTWISE ? 3 : 2;
    if (i + n > net->n_layers) {
        return 0;
    }
    const apq_ir_layer *project = layer_at(net, i + n - 1);
    bool is_block = layer_at(net, i + n - 2)->kind == APQ_IR_DEPTHWISE &&
                    project->kind == APQ_IR_POINTWISE;
    for (size_t k = i; k + 1 < i + n; k++) {
        is_block &= layer_at(net, k)->residual_from < 0;
    }
    is_block &=
        project->residual_from < 0 || project->residual_from == (int)i - 1;
    return is_block ? n : 0;
}

static apq_infer_layer describe_layer(const apq_nn_net *net, size_t i,
                                      float **norms) {
    const apq_nn_layer *l = &net->layers[i];
    bool is_linear = l->ir.kind == APQ_IR_LINEAR;
    float *scale = *norms;
    float *shift = scale + l->ir.out_channels;
    *norms = shift + l->ir.out_channels;
    for (int c = 0; c < l->ir.out_channels && !is_linear; c++) {
        scale[c] = l->gamma[c] / sqrtf(l->variance[c] + net->bn_epsilon);
        shift[c] = l->beta[c] - l->mean[c] * scale[c];
    }
    return (apq_infer_layer){
        .in_channels = l->ir.in_channels,
        .out_channels = l->ir.out_channels,
        .kernel = l->ir.kernel,
        .stride = l->ir.stride,
        .in_size = l->ir.in_size,
        .out_size = l->ir.out_size,
        .w = l->w,
        .ldw = l->ldw,
        .scale = is_linear ? NULL : scale,
        .shift = is_linear ? l->bias : shift,
        .clip = l->ir.has_relu6 ? RELU6 : 0.0F,
    };
}

static bool is_plain(const apq_ir_layer *ir, apq_ir_kind kind) {
    return ir->kind == kind && ir->residual_from < 0;
}

/* False where the layers are no such chain. */
static bool describe(const apq_nn_net *net, description *d) {
    float *norms = d->norms;
    size_t n = net->n_layers;
    if (n < 3 || !is_plain(layer_at(net, 0), APQ_IR_CONV) ||
        !is_plain(layer_at(net, n - 2), APQ_IR_POINTWISE) ||
        !is_plain(layer_at(net, n - 1), APQ_IR_LINEAR)) {
        return false;
    }
    d->network.stem = describe_layer(net, 0, &norms);
    d->network.blocks = d->blocks;
    size_t i = 1;
    for (size_t length; i < n - 2; i += length) {
        length = block_length(net, i);
        if (length == 0) {
            return false;
        }
        apq_infer_block *b = &d->blocks[d->network.n_blocks++];
        b->has_expand = length == 3;
        if (b->has_expand) {
            b->expand = describe_layer(net, i, &norms);
        }
        b->depthwise = describe_layer(net, i + length - 2, &norms);
        b->project = describe_layer(net, i + length - 1, &norms);
        b->is_residual = layer_at(net, i + length - 1)->residual_from >= 0;
    }
    d->network.mix = describe_layer(net, n - 2, &norms);
    d->network.classifier = describe_layer(net, n - 1, &norms);
    return i == n - 2;
}

apq_status apq_nn_infer_create(const apq_nn_net *net, bool is_bfloat16,
                               apq_infer **out) {
    const apq_infer_ops *ops = net->backend->infer;
    apq_infer *infer = NULL;
    size_t n_channels = 0;
    for (size_t i = 0; i < net->n_layers; i++) {
        n_channels += (size_t)net->layers[i].ir.out_channels;
    }
    description *d = apq_calloc(1, sizeof *d);
    float *norms = apq_calloc(2 * n_channels, sizeof *norms);
    apq_status st = APQ_OK;
    if (d == NULL || norms == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "evaluation: out of memory");
        goto done;
    }
    d->norms = norms;
    if (ops != NULL && !net->is_quantised && describe(net, d)) {
        st = ops->create(&d->network, is_bfloat16, &infer);
    } else if (is_bfloat16) {
        st = APQ_ERROR(APQ_ERR_UNSUPPORTED,
                       "bfloat16 evaluation: only of float networks of "
                       "inverted-residual blocks, by backend cpu");
    }
    if (st == APQ_OK) {
        *out = infer;
    }
done:
    free(norms);
    free(d);
    return st;
}
