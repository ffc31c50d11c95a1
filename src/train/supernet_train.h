#ifndef APQ_TRAIN_SUPERNET_TRAIN_H
#define APQ_TRAIN_SUPERNET_TRAIN_H

#include "backend/backend.h"
#include "base/log.h"
#include "base/status.h"
#include "data/data.h"
#include "supernet/supernet.h"

#include <stdint.h>

/* Single-stage supernet training: each step trains the largest sub-network
 * on the labels, and the smallest and a few random ones on the largest's soft
 * output (sandwich rule, in-place distillation).
 * Source: BigNAS (ECCV 2020); METHODS 10.1. */
typedef struct apq_train_options {
    const apq_backend *backend;
    const apq_progress *progress;
    const char *checkpoint_path; /* NULL: none */
    const char *input; /* hash kept in the checkpoint of all that the training
                        * is made from (weights, data, recipe); NULL: none */
    const char *log_path; /* JSON lines, appended; NULL: none */
    double checkpoint_s;  /* seconds between checkpoints */
    uint64_t seed;
    int epochs, batch;
    int random_subnets;
    int largest_epochs; /* first epochs that train only the largest */
    double learning_rate, momentum, weight_decay, label_smoothing;
    double warmup_epochs; /* linear; then cosine to zero */
    int loader_threads;
} apq_train_options;

/* Trains in place. Resumes from the checkpoint file if it is there, bit for
 * bit on one machine and thread count. Returns
 * APQ_ERR_INTERRUPTED when asked to stop, with a checkpoint written if it has
 * a path; APQ_ERR_NUMERIC when the loss is no longer finite; of the
 * checkpoint, APQ_ERR_MISMATCH when its input, seed, length or tensors are
 * another run's and APQ_ERR_FORMAT when it is damaged. Another learning rate
 * or batch is noticed by `input` alone. */
APQ_NODISCARD apq_status apq_train_supernet(apq_supernet *supernet,
                                            const apq_dataset *dataset,
                                            const apq_train_options *options);

#endif
