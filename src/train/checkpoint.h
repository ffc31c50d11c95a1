#ifndef APQ_TRAIN_CHECKPOINT_H
#define APQ_TRAIN_CHECKPOINT_H

#include "base/status.h"
#include "tensor/safetensors.h"

#include <stdbool.h>
#include <stdint.h>

/* Where a training stands; everything random follows from seed and step. */
typedef struct apq_train_position {
    const char *input; /* hash of all it is made from; NULL: not recorded */
    uint64_t seed;
    int64_t step, n_steps;
} apq_train_position;

/* Position into and out of a checkpoint's metadata. Another input, seed or
 * length than `expected` is APQ_ERR_MISMATCH with both values. */
APQ_NODISCARD apq_status apq_checkpoint_put_position(
    apq_tensor_file *file, const apq_train_position *position);
APQ_NODISCARD apq_status
apq_checkpoint_get_position(const apq_tensor_file *file, const char *path,
                            const apq_train_position *expected, int64_t *step);

/* Removes the checkpoint at `path` when its input is not `input`: for steps
 * that may be repeated with another input. Without a file nothing is done.
 * Errors: APQ_ERR_FORMAT the checkpoint is damaged; APQ_ERR_IO. */
APQ_NODISCARD apq_status apq_checkpoint_drop_other(const char *path,
                                                   const char *input,
                                                   bool *is_dropped);
/* Removes it when its input is `input`, and a damaged one, with which no
 * training can go on: for steps that are finished. Errors: APQ_ERR_IO. */
APQ_NODISCARD apq_status apq_checkpoint_drop_own(const char *path,
                                                 const char *input);

#endif
