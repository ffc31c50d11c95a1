#ifndef APQ_TRAIN_METHOD_H
#define APQ_TRAIN_METHOD_H

#include "base/memory.h"
#include "base/status.h"
#include "supernet/supernet.h"
#include "tensor/safetensors.h"
#include "train/supernet_train.h"
#include "train/train_log.h"

#include <stddef.h>
#include <stdint.h>

/* What a method may use; all borrowed for the whole training. */
typedef struct apq_train_env {
    apq_supernet *supernet;
    const apq_train_options *options;
    apq_arena *arena; /* of the sub-network at work */
    int64_t steps_per_epoch, n_steps;
    int64_t first_bits_step; /* of sub-networks in bits; n_steps: never */
    uint64_t *policies;      /* digest of the step's sub-networks; NULL: none */
} apq_train_env;

typedef struct apq_train_batch {
    const float *images; /* (n, H, W, C) */
    const int *labels;   /* (n) */
    int n;               /* 1 ... options->batch */
    int64_t step;        /* 0 ... n_steps - 1, each once and in order */
} apq_train_batch;

/* What a step trains. The loop owns position, optimiser step, checkpoint, stop
 * and log; a method adds up the gradients of a step. Whatever it draws depends
 * on (seed, step) alone, so that a resumed training repeats an undisturbed
 * one. */
typedef struct apq_train_method {
    const char *name;    /* the recipe's train.schedule */
    size_t state_bytes;  /* allocated and zeroed by the caller */
    bool can_share_bits; /* trains in bits from env->first_bits_step on */

    /* REQUIRED. */
    apq_status (*init)(void *state, const apq_train_env *env);
    /* Adds the step's gradients to the supernet's, zero before, and its losses
     * to *sums. */
    apq_status (*gradients)(void *state, const apq_train_batch *batch,
                            apq_train_sums *sums);
    double (*learning_rate)(const void *state, int64_t step);
    /* Operations of the whole training for one image of the split. */
    apq_status (*flop_per_image)(const apq_space *space,
                                 const apq_train_options *options,
                                 double *flop);

    /* OPTIONAL. NULL: nothing to release. Also after a failed init. */
    void (*fini)(void *state);
    /* NULL: no state but what follows from the step. `step` is the next one.
     * A file without what load needs is APQ_ERR_FORMAT. */
    apq_status (*save)(const void *state, apq_tensor_file *file);
    apq_status (*load)(void *state, const apq_tensor_file *file, int64_t step);
    /* NULL: a single phase. The name of the step's phase; static. */
    const char *(*phase)(const void *state, int64_t step);
} apq_train_method;

extern const apq_train_method apq_train_sandwich, apq_train_progressive,
    apq_train_alone;

/* The learning rate of a training that is one phase from end to end. */
double apq_train_single_rate(const apq_train_env *env, int64_t step);

/* Who teaches a sub-network: labels, a teacher, or both, added up. */
typedef struct apq_lesson {
    double label_weight; /* 0 or 1: of the cross-entropy to the labels */
    double smoothing;    /* of the labels */
    const float *soft;   /* (n, n_classes) teacher's softmax; NULL: none */
    bool is_quantised;   /* in the policy's bits by the shared steps, float32 */
} apq_lesson;

/* Forward and backward of one sub-network in the environment's arena, which is
 * reset; gradients accumulate. *sum is of all the lesson's losses and the
 * images that it got right. `probabilities` (n, n_classes), if not NULL,
 * receives its softmax. Errors: NOMEM; ARG, bits that the space does not have.
 */
APQ_NODISCARD apq_status apq_train_subnet(const apq_train_env *env,
                                          const apq_policy *policy,
                                          const apq_train_batch *batch,
                                          const apq_lesson *lesson,
                                          float *probabilities,
                                          apq_loss_sum *sum);

/* Multiply-accumulates of an image. */
APQ_NODISCARD apq_status apq_train_policy_macs(const apq_space *space,
                                               const apq_policy *policy,
                                               double *macs);

#endif
