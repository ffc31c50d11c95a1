/* The two quantisers behind one face. The range r of an input is what both
 * store: LSQ's step is r / P, and the gradient that it leaves for r moves r by
 * P times what LSQ's own would move the step: docs/quantisation.md. */
#include "nn/quantised.h"

#include "quant/lsq.h"
#include "quant/quant.h"

#include <math.h>

bool apq_nn_learns_steps(const apq_nn_net *net) {
    return net->is_quantised && net->quantiser == APQ_QUANTISER_LSQ;
}

void apq_nn_weight_matrix(const apq_ir_layer *ir, int64_t *rows,
                          int64_t *cols) {
    if (ir->kind == APQ_IR_DEPTHWISE) {
        *rows = (int64_t)ir->kernel * ir->kernel;
        *cols = ir->in_channels;
    } else {
        *rows = ir->out_channels;
        *cols = (int64_t)ir->kernel * ir->kernel * ir->in_channels;
    }
}

/* The output channels of a layer: rows of its matrix, or columns. */
static apq_lsq_weights weights_of(const apq_nn_layer *l) {
    int64_t rows, cols;
    apq_nn_weight_matrix(&l->ir, &rows, &cols);
    bool is_depthwise = l->ir.kind == APQ_IR_DEPTHWISE;
    return (apq_lsq_weights){
        .w = l->w,
        .channels = l->ir.out_channels,
        .n = is_depthwise ? rows : cols,
        .by_channel = is_depthwise ? 1 : l->ldw,
        .by_value = is_depthwise ? l->ldw : 1,
        .out_by_channel = is_depthwise ? 1 : cols,
        .out_by_value = is_depthwise ? cols : 1,
        .bits = l->ir.weight_bits,
        .steps = l->weight_step,
    };
}

void apq_nn_quantise_weights(const apq_nn_net *net, const apq_nn_layer *l,
                             float *out) {
    if (net->quantiser == APQ_QUANTISER_LSQ) {
        apq_lsq_weights weights = weights_of(l);
        apq_lsq_quantise_weights(&weights, out);
        return;
    }
    int64_t rows, cols;
    apq_nn_weight_matrix(&l->ir, &rows, &cols);
    apq_quant_weights(l->w, rows, cols, l->ldw, l->weight_clip,
                      l->ir.weight_bits, out, cols);
}

void apq_nn_weight_codes(const apq_nn_net *net, const apq_nn_layer *l,
                         int8_t *codes) {
    if (net->quantiser == APQ_QUANTISER_LSQ) {
        apq_lsq_weights weights = weights_of(l);
        apq_lsq_weight_codes(&weights, codes);
        return;
    }
    int64_t rows, cols;
    apq_nn_weight_matrix(&l->ir, &rows, &cols);
    apq_quant_weight_codes(l->w, rows, cols, l->ldw, l->weight_clip,
                           l->ir.weight_bits, codes);
}

float apq_nn_weight_step(const apq_nn_net *net, const apq_nn_layer *l, int k) {
    return net->quantiser == APQ_QUANTISER_LSQ
               ? l->weight_step[k]
               : apq_quant_weight_step(l->weight_clip, l->ir.weight_bits);
}

int apq_nn_lowest_code(const apq_nn_net *net, const apq_nn_layer *l) {
    int lowest = apq_lsq_lowest(l->ir.act_bits, l->ir.is_act_signed);
    bool is_symmetric = net->quantiser == APQ_QUANTISER_APQ;
    return l->ir.is_act_signed && is_symmetric ? lowest + 1 : lowest;
}

int apq_nn_highest_code(const apq_nn_layer *l) {
    return apq_lsq_highest(l->ir.act_bits, l->ir.is_act_signed);
}

static bool all_finite(const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            return false;
        }
    }
    return true;
}

apq_status apq_nn_calibrate_weights(const apq_nn_net *net, apq_nn_layer *l) {
    int64_t rows, cols;
    apq_nn_weight_matrix(&l->ir, &rows, &cols);
    for (int64_t r = 0; r < rows; r++) {
        if (!all_finite(l->w + r * l->ldw, cols)) {
            APQ_FAIL(APQ_ERR_NUMERIC, "%s: a weight is not finite", l->ir.name);
        }
    }
    if (net->quantiser == APQ_QUANTISER_APQ) {
        return apq_quant_weight_clip(l->w, rows, cols, l->ldw,
                                     l->ir.weight_bits, &l->weight_clip);
    }
    apq_lsq_weights weights = weights_of(l);
    apq_lsq_weight_steps(&weights, l->weight_step);
    return APQ_OK;
}

static float act_step(const apq_nn_layer *l) {
    return apq_quant_act_step(l->act_range, l->ir.act_bits,
                              l->ir.is_act_signed);
}

void apq_nn_quantise_input(const apq_nn_net *net, const apq_nn_layer *l,
                           const float *x, size_t n, float *y) {
    if (net->quantiser == APQ_QUANTISER_LSQ) {
        apq_lsq_act(x, n, act_step(l), l->ir.act_bits, l->ir.is_act_signed, y);
    } else {
        apq_quant_act(x, n, l->act_range, l->ir.act_bits, l->ir.is_act_signed,
                      y);
    }
}

/* From the gradient of the step, summed over images, to that of r = P * step.
 * The values that share it are counted as LSQ does, for one image, so that its
 * learning does not depend on the batch. */
static void add_step_gradient(apq_nn_layer *l, double dstep) {
    int64_t n = (int64_t)l->ir.in_channels;
    n *= l->ir.kind == APQ_IR_LINEAR ? 1
                                     : (int64_t)l->ir.in_size * l->ir.in_size;
    bool is_signed = l->ir.is_act_signed;
    l->act_range_grad += dstep * apq_nn_highest_code(l) *
                         apq_lsq_scale(n, l->ir.act_bits, is_signed);
}

void apq_nn_input_backward(const apq_nn_net *net, apq_nn_layer *l,
                           const float *x, size_t n, float *dy) {
    double grad;
    if (net->quantiser == APQ_QUANTISER_LSQ) {
        apq_lsq_act_backward(x, dy, n, act_step(l), l->ir.act_bits,
                             l->ir.is_act_signed, dy, &grad);
        add_step_gradient(l, grad);
    } else {
        apq_quant_act_backward(x, dy, n, l->act_range, l->ir.is_act_signed, dy,
                               &grad);
        l->act_range_grad += grad;
    }
}

void apq_nn_norm_range_backward(apq_nn_net *net, size_t i, const float *dy,
                                double clip_grad) {
    const apq_nn_layer *l = &net->layers[i];
    apq_nn_layer *next = &net->layers[i + 1];
    if (net->quantiser == APQ_QUANTISER_APQ) {
        next->act_range_grad += clip_grad;
        return;
    }
    APQ_ASSERT(l->z != NULL && !l->format.is_z_bf16);
    double inside = apq_lsq_inside(
        l->z, dy, (int64_t)net->n_images * l->ir.out_size * l->ir.out_size,
        l->ir.out_channels, l->y_norm.scale, l->y_norm.shift, l->y_norm.step,
        next->ir.act_bits);
    add_step_gradient(next, inside + clip_grad * apq_nn_highest_code(next));
}

void apq_nn_weights_backward(const apq_nn_net *net, apq_nn_layer *l,
                             const float *dw) {
    APQ_ASSERT(apq_nn_learns_steps(net));
    apq_lsq_weights weights = weights_of(l);
    apq_lsq_weights_backward(&weights, dw, l->dw, l->weight_step_grad);
}
