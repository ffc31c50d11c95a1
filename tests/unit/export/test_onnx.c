/* Exported ONNX files, read back by the generated protobuf code: the rules of
 * docs/export.md, and every number against the model. */
#include "export/onnx.h"

#include "unit/export/model_builder.h"

#include <jansson.h>
#include <onnx.pb-c.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FLOAT = 1, UINT8 = 2, INT8 = 3, INT32 = 6, INT4 = 22 };

typedef struct file {
    apq_int_model *model;
    Onnx__ModelProto *proto;
    const Onnx__GraphProto *graph;
} file;

/* Both rounded inputs and residuals occur, and weights of 4 bits. */
static void open_model(file *f) {
    f->model = build_model(&mixed_shape, 3);
    int n_rounded = 0, n_residual = 0, n_few = 0;
    for (int i = 0; i < f->model->n_convs; i++) {
        const apq_int_conv *c = &f->model->convs[i];
        n_rounded += c->reround != NULL;
        n_residual += c->ir.residual_from >= 0;
        n_few += c->ir.weight_bits == 4;
    }
    assert_true(n_rounded > 0 && n_residual > 0 && n_few > 0);
}

static void open_file(file *f, const apq_onnx_options *options) {
    char *bytes;
    size_t n;
    open_model(f);
    assert_int_equal(apq_onnx_bytes(f->model, options, &bytes, &n), APQ_OK);
    f->proto = onnx__model_proto__unpack(NULL, n, (const uint8_t *)bytes);
    assert_non_null(f->proto);
    f->graph = f->proto->graph;
    free(bytes);
}

static void close_file(file *f) {
    onnx__model_proto__free_unpacked(f->proto, NULL);
    apq_int_model_destroy(f->model);
}

/* Names are printf-like, so that those of layers can be written. */
static const Onnx__NodeProto *node(const file *f, const char *op,
                                   const char *layer, const char *suffix) {
    char name[128];
    (void)snprintf(name, sizeof name, "%s%s", layer, suffix);
    for (size_t i = 0; i < f->graph->n_node; i++) {
        if (strcmp(f->graph->node[i]->output[0], name) == 0) {
            assert_string_equal(f->graph->node[i]->op_type, op);
            return f->graph->node[i];
        }
    }
    fail_msg("no node %s", name);
    return NULL;
}

static const Onnx__TensorProto *tensor(const file *f, const char *name,
                                       int32_t type, size_t n_bytes) {
    for (size_t i = 0; i < f->graph->n_initializer; i++) {
        const Onnx__TensorProto *t = f->graph->initializer[i];
        if (strcmp(t->name, name) == 0) {
            assert_int_equal(t->data_type, type);
            assert_int_equal(t->raw_data.len, n_bytes);
            return t;
        }
    }
    fail_msg("no tensor %s", name);
    return NULL;
}

static float float_at(const file *f, const char *name) {
    float value;
    memcpy(&value, tensor(f, name, FLOAT, 4)->raw_data.data, sizeof value);
    return value;
}

static int byte_at(const file *f, const char *name) {
    return tensor(f, name, UINT8, 1)->raw_data.data[0];
}

static const Onnx__AttributeProto *attribute(const Onnx__NodeProto *n,
                                             const char *key) {
    for (size_t i = 0; i < n->n_attribute; i++) {
        if (strcmp(n->attribute[i]->name, key) == 0) {
            return n->attribute[i];
        }
    }
    fail_msg("%s has no %s", n->name, key);
    return NULL;
}

static int64_t int_of(const Onnx__NodeProto *n, const char *key) {
    return attribute(n, key)->i;
}

/* Both sides of a filter. */
static void expect_sides(const Onnx__NodeProto *n, const char *key,
                         int64_t value) {
    const Onnx__AttributeProto *a = attribute(n, key);
    assert_int_equal(a->n_ints, 2);
    assert_int_equal(a->ints[0], value);
    assert_int_equal(a->ints[1], value);
}

static const char *metadata(const file *f, const char *key) {
    for (size_t i = 0; i < f->proto->n_metadata_props; i++) {
        if (strcmp(f->proto->metadata_props[i]->key, key) == 0) {
            return f->proto->metadata_props[i]->value;
        }
    }
    fail_msg("no metadata %s", key);
    return NULL;
}

static void expect_versions(const file *f, int64_t ir, int64_t opset,
                            size_t n_opsets) {
    assert_int_equal(f->proto->ir_version, ir);
    assert_int_equal(f->proto->n_opset_import, n_opsets);
    assert_string_equal(f->proto->opset_import[0]->domain, "");
    assert_int_equal(f->proto->opset_import[0]->version, opset);
}

static void expect_port(const Onnx__ValueInfoProto *value, const char *name,
                        const int64_t *dims, size_t n_dims) {
    assert_string_equal(value->name, name);
    const Onnx__TypeProto__Tensor *t = value->type->tensor_type;
    assert_int_equal(t->elem_type, FLOAT);
    assert_int_equal(t->shape->n_dim, n_dims + 1);
    assert_string_equal(t->shape->dim[0]->dim_param, "N");
    for (size_t i = 0; i < n_dims; i++) {
        assert_int_equal(t->shape->dim[i + 1]->dim_value, dims[i]);
    }
}

/* The chain Q, Clip where codes do not fill the byte, DQ that makes
 * LAYER SUFFIX; returns what goes into it. */
static const char *expect_rounding(const file *f, const char *layer,
                                   const char *suffix,
                                   const apq_int_codes *codes) {
    const Onnx__NodeProto *dq = node(f, "DequantizeLinear", layer, suffix);
    assert_true(float_at(f, dq->input[1]) == codes->step);
    int zero = byte_at(f, dq->input[2]);
    assert_int_equal(zero, codes->low < 0 ? 128 : 0);
    const char *from = dq->input[0];
    if (codes->low + zero > 0 || codes->high + zero < 255) {
        const Onnx__NodeProto *clip = node(f, "Clip", from, "");
        assert_int_equal(clip->n_input, 3);
        assert_int_equal(byte_at(f, clip->input[1]), codes->low + zero);
        assert_int_equal(byte_at(f, clip->input[2]), codes->high + zero);
        from = clip->input[0];
    }
    const Onnx__NodeProto *q = node(f, "QuantizeLinear", from, "");
    assert_string_equal(q->input[1], dq->input[1]);
    assert_string_equal(q->input[2], dq->input[2]);
    return q->input[0];
}

static void expect_weights(const file *f, const apq_int_conv *c,
                           const char *name, bool is_packed) {
    const Onnx__NodeProto *dq = node(f, "DequantizeLinear", name, "");
    size_t n_out = (size_t)c->ir.out_channels;
    size_t depth = (size_t)apq_int_depth(&c->ir), n = n_out * depth;
    int32_t type = is_packed ? INT4 : INT8;
    assert_int_equal(int_of(dq, "axis"), 0);
    const Onnx__TensorProto *w =
        tensor(f, dq->input[0], type, is_packed ? (n + 1) / 2 : n);
    const Onnx__TensorProto *zero =
        tensor(f, dq->input[2], type, is_packed ? (n_out + 1) / 2 : n_out);
    for (size_t i = 0; i < zero->raw_data.len; i++) {
        assert_int_equal(zero->raw_data.data[i], 0);
    }
    assert_memory_equal(
        tensor(f, dq->input[1], FLOAT, 4 * n_out)->raw_data.data,
        c->weight_step, 4 * n_out);
    size_t taps = (size_t)(c->ir.kernel * c->ir.kernel), inner = depth / taps;
    assert_int_equal(w->n_dims, 4);
    assert_int_equal(w->dims[1], inner);
    int most = (1 << (c->ir.weight_bits - 1)) - 1;
    for (size_t i = 0; i < n; i++) {
        /* i counts (K, C, R, R) */
        size_t k = i / depth, channel = i % depth / taps, tap = i % taps;
        int code = is_packed ? w->raw_data.data[i / 2] >> (i % 2 * 4) & 15
                             : (int8_t)w->raw_data.data[i];
        code = is_packed && code > 7 ? code - 16 : code;
        assert_int_equal(code, c->w[k * depth + tap * inner + channel]);
        assert_in_range(code + most, 0, 2 * most);
    }
}

static void expect_conv(const file *f, const apq_int_conv *c, bool is_packed,
                        const char *sums, const char *input) {
    char widths[APQ_IR_NAME_MAX + 16];
    (void)snprintf(widths, sizeof widths, "%s.w%da%d", c->ir.name,
                   c->ir.weight_bits, c->ir.act_bits);
    assert_string_equal(sums, widths);
    const Onnx__NodeProto *conv = node(f, "Conv", sums, "");
    assert_string_equal(conv->input[0], input);
    bool is_depthwise = c->ir.kind == APQ_IR_DEPTHWISE;
    assert_int_equal(int_of(conv, "group"),
                     is_depthwise ? c->ir.in_channels : 1);
    expect_sides(conv, "kernel_shape", c->ir.kernel);
    expect_sides(conv, "strides", c->ir.stride);
    expect_sides(conv, "dilations", 1);
    expect_weights(f, c, conv->input[1], is_packed);
    const Onnx__NodeProto *bias =
        node(f, "DequantizeLinear", conv->input[2], "");
    size_t n = (size_t)c->ir.out_channels;
    assert_memory_equal(tensor(f, bias->input[0], INT32, 4 * n)->raw_data.data,
                        c->bias, 4 * n);
    float step;
    memcpy(&step, tensor(f, bias->input[1], FLOAT, 4 * n)->raw_data.data, 4);
    assert_true(step == c->in.step * c->weight_step[0]);
}

static void expect_layers(const file *f, bool is_packed) {
    char input[APQ_IR_NAME_MAX + 16] = "image", sums[APQ_IR_NAME_MAX + 16];
    for (int i = 0; i < f->model->n_convs; i++) {
        const apq_int_conv *c = &f->model->convs[i];
        const char *name = c->ir.name;
        if (i == 0 || c->reround != NULL) {
            assert_string_equal(expect_rounding(f, name, ".in", &c->in), input);
            (void)snprintf(input, sizeof input, "%s.in", name);
        }
        const char *from = expect_rounding(f, name, ".out", &c->out);
        if (c->ir.residual_from >= 0) {
            const Onnx__NodeProto *add = node(f, "Add", from, "");
            char other[APQ_IR_NAME_MAX + 16];
            (void)snprintf(other, sizeof other, "%s.out",
                           f->model->convs[c->ir.residual_from].ir.name);
            assert_string_equal(add->input[1], other);
            from = expect_rounding(f, add->input[0], "", &c->out);
        }
        (void)snprintf(sums, sizeof sums, "%s", from);
        expect_conv(f, c, is_packed && c->ir.weight_bits <= 4, sums, input);
        (void)snprintf(input, sizeof input, "%s.out", name);
    }
    const Onnx__NodeProto *gemm = node(f, "Gemm", "logits", "");
    assert_int_equal(int_of(gemm, "transB"), 1);
    (void)expect_rounding(f, "classifier", ".flat_in", &f->model->pooled);
}

/* No node but these; ReLU6 is the clip's end. */
static void expect_operators(const file *f, const char *const *legal) {
    for (size_t i = 0; i < f->graph->n_node; i++) {
        const char *const *op = legal;
        while (*op != NULL && strcmp(*op, f->graph->node[i]->op_type) != 0) {
            op++;
        }
        if (*op == NULL) {
            fail_msg("operator %s", f->graph->node[i]->op_type);
        }
    }
}

static const char *const k_qdq_operators[] = {
    "QuantizeLinear",    "DequantizeLinear", "Clip", "Conv", "Add",
    "GlobalAveragePool", "Flatten",          "Gemm", NULL};

static void test_qdq(void **state) {
    (void)state;
    file f;
    const apq_onnx_pair extra = {"apq.source", "somewhere"};
    open_file(&f, &(apq_onnx_options){.metadata = &extra, .n_metadata = 1});
    expect_versions(&f, 8, 13, 1);
    expect_operators(&f, k_qdq_operators);
    expect_layers(&f, false);
    assert_int_equal(f.graph->n_input, 1);
    assert_int_equal(f.graph->n_output, 1);
    expect_port(f.graph->input[0], "image", (int64_t[]){3, 12, 12}, 3);
    expect_port(f.graph->output[0], "logits", (int64_t[]){10}, 1);
    assert_string_equal(metadata(&f, "apq.source"), "somewhere");
    close_file(&f);
}

static void test_widths(void **state) {
    (void)state;
    file f;
    open_file(&f, &(apq_onnx_options){.metadata = NULL});
    json_t *widths = json_loads(metadata(&f, "apq.widths"), 0, NULL);
    assert_int_equal(json_array_size(widths), f.model->n_convs + 1);
    for (int i = 0; i < f.model->n_convs; i++) {
        const char *layer;
        int weight_bits, in_bits, out_bits;
        assert_int_equal(json_unpack(json_array_get(widths, (size_t)i),
                                     "{s:s, s:i, s:i, s:i}", "layer", &layer,
                                     "weight_bits", &weight_bits, "input_bits",
                                     &in_bits, "output_bits", &out_bits),
                         0);
        const apq_int_conv *c = &f.model->convs[i];
        assert_string_equal(layer, c->ir.name);
        assert_int_equal(weight_bits, c->ir.weight_bits);
        assert_int_equal(in_bits, c->ir.act_bits);
    }
    json_decref(widths);
    close_file(&f);
}

static void test_packed(void **state) {
    (void)state;
    file f;
    open_file(&f, &(apq_onnx_options){.is_packed = true});
    expect_versions(&f, 10, 21, 1);
    expect_operators(&f, k_qdq_operators);
    expect_layers(&f, true);
    close_file(&f);
}

static float tensor_float(const Onnx__TensorProto *t, size_t i) {
    float value;
    memcpy(&value, t->raw_data.data + i * sizeof value, sizeof value);
    return value;
}

static void expect_intquant(const file *f, const char *op, const char *layer,
                            const char *suffix, const apq_int_codes *codes,
                            float step) {
    const Onnx__NodeProto *n = node(f, op, layer, suffix);
    assert_string_equal(n->domain, "qonnx.custom_op.general");
    assert_true(float_at(f, n->input[1]) == step);
    assert_true(float_at(f, n->input[2]) == 0.0F);
    int bits = (int)float_at(f, n->input[3]);
    bool is_signed = int_of(n, "signed") != 0;
    int high = (1 << (bits - is_signed)) - 1;
    int low = is_signed ? (int)int_of(n, "narrow") - high - 1 : 0;
    assert_int_equal(high, codes->high);
    assert_int_equal(low, codes->low);
}

/* Weights and bias are whole, what they add up to is rescaled before it is
 * rounded; the factor is the first operand, or runtimes fold it. */
static void expect_codes(const file *f, const char *op, const apq_int_conv *c) {
    size_t n_out = (size_t)c->ir.out_channels;
    size_t n = (size_t)apq_int_depth(&c->ir) * n_out;
    expect_intquant(f, op, c->ir.name, ".out", &c->out, 1.0F);
    const Onnx__NodeProto *w = node(f, op, c->ir.name, ".weight");
    const Onnx__TensorProto *values = tensor(f, w->input[0], FLOAT, 4 * n);
    assert_true(tensor_float(values, 0) == (float)c->w[0]);
    const char *suffix = c->ir.residual_from < 0 ? ".out" : ".alone";
    const Onnx__NodeProto *mul =
        node(f, "Mul", node(f, op, c->ir.name, suffix)->input[0], "");
    const Onnx__TensorProto *factor =
        tensor(f, mul->input[0], FLOAT, 4 * n_out);
    const Onnx__NodeProto *conv = node(f, "Conv", mul->input[1], "");
    const Onnx__TensorProto *bias = tensor(f, conv->input[2], FLOAT, 4 * n_out);
    for (size_t k = 0; k < n_out; k++) {
        assert_true(tensor_float(factor, k) == c->rescale[k]);
        assert_true(tensor_float(bias, k) == (float)c->bias[k]);
    }
}

static void expect_values(const file *f, const char *op,
                          const apq_int_conv *c) {
    size_t n = (size_t)apq_int_depth(&c->ir) * (size_t)c->ir.out_channels;
    expect_intquant(f, op, c->ir.name, ".out", &c->out, c->out.step);
    const Onnx__NodeProto *w = node(f, op, c->ir.name, ".weight");
    const Onnx__TensorProto *values = tensor(f, w->input[0], FLOAT, 4 * n);
    assert_true(tensor_float(values, 0) == (float)c->w[0] * c->weight_step[0]);
}

static void expect_qonnx(const apq_onnx_options *options, const char *op) {
    const char *const of_values[] = {
        op, "Conv", "Add", "GlobalAveragePool", "Flatten", "Gemm", NULL};
    const char *const of_codes[] = {
        op,    "Conv", "Add", "GlobalAveragePool", "Flatten", "Gemm",
        "Mul", "Div",  NULL};
    file f;
    open_file(&f, options);
    expect_versions(&f, 8, 14, 2);
    expect_operators(&f, options->is_scaled ? of_values : of_codes);
    assert_int_equal(f.proto->n_functions, !options->is_function_left_out);
    if (f.proto->n_functions > 0) {
        assert_string_equal(f.proto->functions[0]->name, op);
    }
    for (int i = 0; i < f.model->n_convs; i++) {
        const apq_int_conv *c = &f.model->convs[i];
        const Onnx__NodeProto *w = node(&f, op, c->ir.name, ".weight");
        assert_int_equal((int)float_at(&f, w->input[3]), c->ir.weight_bits);
        if (options->is_scaled) {
            expect_values(&f, op, c);
        } else {
            expect_codes(&f, op, c);
        }
    }
    close_file(&f);
}

static void test_qonnx(void **state) {
    (void)state;
    for (int i = 0; i < 8; i++) {
        const apq_onnx_options options = {.flavour = APQ_ONNX_QONNX,
                                          .is_function_left_out = i % 2 == 1,
                                          .is_called_quant = i % 4 >= 2,
                                          .is_scaled = i >= 4};
        expect_qonnx(&options, i % 4 >= 2 ? "Quant" : "IntQuant");
    }
}

/* A layer's convolution, past a Clip where codes are not negative. */
static void expect_float_layer(const file *f, const apq_int_conv *c) {
    size_t n_out = (size_t)c->ir.out_channels;
    size_t depth = (size_t)apq_int_depth(&c->ir);
    char sums[APQ_IR_NAME_MAX + 16];
    (void)snprintf(sums, sizeof sums, "%s.w%da%d", c->ir.name,
                   c->ir.weight_bits, c->ir.act_bits);
    if (c->out.low == 0) {
        const Onnx__NodeProto *clip = node(f, "Clip", c->ir.name, ".out");
        assert_string_equal(clip->input[0], sums);
        assert_true(float_at(f, clip->input[1]) == 0.0F);
        assert_true(float_at(f, clip->input[2]) ==
                    (float)c->out.high * c->out.step);
    }
    const Onnx__NodeProto *conv = node(f, "Conv", sums, "");
    const Onnx__TensorProto *w =
        tensor(f, conv->input[1], FLOAT, 4 * n_out * depth);
    const Onnx__TensorProto *bias = tensor(f, conv->input[2], FLOAT, 4 * n_out);
    for (size_t k = 0; k < n_out; k++) {
        assert_true(tensor_float(w, k * depth) ==
                    (float)c->w[k * depth] * c->weight_step[k]);
        double step = (double)(c->in.step * c->weight_step[k]);
        assert_true(tensor_float(bias, k) == (float)(c->bias[k] * step));
    }
}

static void test_float(void **state) {
    (void)state;
    static const char *const operators[] = {
        "Clip", "Conv", "Add", "GlobalAveragePool", "Flatten", "Gemm", NULL};
    file f;
    open_file(&f, &(apq_onnx_options){.flavour = APQ_ONNX_FLOAT});
    expect_versions(&f, 8, 13, 1);
    expect_operators(&f, operators);
    for (int i = 0; i < f.model->n_convs; i++) {
        expect_float_layer(&f, &f.model->convs[i]);
    }
    expect_port(f.graph->output[0], "logits", (int64_t[]){10}, 1);
    close_file(&f);
}

static void test_refusals(void **state) {
    (void)state;
    file f;
    char *bytes;
    size_t n;
    open_model(&f);
    f.model->convs[0].out.high = 200;
    assert_int_equal(
        apq_onnx_bytes(f.model, &(apq_onnx_options){.flavour = APQ_ONNX_QONNX},
                       &bytes, &n),
        APQ_ERR_UNSUPPORTED);
    assert_non_null(strstr(apq_error_message(), "stem: codes 0..200"));
    assert_int_equal(apq_onnx_show_layers(f.model, "not onnx", 8, &bytes, &n),
                     APQ_ERR_FORMAT);
    assert_int_equal(apq_export_onnx(f.model,
                                     &(apq_onnx_options){.is_packed = false},
                                     "no/such/folder/net.onnx"),
                     APQ_ERR_IO);
    apq_int_model_destroy(f.model);
}

static void test_show_layers(void **state) {
    (void)state;
    file f;
    char *bytes, *shown;
    size_t n, n_shown;
    open_model(&f);
    assert_int_equal(apq_onnx_bytes(f.model,
                                    &(apq_onnx_options){.is_packed = false},
                                    &bytes, &n),
                     APQ_OK);
    assert_int_equal(apq_onnx_show_layers(f.model, bytes, n, &shown, &n_shown),
                     APQ_OK);
    f.proto = onnx__model_proto__unpack(NULL, n_shown, (const uint8_t *)shown);
    assert_non_null(f.proto);
    f.graph = f.proto->graph;
    assert_int_equal(f.graph->n_output, f.model->n_convs + 1);
    expect_port(f.graph->output[0], "logits", (int64_t[]){10}, 1);
    expect_port(f.graph->output[1], "stem.out", (int64_t[]){9, 12, 12}, 3);
    expect_layers(&f, false);
    free(bytes);
    free(shown);
    close_file(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_qdq),      cmocka_unit_test(test_widths),
        cmocka_unit_test(test_packed),   cmocka_unit_test(test_qonnx),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_show_layers),
        cmocka_unit_test(test_float),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
