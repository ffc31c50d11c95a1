#ifndef APQ_EXPORT_ONNX_GRAPH_H
#define APQ_EXPORT_ONNX_GRAPH_H

#include "base/memory.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Builds the messages of an ONNX file in an arena. Names are copied. When
 * memory runs out, the graph is marked, calls do nothing and give NULL, which
 * all of them take, and onnx_graph_pack fails: callers need no checks. */
typedef enum onnx_type {
    ONNX_FLOAT = 1,
    ONNX_UINT8 = 2,
    ONNX_INT8 = 3,
    ONNX_INT32 = 6,
    ONNX_INT4 = 22, /* from IR 10 on */
} onnx_type;

typedef struct Onnx__NodeProto onnx_op;

typedef struct onnx_list {
    void **items;
    size_t n, capacity;
} onnx_list;

typedef struct onnx_graph {
    apq_arena *arena; /* borrowed */
    bool is_out_of_memory;
    onnx_list nodes, initializers, inputs, outputs, metadata, opsets, functions;
    const char *intquant; /* QONNX: what IntQuant is called */
} onnx_graph;

/* Zeroed memory of the arena. */
void *onnx_alloc(onnx_graph *graph, size_t n, size_t size);
void onnx_append(onnx_graph *graph, onnx_list *list, void *item);
const char *onnx_text(onnx_graph *graph, const char *format, ...)
    APQ_PRINTF(2, 3);

/* A node with one output, appended to `nodes`; `name` is that of the output,
 * too. The list of inputs ends with NULL. */
onnx_op *onnx_node(onnx_graph *graph, onnx_list *nodes, const char *op,
                   const char *name, const char *const *inputs);
void onnx_set_domain(onnx_graph *graph, onnx_op *node, const char *domain);
void onnx_set_int(onnx_graph *graph, onnx_op *node, const char *key,
                  int64_t value);
void onnx_set_float(onnx_graph *graph, onnx_op *node, const char *key,
                    float value);
void onnx_set_text(onnx_graph *graph, onnx_op *node, const char *key,
                   const char *value);
void onnx_set_ints(onnx_graph *graph, onnx_op *node, const char *key,
                   const int64_t *values, size_t n);
/* The value that the attribute `of` of the enclosing function has. */
void onnx_set_reference(onnx_graph *graph, onnx_op *node, const char *key,
                        const char *of);

/* An initializer of n_dims dimensions (0: a scalar) whose little-endian bytes
 * are copied. Returns its name. */
const char *onnx_tensor(onnx_graph *graph, const char *name, onnx_type type,
                        const int64_t *dims, size_t n_dims, const void *bytes,
                        size_t n_bytes);
const char *onnx_scalar(onnx_graph *graph, const char *name, float value);

/* What goes in or out. Its first dimension is the symbol N. */
void onnx_value(onnx_graph *graph, onnx_list *list, const char *name,
                onnx_type type, const int64_t *dims, size_t n_dims);
void onnx_metadata(onnx_graph *graph, const char *key, const char *value);
void onnx_opset(onnx_graph *graph, const char *domain, int64_t version);

/* A function of `domain` with the operators that the graph has imported. Lists
 * of names end with NULL. */
void onnx_function(onnx_graph *graph, const char *domain, const char *name,
                   const char *const *inputs, const char *const *outputs,
                   const char *const *attributes, const onnx_list *nodes);

/* The file of the graph `name`. *bytes is malloc'd. Errors: NOMEM. */
APQ_NODISCARD apq_status onnx_graph_pack(onnx_graph *graph, const char *name,
                                         int64_t ir_version,
                                         const char *version, char **bytes,
                                         size_t *n_bytes);

/* A packed file with the outputs of `graph` added to its own. Errors: FORMAT,
 * NOMEM. */
APQ_NODISCARD apq_status onnx_add_outputs(onnx_graph *graph, const char *bytes,
                                          size_t n_bytes, char **out,
                                          size_t *n_out);

#endif
