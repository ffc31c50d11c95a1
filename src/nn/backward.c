/* Backward pass of the layer chain. Rounding is straight-through, in streams
 * also the clamp; that of an unsigned activation is part of the batch norm that
 * made it, so its range gradient falls out of the same sweep (PACT). */
#include "nn/net.h"

#include "nn/quantised.h"
#include "nn/streams.h"

#include <stdlib.h>
#include <string.h>

static apq_status alloc(apq_nn_net *net, int64_t n, float **out) {
    *out = apq_arena_alloc(net->arena, (size_t)n, sizeof(float));
    if (*out == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "network: out of memory for gradients");
    }
    return APQ_OK;
}

/* Where the weight gradient of a layer is accumulated, NULL for none: its view
 * or, where steps are learned, zeros that apq_nn_weights_backward reads. */
static apq_status weight_gradient(apq_nn_net *net, const apq_nn_layer *l,
                                  float **dw, int64_t *lddw) {
    *dw = l->dw;
    *lddw = l->ldw;
    if (l->dw == NULL || !apq_nn_learns_steps(net)) {
        return APQ_OK;
    }
    int64_t rows, cols;
    apq_nn_weight_matrix(&l->ir, &rows, &cols);
    APQ_TRY(alloc(net, rows * cols, dw));
    memset(*dw, 0, (size_t)(rows * cols) * sizeof **dw);
    *lddw = cols;
    return APQ_OK;
}

static apq_status classifier_backward(apq_nn_net *net, const float *dlogits,
                                      float **dy) {
    apq_nn_layer *l = &net->layers[net->n_layers - 1];
    const apq_nn_layer *last = l - 1;
    int channels = l->ir.in_channels;
    int n_images = net->n_images;
    float *dpooled, *dw;
    int64_t lddw;
    APQ_TRY(alloc(net, (int64_t)n_images * channels, &dpooled));
    APQ_TRY(weight_gradient(net, l, &dw, &lddw));
    APQ_TRY(net->backend->pointwise_backward(
        &(apq_pointwise_shape){
            .rows = n_images,
            .in_channels = channels,
            .out_channels = l->ir.out_channels,
            .ldw = l->ldw_used,
        },
        &(apq_conv_backward){
            .g = dlogits,
            .x = net->pooled,
            .w = l->w_used,
            .dw = dw,
            .lddw = lddw,
            .dx = dpooled,
            .arena = net->arena,
        }));
    if (dw != l->dw) {
        apq_nn_weights_backward(net, l, dw);
    }
    if (l->dw != NULL) {
        for (int n = 0; n < n_images; n++) {
            for (int k = 0; k < l->ir.out_channels; k++) {
                l->dbias[k] += dlogits[(int64_t)n * l->ir.out_channels + k];
            }
        }
    }
    if (net->is_quantised) {
        apq_nn_input_backward(net, l, net->raw_pooled,
                              (size_t)n_images * (size_t)channels, dpooled);
    }
    int64_t pixels = (int64_t)last->ir.out_size * last->ir.out_size;
    APQ_TRY(alloc(net, n_images * pixels * channels, dy));
    float scale = 1.0F / (float)pixels;
    for (int n = 0; n < n_images; n++) {
        const float *g = dpooled + (int64_t)n * channels;
        for (int64_t p = 0; p < pixels; p++) {
            float *out = *dy + ((int64_t)n * pixels + p) * channels;
            for (int c = 0; c < channels; c++) {
                out[c] = g[c] * scale;
            }
        }
    }
    return APQ_OK;
}

/* What is known of the gradient on its way down. */
typedef struct gradient {
    /* Of a layer's output or, when is_reduced, of its norm's output before
     * the clamp, with the sums of bn_backward_reduce. */
    void *dy; /* in the format of the layer's z */
    bool is_reduced;
    float *sum_g, *sum_gx;
    double clip_grad;
} gradient;

static apq_status alloc_sums(apq_nn_net *net, int channels, gradient *g) {
    float *sums;
    APQ_TRY(alloc(net, 2 * (int64_t)channels, &sums));
    g->sum_g = sums;
    g->sum_gx = sums + channels;
    return APQ_OK;
}

/* Three buffers as large as the largest input: the gradient that is read, the
 * one that is written and one that a residual holds. */
typedef struct buffers {
    float *all[3];
} buffers;

static apq_status make_buffers(apq_nn_net *net, buffers *out) {
    int64_t most = 0;
    for (size_t i = 1; i + 1 < net->n_layers; i++) {
        const apq_ir_layer *ir = &net->layers[i].ir;
        int64_t n = (int64_t)ir->in_size * ir->in_size * ir->in_channels;
        most = n > most ? n : most;
    }
    for (int k = 0; k < 3; k++) {
        APQ_TRY(alloc(net, net->n_images * most, &out->all[k]));
    }
    return APQ_OK;
}

static float *free_buffer(const buffers *b, const void *read,
                          const float *held) {
    int k = 0;
    while (b->all[k] == read || b->all[k] == held) {
        k++;
    }
    return b->all[k];
}

/* Adds the gradients of layer i's norm from its sums. */
static void add_norm_gradients(apq_nn_net *net, size_t i, const gradient *g) {
    apq_nn_layer *l = &net->layers[i];
    if (apq_nn_feeds_quantiser(net, i)) {
        apq_nn_norm_range_backward(net, i, g->dy, g->clip_grad);
    }
    for (int c = 0; c < l->ir.out_channels && l->dgamma != NULL; c++) {
        l->dbeta[c] += g->sum_g[c];
        l->dgamma[c] += g->sum_gx[c];
    }
}

/* The gradient through layer i's norm: sums, and the gradients of gamma, beta
 * and of the range it is clamped to. What was not masked when it was made is
 * turned into dz here, else *slopes do so as it is read. */
static apq_status norm_backward(apq_nn_net *net, size_t i, gradient *g,
                                apq_bn_slopes *slopes) {
    apq_nn_layer *l = &net->layers[i];
    int channels = l->ir.out_channels;
    int64_t rows = (int64_t)net->n_images * l->ir.out_size * l->ir.out_size;
    const apq_norm *norm = &l->y_norm;
    apq_bn_backward_args args = {
        .rows = rows,
        .channels = channels,
        .x = l->z,
        .dy = g->dy,
        .mean = norm->mean,
        .inv_std = norm->inv_std,
        .scale = norm->scale,
        .shift = norm->shift,
        .clip = norm->clip,
        .sum_g = g->sum_g,
        .sum_gx = g->sum_gx,
        .clip_grad = &g->clip_grad,
        .dx = g->dy,
        .arena = net->arena,
    };
    if (!g->is_reduced) {
        APQ_TRY(net->backend->bn_backward_reduce(&args));
    }
    add_norm_gradients(net, i, g);
    *slopes = (apq_bn_slopes){0};
    if (!g->is_reduced && norm->clip > 0.0F) {
        APQ_ASSERT(l->ir.residual_from < 0);
        return net->backend->bn_backward_apply(&args);
    }
    float *by_z, *constant;
    APQ_TRY(alloc(net, channels, &by_z));
    APQ_TRY(alloc(net, channels, &constant));
    for (int c = 0; c < channels; c++) {
        double scale = (double)norm->scale[c] / (double)rows;
        double slope = scale * (double)g->sum_gx[c] * (double)norm->inv_std[c];
        by_z[c] = (float)-slope;
        constant[c] = (float)(slope * (double)norm->mean[c] -
                              scale * (double)g->sum_g[c]);
    }
    *slopes = (apq_bn_slopes){norm->scale, by_z, constant};
    return APQ_OK;
}

/* Through the convolution of layer i: weight gradient and, unless it is the
 * first, dx, which becomes the gradient of the layer before. */
static apq_status conv_backward(apq_nn_net *net, size_t i, float *dx,
                                const apq_bn_slopes *slopes, gradient *g) {
    apq_nn_layer *l = &net->layers[i];
    const apq_backend *b = net->backend;
    gradient below = {.dy = dx, .is_reduced = l->x_norm.scale != NULL};
    APQ_TRY(alloc_sums(net, l->ir.in_channels, &below));
    float *dw;
    int64_t lddw;
    APQ_TRY(weight_gradient(net, l, &dw, &lddw));
    apq_conv_backward args = {
        .format = l->format,
        .g = g->dy,
        .z = l->z,
        .slopes = *slopes,
        .x = l->x,
        .norm = l->x_norm,
        .w = l->w_used,
        .dw = dw,
        .lddw = lddw,
        .dx = dx,
        .sum_g = below.sum_g,
        .sum_gx = below.sum_gx,
        .clip_grad = &below.clip_grad,
        .arena = net->arena,
    };
    apq_depthwise_shape shape = {
        .n = net->n_images,
        .in_height = l->ir.in_size,
        .in_width = l->ir.in_size,
        .channels = l->ir.in_channels,
        .kernel = l->ir.kernel,
        .stride = l->ir.stride,
        .ldw = l->ldw_used,
    };
    if (l->ir.kind == APQ_IR_DEPTHWISE) {
        args.expand = apq_nn_expansion(l);
        APQ_TRY(b->depthwise_backward(&shape, &args));
    } else {
        bool is_conv = l->ir.kind == APQ_IR_CONV;
        APQ_ASSERT(dx == NULL || !is_conv);
        args.patches = is_conv ? &shape : NULL;
        APQ_TRY(b->pointwise_backward(
            &(apq_pointwise_shape){
                .rows =
                    (int64_t)net->n_images * l->ir.out_size * l->ir.out_size,
                .in_channels = l->ir.kernel * l->ir.kernel * l->ir.in_channels,
                .out_channels = l->ir.out_channels,
                .ldw = l->ldw_used,
            },
            &args));
    }
    if (dw != l->dw) {
        apq_nn_weights_backward(net, l, dw);
    }
    *g = below;
    return APQ_OK;
}

/* A stored input: its signed quantiser and the residual that reads it. */
static void join_backward(apq_nn_net *net, size_t i, float *dx,
                          const float *residual) {
    apq_nn_layer *l = &net->layers[i];
    size_t n = (size_t)net->n_images * (size_t)l->ir.in_size *
               (size_t)l->ir.in_size * (size_t)l->ir.in_channels;
    if (net->is_quantised && l->ir.is_act_signed &&
        !apq_nn_reads_stream(net, i)) {
        apq_nn_input_backward(net, l, l->raw_x, n, dx);
    }
    for (size_t k = 0; residual != NULL && k < n; k++) {
        dx[k] += residual[k];
    }
}

apq_status apq_nn_backward(apq_nn_net *net, const float *dlogits) {
    const float *held = NULL; /* the gradient of layer held_for, too */
    int held_for = -1;
    buffers b;
    APQ_TRY(make_buffers(net, &b));
    gradient g = {0};
    APQ_TRY(
        alloc_sums(net, net->layers[net->n_layers - 2].ir.out_channels, &g));
    float *dy;
    APQ_TRY(classifier_backward(net, dlogits, &dy));
    g.dy = dy;
    for (size_t i = net->n_layers - 1; i-- > 0;) {
        apq_nn_layer *l = &net->layers[i];
        if (l->ir.residual_from >= 0) {
            APQ_ASSERT(held == NULL);
            held = g.dy;
            held_for = l->ir.residual_from;
        }
        apq_bn_slopes slopes;
        APQ_TRY(norm_backward(net, i, &g, &slopes));
        float *dx = i > 0 ? free_buffer(&b, g.dy, held) : NULL;
        APQ_TRY(conv_backward(net, i, dx, &slopes, &g));
        if (l->x == NULL) { /* an expansion was passed with it */
            add_norm_gradients(net, --i, &g);
            g.is_reduced = false;
            APQ_TRY(alloc_sums(net, net->layers[i].ir.in_channels, &g));
        }
        if (i > 0 && !g.is_reduced) {
            bool is_joined = (int)i - 1 == held_for;
            join_backward(net, i, dx, is_joined ? held : NULL);
            held = is_joined ? NULL : held;
            held_for = is_joined ? -1 : held_for;
        }
    }
    return APQ_OK;
}
