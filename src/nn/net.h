#ifndef APQ_NN_NET_H
#define APQ_NN_NET_H

#include "backend/backend.h"
#include "base/memory.h"
#include "base/status.h"
#include "ir/network.h"
#include "quant/quant.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A network bound to weights and ready to run: one layer per ir layer, each
 * convolution followed by batch norm. Weights are views, so that a sub-network
 * of a supernet and a stand-alone network run through the same code.
 *
 * Weight layouts: pointwise and linear (K, ldw >= C); conv (K, R*R*C) with
 * taps row-major; depthwise (R*R, ldw >= C) tap-major. */
typedef struct apq_nn_layer {
    apq_ir_layer ir;

    /* Views: values and where gradients are accumulated (NULL: none). */
    const float *w;
    float *dw;
    int64_t ldw;
    const float *gamma, *beta; /* (K); NULL for linear */
    float *dgamma, *dbeta;
    const float *bias; /* linear only, (K) */
    float *dbias;

    /* Quantiser state of the layer (see quant.h): range r of the input, which
     * quantisation-aware training learns, and of the weights a frozen clip or,
     * with LSQ, learned steps (K), owned by the net. LSQ's step of the input is
     * r / P; act_range_grad is such that r learns as LSQ's step does. */
    float weight_clip;
    float *weight_step, *weight_step_grad;
    float act_range;
    double act_range_grad;
    /* Of linear layers and of the last convolution: range of its 8-bit output,
     * shared by all layers that residuals join; 0 until calibrated, frozen
     * then. See streams.h. */
    float out_range;

    /* Batch-norm statistics for evaluation, owned by the net, (K) each. */
    float *mean, *variance;

    /* Of the last forward pass, in the arena. */
    apq_format format;  /* of the convolution */
    const void *x;      /* input as convolved, up to x_norm */
    apq_norm x_norm;    /* applied to x as it is read; often none */
    const float *raw_x; /* input before signed quantisation; NULL: x has a
                           norm */
    void *z;            /* before batch norm; NULL for an expansion that the
                           depthwise layer after it forms as it reads */
    float *moments;     /* of x (C + C*C), where z is NULL in training */
    float *y;           /* output; NULL where its reader applies y_norm to z */
    apq_norm y_norm;
    const float *w_used; /* weights as convolved and their leading dim. */
    int64_t ldw_used;
} apq_nn_layer;

typedef enum apq_nn_mode {
    APQ_NN_TRAIN,       /* batch statistics, keeps what backward needs */
    APQ_NN_EVAL,        /* stored statistics */
    APQ_NN_RECALIBRATE, /* batch statistics, averaged into the stored ones */
} apq_nn_mode;

typedef struct apq_nn_net {
    const apq_backend *backend; /* borrowed */
    apq_arena *arena;           /* borrowed; reset by the caller per step */
    size_t n_layers;
    apq_nn_layer layers[APQ_IR_MAX_LAYERS];
    int n_classes, resolution, image_channels;
    bool is_quantised;       /* fake-quantise weights and activations */
    apq_quantiser quantiser; /* set by the owner, APQ after init */
    /* Quantised, but image, streams and what is pooled stay float: all other
     * ranges and steps are known, set by the owner, and only these are not. */
    bool has_float_streams;
    bool keeps_expansions; /* stores every z */
    /* Of the last forward pass: what is added to sums is rounded to their unit,
     * too; not in training, where a batch's statistics make it. */
    bool rounds_biases;
    /* Of training passes; set by the owner, float32 after init. In bfloat16
     * also every z that is normalised as it is read is stored in it, and its
     * gradient. */
    apq_precision precision;
    float bn_epsilon;
    float *statistics;         /* mean, variance, steps, their gradient */
    double recalibrate_weight; /* images seen since the reset */
    int n_images;              /* of the last forward pass */
    const float *pooled;       /* (N, C) input of the classifier, as used */
    const float *raw_pooled;
} apq_nn_net;

/* Copies the layer list and allocates statistics and steps; views are filled by
 * the owner of the weights afterwards. Batch-norm epsilon is 1e-3 (APQ code).
 */
APQ_NODISCARD apq_status apq_nn_net_init(apq_nn_net *net,
                                         const apq_backend *backend,
                                         apq_arena *arena,
                                         const apq_ir_network *network,
                                         int image_channels);
/* As init, on storage of the caller: apq_nn_statistics_floats(network), zeroed
 * here. Without fini. */
void apq_nn_net_init_on(apq_nn_net *net, const apq_backend *backend,
                        apq_arena *arena, const apq_ir_network *network,
                        int image_channels, float *statistics);
size_t apq_nn_statistics_floats(const apq_ir_network *network);
void apq_nn_net_fini(apq_nn_net *net);

/* images (N,H,W,image_channels) -> *logits (N, n_classes), in the arena. */
APQ_NODISCARD apq_status apq_nn_forward(apq_nn_net *net, apq_nn_mode mode,
                                        const float *images, int n_images,
                                        float **logits);
/* Layers begin .. end - 1 only; the first reads the output that the layer
 * before it left in an earlier call. *logits is written by the last layer. */
APQ_NODISCARD apq_status apq_nn_forward_layers(apq_nn_net *net,
                                               apq_nn_mode mode, size_t begin,
                                               size_t end, const float *images,
                                               int n_images, float **logits);
/* After a TRAIN forward: accumulates the gradients of every view, of the
 * activation ranges and, with LSQ, of the weight steps. LSQ is trained in
 * float32. */
APQ_NODISCARD apq_status apq_nn_backward(apq_nn_net *net, const float *dlogits);

/* The expansion that a depthwise layer forms; none where its input is stored.
 * For the passes of this module. */
apq_expand apq_nn_expansion(const apq_nn_layer *layer);
/* Whether the clamp of layer i is the range of its consumer's quantiser, which
 * then also rounds. */
bool apq_nn_feeds_quantiser(const apq_nn_net *net, size_t i);

/* Start averaging statistics anew. */
void apq_nn_recalibrate_reset(apq_nn_net *net);

/* Chooses weight clips or steps and activation ranges from one batch run in
 * float with batch statistics; sets is_quantised. With has_float_streams, which
 * it ends, the batch is run with the known steps, and only the ranges of
 * streams.h are chosen. Source: the released code of APQ, calibrate(). */
APQ_NODISCARD apq_status apq_nn_calibrate(apq_nn_net *net, const float *images,
                                          int n_images);

#endif
