/* Backward pass of the layer chain. Rounding is straight-through; the clamp
 * of an unsigned activation is part of the batch norm that made it, so its
 * range gradient falls out of the same sweep (PACT). */
#include "nn/net.h"

#include "quant/quant.h"

#include <stdlib.h>
#include <string.h>

static apq_status alloc(apq_nn_net *net, int64_t n, float **out) {
    *out = apq_arena_alloc(net->arena, (size_t)n, sizeof(float));
    if (*out == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "network: out of memory for gradients");
    }
    return APQ_OK;
}

/* dw (K, ldw) += dz^T x for a (rows, depth) input. */
static apq_status product_weight_grad(const apq_nn_net *net,
                                      const apq_nn_layer *l, int64_t rows,
                                      int64_t depth, const float *dz,
                                      const float *x) {
    return net->backend->gemm(&(apq_gemm_args){
        .is_a_transposed = true,
        .m = l->ir.out_channels,
        .n = depth,
        .k = rows,
        .a = dz,
        .lda = l->ir.out_channels,
        .b = x,
        .ldb = depth,
        .beta = 1.0F,
        .c = l->dw,
        .ldc = l->ldw,
    });
}

/* dx (rows, C) = dz w. */
static apq_status product_input_grad(const apq_nn_net *net,
                                     const apq_nn_layer *l, int64_t rows,
                                     const float *dz, float *dx) {
    return net->backend->gemm(&(apq_gemm_args){
        .m = rows,
        .n = l->ir.in_channels,
        .k = l->ir.out_channels,
        .a = dz,
        .lda = l->ir.out_channels,
        .b = l->w_used,
        .ldb = l->ldw_used,
        .c = dx,
        .ldc = l->ir.in_channels,
    });
}

static apq_status classifier_backward(apq_nn_net *net, const float *dlogits,
                                      float **dy) {
    apq_nn_layer *l = &net->layers[net->n_layers - 1];
    const apq_nn_layer *last = l - 1;
    int channels = l->ir.in_channels;
    int n_images = net->n_images;
    if (l->dw != NULL) {
        APQ_TRY(product_weight_grad(net, l, n_images, channels, dlogits,
                                    net->pooled));
        for (int n = 0; n < n_images; n++) {
            for (int k = 0; k < l->ir.out_channels; k++) {
                l->dbias[k] += dlogits[(int64_t)n * l->ir.out_channels + k];
            }
        }
    }
    float *dpooled;
    APQ_TRY(alloc(net, (int64_t)n_images * channels, &dpooled));
    APQ_TRY(product_input_grad(net, l, n_images, dlogits, dpooled));
    if (net->is_quantised) {
        double grad;
        apq_quant_act_backward(net->raw_pooled, dpooled,
                               (size_t)n_images * (size_t)channels,
                               l->act_range, false, dpooled, &grad);
        l->act_range_grad += grad;
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

/* dy of layer i -> dz, in place unless a residual still needs dy. */
static apq_status norm_backward(apq_nn_net *net, size_t i, float *dy,
                                float *dz) {
    apq_nn_layer *l = &net->layers[i];
    int channels = l->ir.out_channels;
    bool feeds_quantiser =
        net->is_quantised && l->ir.has_relu6 && i + 2 < net->n_layers;
    float *sums;
    APQ_TRY(alloc(net, 2 * (int64_t)channels, &sums));
    double clip_grad = 0;
    apq_bn_backward_args args = {
        .rows = (int64_t)net->n_images * l->ir.out_size * l->ir.out_size,
        .channels = channels,
        .x = l->z,
        .dy = dy,
        .mean = l->batch_mean,
        .inv_std = l->inv_std,
        .scale = l->scale,
        .shift = l->shift,
        .clip = feeds_quantiser   ? net->layers[i + 1].act_range
                : l->ir.has_relu6 ? 6.0F
                                  : 0.0F,
        .sum_g = sums,
        .sum_gx = sums + channels,
        .clip_grad = &clip_grad,
        .dx = dz,
    };
    APQ_TRY(net->backend->bn_backward_reduce(&args));
    if (feeds_quantiser) {
        net->layers[i + 1].act_range_grad += clip_grad;
    }
    if (l->dgamma != NULL) {
        for (int c = 0; c < channels; c++) {
            l->dbeta[c] += args.sum_g[c];
            l->dgamma[c] += args.sum_gx[c];
        }
    }
    return net->backend->bn_backward_apply(&args);
}

/* dz of a layer -> weight gradient and, unless it is the first, dx. */
static apq_status conv_backward(apq_nn_net *net, apq_nn_layer *l,
                                const float *dz, float *dx) {
    const apq_backend *b = net->backend;
    int64_t rows = (int64_t)net->n_images * l->ir.out_size * l->ir.out_size;
    if (l->ir.kind == APQ_IR_DEPTHWISE) {
        apq_depthwise_shape shape = {
            .n = net->n_images,
            .in_height = l->ir.in_size,
            .in_width = l->ir.in_size,
            .channels = l->ir.in_channels,
            .kernel = l->ir.kernel,
            .stride = l->ir.stride,
            .ldw = l->ldw,
        };
        if (l->dw != NULL) {
            APQ_TRY(b->depthwise_backward_weights(&shape, l->x, dz, l->dw));
        }
        shape.ldw = l->ldw_used;
        return b->depthwise_backward_data(&shape, dz, l->w_used, dx);
    }
    int64_t depth = (int64_t)l->ir.kernel * l->ir.kernel * l->ir.in_channels;
    if (l->dw != NULL) {
        APQ_TRY(product_weight_grad(net, l, rows, depth, dz, l->x));
    }
    if (dx == NULL) {
        return APQ_OK;
    }
    APQ_ASSERT(l->ir.kind == APQ_IR_POINTWISE);
    return product_input_grad(net, l, rows, dz, dx);
}

apq_status apq_nn_backward(apq_nn_net *net, const float *dlogits) {
    const float *pending[APQ_IR_MAX_LAYERS] = {NULL};
    float *dy;
    APQ_TRY(classifier_backward(net, dlogits, &dy));
    for (size_t i = net->n_layers - 1; i-- > 0;) {
        apq_nn_layer *l = &net->layers[i];
        int64_t n_out = (int64_t)net->n_images * l->ir.out_size *
                        l->ir.out_size * l->ir.out_channels;
        float *dz = dy;
        if (l->ir.residual_from >= 0) {
            pending[l->ir.residual_from] = dy;
            APQ_TRY(alloc(net, n_out, &dz));
        }
        APQ_TRY(norm_backward(net, i, dy, dz));
        int64_t n_in = (int64_t)net->n_images * l->ir.in_size * l->ir.in_size *
                       l->ir.in_channels;
        float *dx = NULL;
        if (i > 0) {
            APQ_TRY(alloc(net, n_in, &dx));
        }
        APQ_TRY(conv_backward(net, l, dz, dx));
        if (i == 0) {
            break;
        }
        if (net->is_quantised && l->ir.is_act_signed) {
            double grad;
            apq_quant_act_backward(l->raw_x, dx, (size_t)n_in, l->act_range,
                                   true, dx, &grad);
            l->act_range_grad += grad;
        }
        const float *residual = pending[i - 1];
        if (residual != NULL) {
            for (int64_t k = 0; k < n_in; k++) {
                dx[k] += residual[k];
            }
        }
        dy = dx;
    }
    return APQ_OK;
}
