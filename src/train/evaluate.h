#ifndef APQ_TRAIN_EVALUATE_H
#define APQ_TRAIN_EVALUATE_H

#include "base/status.h"
#include "comm/comm.h"
#include "data/data.h"
#include "nn/net.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct apq_evaluation {
    double top1;    /* fraction */
    double loss;    /* mean cross-entropy */
    double loss_sd; /* over the images, of their cross-entropies */
    int64_t count;
    double seconds;
} apq_evaluation;

/* Runs a whole epoch of the loader in evaluation mode: float networks by the
 * backend's fused path where it has one (see nn/infer.h), with is_bfloat16 in
 * bfloat16, else layer by layer; quantised ones in integers (see
 * deploy/int_model.h), fused where the backend is. The arena is reset after
 * every batch, except for what lay in it before.
 * Errors: UNSUPPORTED, bfloat16 without a path for it; those of the loader and
 * of apq_int_model_create(). */
APQ_NODISCARD apq_status apq_evaluate(apq_nn_net *net, apq_loader *loader,
                                      bool is_bfloat16, apq_evaluation *out);
/* The same by all processes of a group, whose loaders deliver one part each:
 * counts and losses are summed, `seconds` is this process's. All return the
 * same status. */
APQ_NODISCARD apq_status apq_evaluate_together(apq_nn_net *net,
                                               apq_loader *loader,
                                               bool is_bfloat16, apq_comm *comm,
                                               apq_evaluation *out);

/* A quantised network in integers beside its simulation in float, which
 * training uses. */
typedef struct apq_int_check {
    int64_t count;
    int64_t n_correct, n_correct_simulated;
    int64_t n_other_class; /* images of another class in integers */
} apq_int_check;

/* Runs a whole epoch both ways, by all processes of a group as above. Errors:
 * as above. */
APQ_NODISCARD apq_status apq_check_integers(apq_nn_net *net, apq_loader *loader,
                                            apq_comm *comm, apq_int_check *out);

/* Batch-norm statistics from the first `n_batches` of the loader's epoch 0:
 * sample-weighted averages of batch means and variances, in the net's current
 * precision. Errors: ARG for no batch, those of the loader. As every
 * one-shot system does, since Slimmable Networks (ICLR 2019). */
APQ_NODISCARD apq_status apq_recalibrate(apq_nn_net *net, apq_loader *loader,
                                         int n_batches);

/* Weight clips and activation ranges from the first batch of epoch 0, then
 * statistics as above with quantisation on: the order in which later layers
 * see what they will see when deployed. */
APQ_NODISCARD apq_status apq_calibrate(apq_nn_net *net, apq_loader *loader,
                                       int n_batches);

#endif
