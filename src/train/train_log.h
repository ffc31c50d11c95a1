#ifndef APQ_TRAIN_TRAIN_LOG_H
#define APQ_TRAIN_TRAIN_LOG_H

#include "base/status.h"
#include "nn/loss.h"
#include "train/supernet_train.h"

#include <stddef.h>
#include <stdint.h>

/* Of the largest sub-network and of the others; n counts images. */
typedef struct apq_train_sums {
    apq_loss_sum largest, others;
    int64_t n_largest, n_others;
} apq_train_sums;

void apq_train_sums_largest(apq_train_sums *sums, apq_loss_sum more, int n);
void apq_train_sums_others(apq_train_sums *sums, apq_loss_sum more, int n);

/* The progress detail of an unfinished epoch. */
void apq_train_log_detail(const apq_train_sums *sums, char *out, size_t size);

/* The sums of epoch 1 ... options->epochs, just finished: a note and, with a
 * log_path, a line of the log. */
APQ_NODISCARD apq_status apq_train_log_epoch(const apq_train_options *options,
                                             int64_t epoch,
                                             const apq_train_sums *sums);

#endif
