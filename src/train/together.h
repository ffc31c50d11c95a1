#ifndef APQ_TRAIN_TOGETHER_H
#define APQ_TRAIN_TOGETHER_H

#include "base/status.h"
#include "comm/comm.h"
#include "nn/params.h"
#include "train/train_log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Data-parallel training: each process has all weights and computes the
 * gradients of its part of the batch; the sum of them is a step. */

/* APQ_ERR_ARG where a batch cannot be cut into equal parts. */
APQ_NODISCARD apq_status apq_train_check_parts(const apq_comm *comm, int batch);

/* What a step came to in this process, and then in all of them. */
typedef struct apq_train_outcome {
    apq_status status;
    bool is_stopping; /* asked to stop, in any process */
    bool is_save_due; /* by the clock of process 0 */
    apq_train_sums sums;
} apq_train_outcome;

/* Replaces the outcome by that of all processes and, where no step failed, the
 * gradients by their mean over the processes. Returns the common status. */
APQ_NODISCARD apq_status apq_train_together(apq_comm *comm, apq_params *params,
                                            apq_train_outcome *outcome);

/* The file at process 0's path, in all: its bytes (malloc'd), or NULL where
 * path is NULL or there is none. Paths of others are not read. */
APQ_NODISCARD apq_status apq_train_share_file(apq_comm *comm, const char *path,
                                              char **bytes, size_t *n_bytes);

/* APQ_ERR_EXTERNAL, in every process, where values, momenta or averages are not
 * bit for bit those of process 0: its arithmetic is another one. */
APQ_NODISCARD apq_status apq_train_check_same(apq_comm *comm,
                                              const apq_params *params);

#endif
