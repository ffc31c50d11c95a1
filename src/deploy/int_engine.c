/* The integer engine: at creation a net becomes a chain of kernels with packed
 * codes and folded scales, at run time every thread walks images through it in
 * a workspace of its own. */
#include "deploy/int_engine.h"

#include "deploy/int_stages.h"
#include "nn/quantised.h"
#include "quant/quant.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

static const float RELU6 = 6.0F;

enum { MAX_DEPTH = INT32_MAX / (255 * 128) };

/* ------------------------------------------------------------- creation */

static bool is_positive(float x) {
    return isfinite(x) && x > 0.0F;
}

static apq_status check_values(const apq_nn_net *net, const apq_nn_layer *l) {
    for (int k = 0; k < l->ir.out_channels; k++) {
        float step = apq_nn_weight_step(net, l, k);
        if (!(isfinite(step) && step >= 0.0F)) {
            APQ_FAIL(APQ_ERR_NUMERIC, "%s: weight step %g, legal >= 0",
                     l->ir.name, (double)step);
        }
    }
    if (!l->ir.is_input_image && !is_positive(l->act_range)) {
        APQ_FAIL(APQ_ERR_NUMERIC, "%s: activation range %g, legal > 0",
                 l->ir.name, (double)l->act_range);
    }
    for (int k = 0; l->ir.kind != APQ_IR_LINEAR && k < l->ir.out_channels;
         k++) {
        if (!is_positive(l->variance[k] + net->bn_epsilon)) {
            APQ_FAIL(APQ_ERR_NUMERIC,
                     "%s: variance %g of channel %d, legal >= 0", l->ir.name,
                     (double)l->variance[k], k);
        }
    }
    return APQ_OK;
}

/* Products added up in one sum. */
static int64_t depth_of(const apq_ir_layer *ir) {
    int64_t taps = (int64_t)ir->kernel * ir->kernel;
    return ir->kind == APQ_IR_DEPTHWISE ? taps : taps * ir->in_channels;
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
    if (depth_of(ir) > MAX_DEPTH) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "%s: %lld products overflow a 32-bit sum, legal 1..%d",
                 ir->name, (long long)depth_of(ir), (int)MAX_DEPTH);
    }
    /* Rounding is fused into ReLU6 or done by a signed consumer. */
    if (!is_stem && !is_last &&
        ir->is_act_signed == net->layers[i - 1].ir.has_relu6) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED, "%s: input is %s, legal is the opposite",
                 ir->name,
                 ir->is_act_signed ? "signed after ReLU6"
                                   : "unsigned after a linear layer");
    }
    int from = ir->residual_from;
    if (from >= 0 && (net->layers[from].ir.has_relu6 ||
                      net->layers[from].ir.out_size != ir->out_size ||
                      net->layers[from].ir.out_channels != ir->out_channels)) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "%s: residual from %s, legal is a linear layer of one shape",
                 ir->name, net->layers[from].ir.name);
    }
    return APQ_OK;
}

static apq_status check(const apq_nn_net *net) {
    if (!net->is_quantised) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED, "integer engine: net is not quantised");
    }
    if (net->n_layers < 3) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED, "integer engine: %zu layers, legal >= 3",
                 net->n_layers);
    }
    for (size_t i = 0; i < net->n_layers; i++) {
        APQ_TRY(check_structure(net, i));
        APQ_TRY(check_values(net, &net->layers[i]));
    }
    return APQ_OK;
}

static void *keep(apq_int_engine *e, int64_t n, size_t size) {
    void *p = apq_arena_alloc(e->arena, (size_t)n, size);
    if (p != NULL) {
        memset(p, 0, (size_t)n * size);
    }
    return p;
}

/* Dense codes of a layer, (K, depth) or (taps, C); free() them. */
static int8_t *codes_of(const apq_nn_net *net, const apq_nn_layer *l) {
    int64_t rows, cols;
    apq_nn_weight_matrix(&l->ir, &rows, &cols);
    int8_t *codes = apq_calloc((size_t)(rows * cols), sizeof *codes);
    if (codes != NULL) {
        apq_nn_weight_codes(net, l, codes);
    }
    return codes;
}

/* Blocks of LANES output channels, and the constant that a zero code other
 * than 0 adds to every sum. */
static void pack(const apq_nn_layer *l, const int8_t *codes, int in_zero,
                 int32_t *w, int32_t *init) {
    int64_t depth = depth_of(&l->ir);
    bool is_depthwise = l->ir.kind == APQ_IR_DEPTHWISE;
    int64_t row = is_depthwise ? 1 : depth;
    int64_t col = is_depthwise ? l->ir.in_channels : 1;
    for (int64_t k = 0; k < l->ir.out_channels; k++) {
        int32_t *block = w + k / APQ_INT_LANES * APQ_INT_LANES * depth;
        int32_t sum = 0;
        for (int64_t d = 0; d < depth; d++) {
            int8_t code = codes[k * row + d * col];
            block[d * APQ_INT_LANES + k % APQ_INT_LANES] = code;
            sum += code;
        }
        init[k] = -in_zero * sum;
    }
}

/* Batch norm and both step sizes; where only codes leave, the next layer's
 * step size too. In double, so that each number is rounded once. */
static void fold(const apq_nn_net *net, const apq_nn_layer *l, double factor,
                 float *scale, float *shift) {
    double act_step = 1.0;
    if (!l->ir.is_input_image) {
        act_step = (double)apq_quant_act_step(l->act_range, l->ir.act_bits,
                                              l->ir.is_act_signed);
    }
    for (int k = 0; k < l->ir.out_channels; k++) {
        double gain = (double)l->gamma[k] /
                      sqrt((double)l->variance[k] + (double)net->bn_epsilon);
        double offset = (double)l->beta[k] - (double)l->mean[k] * gain;
        double step = act_step * (double)apq_nn_weight_step(net, l, k);
        scale[k] = (float)(gain * step * factor);
        shift[k] = (float)(offset * factor);
    }
}

/* How the next layer wants its input rounded; 1 / step. */
static double set_codes(const apq_nn_net *net, const apq_nn_layer *next,
                        apq_int_layer *out) {
    bool is_signed = next->ir.is_act_signed;
    out->code_high = (float)apq_nn_highest_code(next);
    out->code_low = (float)apq_nn_lowest_code(net, next);
    out->code_zero = is_signed ? APQ_INT_ZERO : 0;
    return 1.0 / (double)apq_quant_act_step(next->act_range, next->ir.act_bits,
                                            is_signed);
}

static apq_status build_stage(apq_int_engine *e, const apq_nn_net *net,
                              size_t i) {
    const apq_nn_layer *l = &net->layers[i];
    apq_int_stage *s = &e->stages[i];
    s->kind = l->ir.kind;
    s->residual_from = l->ir.residual_from;
    s->has_codes = (int)i + 1 < e->n_stages;
    s->has_values |= !s->has_codes;
    s->layer = (apq_int_layer){
        .in_channels = l->ir.in_channels,
        .out_channels = l->ir.out_channels,
        .ldx = apq_int_lanes(l->ir.in_channels),
        .ldy = apq_int_lanes(l->ir.out_channels),
        .kernel = l->ir.kernel,
        .stride = l->ir.stride,
        .in_size = l->ir.in_size,
        .out_size = l->ir.out_size,
        .in_zero = i > 0 && l->ir.is_act_signed ? APQ_INT_ZERO : 0,
        .clip = l->ir.has_relu6 ? RELU6 : 0.0F,
        .code_scale = 1.0F,
    };
    double factor = 1.0;
    if (s->has_codes) {
        double per_step = set_codes(net, &net->layers[i + 1], &s->layer);
        bool is_folded = !s->has_values && s->residual_from < 0;
        if (is_folded) {
            factor = per_step;
        } else {
            s->layer.code_scale = (float)per_step;
        }
    }
    int64_t ldy = s->layer.ldy;
    int32_t *w = keep(e, ldy * depth_of(&l->ir), sizeof *w);
    int32_t *init = keep(e, ldy, sizeof *init);
    float *scale = keep(e, ldy, sizeof *scale);
    float *shift = keep(e, ldy, sizeof *shift);
    int8_t *codes = codes_of(net, l);
    if (w == NULL || init == NULL || scale == NULL || shift == NULL ||
        codes == NULL) {
        free(codes);
        APQ_FAIL(APQ_ERR_NOMEM, "integer engine: out of memory");
    }
    pack(l, codes, s->layer.in_zero, w, init);
    free(codes);
    fold(net, l, factor, scale, shift);
    s->layer.w = w;
    s->layer.init = init;
    s->layer.scale = scale;
    s->layer.shift = shift;
    return APQ_OK;
}

static apq_status build_classifier(apq_int_engine *e, const apq_nn_net *net) {
    const apq_nn_layer *l = &net->layers[e->n_stages];
    float step = apq_quant_act_step(l->act_range, l->ir.act_bits, false);
    e->channels = l->ir.in_channels;
    e->n_classes = l->ir.out_channels;
    e->pooled_scale = 1.0F / step;
    e->pooled_high = (float)apq_nn_highest_code(l);
    int64_t n = (int64_t)e->n_classes * e->channels;
    int8_t *w = keep(e, n, sizeof *w);
    float *scale = keep(e, e->n_classes, sizeof *scale);
    float *bias = keep(e, e->n_classes, sizeof *bias);
    if (w == NULL || scale == NULL || bias == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "integer engine: out of memory");
    }
    apq_nn_weight_codes(net, l, w);
    for (int k = 0; k < e->n_classes; k++) {
        scale[k] = step * apq_nn_weight_step(net, l, k);
    }
    memcpy(bias, l->bias, (size_t)e->n_classes * sizeof *bias);
    e->w = w;
    e->logit_scale = scale;
    e->bias = bias;
    return APQ_OK;
}

/* Books n bytes of the workspace in whole cache lines. */
static size_t book(apq_int_engine *e, size_t n) {
    size_t offset = e->workspace_bytes;
    e->workspace_bytes += (n + 63) / 64 * 64;
    return offset;
}

static size_t max_size(size_t a, size_t b) {
    return a > b ? a : b;
}

static void plan_workspace(apq_int_engine *e) {
    size_t codes = 0, padded = 0;
    for (int i = 0; i < e->n_stages; i++) {
        apq_int_stage *s = &e->stages[i];
        const apq_int_layer *l = &s->layer;
        size_t side = (size_t)l->out_size;
        size_t n = (side * side + APQ_INT_TILE - 1) * (size_t)l->ldy;
        codes = max_size(codes, n);
        if (s->has_values) {
            s->values = book(e, n * sizeof(float));
        }
        int height, width;
        apq_int_padded_size(l, &height, &width);
        size_t row = (size_t)width * sizeof(float);
        if (s->kind == APQ_IR_CONV) {
            padded =
                max_size(padded, row * (size_t)height * (size_t)l->in_channels);
        } else if (s->kind == APQ_IR_DEPTHWISE) {
            padded = max_size(padded, row * (size_t)l->kernel * (size_t)l->ldx);
        }
    }
    e->codes[0] = book(e, codes);
    e->codes[1] = book(e, codes);
    e->padded = book(e, padded);
    e->pooled = book(e, (size_t)e->channels * sizeof(float));
    e->pooled_codes = book(e, (size_t)e->channels);
}

static apq_status build(apq_int_engine *e, const apq_nn_net *net) {
    APQ_TRY(apq_arena_create(&e->arena));
    e->n_stages = (int)net->n_layers - 1;
    e->image_values = (size_t)net->resolution * (size_t)net->resolution *
                      (size_t)net->image_channels;
    for (int i = 0; i < e->n_stages; i++) {
        int from = net->layers[i].ir.residual_from;
        if (from >= 0) {
            e->stages[from].has_values = true;
        }
    }
    for (int i = 0; i < e->n_stages; i++) {
        APQ_TRY(build_stage(e, net, (size_t)i));
    }
    APQ_TRY(build_classifier(e, net));
    plan_workspace(e);
    return APQ_OK;
}

apq_status apq_int_engine_create(const apq_nn_net *net, apq_int_engine **out) {
    APQ_TRY(check(net));
    apq_int_engine *e = calloc(1, sizeof *e);
    if (e == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "integer engine: out of memory");
    }
    apq_status st = build(e, net);
    if (st != APQ_OK) {
        apq_int_engine_destroy(e);
        return st;
    }
    *out = e;
    return APQ_OK;
}

void apq_int_engine_destroy(apq_int_engine *engine) {
    if (engine != NULL) {
        apq_arena_destroy(engine->arena);
        free(engine);
    }
}

/* ------------------------------------------------------------------ run */

/* Every offset is a whole number of cache lines. */
static void *at(unsigned char *workspace, size_t offset) {
    return workspace + offset;
}

void apq_int_classify(const apq_int_engine *e, const float *x, int side,
                      int pitch, int64_t ldx, float *pooled, uint8_t *codes,
                      float *logits) {
    int n = e->channels;
    memset(pooled, 0, (size_t)n * sizeof *pooled);
    for (int i = 0; i < side * side; i++) {
        const float *pixel = x + (i / side * pitch + i % side) * ldx;
        for (int c = 0; c < n; c++) {
            pooled[c] += pixel[c];
        }
    }
    apq_int_encode(pooled, n, e->pooled_scale / (float)(side * side),
                   e->pooled_high, codes);
    for (int k = 0; k < e->n_classes; k++) {
        int32_t sum = apq_int_dot(codes, e->w + (int64_t)k * n, n);
        logits[k] = (float)sum * e->logit_scale[k] + e->bias[k];
    }
}

/* Layer i reads the codes of the one before from the other of two buffers. */
static void run_stage(const apq_int_engine *e, int i, const float *image,
                      unsigned char *workspace) {
    const apq_int_stage *s = &e->stages[i];
    const uint8_t *x = at(workspace, e->codes[(i + 1) % 2]);
    int from = s->residual_from;
    apq_int_output out = {
        .codes = s->has_codes ? at(workspace, e->codes[i % 2]) : NULL,
        .values = s->has_values ? at(workspace, s->values) : NULL,
        .residual = from >= 0 ? at(workspace, e->stages[from].values) : NULL,
    };
    if (s->kind == APQ_IR_CONV) {
        apq_int_stem(&s->layer, image, at(workspace, e->padded), &out);
    } else if (s->kind == APQ_IR_DEPTHWISE) {
        apq_int_depthwise(&s->layer, x, at(workspace, e->padded), &out);
    } else {
        apq_int_pointwise(&s->layer, x, &out);
    }
}

size_t apq_int_engine_workspace_bytes(const apq_int_engine *engine) {
    return engine->workspace_bytes;
}

void apq_int_engine_run_layers(const apq_int_engine *engine, int begin, int end,
                               const float *image, void *workspace,
                               float *logits) {
    APQ_ASSERT(0 <= begin && begin <= end && end <= engine->n_stages + 1);
    for (int i = begin; i < end && i < engine->n_stages; i++) {
        run_stage(engine, i, image, workspace);
    }
    if (end > engine->n_stages && begin < end) {
        const apq_int_stage *last = &engine->stages[engine->n_stages - 1];
        apq_int_classify(engine, at(workspace, last->values),
                         last->layer.out_size, last->layer.out_size,
                         last->layer.ldy, at(workspace, engine->pooled),
                         at(workspace, engine->pooled_codes), logits);
    }
}

apq_status apq_int_engine_run(const apq_int_engine *engine, const float *images,
                              int n, float *logits) {
    int n_threads = omp_get_max_threads();
    if (n_threads > n) {
        n_threads = n > 0 ? n : 1;
    }
    /* Zeroed: spare pixels and lanes are read, though never used. */
    unsigned char *workspaces =
        apq_calloc((size_t)n_threads, engine->workspace_bytes);
    if (workspaces == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM,
                 "integer engine: no memory for %d workspaces of %zu bytes",
                 n_threads, engine->workspace_bytes);
    }
#pragma omp parallel for schedule(static) num_threads(n_threads)
    for (int i = 0; i < n; i++) {
        size_t thread = (size_t)omp_get_thread_num();
        apq_int_engine_run_layers(engine, 0, engine->n_stages + 1,
                                  images + (size_t)i * engine->image_values,
                                  workspaces + thread * engine->workspace_bytes,
                                  logits + (int64_t)i * engine->n_classes);
    }
    free(workspaces);
    return APQ_OK;
}
