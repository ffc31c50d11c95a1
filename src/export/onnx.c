/* An integer model as an ONNX graph: a walk over its layers that a flavour
 * writes the codes of. Layouts go from channels last to ONNX's channels first.
 */
#include "export/onnx.h"

#include "base/file.h"
#include "export/onnx_emit.h"

#include <apq/apq.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct emitter {
    onnx_graph graph;
    const onnx_flavour *flavour;
    const apq_int_model *model;
    /* Tensors are codes, steps are factors between layers: whole numbers, which
     * float32 adds up exactly. */
    bool is_in_codes;
} emitter;

bool apq_onnx_is_built(void) {
    return true;
}

size_t onnx_count(const int64_t *dims, size_t n_dims) {
    size_t n = 1;
    for (size_t i = 0; i < n_dims; i++) {
        n *= (size_t)dims[i];
    }
    return n;
}

/* (K, R*R*C) to (K, C, R, R) */
static const int8_t *channels_first(onnx_graph *g, const apq_int_conv *conv) {
    size_t taps = (size_t)(conv->ir.kernel * conv->ir.kernel);
    size_t depth = (size_t)apq_int_depth(&conv->ir);
    size_t n_channels = depth / taps;
    size_t n = (size_t)conv->ir.out_channels * depth;
    int8_t *out = onnx_alloc(g, n, 1);
    for (size_t i = 0; out != NULL && i < n; i++) {
        size_t k = i / depth, tap = i % depth / n_channels;
        size_t c = i % n_channels;
        out[k * depth + c * taps + tap] = conv->w[i];
    }
    return out;
}

static const float *bias_steps(onnx_graph *g, const apq_int_conv *conv) {
    size_t n = (size_t)conv->ir.out_channels;
    float *steps = onnx_alloc(g, n, sizeof *steps);
    for (size_t k = 0; steps != NULL && k < n; k++) {
        steps[k] = conv->in.step * conv->weight_step[k];
    }
    return steps;
}

/* n times 1, in the arena */
static const float *ones(onnx_graph *g, int64_t n) {
    float *out = onnx_alloc(g, (size_t)n, sizeof *out);
    for (int64_t k = 0; out != NULL && k < n; k++) {
        out[k] = 1.0F;
    }
    return out;
}

/* Inputs of a node, ended by NULL: what it reads, weights and bias. */
static void write_operands(emitter *e, const char *input, onnx_weights *w,
                           const char *out[4]) {
    onnx_graph *g = &e->graph;
    if (e->is_in_codes) {
        w->step = w->bias_step = ones(g, w->dims[0]);
    }
    out[0] = input;
    out[1] = g->is_out_of_memory ? NULL : e->flavour->weights(g, w);
    out[2] = g->is_out_of_memory ? NULL : e->flavour->bias(g, w);
    out[3] = NULL;
}

static const char *quantise(emitter *e, const char *name, const char *input,
                            const apq_int_codes *codes) {
    apq_int_codes units = *codes;
    units.step = e->is_in_codes ? 1.0F : codes->step;
    return e->flavour->quantise(&e->graph, name, input, &units);
}

/* The sums of a layer; the node's name tells its widths. */
static const char *convolve(emitter *e, const apq_int_conv *conv,
                            const char *input) {
    onnx_graph *g = &e->graph;
    const apq_ir_layer *ir = &conv->ir;
    int64_t kernel = ir->kernel, pad = ir->kernel / 2, stride = ir->stride;
    bool is_depthwise = ir->kind == APQ_IR_DEPTHWISE;
    onnx_weights w = {
        .layer = ir->name,
        .bits = ir->weight_bits,
        .codes = channels_first(g, conv),
        .dims = {ir->out_channels, is_depthwise ? 1 : ir->in_channels, kernel,
                 kernel},
        .n_dims = 4,
        .step = conv->weight_step,
        .bias = conv->bias,
        .bias_step = bias_steps(g, conv),
    };
    const char *inputs[4];
    write_operands(e, input, &w, inputs);
    const char *name =
        onnx_text(g, "%s.w%da%d", ir->name, ir->weight_bits, ir->act_bits);
    onnx_op *node = onnx_node(g, &g->nodes, "Conv", name, inputs);
    onnx_set_ints(g, node, "kernel_shape", (int64_t[]){kernel, kernel}, 2);
    onnx_set_ints(g, node, "strides", (int64_t[]){stride, stride}, 2);
    onnx_set_ints(g, node, "pads", (int64_t[]){pad, pad, pad, pad}, 4);
    /* The default, but tools of QONNX want to read it. */
    onnx_set_ints(g, node, "dilations", (int64_t[]){1, 1}, 2);
    onnx_set_int(g, node, "group", is_depthwise ? ir->in_channels : 1);
    return name;
}

/* For tensors of codes: what a layer wrote, in units of the codes it becomes.
 * factors: (n); the first operand of a product, where ONNX Runtime does not
 * multiply it into the convolution's weights, which would be whole no more. */
static const char *multiply(emitter *e, const char *name, const char *input,
                            const float *factors, const int64_t *dims,
                            size_t n_dims) {
    onnx_graph *g = &e->graph;
    if (!e->is_in_codes) {
        return input;
    }
    const char *by = onnx_tensor(g, onnx_text(g, "%s_factor", name), ONNX_FLOAT,
                                 dims, n_dims, factors,
                                 onnx_count(dims, n_dims) * sizeof *factors);
    (void)onnx_node(g, &g->nodes, "Mul", name,
                    (const char *const[]){by, input, NULL});
    return name;
}

/* Likewise, values in units of `step`. */
static const char *divide(emitter *e, const char *name, const char *input,
                          float step) {
    onnx_graph *g = &e->graph;
    if (!e->is_in_codes) {
        return input;
    }
    const char *by = onnx_scalar(g, onnx_text(g, "%s_step", name), step);
    (void)onnx_node(g, &g->nodes, "Div", name,
                    (const char *const[]){input, by, NULL});
    return name;
}

/* What the layer computes with, of the image or of what the layer before it
 * wrote; most read just that. */
static const char *read_input(emitter *e, size_t i, const char *input) {
    onnx_graph *g = &e->graph;
    const apq_int_conv *conv = &e->model->convs[i];
    const char *name = conv->ir.name;
    if (conv->reround == NULL && i > 0) {
        return input;
    }
    if (i > 0) {
        input = multiply(e, onnx_text(g, "%s.in_values", name), input,
                         &e->model->convs[i - 1].out.step, NULL, 0);
    }
    input = divide(e, onnx_text(g, "%s.in_units", name), input, conv->in.step);
    return quantise(e, onnx_text(g, "%s.in", name), input, &conv->in);
}

/* Its values as the layers after it read them, LAYER.out. */
static const char *write_layer(emitter *e, size_t i, const char *input,
                               const char *const *outputs) {
    onnx_graph *g = &e->graph;
    const apq_int_conv *conv = &e->model->convs[i];
    const char *name = conv->ir.name;
    const char *sums = convolve(e, conv, read_input(e, i, input));
    sums = multiply(e, onnx_text(g, "%s.units", name), sums, conv->rescale,
                    (int64_t[]){1, conv->ir.out_channels, 1, 1}, 4);
    const char *out = onnx_text(g, "%s.out", name);
    int from = conv->ir.residual_from;
    if (from < 0) {
        return quantise(e, out, sums, &conv->out);
    }
    const char *alone =
        quantise(e, onnx_text(g, "%s.alone", name), sums, &conv->out);
    const char *sum = onnx_text(g, "%s.residual", name);
    (void)onnx_node(g, &g->nodes, "Add", sum,
                    (const char *const[]){alone, outputs[from], NULL});
    return quantise(e, out, sum, &conv->out);
}

/* Means of the last layer's channels, rounded. */
static const char *write_pool(emitter *e, const char *input) {
    onnx_graph *g = &e->graph;
    const apq_int_model *m = e->model;
    const char *name = m->classifier.name;
    const char *pool = onnx_text(g, "%s.pool", name);
    (void)onnx_node(g, &g->nodes, "GlobalAveragePool", pool,
                    (const char *const[]){input, NULL});
    int side = m->convs[m->n_convs - 1].ir.out_size;
    float factor = m->pool_rescale * (float)(side * side);
    pool = multiply(e, onnx_text(g, "%s.units", name), pool, &factor, NULL, 0);
    return quantise(e, onnx_text(g, "%s.in", name), pool, &m->pooled);
}

static void write_classifier(emitter *e, const char *input) {
    onnx_graph *g = &e->graph;
    const apq_int_model *m = e->model;
    const char *name = m->classifier.name;
    const char *pooled = write_pool(e, input);
    const char *flat = onnx_text(g, "%s.flat", name);
    onnx_set_int(g,
                 onnx_node(g, &g->nodes, "Flatten", flat,
                           (const char *const[]){pooled, NULL}),
                 "axis", 1);
    if (e->flavour->has_pairs) {
        flat = quantise(e, onnx_text(g, "%s.flat_in", name), flat, &m->pooled);
    }
    onnx_weights w = {
        .layer = name,
        .bits = m->classifier.weight_bits,
        .codes = m->w,
        .dims = {m->n_classes, m->channels},
        .n_dims = 2,
        .step = m->weight_step,
        .bias = m->bias,
        .bias_step = m->logit_scale,
    };
    const char *inputs[4];
    write_operands(e, flat, &w, inputs);
    const char *sums =
        e->is_in_codes ? onnx_text(g, "%s.sums", name) : "logits";
    onnx_set_int(g, onnx_node(g, &g->nodes, "Gemm", sums, inputs), "transB", 1);
    (void)multiply(e, "logits", sums, m->logit_scale, (int64_t[]){m->n_classes},
                   1);
    onnx_value(g, &g->outputs, "logits", ONNX_FLOAT, (int64_t[]){m->n_classes},
               1);
}

static int bits_of(const apq_int_codes *codes) {
    int levels = codes->high - codes->low, bits = 1;
    while ((1 << bits) <= levels) {
        bits++;
    }
    return bits;
}

static json_t *widths_json(const apq_ir_layer *ir, int in_bits, int out_bits) {
    return json_pack("{s:s, s:i, s:i, s:i}", "layer", ir->name, "weight_bits",
                     ir->weight_bits, "input_bits", in_bits, "output_bits",
                     out_bits);
}

/* What containers hide: bits of every layer as JSON. */
static void write_metadata(emitter *e, const apq_onnx_options *options) {
    const apq_int_model *m = e->model;
    json_t *widths = json_array();
    for (int i = 0; i < m->n_convs; i++) {
        const apq_int_conv *c = &m->convs[i];
        (void)json_array_append_new(
            widths, widths_json(&c->ir, bits_of(&c->in), bits_of(&c->out)));
    }
    (void)json_array_append_new(
        widths, widths_json(&m->classifier, bits_of(&m->pooled), 32));
    char *text = json_dumps(widths, JSON_COMPACT);
    json_decref(widths);
    e->graph.is_out_of_memory |= text == NULL;
    onnx_metadata(&e->graph, "apq.widths", text);
    free(text);
    for (size_t i = 0; i < options->n_metadata; i++) {
        if (options->metadata[i].value != NULL) {
            onnx_metadata(&e->graph, options->metadata[i].key,
                          options->metadata[i].value);
        }
    }
}

static apq_status write_model(emitter *e, const apq_onnx_options *options,
                              char **bytes, size_t *n_bytes) {
    const apq_int_model *m = e->model;
    onnx_graph *g = &e->graph;
    int64_t side = m->resolution;
    onnx_value(g, &g->inputs, "image", ONNX_FLOAT,
               (int64_t[]){m->image_channels, side, side}, 3);
    onnx_opset(g, "", e->flavour->opset);
    const char *outputs[APQ_IR_MAX_LAYERS], *at = "image";
    for (int i = 0; i < m->n_convs; i++) {
        at = write_layer(e, (size_t)i, at, outputs);
        outputs[i] = at;
    }
    write_classifier(e, at);
    write_metadata(e, options);
    if (e->flavour->finish != NULL) {
        e->flavour->finish(g);
    }
    return onnx_graph_pack(g, "apq", e->flavour->ir_version, apq_version(),
                           bytes, n_bytes);
}

static apq_status check_codes(const char *layer, const apq_int_codes *codes) {
    if (onnx_intquant_bits(codes) == 0) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "%s: codes %d..%d, IntQuant has all of a number of bits",
                 layer, codes->low, codes->high);
    }
    return APQ_OK;
}

static apq_status check_model(const apq_int_model *m) {
    for (int i = 0; i < m->n_convs; i++) {
        APQ_TRY(check_codes(m->convs[i].ir.name, &m->convs[i].in));
        APQ_TRY(check_codes(m->convs[i].ir.name, &m->convs[i].out));
    }
    return check_codes(m->classifier.name, &m->pooled);
}

static const onnx_flavour *flavour_of(const apq_onnx_options *o) {
    if (o->flavour == APQ_ONNX_QONNX) {
        return o->is_function_left_out ? &onnx_qonnx_without_function
                                       : &onnx_qonnx;
    }
    if (o->flavour == APQ_ONNX_FLOAT) {
        return &onnx_float;
    }
    return o->is_packed ? &onnx_packed : &onnx_qdq;
}

apq_status apq_onnx_bytes(const apq_int_model *model,
                          const apq_onnx_options *options, char **bytes,
                          size_t *n_bytes) {
    if (options->flavour == APQ_ONNX_QONNX) {
        APQ_TRY(check_model(model));
    }
    emitter e = {.flavour = flavour_of(options), .model = model};
    e.is_in_codes = options->flavour == APQ_ONNX_QONNX && !options->is_scaled;
    e.graph.intquant = options->is_called_quant ? "Quant" : "IntQuant";
    APQ_TRY(apq_arena_create(&e.graph.arena));
    apq_status st = write_model(&e, options, bytes, n_bytes);
    apq_arena_destroy(e.graph.arena);
    return st;
}

apq_status apq_export_onnx(const apq_int_model *model,
                           const apq_onnx_options *options, const char *path) {
    char *bytes;
    size_t n_bytes;
    APQ_TRY(apq_onnx_bytes(model, options, &bytes, &n_bytes));
    apq_status st = apq_file_write(path, bytes, n_bytes);
    free(bytes);
    return st;
}

apq_status apq_onnx_show_layers(const apq_int_model *m, const char *bytes,
                                size_t n_bytes, char **out, size_t *n_out) {
    onnx_graph g = {.arena = NULL};
    APQ_TRY(apq_arena_create(&g.arena));
    for (int i = 0; i < m->n_convs; i++) {
        const apq_ir_layer *ir = &m->convs[i].ir;
        int64_t side = ir->out_size;
        onnx_value(&g, &g.outputs, onnx_text(&g, "%s.out", ir->name),
                   ONNX_FLOAT, (int64_t[]){ir->out_channels, side, side}, 3);
    }
    apq_status st = onnx_add_outputs(&g, bytes, n_bytes, out, n_out);
    apq_arena_destroy(g.arena);
    return st;
}
