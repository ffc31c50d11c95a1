/* Forward pass of a chain of convolution + batch norm (+ ReLU6) layers with
 * optional fake quantisation. The clamp and quantisation of an unsigned
 * activation are part of the batch norm that makes it, which the next
 * convolution applies as it reads: only what precedes it is stored. Signed
 * activations (linear bottlenecks) are stored, since residuals need them, in
 * the 8 bits of their stream; a reader of fewer bits rounds them again. */
#include "nn/net.h"

#include "nn/quantised.h"
#include "nn/streams.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float RELU6 = 6.0F;

/* Expansions of more channels cost more to form again in the backward pass
 * than their output to store and load. */
enum { MAX_EXPANDED = 32 };

size_t apq_nn_statistics_floats(const apq_ir_network *network) {
    size_t n_channels = 0;
    for (size_t i = 0; i < network->n_layers; i++) {
        n_channels += (size_t)network->layers[i].out_channels;
    }
    return 4 * n_channels;
}

void apq_nn_net_init_on(apq_nn_net *net, const apq_backend *backend,
                        apq_arena *arena, const apq_ir_network *network,
                        int image_channels, float *statistics) {
    *net = (apq_nn_net){
        .backend = backend,
        .arena = arena,
        .n_layers = network->n_layers,
        .n_classes = network->n_classes,
        .resolution = network->resolution,
        .image_channels = image_channels,
        .bn_epsilon = 1e-3F,
        .statistics = statistics,
    };
    size_t n_floats = apq_nn_statistics_floats(network);
    memset(statistics, 0, n_floats * sizeof *statistics);
    for (size_t i = 0; i < network->n_layers; i++) {
        apq_nn_layer *l = &net->layers[i];
        l->ir = network->layers[i];
        l->act_range = RELU6;
        l->mean = statistics;
        l->variance = statistics + l->ir.out_channels;
        l->weight_step = statistics + 2 * l->ir.out_channels;
        l->weight_step_grad = statistics + 3 * l->ir.out_channels;
        statistics += 4 * l->ir.out_channels;
    }
}

apq_status apq_nn_net_init(apq_nn_net *net, const apq_backend *backend,
                           apq_arena *arena, const apq_ir_network *network,
                           int image_channels) {
    float *statistics =
        apq_calloc(apq_nn_statistics_floats(network), sizeof *statistics);
    if (statistics == NULL) {
        *net = (apq_nn_net){0};
        APQ_FAIL(APQ_ERR_NOMEM, "network: out of memory");
    }
    apq_nn_net_init_on(net, backend, arena, network, image_channels,
                       statistics);
    return APQ_OK;
}

void apq_nn_net_fini(apq_nn_net *net) {
    free(net->statistics);
    net->statistics = NULL;
}

void apq_nn_recalibrate_reset(apq_nn_net *net) {
    net->recalibrate_weight = 0;
}

apq_expand apq_nn_expansion(const apq_nn_layer *l) {
    if (l->x != NULL) {
        return (apq_expand){0};
    }
    const apq_nn_layer *expand = l - 1;
    return (apq_expand){
        .x = expand->x,
        .in_channels = expand->ir.in_channels,
        .w = expand->w_used,
        .ldw = expand->ldw_used,
        .moments = expand->moments,
        .dw = expand->dw,
        .lddw = expand->ldw,
    };
}

bool apq_nn_feeds_quantiser(const apq_nn_net *net, size_t i) {
    return net->is_quantised && net->layers[i].ir.has_relu6 &&
           i + 2 < net->n_layers;
}

static float *arena_floats(apq_nn_net *net, int64_t n) {
    return apq_arena_alloc(net->arena, (size_t)n, sizeof(float));
}

#define ALLOC(ptr, net, n)                                                     \
    do {                                                                       \
        (ptr) = arena_floats((net), (int64_t)(n));                             \
        if ((ptr) == NULL) {                                                   \
            APQ_FAIL(APQ_ERR_NOMEM, "network: out of memory for activations"); \
        }                                                                      \
    } while (0)

static apq_status prepare_weights(apq_nn_net *net, apq_nn_layer *l) {
    l->w_used = l->w;
    l->ldw_used = l->ldw;
    if (!net->is_quantised) {
        return APQ_OK;
    }
    int64_t rows, cols;
    apq_nn_weight_matrix(&l->ir, &rows, &cols);
    float *quantised;
    ALLOC(quantised, net, rows * cols);
    apq_nn_quantise_weights(net, l, quantised);
    l->w_used = quantised;
    l->ldw_used = cols;
    return APQ_OK;
}

/* Whether a layer's output is stored: only a pointwise or depthwise layer
 * can normalise an unsigned input as it reads. */
static bool stores_output(const apq_nn_net *net, size_t i) {
    const apq_ir_layer *ir = &net->layers[i].ir;
    const apq_ir_layer *next = &net->layers[i + 1].ir;
    bool is_residual = false;
    for (size_t k = i + 1; k < net->n_layers; k++) {
        is_residual |= net->layers[k].ir.residual_from == (int)i;
    }
    return is_residual || !ir->has_relu6 || ir->residual_from >= 0 ||
           next->is_act_signed ||
           (next->kind != APQ_IR_POINTWISE && next->kind != APQ_IR_DEPTHWISE);
}

/* Whether the depthwise layer after this one forms its output. The steps of
 * LSQ learn from how it is rounded, so it is stored then. */
static bool is_formed_later(const apq_nn_net *net, size_t i) {
    const apq_ir_layer *ir = &net->layers[i].ir;
    return !net->keeps_expansions && !apq_nn_learns_steps(net) && i > 0 &&
           ir->kind == APQ_IR_POINTWISE && ir->in_channels <= MAX_EXPANDED &&
           net->layers[i + 1].ir.kind == APQ_IR_DEPTHWISE &&
           stores_output(net, i - 1) && !stores_output(net, i);
}

static bool rounds_streams(const apq_nn_net *net) {
    return net->is_quantised && !net->has_float_streams;
}

/* The image and the signed input of an expansion of fewer than 8 bits are
 * quantised here; every other input is, where it is made. */
static apq_status prepare_input(apq_nn_net *net, size_t i, const float *images,
                                int n_images) {
    apq_nn_layer *l = &net->layers[i];
    l->x_norm = (apq_norm){0};
    l->raw_x = images;
    l->x = images;
    if (i > 0) {
        const apq_nn_layer *last = l - 1;
        l->raw_x = last->y;
        l->x = last->y != NULL ? last->y : last->z;
        l->x_norm = last->y != NULL ? l->x_norm : last->y_norm;
    }
    bool is_rounded = l->ir.is_input_image
                          ? rounds_streams(net)
                          : net->is_quantised && l->ir.is_act_signed &&
                                !apq_nn_reads_stream(net, i);
    if (!is_rounded) {
        return APQ_OK;
    }
    int64_t n_values =
        (int64_t)n_images * l->ir.in_size * l->ir.in_size * l->ir.in_channels;
    float *quantised;
    ALLOC(quantised, net, n_values);
    if (l->ir.is_input_image) {
        apq_quant_stream(images, NULL, (size_t)n_values, l->act_range,
                         quantised);
    } else {
        apq_nn_quantise_input(net, l, l->raw_x, (size_t)n_values, quantised);
    }
    l->x = quantised;
    return APQ_OK;
}

static apq_depthwise_shape shape_of(const apq_nn_layer *l, int n_images,
                                    int64_t ldw) {
    return (apq_depthwise_shape){
        .n = n_images,
        .in_height = l->ir.in_size,
        .in_width = l->ir.in_size,
        .channels = l->ir.in_channels,
        .kernel = l->ir.kernel,
        .stride = l->ir.stride,
        .ldw = ldw,
    };
}

/* mean, variance (K): of z, or both NULL. */
static apq_status convolve(apq_nn_net *net, apq_nn_layer *l, int n_images,
                           float *mean, float *variance) {
    const apq_backend *b = net->backend;
    int64_t rows = (int64_t)n_images * l->ir.out_size * l->ir.out_size;
    int64_t n_values = rows * l->ir.out_channels;
    float *z;
    ALLOC(z, net, l->format.is_z_bf16 ? (n_values + 1) / 2 : n_values);
    l->z = z;
    apq_depthwise_shape shape = shape_of(l, n_images, l->ldw_used);
    apq_conv_forward args = {
        .format = l->format,
        .x = l->x,
        .norm = l->x_norm,
        .w = l->w_used,
        .z = l->z,
        .mean = mean,
        .variance = variance,
        .arena = net->arena,
    };
    if (l->ir.kind == APQ_IR_DEPTHWISE) {
        args.expand = apq_nn_expansion(l);
        return b->depthwise_forward(&shape, &args);
    }
    int depth = l->ir.in_channels;
    if (l->ir.kind == APQ_IR_CONV) {
        depth *= l->ir.kernel * l->ir.kernel;
        args.patches = &shape;
    }
    return b->pointwise_forward(
        &(apq_pointwise_shape){
            .rows = rows,
            .in_channels = depth,
            .out_channels = l->ir.out_channels,
            .ldw = l->ldw_used,
        },
        &args);
}

static void average_statistics(apq_nn_net *net, apq_nn_layer *l,
                               const float *mean, const float *variance,
                               int n_images) {
    double total = net->recalibrate_weight + n_images;
    float keep = (float)(net->recalibrate_weight / total);
    float take = (float)(n_images / total);
    for (int c = 0; c < l->ir.out_channels; c++) {
        l->mean[c] = keep * l->mean[c] + take * mean[c];
        l->variance[c] = keep * l->variance[c] + take * variance[c];
    }
}

/* The norm of a layer from the statistics of its z. */
static apq_status make_norm(apq_nn_net *net, size_t i, const float *mean,
                            const float *variance) {
    apq_nn_layer *l = &net->layers[i];
    int channels = l->ir.out_channels;
    float *inv_std, *scale, *shift;
    ALLOC(inv_std, net, channels);
    ALLOC(scale, net, channels);
    ALLOC(shift, net, channels);
    for (int c = 0; c < channels; c++) {
        inv_std[c] = 1.0F / sqrtf(variance[c] + net->bn_epsilon);
        scale[c] = l->gamma[c] * inv_std[c];
        shift[c] = l->beta[c] - mean[c] * scale[c];
    }
    for (int c = 0; c < channels && net->rounds_biases; c++) {
        shift[c] = apq_nn_round_bias(net, i, c, scale[c], shift[c]);
    }
    l->y_norm = (apq_norm){
        .scale = scale,
        .shift = shift,
        .mean = mean,
        .inv_std = inv_std,
        .clip = l->ir.has_relu6 ? RELU6 : 0.0F,
    };
    if (apq_nn_feeds_quantiser(net, i)) {
        const apq_nn_layer *next = &net->layers[i + 1];
        l->y_norm.clip = next->act_range;
        l->y_norm.step =
            apq_quant_act_step(next->act_range, next->ir.act_bits, false);
    } else if (rounds_streams(net) && l->ir.has_relu6) { /* what is pooled */
        l->y_norm.clip = l->out_range;
        l->y_norm.step = apq_quant_act_step(l->out_range, 8, false);
    }
    return APQ_OK;
}

static apq_status apply_norm(apq_nn_net *net, size_t i, int64_t rows,
                             float *y) {
    const apq_nn_layer *l = &net->layers[i];
    const float *residual =
        l->ir.residual_from >= 0 ? net->layers[l->ir.residual_from].y : NULL;
    bool is_rounded = rounds_streams(net) && apq_nn_is_in_stream(l);
    APQ_TRY(net->backend->bn_apply(&(apq_bn_apply_args){
        .rows = rows,
        .channels = l->ir.out_channels,
        .x = l->z,
        .scale = l->y_norm.scale,
        .shift = l->y_norm.shift,
        .residual = is_rounded ? NULL : residual,
        .clip = l->y_norm.clip,
        .step = l->y_norm.step,
        .y = y,
        .arena = net->arena,
    }));
    if (is_rounded) {
        apq_quant_stream(y, residual, (size_t)rows * (size_t)l->ir.out_channels,
                         l->out_range, y);
    }
    return APQ_OK;
}

/* The z of a layer and, where mean is not NULL, its statistics. */
static apq_status run_convolution(apq_nn_net *net, size_t i, int n_images,
                                  float *mean, float *variance) {
    apq_nn_layer *l = &net->layers[i];
    if (!is_formed_later(net, i)) {
        return convolve(net, l, n_images, mean, variance);
    }
    l->z = NULL;
    l->moments = NULL;
    if (mean == NULL) {
        return APQ_OK;
    }
    int channels = l->ir.in_channels;
    ALLOC(l->moments, net, channels * (channels + 1));
    return net->backend->expand_statistics(
        &(apq_pointwise_shape){
            .rows = (int64_t)n_images * l->ir.in_size * l->ir.in_size,
            .in_channels = channels,
            .out_channels = l->ir.out_channels,
            .ldw = l->ldw_used,
        },
        l->x, l->w_used, mean, variance, l->moments, net->arena);
}

/* What a training pass in bfloat16 stores in it: the widest tensors, of which
 * nothing is added up outside of a convolution. */
static apq_format format_of(const apq_nn_net *net, size_t i, apq_nn_mode mode) {
    if (mode != APQ_NN_TRAIN || net->precision == APQ_FLOAT32) {
        return (apq_format){0};
    }
    return (apq_format){
        .precision = net->precision,
        .is_x_bf16 = i > 0 && !stores_output(net, i - 1),
        .is_z_bf16 = !stores_output(net, i),
    };
}

static apq_status run_layer(apq_nn_net *net, size_t i, apq_nn_mode mode,
                            int n_images) {
    apq_nn_layer *l = &net->layers[i];
    int channels = l->ir.out_channels;
    l->format = format_of(net, i, mode);
    if (mode == APQ_NN_EVAL) {
        APQ_TRY(run_convolution(net, i, n_images, NULL, NULL));
        APQ_TRY(make_norm(net, i, l->mean, l->variance));
    } else {
        float *mean, *variance;
        ALLOC(mean, net, channels);
        ALLOC(variance, net, channels);
        APQ_TRY(run_convolution(net, i, n_images, mean, variance));
        APQ_TRY(make_norm(net, i, mean, variance));
        if (mode == APQ_NN_RECALIBRATE) {
            average_statistics(net, l, mean, variance, n_images);
        }
    }
    l->y = NULL;
    if (!stores_output(net, i)) {
        return APQ_OK;
    }
    int64_t rows = (int64_t)n_images * l->ir.out_size * l->ir.out_size;
    float *y = l->z;
    if (mode == APQ_NN_TRAIN) {
        ALLOC(y, net, rows * channels);
    }
    l->y = y;
    return apply_norm(net, i, rows, y);
}

/* Global average pool of (N, S*S, C). */
static void pool(const float *x, int n_images, int64_t pixels, int channels,
                 float *pooled) {
    memset(pooled, 0, (size_t)n_images * (size_t)channels * sizeof *pooled);
    float scale = 1.0F / (float)pixels;
    for (int n = 0; n < n_images; n++) {
        float *out = pooled + (int64_t)n * channels;
        for (int64_t p = 0; p < pixels; p++) {
            const float *in = x + ((int64_t)n * pixels + p) * channels;
            for (int c = 0; c < channels; c++) {
                out[c] += in[c];
            }
        }
        for (int c = 0; c < channels; c++) {
            out[c] *= scale;
        }
    }
}

static apq_status classify(apq_nn_net *net, int n_images, float **logits) {
    apq_nn_layer *l = &net->layers[net->n_layers - 1];
    const apq_nn_layer *last = l - 1;
    int channels = l->ir.in_channels;
    float *pooled;
    ALLOC(pooled, net, (int64_t)n_images * channels);
    pool(last->y, n_images, (int64_t)last->ir.out_size * last->ir.out_size,
         channels, pooled);
    net->raw_pooled = pooled;
    net->pooled = pooled;
    l->raw_x = pooled;
    l->x_norm = (apq_norm){0};
    if (net->is_quantised) {
        float *quantised;
        ALLOC(quantised, net, (int64_t)n_images * channels);
        apq_nn_quantise_input(net, l, pooled,
                              (size_t)n_images * (size_t)channels, quantised);
        net->pooled = quantised;
    }
    APQ_TRY(prepare_weights(net, l));
    ALLOC(*logits, net, (int64_t)n_images * l->ir.out_channels);
    APQ_TRY(net->backend->pointwise_forward(
        &(apq_pointwise_shape){
            .rows = n_images,
            .in_channels = channels,
            .out_channels = l->ir.out_channels,
            .ldw = l->ldw_used,
        },
        &(apq_conv_forward){
            .x = net->pooled,
            .w = l->w_used,
            .z = *logits,
            .arena = net->arena,
        }));
    for (int k = 0; k < l->ir.out_channels; k++) {
        float bias = l->bias[k];
        if (net->rounds_biases) {
            bias = apq_nn_round_bias(net, net->n_layers - 1, k, 1.0F, bias);
        }
        for (int i = 0; i < n_images; i++) {
            (*logits)[(int64_t)i * l->ir.out_channels + k] += bias;
        }
    }
    return APQ_OK;
}

apq_status apq_nn_forward_layers(apq_nn_net *net, apq_nn_mode mode,
                                 size_t begin, size_t end, const float *images,
                                 int n_images, float **logits) {
    APQ_ASSERT(net->n_layers >= 2 && n_images > 0 && begin <= end &&
               end <= net->n_layers);
    net->n_images = n_images;
    net->rounds_biases = net->is_quantised && mode != APQ_NN_TRAIN;
    for (size_t i = begin; i < end && i + 1 < net->n_layers; i++) {
        APQ_TRY(prepare_weights(net, &net->layers[i]));
        APQ_TRY(prepare_input(net, i, images, n_images));
        APQ_TRY(run_layer(net, i, mode, n_images));
    }
    if (begin < end && end == net->n_layers) {
        APQ_TRY(classify(net, n_images, logits));
    }
    return APQ_OK;
}

apq_status apq_nn_forward(apq_nn_net *net, apq_nn_mode mode,
                          const float *images, int n_images, float **logits) {
    APQ_TRY(apq_nn_forward_layers(net, mode, 0, net->n_layers, images, n_images,
                                  logits));
    if (mode == APQ_NN_RECALIBRATE) {
        net->recalibrate_weight += n_images;
    }
    return APQ_OK;
}

/* The float input of a layer, normalised into the arena where its maker did
 * not store it. */
static apq_status float_input(apq_nn_net *net, size_t i, int64_t rows,
                              const float **out) {
    *out = net->layers[i].raw_x;
    if (*out != NULL) {
        return APQ_OK;
    }
    float *y;
    ALLOC(y, net, rows * net->layers[i].ir.in_channels);
    *out = y;
    return apply_norm(net, i - 1, rows, y);
}

static apq_status calibrate_streams(apq_nn_net *net, const float *images,
                                    int n_images) {
    float *logits;
    APQ_TRY(apq_nn_forward(net, APQ_NN_TRAIN, images, n_images, &logits));
    APQ_TRY(apq_nn_calibrate_streams(net, images, n_images));
    net->has_float_streams = false;
    return APQ_OK;
}

apq_status apq_nn_calibrate(apq_nn_net *net, const float *images,
                            int n_images) {
    if (net->has_float_streams) {
        return calibrate_streams(net, images, n_images);
    }
    float *logits;
    apq_precision precision = net->precision;
    net->is_quantised = false;
    net->keeps_expansions = true;
    net->precision = APQ_FLOAT32;
    apq_status st =
        apq_nn_forward(net, APQ_NN_TRAIN, images, n_images, &logits);
    net->keeps_expansions = false;
    net->precision = precision;
    APQ_TRY(st);
    for (size_t i = 0; i < net->n_layers; i++) {
        apq_nn_layer *l = &net->layers[i];
        APQ_TRY(apq_nn_calibrate_weights(net, l));
        if (apq_nn_has_frozen_range(net, i)) {
            continue;
        }
        int64_t pixels =
            l->ir.kind == APQ_IR_LINEAR
                ? n_images
                : (int64_t)n_images * l->ir.in_size * l->ir.in_size;
        const float *x;
        APQ_TRY(float_input(net, i, pixels, &x));
        APQ_TRY(apq_quant_act_range(
            x, (size_t)pixels * (size_t)l->ir.in_channels, l->ir.act_bits,
            l->ir.is_act_signed, &l->act_range));
    }
    APQ_TRY(apq_nn_calibrate_streams(net, images, n_images));
    net->is_quantised = true;
    return APQ_OK;
}
