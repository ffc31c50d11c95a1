#ifndef APQ_EXPORT_ONNX_H
#define APQ_EXPORT_ONNX_H

#include "base/status.h"
#include "deploy/int_model.h"

#include <stdbool.h>
#include <stddef.h>

/* ONNX files of an integer model (docs/export.md). The graph reads `image`,
 * float32 (N, C, H, W), normalised as for the network, and gives `logits`,
 * float32 (N, n_classes). The values of a layer, after rounding and after the
 * residual is added, are the tensor LAYER.out, in QONNX their codes unless
 * scaled. */
typedef enum apq_onnx_flavour {
    APQ_ONNX_QDQ,   /* opset 13, IR 8: codes in 8-bit containers between
                       QuantizeLinear and DequantizeLinear */
    APQ_ONNX_QONNX, /* opset 14, IR 8: IntQuant nodes with the true widths,
                       of codes: whole numbers in float32 tensors */
    APQ_ONNX_FLOAT, /* opset 13, IR 8: float32, nothing is rounded, LAYER.out
                       only after ReLU6; to compare speeds */
} apq_onnx_flavour;

typedef struct apq_onnx_pair {
    const char *key, *value; /* value NULL: left out */
} apq_onnx_pair;

typedef struct apq_onnx_options {
    apq_onnx_flavour flavour;
    bool is_packed;            /* QDQ: opset 21, IR 10, weights of up to 4 bits
                                  stored as INT4 */
    bool is_function_left_out; /* QONNX: the reader must know IntQuant */
    bool is_called_quant;      /* QONNX: by IntQuant's former name, Quant */
    bool is_scaled;            /* QONNX: of values, IntQuant has the steps */
    const apq_onnx_pair *metadata; /* added to the file's own; may be NULL */
    size_t n_metadata;
} apq_onnx_options;

/* Whether this build has it; else the functions below are UNSUPPORTED. */
bool apq_onnx_is_built(void);

/* Replaces `path`. Errors: UNSUPPORTED for codes that IntQuant cannot express;
 * IO, NOMEM. */
APQ_NODISCARD apq_status apq_export_onnx(const apq_int_model *model,
                                         const apq_onnx_options *options,
                                         const char *path);

/* The same in memory: *bytes is malloc'd and the caller's. */
APQ_NODISCARD apq_status apq_onnx_bytes(const apq_int_model *model,
                                        const apq_onnx_options *options,
                                        char **bytes, size_t *n_bytes);

/* A copy of an exported file whose outputs are `logits` and every LAYER.out,
 * float32 (N, K, H, W), in the order of the model. Errors: FORMAT when the
 * bytes are not ONNX; NOMEM. */
APQ_NODISCARD apq_status apq_onnx_show_layers(const apq_int_model *model,
                                              const char *bytes, size_t n_bytes,
                                              char **out, size_t *n_out);

#endif
