#ifndef APQ_NN_MODEL_H
#define APQ_NN_MODEL_H

#include "nn/net.h"
#include "nn/params.h"

/* What steps of weights and ranges of inputs are kept from falling below. */
#define APQ_SMALLEST_STEP  1e-6F
#define APQ_SMALLEST_RANGE 0.05F

/* A stand-alone network: its own weights, batch-norm statistics, weight clips
 * or steps and activation ranges, shaped by a layer list. Made by extraction
 * from a supernet, fine-tuned, saved and deployed. */
typedef struct apq_model {
    apq_ir_network ir;
    apq_quantiser quantiser;
    apq_params params;
    size_t weight[APQ_IR_MAX_LAYERS]; /* parameter indices */
    size_t gamma[APQ_IR_MAX_LAYERS];  /* linear: its bias */
    size_t beta[APQ_IR_MAX_LAYERS];
    size_t weight_step[APQ_IR_MAX_LAYERS]; /* (K) each, with LSQ only */
    size_t act_range;                      /* (n_layers) */
    int image_channels;
    /* Steps and ranges of inputs were learned before (LSQ): a net bound to it
     * has float streams, which calibration finds ranges for. */
    bool has_steps;
} apq_model;

/* Zero weights, gamma 1, ranges 6, steps 1, has_steps false. */
APQ_NODISCARD apq_status apq_model_create(const apq_ir_network *network,
                                          int image_channels,
                                          apq_quantiser quantiser,
                                          apq_model **out);
void apq_model_destroy(apq_model *model);

/* A runnable net over the model's weights. The net borrows from the model. */
APQ_NODISCARD apq_status apq_model_bind(apq_model *model,
                                        const apq_backend *backend,
                                        apq_arena *arena, apq_nn_net *net);
/* Ranges and, with LSQ, weight steps. After backward: their gradients into the
 * parameters; after a step: they back into the net, kept at or above a small
 * positive number. */
void apq_model_push_range_grads(apq_model *model, apq_nn_net *net);
void apq_model_pull_ranges(apq_model *model, apq_nn_net *net);
/* Those chosen by apq_nn_calibrate become the parameters' values. */
void apq_model_store_ranges(apq_model *model, const apq_nn_net *net);

/* Weights, ranges, steps, and from the net statistics, weight clips and ranges
 * of outputs. A file of LSQ has the metadata "quantiser": "lsq" and steps in
 * place of clips; get refuses a file of the other quantiser and one of a
 * version that did not have ranges of outputs (APQ_ERR_FORMAT). */
APQ_NODISCARD apq_status apq_model_put(const apq_model *model,
                                       const apq_nn_net *net,
                                       bool with_momentum,
                                       apq_tensor_file *file);
APQ_NODISCARD apq_status apq_model_get(apq_model *model, apq_nn_net *net,
                                       bool with_momentum,
                                       const apq_tensor_file *file);

#endif
