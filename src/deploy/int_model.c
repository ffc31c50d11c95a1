/* A calibrated net as whole numbers: batch norm goes into the weights' steps
 * and an integer bias (Jacob et al., CVPR 2018, section 3.2, per channel), all
 * layers of a stream get one step. Numbers are formed in double and rounded to
 * float32 once. */
#include "deploy/int_model.h"

#include "deploy/int_reference.h"
#include "nn/quantised.h"
#include "nn/streams.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_BIAS = 1 << 30,
    /* What 8-bit products leave of 32 bits beside such a bias. */
    MAX_DEPTH = (INT32_MAX - MAX_BIAS) / (255 * 127),
    /* The bias of a channel that has nothing else: exact as a float, too. */
    LONE_BIAS = 1 << 22,
};

/* Checks ------------------------------------------------------------------ */

static bool is_positive(float x) {
    return isfinite(x) && x > 0.0F;
}

static apq_status check_range(const apq_nn_layer *l, const char *what,
                              float range) {
    if (!is_positive(range / 255.0F)) {
        APQ_FAIL(APQ_ERR_NUMERIC, "%s: %s range %g, legal > 0", l->ir.name,
                 what, (double)range);
    }
    return APQ_OK;
}

static apq_status check_ranges(const apq_nn_net *net, size_t i) {
    const apq_nn_layer *l = &net->layers[i];
    if (!apq_nn_reads_stream(net, i)) {
        APQ_TRY(check_range(l, "activation", l->act_range));
    }
    bool is_pooled = i + 2 == net->n_layers;
    return apq_nn_is_in_stream(l) || is_pooled
               ? check_range(l, "output", l->out_range)
               : APQ_OK;
}

static apq_status check_channels(const apq_nn_net *net, const apq_nn_layer *l) {
    bool is_linear = l->ir.kind == APQ_IR_LINEAR;
    for (int k = 0; k < l->ir.out_channels; k++) {
        float step = apq_nn_weight_step(net, l, k);
        if (!(isfinite(step) && step >= 0.0F)) {
            APQ_FAIL(APQ_ERR_NUMERIC, "%s: weight step %g, legal >= 0",
                     l->ir.name, (double)step);
        }
        if (is_linear) {
            if (!isfinite(l->bias[k])) {
                APQ_FAIL(APQ_ERR_NUMERIC,
                         "%s: bias %g of output %d, legal are numbers",
                         l->ir.name, (double)l->bias[k], k);
            }
            continue;
        }
        if (!is_positive(l->variance[k] + net->bn_epsilon)) {
            APQ_FAIL(APQ_ERR_NUMERIC,
                     "%s: variance %g of channel %d, legal >= 0", l->ir.name,
                     (double)l->variance[k], k);
        }
        if (!isfinite(l->gamma[k] + l->beta[k] + l->mean[k])) {
            APQ_FAIL(APQ_ERR_NUMERIC,
                     "%s: batch norm of channel %d, gamma %g, beta %g, mean "
                     "%g, legal are numbers",
                     l->ir.name, k, (double)l->gamma[k], (double)l->beta[k],
                     (double)l->mean[k]);
        }
    }
    return APQ_OK;
}

static apq_status check_residual(const apq_nn_net *net, const apq_ir_layer *ir,
                                 bool is_last) {
    int from = ir->residual_from;
    if (from < 0) {
        return APQ_OK;
    }
    const apq_ir_layer *source = &net->layers[from].ir;
    if (is_last || ir->has_relu6 || source->has_relu6 ||
        source->out_size != ir->out_size ||
        source->out_channels != ir->out_channels) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "%s: residual from %s, legal from a linear layer to a linear "
                 "layer of one shape",
                 ir->name, source->name);
    }
    return APQ_OK;
}

static apq_status check_structure(const apq_nn_net *net, size_t i) {
    const apq_ir_layer *ir = &net->layers[i].ir;
    bool is_last = i + 1 == net->n_layers;
    bool is_stem = i == 0;
    if ((ir->kind == APQ_IR_LINEAR) != is_last ||
        (ir->kind == APQ_IR_CONV) != is_stem || ir->is_input_image != is_stem) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "%s: layer %zu of %zu, integer nets are an image convolution, "
                 "1 x 1 and depthwise layers and a classifier",
                 ir->name, i, net->n_layers);
    }
    if (ir->kind == APQ_IR_POINTWISE && (ir->kernel != 1 || ir->stride != 1)) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED, "%s: kernel %d stride %d, legal 1 and 1",
                 ir->name, ir->kernel, ir->stride);
    }
    if (apq_int_depth(ir) > MAX_DEPTH) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "%s: %lld products overflow a 32-bit sum, legal 1..%d",
                 ir->name, (long long)apq_int_depth(ir), (int)MAX_DEPTH);
    }
    if (!is_stem && ir->is_act_signed == net->layers[i - 1].ir.has_relu6) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED, "%s: input is %s, legal is the opposite",
                 ir->name,
                 ir->is_act_signed ? "signed after ReLU6"
                                   : "unsigned after a linear layer");
    }
    return check_residual(net, ir, is_last);
}

static apq_status check(const apq_nn_net *net) {
    if (!net->is_quantised) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED, "integer network: net is not quantised");
    }
    if (net->n_layers < 3) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED, "integer network: %zu layers, legal >= 3",
                 net->n_layers);
    }
    for (size_t i = 0; i < net->n_layers; i++) {
        APQ_TRY(check_structure(net, i));
        APQ_TRY(check_ranges(net, i));
        APQ_TRY(check_channels(net, &net->layers[i]));
    }
    return APQ_OK;
}

/* Steps ------------------------------------------------------------------- */

/* What layer i reads, in its own bits and step. */
static apq_int_codes own_codes(const apq_nn_net *net, size_t i) {
    const apq_nn_layer *l = &net->layers[i];
    return (apq_int_codes){
        .step = apq_quant_act_step(l->act_range, l->ir.act_bits,
                                   l->ir.is_act_signed),
        .low = apq_nn_lowest_code(net, l),
        .high = apq_nn_highest_code(l),
    };
}

static apq_int_codes output_codes(const apq_nn_net *net, size_t i) {
    const apq_nn_layer *l = &net->layers[i];
    if (apq_nn_is_in_stream(l)) {
        float step = apq_quant_act_step(l->out_range, 8, true);
        return (apq_int_codes){.step = step, .low = -128, .high = 127};
    }
    if (i + 2 == net->n_layers) {
        float step = apq_quant_act_step(l->out_range, 8, false);
        return (apq_int_codes){.step = step, .low = 0, .high = 255};
    }
    return own_codes(net, i + 1);
}

static apq_int_codes input_codes(const apq_nn_net *net, size_t i) {
    if (i == 0) {
        float step = apq_quant_act_step(net->layers[0].act_range, 8, true);
        return (apq_int_codes){.step = step, .low = -128, .high = 127};
    }
    return apq_nn_reads_stream(net, i) ? output_codes(net, i - 1)
                                       : own_codes(net, i);
}

/* Folding ----------------------------------------------------------------- */

/* Weight step and bias of a channel whose weights count `scale` a code, signed,
 * and whose other part is `offset`. False where nothing counts but the offset,
 * or weights count so little beside it that the bias would not fit: then its
 * codes have to be 0, and the step is one that suits the bias. `least` is a
 * value that matters. */
static bool fold(double scale, double offset, float in_step, float least,
                 float *weight_step, int32_t *bias) {
    *weight_step = (float)fabs(scale);
    double unit = (double)in_step * (double)*weight_step;
    double units = offset / unit;
    bool has_weights =
        unit >= (double)FLT_MIN * (double)least && fabs(units) <= MAX_BIAS;
    if (!has_weights) {
        double wanted = fmax(fabs(offset), (double)least) / LONE_BIAS;
        *weight_step = (float)(wanted / (double)in_step);
        units = offset / ((double)in_step * (double)*weight_step);
    }
    *bias = fabs(units) <= MAX_BIAS ? (int32_t)lrint(units) : 0;
    return has_weights;
}

static apq_status check_scale(const apq_ir_layer *ir, int k, float step,
                              float scale) {
    if (!(is_positive(step) && is_positive(scale))) {
        APQ_FAIL(APQ_ERR_NUMERIC,
                 "%s: channel %d has weight step %g and scale %g, legal > 0",
                 ir->name, k, (double)step, (double)scale);
    }
    return APQ_OK;
}

#define KEEP(ptr, arena, n)                                                    \
    do {                                                                       \
        (ptr) = apq_arena_alloc((arena), (size_t)(n), sizeof *(ptr));          \
        if ((ptr) == NULL) {                                                   \
            APQ_FAIL(APQ_ERR_NOMEM, "integer network: out of memory");         \
        }                                                                      \
    } while (0)

/* Channel by channel, sign 0 where a channel's weights do not count. */
static void place_weights(const apq_ir_layer *ir, const int8_t *codes,
                          const int8_t *signs, int8_t *w) {
    int64_t depth = apq_int_depth(ir);
    bool is_depthwise = ir->kind == APQ_IR_DEPTHWISE;
    int64_t row = is_depthwise ? 1 : depth;
    int64_t column = is_depthwise ? ir->in_channels : 1;
    for (int64_t k = 0; k < ir->out_channels; k++) {
        for (int64_t d = 0; d < depth; d++) {
            w[k * depth + d] = (int8_t)(signs[k] * codes[k * row + d * column]);
        }
    }
}

static apq_status keep_weights(apq_arena *arena, const apq_nn_net *net,
                               const apq_nn_layer *l, const int8_t *signs,
                               const int8_t **out) {
    int8_t *w, *codes;
    int64_t n = apq_int_depth(&l->ir) * l->ir.out_channels;
    KEEP(w, arena, n);
    codes = apq_calloc((size_t)n, sizeof *codes);
    if (codes == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "integer network: out of memory");
    }
    apq_nn_weight_codes(net, l, codes);
    place_weights(&l->ir, codes, signs, w);
    free(codes);
    *out = w;
    return APQ_OK;
}

static apq_status build_reround(apq_arena *arena, const apq_nn_net *net,
                                size_t i, const int8_t **out) {
    if (i == 0 || !net->layers[i].ir.is_act_signed ||
        apq_nn_reads_stream(net, i)) {
        return APQ_OK;
    }
    apq_int_codes from = output_codes(net, i - 1), to = own_codes(net, i);
    int8_t *table;
    KEEP(table, arena, 256);
    for (int code = -128; code < 128; code++) {
        float value = (float)code * from.step;
        table[code + 128] = (int8_t)apq_int_round(value / to.step, &to);
    }
    *out = table;
    return APQ_OK;
}

static apq_status build_conv(apq_int_model *m, const apq_nn_net *net,
                             size_t i) {
    const apq_nn_layer *l = &net->layers[i];
    apq_int_conv *c = &m->convs[i];
    c->ir = l->ir;
    c->in = input_codes(net, i);
    c->out = output_codes(net, i);
    float *weight_step, *rescale;
    int32_t *bias;
    int8_t *signs;
    KEEP(weight_step, m->arena, l->ir.out_channels);
    KEEP(rescale, m->arena, l->ir.out_channels);
    KEEP(bias, m->arena, l->ir.out_channels);
    KEEP(signs, m->arena, l->ir.out_channels);
    for (int k = 0; k < l->ir.out_channels; k++) {
        double gain = (double)l->gamma[k] /
                      sqrt((double)l->variance[k] + (double)net->bn_epsilon);
        double offset = (double)l->beta[k] - (double)l->mean[k] * gain;
        bool counts = fold(gain * (double)apq_nn_weight_step(net, l, k), offset,
                           c->in.step, c->out.step, &weight_step[k], &bias[k]);
        signs[k] = (int8_t)(counts ? (gain < 0.0 ? -1 : 1) : 0);
        rescale[k] = c->in.step * weight_step[k];
        rescale[k] /= c->out.step;
        APQ_TRY(check_scale(&l->ir, k, weight_step[k], rescale[k]));
    }
    c->weight_step = weight_step;
    c->rescale = rescale;
    c->bias = bias;
    APQ_TRY(keep_weights(m->arena, net, l, signs, &c->w));
    return build_reround(m->arena, net, i, &c->reround);
}

static apq_status build_classifier(apq_int_model *m, const apq_nn_net *net) {
    const apq_nn_layer *l = &net->layers[m->n_convs];
    const apq_int_conv *last = &m->convs[m->n_convs - 1];
    m->classifier = l->ir;
    m->n_classes = l->ir.out_channels;
    m->channels = l->ir.in_channels;
    m->pooled = own_codes(net, (size_t)m->n_convs);
    int pixels = last->ir.out_size * last->ir.out_size;
    m->pool_rescale = m->pooled.step * (float)pixels;
    m->pool_rescale = last->out.step / m->pool_rescale;
    float *weight_step, *logit_scale;
    int32_t *bias;
    int8_t *signs;
    KEEP(weight_step, m->arena, m->n_classes);
    KEEP(logit_scale, m->arena, m->n_classes);
    KEEP(bias, m->arena, m->n_classes);
    KEEP(signs, m->arena, m->n_classes);
    for (int k = 0; k < m->n_classes; k++) {
        signs[k] =
            fold((double)apq_nn_weight_step(net, l, k), (double)l->bias[k],
                 m->pooled.step, 1.0F, &weight_step[k], &bias[k]);
        logit_scale[k] = m->pooled.step * weight_step[k];
        APQ_TRY(check_scale(&l->ir, k, weight_step[k], logit_scale[k]));
    }
    m->weight_step = weight_step;
    m->logit_scale = logit_scale;
    m->bias = bias;
    return keep_weights(m->arena, net, l, signs, &m->w);
}

static apq_status build(apq_int_model *m, const apq_nn_net *net) {
    APQ_TRY(apq_arena_create(&m->arena));
    m->resolution = net->resolution;
    m->image_channels = net->image_channels;
    m->n_convs = (int)net->n_layers - 1;
    for (size_t i = 0; i + 1 < net->n_layers; i++) {
        APQ_TRY(build_conv(m, net, i));
    }
    return build_classifier(m, net);
}

apq_status apq_int_model_create(const apq_nn_net *net, apq_int_model **out) {
    APQ_TRY(check(net));
    apq_int_model *m = calloc(1, sizeof *m);
    if (m == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "integer network: out of memory");
    }
    apq_status st = build(m, net);
    if (st != APQ_OK) {
        apq_int_model_destroy(m);
        return st;
    }
    *out = m;
    return APQ_OK;
}

void apq_int_model_destroy(apq_int_model *model) {
    if (model != NULL) {
        apq_arena_destroy(model->arena);
        free(model);
    }
}
