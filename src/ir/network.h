#ifndef APQ_IR_NETWORK_H
#define APQ_IR_NETWORK_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The network as data: a chain of layers with shapes and bit-widths. Cost
 * models, quantisation, the run time and export all read bits from here. */
enum { APQ_IR_MAX_LAYERS = 160, APQ_IR_NAME_MAX = 48 };

typedef enum apq_ir_kind {
    APQ_IR_CONV,      /* dense k x k convolution (stem) */
    APQ_IR_POINTWISE, /* 1 x 1 convolution */
    APQ_IR_DEPTHWISE, /* k x k, one filter per channel */
    APQ_IR_LINEAR,    /* global average pool, then a matrix and a bias */
} apq_ir_kind;
enum { APQ_IR_N_KINDS = APQ_IR_LINEAR + 1 };

typedef enum apq_ir_role {
    APQ_ROLE_STEM,
    APQ_ROLE_FIRST_DEPTHWISE, /* the fixed, expansion-free first block */
    APQ_ROLE_FIRST_POINTWISE,
    APQ_ROLE_EXPAND,
    APQ_ROLE_DEPTHWISE,
    APQ_ROLE_PROJECT,
    APQ_ROLE_FEATURE_MIX, /* last 1 x 1 before the pool */
    APQ_ROLE_CLASSIFIER,
} apq_ir_role;

typedef struct apq_ir_layer {
    char name[APQ_IR_NAME_MAX]; /* e.g. "block3.depthwise" */
    apq_ir_kind kind;
    apq_ir_role role;
    int block;             /* searched block 0.., or -1 */
    int in_channels;       /* C */
    int out_channels;      /* K; equals C for depthwise */
    int kernel;            /* R = S */
    int stride;            /* padding is kernel / 2 */
    int in_size, out_size; /* H = W of input and output */
    int weight_bits;       /* 2..8, as executed */
    int act_bits;          /* of the layer's input, 2..8 */
    bool is_act_signed;    /* input may be negative */
    bool is_input_image;   /* stem: the 8-bit image itself */
    bool has_relu6;        /* after batch norm */
    int residual_from;     /* index of the layer whose output is added, or -1 */
    bool is_searchable;    /* bits are genes of the policy */
    bool is_priced;        /* counted by latency and energy models */
} apq_ir_layer;

typedef struct apq_ir_network {
    size_t n_layers;
    apq_ir_layer layers[APQ_IR_MAX_LAYERS];
    int n_classes;
    int resolution;
} apq_ir_network;

/* "conv", "pointwise", "depthwise", "linear", as files and messages have it.
 * The list of all ends with NULL. */
extern const char *const apq_ir_kind_names[APQ_IR_N_KINDS + 1];
const char *apq_ir_kind_name(apq_ir_kind kind);

/* Multiply-accumulates of one layer for one image. */
int64_t apq_ir_layer_macs(const apq_ir_layer *layer);
/* Values of an image that it writes. */
size_t apq_ir_layer_outputs(const apq_ir_layer *layer);
/* Weights of one layer, without batch norm; the classifier's bias counts. */
int64_t apq_ir_layer_weights(const apq_ir_layer *layer);
/* Shapes chain, bits and kernels legal; names the layer at fault. */
APQ_NODISCARD apq_status apq_ir_check(const apq_ir_network *network);

#endif
