#ifndef APQ_TRAIN_TRAIN_LOG_H
#define APQ_TRAIN_TRAIN_LOG_H

#include "base/status.h"
#include "nn/loss.h"
#include "train/probe.h"
#include "train/supernet_train.h"

#include <stddef.h>
#include <stdint.h>

/* Of the largest sub-network and of the others; n counts images. `decisions`
 * adds up a digest of each image as augmented, its place in the training and
 * the sub-networks that it trained: the same at any number of processes. */
typedef struct apq_train_sums {
    apq_loss_sum largest, others;
    int64_t n_largest, n_others;
    uint64_t decisions;
} apq_train_sums;

void apq_train_sums_largest(apq_train_sums *sums, apq_loss_sum more, int n);
void apq_train_sums_others(apq_train_sums *sums, apq_loss_sum more, int n);
/* Adds those of a step. */
void apq_train_sums_add(apq_train_sums *sums, const apq_train_sums *step);
/* Of n images of n_values floats each at places `first` ... of a step. */
void apq_train_sums_decisions(apq_train_sums *sums, const float *images,
                              const int *labels, int n, size_t n_values,
                              int64_t step, int64_t first, uint64_t policies);

/* What there is to tell of an epoch; after a resume, of the rest of it. */
typedef struct apq_train_epoch {
    int64_t epoch; /* 1 ... options->epochs, just finished */
    apq_train_sums sums;
    const char *phase;    /* of its last step; NULL: there are none */
    double learning_rate; /* of its last step */
    int64_t n_images;     /* trained on, each once */
    double seconds;       /* of training them */
    bool is_probed;       /* the accuracies were measured */
    apq_probe_result probe;
} apq_train_epoch;

/* "largest: loss 1.234, train top-1 56.78 %" or, of a method with phases,
 * "phase kernel: ..." of who is trained in it; empty before the first image. */
void apq_train_log_detail(const apq_train_sums *sums, const char *phase,
                          char *out, size_t size);

/* A note, the accuracies to the progress and, where the options have a path, a
 * line of the log. */
APQ_NODISCARD apq_status apq_train_log_epoch(const apq_train_options *options,
                                             const apq_train_epoch *epoch);

#endif
