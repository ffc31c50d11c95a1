/* Messages of an ONNX file, made by the generated protobuf-c code and packed
 * into bytes. Source: the ONNX IR specification, onnx.proto of libonnx-dev. */
#include "export/onnx_graph.h"

#include <onnx.pb-c.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *onnx_alloc(onnx_graph *g, size_t n, size_t size) {
    void *memory =
        g->is_out_of_memory ? NULL : apq_arena_alloc(g->arena, n, size);
    if (memory == NULL) {
        g->is_out_of_memory = true;
        return NULL;
    }
    return memset(memory, 0, n * size);
}

void onnx_append(onnx_graph *g, onnx_list *list, void *item) {
    if (list->n == list->capacity) {
        size_t capacity = list->capacity == 0 ? 8 : 2 * list->capacity;
        void **items = onnx_alloc(g, capacity, sizeof *items);
        if (items == NULL) {
            return;
        }
        if (list->n > 0) {
            memcpy(items, list->items, list->n * sizeof *items);
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->n++] = item;
}

static char *copy_text(onnx_graph *g, const char *text) {
    if (text == NULL) {
        return NULL;
    }
    size_t n = strlen(text) + 1;
    char *copy = onnx_alloc(g, n, 1);
    return copy == NULL ? NULL : memcpy(copy, text, n);
}

const char *onnx_text(onnx_graph *g, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return copy_text(g, text);
}

/* A zeroed message that is a copy of its INIT value. */
static void *copy_message(onnx_graph *g, const void *init, size_t size) {
    void *message = onnx_alloc(g, 1, size);
    return message == NULL ? NULL : memcpy(message, init, size);
}

static onnx_list copy_names(onnx_graph *g, const char *const *names) {
    onnx_list list = {0};
    for (; *names != NULL; names++) {
        onnx_append(g, &list, copy_text(g, *names));
    }
    return list;
}

onnx_op *onnx_node(onnx_graph *g, onnx_list *nodes, const char *op,
                   const char *name, const char *const *inputs) {
    const Onnx__NodeProto init = ONNX__NODE_PROTO__INIT;
    onnx_op *node = copy_message(g, &init, sizeof init);
    if (node == NULL) {
        return NULL;
    }
    node->op_type = copy_text(g, op);
    node->name = copy_text(g, name);
    onnx_list names = copy_names(g, inputs);
    onnx_list output = copy_names(g, (const char *const[]){name, NULL});
    node->input = (char **)names.items;
    node->n_input = names.n;
    node->output = (char **)output.items;
    node->n_output = output.n;
    onnx_append(g, nodes, node);
    return node;
}

static Onnx__AttributeProto *
add_attribute(onnx_graph *g, onnx_op *node, const char *key,
              Onnx__AttributeProto__AttributeType type) {
    const Onnx__AttributeProto init = ONNX__ATTRIBUTE_PROTO__INIT;
    Onnx__AttributeProto *attribute =
        node == NULL ? NULL : copy_message(g, &init, sizeof init);
    if (attribute == NULL) {
        return NULL;
    }
    attribute->name = copy_text(g, key);
    attribute->has_type = true;
    attribute->type = type;
    onnx_list all = {(void **)node->attribute, node->n_attribute,
                     node->n_attribute};
    onnx_append(g, &all, attribute);
    node->attribute = (Onnx__AttributeProto **)all.items;
    node->n_attribute = all.n;
    return attribute;
}

void onnx_set_domain(onnx_graph *g, onnx_op *node, const char *domain) {
    if (node != NULL) {
        node->domain = copy_text(g, domain);
    }
}

void onnx_set_int(onnx_graph *g, onnx_op *node, const char *key,
                  int64_t value) {
    Onnx__AttributeProto *a =
        add_attribute(g, node, key, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (a != NULL) {
        a->has_i = true;
        a->i = value;
    }
}

void onnx_set_float(onnx_graph *g, onnx_op *node, const char *key,
                    float value) {
    Onnx__AttributeProto *a = add_attribute(
        g, node, key, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (a != NULL) {
        a->has_f = true;
        a->f = value;
    }
}

void onnx_set_text(onnx_graph *g, onnx_op *node, const char *key,
                   const char *value) {
    Onnx__AttributeProto *a = add_attribute(
        g, node, key, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    if (a != NULL) {
        a->has_s = true;
        a->s.data = (uint8_t *)copy_text(g, value);
        a->s.len = a->s.data == NULL ? 0 : strlen(value);
    }
}

void onnx_set_ints(onnx_graph *g, onnx_op *node, const char *key,
                   const int64_t *values, size_t n) {
    Onnx__AttributeProto *a = add_attribute(
        g, node, key, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    int64_t *copy = a == NULL ? NULL : onnx_alloc(g, n, sizeof *copy);
    if (copy != NULL) {
        a->ints = memcpy(copy, values, n * sizeof *copy);
        a->n_ints = n;
    }
}

void onnx_set_reference(onnx_graph *g, onnx_op *node, const char *key,
                        const char *of) {
    Onnx__AttributeProto *a =
        add_attribute(g, node, key, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (a != NULL) {
        a->ref_attr_name = copy_text(g, of);
    }
}

const char *onnx_tensor(onnx_graph *g, const char *name, onnx_type type,
                        const int64_t *dims, size_t n_dims, const void *bytes,
                        size_t n_bytes) {
    const Onnx__TensorProto init = ONNX__TENSOR_PROTO__INIT;
    Onnx__TensorProto *tensor = copy_message(g, &init, sizeof init);
    uint8_t *data = onnx_alloc(g, n_bytes + 1, 1);
    int64_t *sizes = onnx_alloc(g, n_dims + 1, sizeof *sizes);
    if (g->is_out_of_memory) {
        return NULL;
    }
    if (n_dims > 0) {
        memcpy(sizes, dims, n_dims * sizeof *sizes);
    }
    tensor->name = copy_text(g, name);
    tensor->has_data_type = true;
    tensor->data_type = (int32_t)type;
    tensor->dims = sizes;
    tensor->n_dims = n_dims;
    tensor->has_raw_data = true;
    tensor->raw_data.data = memcpy(data, bytes, n_bytes);
    tensor->raw_data.len = n_bytes;
    onnx_append(g, &g->initializers, tensor);
    return tensor->name;
}

const char *onnx_scalar(onnx_graph *g, const char *name, float value) {
    return onnx_tensor(g, name, ONNX_FLOAT, NULL, 0, &value, sizeof value);
}

static Onnx__TensorShapeProto__Dimension *make_dimension(onnx_graph *g,
                                                         int64_t size) {
    const Onnx__TensorShapeProto__Dimension init =
        ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT;
    Onnx__TensorShapeProto__Dimension *d = copy_message(g, &init, sizeof init);
    if (d != NULL && size > 0) {
        d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        d->dim_value = size;
    } else if (d != NULL) {
        d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        d->dim_param = copy_text(g, "N");
    }
    return d;
}

void onnx_value(onnx_graph *g, onnx_list *list, const char *name,
                onnx_type type, const int64_t *dims, size_t n_dims) {
    const Onnx__ValueInfoProto value_init = ONNX__VALUE_INFO_PROTO__INIT;
    const Onnx__TypeProto type_init = ONNX__TYPE_PROTO__INIT;
    const Onnx__TypeProto__Tensor tensor_init = ONNX__TYPE_PROTO__TENSOR__INIT;
    const Onnx__TensorShapeProto shape_init = ONNX__TENSOR_SHAPE_PROTO__INIT;
    Onnx__ValueInfoProto *value =
        copy_message(g, &value_init, sizeof value_init);
    Onnx__TypeProto *kind = copy_message(g, &type_init, sizeof type_init);
    Onnx__TypeProto__Tensor *tensor =
        copy_message(g, &tensor_init, sizeof tensor_init);
    Onnx__TensorShapeProto *shape =
        copy_message(g, &shape_init, sizeof shape_init);
    if (g->is_out_of_memory) {
        return;
    }
    onnx_list sizes = {0};
    onnx_append(g, &sizes, make_dimension(g, 0));
    for (size_t i = 0; i < n_dims; i++) {
        onnx_append(g, &sizes, make_dimension(g, dims[i]));
    }
    shape->dim = (Onnx__TensorShapeProto__Dimension **)sizes.items;
    shape->n_dim = sizes.n;
    tensor->has_elem_type = true;
    tensor->elem_type = (int32_t)type;
    tensor->shape = shape;
    kind->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    kind->tensor_type = tensor;
    value->name = copy_text(g, name);
    value->type = kind;
    onnx_append(g, list, value);
}

void onnx_metadata(onnx_graph *g, const char *key, const char *value) {
    const Onnx__StringStringEntryProto init =
        ONNX__STRING_STRING_ENTRY_PROTO__INIT;
    Onnx__StringStringEntryProto *entry = copy_message(g, &init, sizeof init);
    if (entry != NULL) {
        entry->key = copy_text(g, key);
        entry->value = copy_text(g, value);
        onnx_append(g, &g->metadata, entry);
    }
}

void onnx_opset(onnx_graph *g, const char *domain, int64_t version) {
    const Onnx__OperatorSetIdProto init = ONNX__OPERATOR_SET_ID_PROTO__INIT;
    Onnx__OperatorSetIdProto *opset = copy_message(g, &init, sizeof init);
    if (opset != NULL) {
        opset->domain = copy_text(g, domain);
        opset->has_version = true;
        opset->version = version;
        onnx_append(g, &g->opsets, opset);
    }
}

void onnx_function(onnx_graph *g, const char *domain, const char *name,
                   const char *const *inputs, const char *const *outputs,
                   const char *const *attributes, const onnx_list *nodes) {
    const Onnx__FunctionProto init = ONNX__FUNCTION_PROTO__INIT;
    Onnx__FunctionProto *f = copy_message(g, &init, sizeof init);
    onnx_list in = copy_names(g, inputs), out = copy_names(g, outputs);
    onnx_list keys = copy_names(g, attributes);
    if (f == NULL) {
        return;
    }
    f->name = copy_text(g, name);
    f->domain = copy_text(g, domain);
    f->input = (char **)in.items;
    f->n_input = in.n;
    f->output = (char **)out.items;
    f->n_output = out.n;
    f->attribute = (char **)keys.items;
    f->n_attribute = keys.n;
    f->node = (onnx_op **)nodes->items;
    f->n_node = nodes->n;
    f->opset_import = (Onnx__OperatorSetIdProto **)g->opsets.items;
    f->n_opset_import = g->opsets.n;
    onnx_append(g, &g->functions, f);
}

apq_status onnx_graph_pack(onnx_graph *g, const char *name, int64_t ir_version,
                           const char *version, char **bytes, size_t *n_bytes) {
    Onnx__GraphProto graph = ONNX__GRAPH_PROTO__INIT;
    graph.name = copy_text(g, name);
    graph.node = (Onnx__NodeProto **)g->nodes.items;
    graph.n_node = g->nodes.n;
    graph.initializer = (Onnx__TensorProto **)g->initializers.items;
    graph.n_initializer = g->initializers.n;
    graph.input = (Onnx__ValueInfoProto **)g->inputs.items;
    graph.n_input = g->inputs.n;
    graph.output = (Onnx__ValueInfoProto **)g->outputs.items;
    graph.n_output = g->outputs.n;
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    model.has_ir_version = true;
    model.ir_version = ir_version;
    model.producer_name = copy_text(g, "apq");
    model.producer_version = copy_text(g, version);
    model.graph = &graph;
    model.opset_import = (Onnx__OperatorSetIdProto **)g->opsets.items;
    model.n_opset_import = g->opsets.n;
    model.metadata_props = (Onnx__StringStringEntryProto **)g->metadata.items;
    model.n_metadata_props = g->metadata.n;
    model.functions = (Onnx__FunctionProto **)g->functions.items;
    model.n_functions = g->functions.n;
    if (!g->is_out_of_memory) {
        *n_bytes = onnx__model_proto__get_packed_size(&model);
        *bytes = malloc(*n_bytes + 1);
    }
    if (g->is_out_of_memory || *bytes == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "ONNX: out of memory");
    }
    (void)onnx__model_proto__pack(&model, (uint8_t *)*bytes);
    return APQ_OK;
}

/* The outputs are borrowed: what was unpacked is released by its own
 * allocator. */
static char *pack_with_outputs(onnx_graph *g, Onnx__ModelProto *file,
                               size_t *n_out) {
    Onnx__ValueInfoProto **own = file->graph->output;
    size_t n_own = file->graph->n_output;
    onnx_list all = {0};
    for (size_t i = 0; i < n_own; i++) {
        onnx_append(g, &all, own[i]);
    }
    for (size_t i = 0; i < g->outputs.n; i++) {
        onnx_append(g, &all, g->outputs.items[i]);
    }
    if (g->is_out_of_memory) {
        return NULL;
    }
    file->graph->output = (Onnx__ValueInfoProto **)all.items;
    file->graph->n_output = all.n;
    *n_out = onnx__model_proto__get_packed_size(file);
    char *out = malloc(*n_out + 1);
    if (out != NULL) {
        (void)onnx__model_proto__pack(file, (uint8_t *)out);
    }
    file->graph->output = own;
    file->graph->n_output = n_own;
    return out;
}

apq_status onnx_add_outputs(onnx_graph *g, const char *bytes, size_t n_bytes,
                            char **out, size_t *n_out) {
    Onnx__ModelProto *file =
        onnx__model_proto__unpack(NULL, n_bytes, (const uint8_t *)bytes);
    apq_status st = APQ_OK;
    if (file == NULL || file->graph == NULL) {
        st = APQ_ERROR(APQ_ERR_FORMAT, "not an ONNX file");
    } else {
        *out = pack_with_outputs(g, file, n_out);
        if (*out == NULL) {
            st = APQ_ERROR(APQ_ERR_NOMEM, "ONNX: out of memory");
        }
    }
    onnx__model_proto__free_unpacked(file, NULL);
    return st;
}
