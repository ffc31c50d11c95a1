/* The network in float32: weights are the values of their codes, ReLU6 is a
 * Clip at the highest code, nothing is rounded. It serves to compare speeds. */
#include "export/onnx_emit.h"

const float *onnx_weight_values(onnx_graph *g, const onnx_weights *w) {
    size_t n = onnx_count(w->dims, w->n_dims);
    size_t depth = n / (size_t)w->dims[0];
    float *values = onnx_alloc(g, n, sizeof *values);
    for (size_t i = 0; values != NULL && i < n; i++) {
        values[i] = (float)w->codes[i] * w->step[i / depth];
    }
    return values;
}

const char *onnx_float_bias(onnx_graph *g, const onnx_weights *w) {
    size_t n = (size_t)w->dims[0];
    float *values = onnx_alloc(g, n, sizeof *values);
    if (values == NULL) {
        return NULL;
    }
    for (size_t k = 0; k < n; k++) {
        values[k] = (float)((double)w->bias[k] * (double)w->bias_step[k]);
    }
    return onnx_tensor(g, onnx_text(g, "%s.bias", w->layer), ONNX_FLOAT,
                       w->dims, 1, values, n * sizeof *values);
}

static const char *weights(onnx_graph *g, const onnx_weights *w) {
    const float *values = onnx_weight_values(g, w);
    return values == NULL
               ? NULL
               : onnx_tensor(g, onnx_text(g, "%s.weight", w->layer), ONNX_FLOAT,
                             w->dims, w->n_dims, values,
                             onnx_count(w->dims, w->n_dims) * sizeof *values);
}

/* Signed codes are of the image and of linear layers, which have no clip. */
static const char *quantise(onnx_graph *g, const char *name, const char *input,
                            const apq_int_codes *codes) {
    if (codes->low < 0) {
        return input;
    }
    const char *inputs[] = {
        input,
        onnx_scalar(g, onnx_text(g, "%s_low", name), 0.0F),
        onnx_scalar(g, onnx_text(g, "%s_high", name),
                    (float)codes->high * codes->step),
        NULL,
    };
    (void)onnx_node(g, &g->nodes, "Clip", name, inputs);
    return name;
}

const onnx_flavour onnx_float = {.opset = 13,
                                 .ir_version = 8,
                                 .quantise = quantise,
                                 .weights = weights,
                                 .bias = onnx_float_bias};
