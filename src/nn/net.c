/* Forward pass of a chain of convolution + batch norm (+ ReLU6) layers with
 * optional fake quantisation. The clamp and quantisation of an unsigned
 * activation are fused into the batch norm that makes it; signed ones (linear
 * bottlenecks) are quantised by their consumer, since the residual is not. */
#include "nn/net.h"

#include "quant/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float RELU6 = 6.0F;

apq_status apq_nn_net_init(apq_nn_net *net, const apq_backend *backend,
                           apq_arena *arena, const apq_ir_network *network,
                           int image_channels) {
    *net = (apq_nn_net){
        .backend = backend,
        .arena = arena,
        .n_layers = network->n_layers,
        .n_classes = network->n_classes,
        .resolution = network->resolution,
        .image_channels = image_channels,
        .bn_epsilon = 1e-3F,
    };
    size_t n_channels = 0;
    for (size_t i = 0; i < network->n_layers; i++) {
        n_channels += (size_t)network->layers[i].out_channels;
    }
    net->statistics = apq_calloc(2 * n_channels, sizeof(float));
    if (net->statistics == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "network: out of memory");
    }
    float *next = net->statistics;
    for (size_t i = 0; i < network->n_layers; i++) {
        apq_nn_layer *l = &net->layers[i];
        l->ir = network->layers[i];
        l->act_range = RELU6;
        l->mean = next;
        l->variance = next + l->ir.out_channels;
        next += 2 * l->ir.out_channels;
    }
    return APQ_OK;
}

void apq_nn_net_fini(apq_nn_net *net) {
    free(net->statistics);
    net->statistics = NULL;
}

void apq_nn_recalibrate_reset(apq_nn_net *net) {
    net->recalibrate_weight = 0;
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

/* Rows and columns of a layer's weight matrix. */
static void weight_matrix(const apq_ir_layer *ir, int64_t *rows,
                          int64_t *cols) {
    if (ir->kind == APQ_IR_DEPTHWISE) {
        *rows = (int64_t)ir->kernel * ir->kernel;
        *cols = ir->in_channels;
    } else {
        *rows = ir->out_channels;
        *cols = (int64_t)ir->kernel * ir->kernel * ir->in_channels;
    }
}

static apq_status prepare_weights(apq_nn_net *net, apq_nn_layer *l) {
    l->w_used = l->w;
    l->ldw_used = l->ldw;
    if (!net->is_quantised) {
        return APQ_OK;
    }
    int64_t rows, cols;
    weight_matrix(&l->ir, &rows, &cols);
    float *quantised;
    ALLOC(quantised, net, rows * cols);
    apq_quant_weights(l->w, rows, cols, l->ldw, l->weight_clip,
                      l->ir.weight_bits, quantised, cols);
    l->w_used = quantised;
    l->ldw_used = cols;
    return APQ_OK;
}

/* The signed input of an expansion is quantised here; every other input
 * arrives quantised (or is the image). */
static apq_status prepare_input(apq_nn_net *net, apq_nn_layer *l,
                                const float *x, int64_t n_values) {
    l->raw_x = x;
    l->x = x;
    if (!net->is_quantised || !l->ir.is_act_signed || l->ir.is_input_image) {
        return APQ_OK;
    }
    float *quantised;
    ALLOC(quantised, net, n_values);
    apq_quant_act(x, (size_t)n_values, l->act_range, l->ir.act_bits, true,
                  quantised);
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

static apq_status convolve(apq_nn_net *net, apq_nn_layer *l, int n_images) {
    const apq_backend *b = net->backend;
    int64_t rows = (int64_t)n_images * l->ir.out_size * l->ir.out_size;
    ALLOC(l->z, net, rows * l->ir.out_channels);
    apq_depthwise_shape shape = shape_of(l, n_images, l->ldw_used);
    if (l->ir.kind == APQ_IR_DEPTHWISE) {
        return b->depthwise_forward(&shape, l->x, l->w_used, l->z);
    }
    int64_t depth = l->ir.in_channels;
    if (l->ir.kind == APQ_IR_CONV) {
        depth *= (int64_t)l->ir.kernel * l->ir.kernel;
        float *col;
        ALLOC(col, net, rows * depth);
        APQ_TRY(b->im2col(&shape, l->x, col));
        l->x = col;
    }
    return b->gemm(&(apq_gemm_args){
        .is_b_transposed = true,
        .m = rows,
        .n = l->ir.out_channels,
        .k = depth,
        .a = l->x,
        .lda = depth,
        .b = l->w_used,
        .ldb = l->ldw_used,
        .c = l->z,
        .ldc = l->ir.out_channels,
    });
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

static apq_status normalise(apq_nn_net *net, size_t i, apq_nn_mode mode,
                            int n_images) {
    apq_nn_layer *l = &net->layers[i];
    int channels = l->ir.out_channels;
    int64_t rows = (int64_t)n_images * l->ir.out_size * l->ir.out_size;
    float *mean = l->mean, *variance = l->variance;
    if (mode != APQ_NN_EVAL) {
        ALLOC(mean, net, channels);
        ALLOC(variance, net, channels);
        APQ_TRY(
            net->backend->bn_statistics(rows, channels, l->z, mean, variance));
    }
    if (mode == APQ_NN_RECALIBRATE) {
        average_statistics(net, l, mean, variance, n_images);
    }
    ALLOC(l->inv_std, net, channels);
    ALLOC(l->scale, net, channels);
    ALLOC(l->shift, net, channels);
    l->batch_mean = mean;
    for (int c = 0; c < channels; c++) {
        l->inv_std[c] = 1.0F / sqrtf(variance[c] + net->bn_epsilon);
        l->scale[c] = l->gamma[c] * l->inv_std[c];
        l->shift[c] = l->beta[c] - mean[c] * l->scale[c];
    }
    if (mode == APQ_NN_TRAIN) {
        ALLOC(l->y, net, rows * channels);
    } else {
        l->y = l->z;
    }
    float clip = l->ir.has_relu6 ? RELU6 : 0.0F;
    float step = 0.0F;
    if (net->is_quantised && l->ir.has_relu6 && i + 2 < net->n_layers) {
        const apq_nn_layer *next = &net->layers[i + 1];
        clip = next->act_range;
        step = apq_quant_act_step(clip, next->ir.act_bits, false);
    }
    return net->backend->bn_apply(&(apq_bn_apply_args){
        .rows = rows,
        .channels = channels,
        .x = l->z,
        .scale = l->scale,
        .shift = l->shift,
        .residual = l->ir.residual_from >= 0
                        ? net->layers[l->ir.residual_from].y
                        : NULL,
        .clip = clip,
        .step = step,
        .y = l->y,
    });
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
    if (net->is_quantised) {
        float *quantised;
        ALLOC(quantised, net, (int64_t)n_images * channels);
        apq_quant_act(pooled, (size_t)n_images * (size_t)channels, l->act_range,
                      l->ir.act_bits, false, quantised);
        net->pooled = quantised;
    }
    APQ_TRY(prepare_weights(net, l));
    ALLOC(*logits, net, (int64_t)n_images * l->ir.out_channels);
    for (int n = 0; n < n_images; n++) {
        memcpy(*logits + (int64_t)n * l->ir.out_channels, l->bias,
               (size_t)l->ir.out_channels * sizeof(float));
    }
    return net->backend->gemm(&(apq_gemm_args){
        .is_b_transposed = true,
        .m = n_images,
        .n = l->ir.out_channels,
        .k = channels,
        .a = net->pooled,
        .lda = channels,
        .b = l->w_used,
        .ldb = l->ldw_used,
        .beta = 1.0F,
        .c = *logits,
        .ldc = l->ir.out_channels,
    });
}

static apq_status forward_layer(apq_nn_net *net, size_t i, apq_nn_mode mode,
                                const float *x, int n_images) {
    apq_nn_layer *l = &net->layers[i];
    int64_t n_values =
        (int64_t)n_images * l->ir.in_size * l->ir.in_size * l->ir.in_channels;
    APQ_TRY(prepare_weights(net, l));
    APQ_TRY(prepare_input(net, l, x, n_values));
    APQ_TRY(convolve(net, l, n_images));
    return normalise(net, i, mode, n_images);
}

apq_status apq_nn_forward_layers(apq_nn_net *net, apq_nn_mode mode,
                                 size_t begin, size_t end, const float *images,
                                 int n_images, float **logits) {
    APQ_ASSERT(net->n_layers >= 2 && n_images > 0 && begin <= end &&
               end <= net->n_layers);
    net->n_images = n_images;
    for (size_t i = begin; i < end && i + 1 < net->n_layers; i++) {
        const float *x = i == 0 ? images : net->layers[i - 1].y;
        APQ_TRY(forward_layer(net, i, mode, x, n_images));
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

apq_status apq_nn_calibrate(apq_nn_net *net, const float *images,
                            int n_images) {
    float *logits;
    net->is_quantised = false;
    APQ_TRY(apq_nn_forward(net, APQ_NN_TRAIN, images, n_images, &logits));
    for (size_t i = 0; i < net->n_layers; i++) {
        apq_nn_layer *l = &net->layers[i];
        int64_t rows, cols;
        weight_matrix(&l->ir, &rows, &cols);
        APQ_TRY(apq_quant_weight_clip(l->w, rows, cols, l->ldw,
                                      l->ir.weight_bits, &l->weight_clip));
        if (l->ir.is_input_image) {
            continue;
        }
        size_t n = (size_t)n_images * (size_t)l->ir.in_channels;
        if (l->ir.kind != APQ_IR_LINEAR) {
            n *= (size_t)l->ir.in_size * (size_t)l->ir.in_size;
        }
        APQ_TRY(apq_quant_act_range(l->raw_x, n, l->ir.act_bits,
                                    l->ir.is_act_signed, &l->act_range));
    }
    net->is_quantised = true;
    return APQ_OK;
}
