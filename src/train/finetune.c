/* Quantisation-aware training. Clips of weights are frozen at calibration;
 * ranges of activations and steps are trained without weight decay. */
#include "train/finetune.h"

#include "base/file.h"
#include "nn/loss.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"
#include "train/schedule.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { CALIBRATION_BATCH = 250 }; /* as APQ */

typedef struct tuner {
    apq_model *model;
    apq_nn_net *net;
    const apq_finetune_options *options;
    apq_loader *loader;
    apq_loader *calibration;
    int64_t steps_per_epoch;
    apq_train_position position;
    apq_loss_sum sum;
    int64_t n_seen;
    double last_save_s;
} tuner;

static apq_status save(tuner *t) {
    t->last_save_s = apq_now_s();
    if (t->options->checkpoint_path == NULL) {
        return APQ_OK;
    }
    apq_tensor_file *file;
    APQ_TRY(apq_tensor_file_create(&file));
    apq_status st = apq_checkpoint_put_position(file, &t->position);
    if (st == APQ_OK) {
        st = apq_model_put(t->model, t->net, true, file);
    }
    if (st == APQ_OK) {
        st = apq_tensor_file_save(file, t->options->checkpoint_path);
    }
    apq_tensor_file_destroy(file);
    return st;
}

/* Resumes from a checkpoint, or calibrates a fresh start. */
static apq_status begin(tuner *t) {
    const char *path = t->options->checkpoint_path;
    int n_batches = (t->options->recalibrate_images + CALIBRATION_BATCH - 1) /
                    CALIBRATION_BATCH;
    if (path == NULL || !apq_file_exists(path)) {
        APQ_TRY(apq_calibrate(t->net, t->calibration, n_batches));
        apq_model_store_ranges(t->model, t->net);
        return APQ_OK;
    }
    apq_tensor_file *file;
    APQ_TRY(apq_tensor_file_load(path, &file));
    apq_status st = apq_checkpoint_get_position(file, path, &t->position,
                                                &t->position.step);
    if (st == APQ_OK) {
        st = apq_model_get(t->model, t->net, true, file);
        /* The file is sound, so other tensors are another network's. */
        st = st == APQ_ERR_FORMAT ? APQ_ERR_MISMATCH : st;
        t->net->is_quantised = true;
    }
    apq_tensor_file_destroy(file);
    if (st == APQ_OK && t->options->label != NULL) {
        apq_note(t->options->progress,
                 "%s: resuming at step %" PRId64 " of %" PRId64,
                 t->options->label, t->position.step, t->position.n_steps);
    }
    return st;
}

/* The loss of the labels alone, for people; the gradient is of both. */
static apq_status loss_of(const tuner *t, const float *images,
                          const int *labels, int n, const float *logits,
                          float *dlogits, apq_loss_sum *sum) {
    const apq_finetune_options *o = t->options;
    int k = t->net->n_classes;
    *sum = apq_loss_labels(logits, labels, n, k, o->label_smoothing, dlogits);
    if (o->teacher == NULL) {
        return APQ_OK;
    }
    float *soft =
        apq_arena_alloc(t->net->arena, (size_t)n * (size_t)k, sizeof *soft);
    if (soft == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "fine-tuning: out of memory");
    }
    APQ_TRY(apq_teacher_ask(o->teacher, images, n, soft));
    (void)apq_loss_soft(logits, soft, labels, n, k, 1.0, true, dlogits);
    return APQ_OK;
}

static apq_status diverged(const tuner *t) {
    APQ_FAIL(APQ_ERR_NUMERIC,
             "fine-tuning diverged at step %" PRId64
             "; lower the learning rate (now %g)",
             t->position.step, t->options->learning_rate);
}

static apq_status tune_step(tuner *t, const float *images, const int *labels,
                            int n) {
    const apq_finetune_options *o = t->options;
    apq_params *params = &t->model->params;
    apq_arena_reset(t->net->arena);
    apq_params_zero_grad(params);
    float *logits;
    APQ_TRY(apq_nn_forward(t->net, APQ_NN_TRAIN, images, n, &logits));
    int k = t->net->n_classes;
    float *dlogits =
        apq_arena_alloc(t->net->arena, (size_t)n * (size_t)k, sizeof *dlogits);
    if (dlogits == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "fine-tuning: out of memory");
    }
    apq_loss_sum sum;
    APQ_TRY(loss_of(t, images, labels, n, logits, dlogits, &sum));
    if (!isfinite(sum.loss)) {
        return diverged(t);
    }
    t->sum.loss += sum.loss;
    t->sum.correct += sum.correct;
    t->n_seen += n;
    APQ_TRY(apq_nn_backward(t->net, dlogits));
    apq_model_push_range_grads(t->model, t->net);
    double lr = apq_schedule_cosine(o->learning_rate, t->position.step,
                                    t->position.n_steps, 0.0);
    apq_params_step(params, lr, o->momentum, o->weight_decay);
    apq_model_pull_ranges(t->model, t->net);
    /* Before it is saved, and before rounding hides it from the loss. */
    if (!apq_params_finite(params)) {
        return diverged(t);
    }
    t->position.step++;
    return APQ_OK;
}

/* After a resumption in the middle of an epoch: of the rest of it. */
static apq_status log_epoch(const tuner *t) {
    const apq_finetune_options *o = t->options;
    char line[256];
    if (o->log_path == NULL) {
        return APQ_OK;
    }
    (void)snprintf(line, sizeof line,
                   "{\"network\":\"%s\",\"input\":\"%s\",\"epoch\":%" PRId64
                   ",\"loss\":%.4f,\"train_top1\":%.4f}",
                   o->log_name, o->input, t->position.step / t->steps_per_epoch,
                   t->sum.loss / (double)t->n_seen,
                   (double)t->sum.correct / (double)t->n_seen);
    return apq_file_append_line(o->log_path, line);
}

static apq_status after_step(tuner *t) {
    const apq_finetune_options *o = t->options;
    char detail[64];
    (void)snprintf(detail, sizeof detail, "loss %.3f, top-1 %.1f %%",
                   t->sum.loss / (double)t->n_seen,
                   100.0 * (double)t->sum.correct / (double)t->n_seen);
    if (o->label != NULL) {
        apq_progress_update(o->progress, o->label, (uint64_t)t->position.step,
                            (uint64_t)t->position.n_steps, detail);
        if (t->position.step % t->steps_per_epoch == 0) {
            apq_note(o->progress, "%s: epoch %" PRId64 ": %s", o->label,
                     t->position.step / t->steps_per_epoch, detail);
        }
    }
    if (t->position.step % t->steps_per_epoch == 0) {
        APQ_TRY(log_epoch(t));
        t->sum = (apq_loss_sum){0};
        t->n_seen = 0;
    }
    if (apq_stop_requested(o->progress)) {
        APQ_TRY(save(t));
        APQ_FAIL(APQ_ERR_INTERRUPTED,
                 "fine-tuning interrupted at step %" PRId64 "%s",
                 t->position.step,
                 o->checkpoint_path != NULL ? ", state saved" : "");
    }
    bool is_last = t->position.step == t->position.n_steps;
    if (is_last || apq_now_s() - t->last_save_s >= o->checkpoint_s) {
        APQ_TRY(save(t));
    }
    return APQ_OK;
}

static apq_status tune_loop(tuner *t) {
    while (t->position.step < t->position.n_steps) {
        int64_t epoch = t->position.step / t->steps_per_epoch;
        int64_t batch = t->position.step % t->steps_per_epoch;
        APQ_TRY(apq_loader_start(t->loader, (uint64_t)epoch, (size_t)batch));
        for (; batch < t->steps_per_epoch &&
               t->position.step < t->position.n_steps;
             batch++) {
            const float *images;
            const int *labels;
            int n;
            APQ_TRY(apq_loader_next(t->loader, &images, &labels, &n));
            APQ_ASSERT(n > 0);
            APQ_TRY(tune_step(t, images, labels, n));
            APQ_TRY(after_step(t));
        }
    }
    return APQ_OK;
}

static apq_status open_loaders(tuner *t, const apq_dataset *dataset) {
    const apq_finetune_options *o = t->options;
    apq_loader_options options = {
        .split = APQ_SPLIT_TRAIN,
        .batch = o->batch,
        .augment = true,
        .shuffle = true,
        .drop_last = true,
        .seed = o->seed,
        .n_threads = o->loader_threads,
    };
    APQ_TRY(apq_loader_create(dataset, &options, &t->loader));
    options.batch = CALIBRATION_BATCH;
    options.drop_last = false;
    APQ_TRY(apq_loader_create(dataset, &options, &t->calibration));
    t->steps_per_epoch = (int64_t)apq_loader_batches(t->loader);
    if (t->steps_per_epoch == 0) {
        APQ_FAIL(APQ_ERR_ARG, "batch %d is larger than the training split",
                 o->batch);
    }
    t->position = (apq_train_position){
        .input = o->input,
        .seed = o->seed,
        .n_steps = o->epochs > 0 ? o->epochs * t->steps_per_epoch : o->n_steps,
    };
    return APQ_OK;
}

apq_status apq_finetune(apq_model *model, apq_nn_net *net,
                        const apq_dataset *dataset,
                        const apq_finetune_options *options) {
    APQ_ASSERT(options->precision == APQ_FLOAT32 ||
               net->quantiser == APQ_QUANTISER_APQ);
    tuner t = {.model = model, .net = net, .options = options};
    net->precision = options->precision;
    apq_status st = open_loaders(&t, dataset);
    if (st == APQ_OK) {
        st = begin(&t);
    }
    t.last_save_s = apq_now_s();
    if (st == APQ_OK) {
        st = tune_loop(&t);
    }
    if (st == APQ_OK && t.position.n_steps > 0) {
        int n_batches = (options->recalibrate_images + CALIBRATION_BATCH - 1) /
                        CALIBRATION_BATCH;
        apq_arena_reset(net->arena);
        st = apq_recalibrate(net, t.calibration, n_batches);
    }
    apq_loader_destroy(t.loader);
    apq_loader_destroy(t.calibration);
    return st;
}
