#ifndef APQ_TRAIN_FINETUNE_H
#define APQ_TRAIN_FINETUNE_H

#include "backend/backend.h"
#include "base/log.h"
#include "base/status.h"
#include "data/data.h"
#include "nn/model.h"
#include "train/teacher.h"

#include <stdint.h>

/* Quantisation-aware training of a stand-alone network: calibrate, then SGD
 * with straight-through gradients and trained activation ranges and, with LSQ,
 * weight steps, then batch-norm recalibration. The loss is the cross-entropy to
 * smoothed labels and, with a teacher, plus the divergence KL(teacher||network)
 * of its soft output. docs/quantisation.md. */
typedef struct apq_finetune_options {
    const apq_backend *backend;
    apq_precision precision; /* of the arithmetic; float32 with LSQ */
    const apq_progress *progress;
    const char *checkpoint_path; /* NULL: none */
    const char *input;           /* as of apq_train_options */
    double checkpoint_s;
    const char *label; /* what progress calls it */
    /* Lines of JSON, one an epoch, are added here under this name; NULL: none.
     * docs/formats/run-directory.md */
    const char *log_path, *log_name;
    uint64_t seed;
    int epochs; /* or, when 0, n_steps */
    int64_t n_steps;
    int batch;
    double learning_rate, momentum, weight_decay, label_smoothing;
    apq_teacher *teacher;   /* borrowed; NULL: labels only */
    int recalibrate_images; /* >= 1, rounded up to whole batches */
    int loader_threads;
} apq_finetune_options;

/* Trains `model` in place; *net must be bound to it and holds statistics and
 * clips afterwards, quantised, ready for evaluation. Checkpoints, stopping
 * and errors as apq_train_supernet. n_steps == 0 and epochs == 0 calibrates
 * and recalibrates only. */
APQ_NODISCARD apq_status apq_finetune(apq_model *model, apq_nn_net *net,
                                      const apq_dataset *dataset,
                                      const apq_finetune_options *options);

#endif
