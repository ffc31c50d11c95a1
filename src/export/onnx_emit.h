#ifndef APQ_EXPORT_ONNX_EMIT_H
#define APQ_EXPORT_ONNX_EMIT_H

#include "deploy/int_model.h"
#include "export/onnx.h"
#include "export/onnx_graph.h"

/* Between the walk over a model and the flavours, which differ in how they
 * write codes. */
typedef struct onnx_weights {
    const char *layer;
    int bits;
    const int8_t *codes; /* (dims): (K, C / groups, R, R) or (K, C) */
    int64_t dims[4];
    size_t n_dims;
    const float *step; /* (K) */
    const int32_t *bias;
    const float *bias_step; /* (K) */
} onnx_weights;

typedef struct onnx_flavour {
    int64_t opset, ir_version;
    /* An operator is done in integers where all its inputs come out of
     * DequantizeLinear. */
    bool has_pairs;
    /* Each returns the name of a float tensor. `name` is that of the rounded
     * values; NULL when out of memory. */
    const char *(*quantise)(onnx_graph *graph, const char *name,
                            const char *input, const apq_int_codes *codes);
    const char *(*weights)(onnx_graph *graph, const onnx_weights *weights);
    const char *(*bias)(onnx_graph *graph, const onnx_weights *weights);
    void (*finish)(onnx_graph *graph); /* NULL: nothing more to write */
} onnx_flavour;

extern const onnx_flavour onnx_qdq, onnx_packed, onnx_qonnx,
    onnx_qonnx_without_function, onnx_float;

/* float(code * step[k]) of every weight, in the arena. */
const float *onnx_weight_values(onnx_graph *graph, const onnx_weights *weights);
/* A `bias` of float values. */
const char *onnx_float_bias(onnx_graph *graph, const onnx_weights *weights);

/* Elements of a tensor. */
size_t onnx_count(const int64_t *dims, size_t n_dims);
/* Bits that codes have in IntQuant, narrow or not; 0: it cannot express them.
 */
int onnx_intquant_bits(const apq_int_codes *codes);

#endif
