/* Ranges of the 8-bit codes between layers: the largest magnitude of one batch,
 * for all layers of a stream together. */
#include "nn/streams.h"

#include "nn/quantised.h"
#include "quant/quant.h"

#include <math.h>

enum { MAX_BIAS = 1 << 30 };

static const float RELU6 = 6.0F;

bool apq_nn_is_in_stream(const apq_nn_layer *l) {
    return !l->ir.has_relu6 && l->ir.kind != APQ_IR_LINEAR;
}

bool apq_nn_reads_stream(const apq_nn_net *net, size_t i) {
    const apq_nn_layer *l = &net->layers[i];
    return i > 0 && l->ir.is_act_signed && l->ir.act_bits == 8 &&
           apq_nn_is_in_stream(l - 1);
}

bool apq_nn_has_frozen_range(const apq_nn_net *net, size_t i) {
    return net->layers[i].ir.is_input_image || apq_nn_reads_stream(net, i);
}

/* Step of the codes that layer i reads, whichever range they have. */
static float input_step(const apq_nn_net *net, size_t i) {
    const apq_nn_layer *l = &net->layers[i];
    if (l->ir.is_input_image) {
        return apq_quant_act_step(l->act_range, 8, true);
    }
    return apq_nn_reads_stream(net, i)
               ? apq_quant_act_step((l - 1)->out_range, 8, true)
               : apq_quant_act_step(l->act_range, l->ir.act_bits,
                                    l->ir.is_act_signed);
}

float apq_nn_round_bias(const apq_nn_net *net, size_t i, int channel,
                        float scale, float value) {
    double step = (double)input_step(net, i);
    step *= (double)apq_nn_weight_step(net, &net->layers[i], channel);
    double unit = step * fabs((double)scale);
    double units = (double)value / unit;
    return fabs(units) <= MAX_BIAS ? (float)(unit * rint(units)) : value;
}

/* Largest magnitude of x and, where there is a residual, of x without it; the
 * first that is not finite. */
static float reach_of(const float *x, const float *residual, int64_t n) {
    float reach = 0.0F;
    for (int64_t i = 0; i < n; i++) {
        float a = fabsf(x[i]);
        float b = residual == NULL ? a : fabsf(x[i] - residual[i]);
        float most = fmaxf(a, b);
        if (!isfinite(a)) {
            return a;
        }
        reach = most > reach ? most : reach;
    }
    return reach;
}

static apq_status check_range(const apq_nn_layer *l, float range) {
    if (!isfinite(range)) {
        APQ_FAIL(APQ_ERR_NUMERIC, "%s: a value of the calibration is %g",
                 l->ir.name, (double)range);
    }
    return APQ_OK;
}

/* The first layer of the stream that layer i is in. */
static size_t first_of_stream(const apq_nn_net *net, size_t i) {
    while (net->layers[i].ir.residual_from >= 0) {
        i = (size_t)net->layers[i].ir.residual_from;
    }
    return i;
}

/* Collected at the first layer of each stream. */
static apq_status find_ranges(apq_nn_net *net, int n_images) {
    for (size_t i = 0; i + 1 < net->n_layers; i++) {
        apq_nn_layer *l = &net->layers[i];
        l->out_range = 0.0F;
        bool is_pooled = i + 2 == net->n_layers;
        if (!apq_nn_is_in_stream(l) && !is_pooled) {
            continue;
        }
        int from = l->ir.residual_from;
        int64_t n = (int64_t)n_images * l->ir.out_size * l->ir.out_size *
                    l->ir.out_channels;
        float reach = reach_of(l->y, from >= 0 ? net->layers[from].y : NULL, n);
        APQ_TRY(check_range(l, reach));
        float *range = &net->layers[first_of_stream(net, i)].out_range;
        *range = fmaxf(*range, reach);
    }
    return APQ_OK;
}

apq_status apq_nn_calibrate_streams(apq_nn_net *net, const float *images,
                                    int n_images) {
    APQ_TRY(find_ranges(net, n_images));
    for (size_t i = 0; i + 1 < net->n_layers; i++) {
        apq_nn_layer *l = &net->layers[i];
        if (apq_nn_is_in_stream(l)) {
            l->out_range = net->layers[first_of_stream(net, i)].out_range;
        }
        /* Without any signal, that of ReLU6 is as good as any. */
        if (apq_nn_is_in_stream(l) || i + 2 == net->n_layers) {
            l->out_range = l->out_range > 0.0F ? l->out_range : RELU6;
        }
        if (apq_nn_reads_stream(net, i)) {
            l->act_range = (l - 1)->out_range;
        }
    }
    apq_nn_layer *stem = &net->layers[0];
    if (stem->ir.is_input_image) {
        int64_t n = (int64_t)n_images * stem->ir.in_size * stem->ir.in_size *
                    stem->ir.in_channels;
        float reach = reach_of(images, NULL, n);
        APQ_TRY(check_range(stem, reach));
        stem->act_range = reach > 0.0F ? reach : RELU6;
    }
    return APQ_OK;
}
