/* Codes of any width by the operator IntQuant, whose definition in standard
 * operators can go into the file. Source: QONNX, Pappalardo et al. 2022,
 * arXiv:2206.07527, and its operator documentation. */
#include "export/onnx_emit.h"

static const char domain[] = "qonnx.custom_op.general";

int onnx_intquant_bits(const apq_int_codes *codes) {
    bool is_signed = codes->low < 0;
    for (int bits = 1; bits <= 8; bits++) {
        int high = (1 << (is_signed ? bits - 1 : bits)) - 1;
        bool is_low = is_signed ? codes->low == -high || codes->low == -high - 1
                                : codes->low == 0;
        if (codes->high == high && is_low && high > 0) {
            return bits;
        }
    }
    return 0;
}

/* rounding: to the nearest, halves to even */
static void add_intquant(onnx_graph *g, const char *name,
                         const char *const *inputs, bool is_signed,
                         bool is_narrow) {
    onnx_op *node = onnx_node(g, &g->nodes, g->intquant, name, inputs);
    onnx_set_domain(g, node, domain);
    onnx_set_int(g, node, "signed", is_signed);
    onnx_set_int(g, node, "narrow", is_narrow);
    onnx_set_text(g, node, "rounding_mode", "ROUND");
}

static const char *quantise(onnx_graph *g, const char *name, const char *input,
                            const apq_int_codes *codes) {
    const char *inputs[] = {
        input,
        onnx_scalar(g, onnx_text(g, "%s_step", name), codes->step),
        onnx_scalar(g, onnx_text(g, "%s_zero", name), 0.0F),
        onnx_scalar(g, onnx_text(g, "%s_bits", name),
                    (float)onnx_intquant_bits(codes)),
        NULL,
    };
    add_intquant(g, name, inputs, codes->low < 0,
                 codes->low < 0 && codes->low == -codes->high);
    return name;
}

static const char *weights(onnx_graph *g, const onnx_weights *w) {
    const float *values = onnx_weight_values(g, w);
    if (values == NULL) {
        return NULL;
    }
    const int64_t step_dims[4] = {w->dims[0], 1, 1, 1};
    size_t n = onnx_count(w->dims, w->n_dims);
    const char *name = onnx_text(g, "%s.weight", w->layer);
    const char *inputs[] = {
        onnx_tensor(g, onnx_text(g, "%s_values", name), ONNX_FLOAT, w->dims,
                    w->n_dims, values, n * sizeof *values),
        onnx_tensor(g, onnx_text(g, "%s_step", name), ONNX_FLOAT, step_dims,
                    w->n_dims, w->step, (size_t)w->dims[0] * sizeof *w->step),
        onnx_scalar(g, onnx_text(g, "%s_zero", name), 0.0F),
        onnx_scalar(g, onnx_text(g, "%s_bits", name), (float)w->bits),
        NULL,
    };
    add_intquant(g, name, inputs, true, true);
    return name;
}

static void add_opsets(onnx_graph *g) {
    onnx_opset(g, domain, 1);
}

/* -------------------------------------------------- IntQuant's definition */

static void op(onnx_graph *g, onnx_list *nodes, const char *kind,
               const char *name, const char *a, const char *b) {
    (void)onnx_node(g, nodes, kind, name, (const char *const[]){a, b, NULL});
}

static void add_constants(onnx_graph *g, onnx_list *nodes) {
    static const char *const flags[] = {"signed", "narrow"};
    static const char *const none[] = {NULL};
    for (size_t i = 0; i < 2; i++) {
        const char *flag = onnx_text(g, "%s_flag", flags[i]);
        onnx_op *node = onnx_node(g, nodes, "Constant", flag, none);
        onnx_set_reference(g, node, "value_int", flags[i]);
        node = onnx_node(g, nodes, "Cast", onnx_text(g, "is_%s", flags[i]),
                         (const char *const[]){flag, NULL});
        onnx_set_int(g, node, "to", ONNX_FLOAT);
    }
    onnx_set_float(g, onnx_node(g, nodes, "Constant", "one", none),
                   "value_float", 1.0F);
    onnx_set_float(g, onnx_node(g, nodes, "Constant", "two", none),
                   "value_float", 2.0F);
}

/* high = 2^(bits - signed) - 1 - (1 - signed) narrow
 * low = signed (narrow - 2^(bits - signed))
 * Y = (round(clamp(X / scale + zeropt, low, high)) - zeropt) scale */
static void add_body(onnx_graph *g, onnx_list *nodes) {
    add_constants(g, nodes);
    onnx_set_int(g,
                 onnx_node(g, nodes, "Cast", "bits",
                           (const char *const[]){"bitwidth", NULL}),
                 "to", ONNX_FLOAT);
    op(g, nodes, "Sub", "magnitude_bits", "bits", "is_signed");
    op(g, nodes, "Pow", "power", "two", "magnitude_bits");
    op(g, nodes, "Sub", "is_unsigned", "one", "is_signed");
    op(g, nodes, "Mul", "cut", "is_unsigned", "is_narrow");
    op(g, nodes, "Sub", "top", "power", "one");
    op(g, nodes, "Sub", "high", "top", "cut");
    op(g, nodes, "Sub", "bottom", "is_narrow", "power");
    op(g, nodes, "Mul", "low", "bottom", "is_signed");
    op(g, nodes, "Div", "scaled", "X", "scale");
    op(g, nodes, "Add", "shifted", "scaled", "zeropt");
    op(g, nodes, "Max", "above", "shifted", "low");
    op(g, nodes, "Min", "within", "above", "high");
    (void)onnx_node(g, nodes, "Round", "code",
                    (const char *const[]){"within", NULL});
    op(g, nodes, "Sub", "centred", "code", "zeropt");
    op(g, nodes, "Mul", "Y", "centred", "scale");
}

static void add_function(onnx_graph *g) {
    static const char *const inputs[] = {"X", "scale", "zeropt", "bitwidth",
                                         NULL};
    static const char *const outputs[] = {"Y", NULL};
    static const char *const attributes[] = {"signed", "narrow",
                                             "rounding_mode", NULL};
    add_opsets(g);
    onnx_list nodes = {0};
    add_body(g, &nodes);
    onnx_function(g, domain, g->intquant, inputs, outputs, attributes, &nodes);
}

const onnx_flavour onnx_qonnx = {.opset = 14,
                                 .ir_version = 8,
                                 .quantise = quantise,
                                 .weights = weights,
                                 .bias = onnx_float_bias,
                                 .finish = add_function};
const onnx_flavour onnx_qonnx_without_function = {.opset = 14,
                                                  .ir_version = 8,
                                                  .quantise = quantise,
                                                  .weights = weights,
                                                  .bias = onnx_float_bias,
                                                  .finish = add_opsets};
