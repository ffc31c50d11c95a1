/* Codes between QuantizeLinear and DequantizeLinear, in 8-bit containers with
 * an integer Clip for fewer bits. Source: the ONNX operators' specification;
 * what ONNX Runtime fuses is in docs/export.md. */
#include "export/onnx_emit.h"

#include <string.h>

static const char *add_byte(onnx_graph *g, const char *name, int value) {
    uint8_t byte = (uint8_t)value;
    return onnx_tensor(g, name, ONNX_UINT8, NULL, 0, &byte, 1);
}

/* Signed codes are stored plus 128: x86 multiplies unsigned by signed bytes.
 * No ReLU6 is needed, and none may be there, or kernels are not fused: the
 * container's and the clip's ends are its ends. */
static const char *quantise(onnx_graph *g, const char *name, const char *input,
                            const apq_int_codes *codes) {
    int zero_point = codes->low < 0 ? 128 : 0;
    int low = codes->low + zero_point, high = codes->high + zero_point;
    const char *step =
        onnx_scalar(g, onnx_text(g, "%s_step", name), codes->step);
    const char *zero = add_byte(g, onnx_text(g, "%s_zero", name), zero_point);
    const char *at = onnx_text(g, "%s_codes", name);
    (void)onnx_node(g, &g->nodes, "QuantizeLinear", at,
                    (const char *const[]){input, step, zero, NULL});
    if (low > 0 || high < UINT8_MAX) {
        const char *ends[] = {add_byte(g, onnx_text(g, "%s_low", name), low),
                              add_byte(g, onnx_text(g, "%s_high", name), high)};
        const char *clipped = onnx_text(g, "%s_clip", name);
        (void)onnx_node(g, &g->nodes, "Clip", clipped,
                        (const char *const[]){at, ends[0], ends[1], NULL});
        at = clipped;
    }
    (void)onnx_node(g, &g->nodes, "DequantizeLinear", name,
                    (const char *const[]){at, step, zero, NULL});
    return name;
}

/* Two codes a byte, the first in the low half. */
static const uint8_t *pack_nibbles(onnx_graph *g, const int8_t *codes,
                                   size_t n) {
    uint8_t *bytes = onnx_alloc(g, (n + 1) / 2, 1);
    for (size_t i = 0; bytes != NULL && i < n; i++) {
        unsigned code = (unsigned)codes[i] & 15U;
        bytes[i / 2] |= (uint8_t)(i % 2 == 0 ? code : code << 4);
    }
    return bytes;
}

static const char *add_codes(onnx_graph *g, const char *name,
                             const int8_t *codes, const int64_t *dims,
                             size_t n_dims, bool is_packed) {
    size_t n = onnx_count(dims, n_dims);
    const void *bytes =
        is_packed ? (const void *)pack_nibbles(g, codes, n) : codes;
    return bytes == NULL
               ? NULL
               : onnx_tensor(g, name, is_packed ? ONNX_INT4 : ONNX_INT8, dims,
                             n_dims, bytes, is_packed ? (n + 1) / 2 : n);
}

static const char *write_weights(onnx_graph *g, const onnx_weights *w,
                                 bool is_packed) {
    size_t n_channels = (size_t)w->dims[0];
    const char *codes = add_codes(g, onnx_text(g, "%s.weight_codes", w->layer),
                                  w->codes, w->dims, w->n_dims, is_packed);
    const char *step =
        onnx_tensor(g, onnx_text(g, "%s.weight_step", w->layer), ONNX_FLOAT,
                    w->dims, 1, w->step, n_channels * sizeof *w->step);
    const int8_t *zeros = onnx_alloc(g, n_channels, 1);
    const char *zero =
        zeros == NULL ? NULL
                      : add_codes(g, onnx_text(g, "%s.weight_zero", w->layer),
                                  zeros, w->dims, 1, is_packed);
    const char *name = onnx_text(g, "%s.weight", w->layer);
    onnx_op *node = onnx_node(g, &g->nodes, "DequantizeLinear", name,
                              (const char *const[]){codes, step, zero, NULL});
    onnx_set_int(g, node, "axis", 0);
    return name;
}

static const char *weights_in_bytes(onnx_graph *g, const onnx_weights *w) {
    return write_weights(g, w, false);
}

static const char *weights_packed(onnx_graph *g, const onnx_weights *w) {
    return write_weights(g, w, w->bits <= 4);
}

/* As codes of 32 bits: a float bias would be rounded by the runtime itself. */
static const char *bias(onnx_graph *g, const onnx_weights *w) {
    size_t n_channels = (size_t)w->dims[0];
    const char *codes =
        onnx_tensor(g, onnx_text(g, "%s.bias_codes", w->layer), ONNX_INT32,
                    w->dims, 1, w->bias, n_channels * sizeof *w->bias);
    const char *step = onnx_tensor(g, onnx_text(g, "%s.bias_step", w->layer),
                                   ONNX_FLOAT, w->dims, 1, w->bias_step,
                                   n_channels * sizeof *w->bias_step);
    const char *name = onnx_text(g, "%s.bias", w->layer);
    onnx_op *node = onnx_node(g, &g->nodes, "DequantizeLinear", name,
                              (const char *const[]){codes, step, NULL});
    onnx_set_int(g, node, "axis", 0);
    return name;
}

const onnx_flavour onnx_qdq = {.opset = 13,
                               .ir_version = 8,
                               .has_pairs = true,
                               .quantise = quantise,
                               .weights = weights_in_bytes,
                               .bias = bias};
const onnx_flavour onnx_packed = {.opset = 21,
                                  .ir_version = 10,
                                  .has_pairs = true,
                                  .quantise = quantise,
                                  .weights = weights_packed,
                                  .bias = bias};
