/* The sandwich loop. A step's random choices depend only on (seed, step), its
 * images only on (seed, epoch), so a resumed run repeats an undisturbed one. */
#include "train/supernet_train.h"

#include "base/file.h"
#include "nn/loss.h"
#include "train/checkpoint.h"
#include "train/schedule.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct trainer {
    apq_supernet *supernet;
    const apq_train_options *options;
    apq_loader *loader;
    apq_arena *arena;
    float *teacher; /* (batch, n_classes) softmax of the largest */
    int64_t steps_per_epoch;
    apq_train_position position;
    /* Since the last log line, of the largest and of the others. */
    apq_loss_sum largest, others;
    int64_t n_largest, n_others;
    double last_save_s;
} trainer;

static void add(apq_loss_sum *sum, apq_loss_sum more) {
    sum->loss += more.loss;
    sum->correct += more.correct;
}

/* Forward and backward of one sub-network; gradients accumulate. */
static apq_status train_subnet(trainer *t, const apq_policy *policy,
                               bool is_largest, const float *images,
                               const int *labels, int n) {
    apq_arena_reset(t->arena);
    apq_subnet subnet;
    apq_status st = apq_subnet_bind(t->supernet, policy, t->options->backend,
                                    t->arena, &subnet);
    float *logits = NULL, *dlogits = NULL;
    if (st == APQ_OK) {
        st = apq_nn_forward(&subnet.net, APQ_NN_TRAIN, images, n, &logits);
    }
    if (st == APQ_OK) {
        int k = subnet.net.n_classes;
        dlogits =
            apq_arena_alloc(t->arena, (size_t)n * (size_t)k, sizeof *dlogits);
        if (dlogits == NULL) {
            st = APQ_ERROR(APQ_ERR_NOMEM, "training: out of memory");
        } else if (is_largest) {
            add(&t->largest,
                apq_loss_labels(logits, labels, n, k,
                                t->options->label_smoothing, dlogits));
            t->n_largest += n;
            apq_softmax(logits, n, k, t->teacher);
        } else {
            add(&t->others, apq_loss_soft(logits, t->teacher, labels, n, k, 1.0,
                                          0, dlogits));
            t->n_others += n;
        }
    }
    if (st == APQ_OK) {
        st = apq_nn_backward(&subnet.net, dlogits);
    }
    if (st == APQ_OK) {
        st = apq_subnet_collect_grads(&subnet);
    }
    apq_subnet_fini(&subnet);
    return st;
}

static apq_status train_step(trainer *t, const float *images, const int *labels,
                             int n) {
    const apq_train_options *o = t->options;
    const apq_space *space = apq_supernet_space(t->supernet);
    apq_params *params = apq_supernet_params(t->supernet);
    int64_t step = t->position.step;
    apq_policy policy;
    apq_params_zero_grad(params);
    apq_policy_largest(space, 8, &policy);
    APQ_TRY(train_subnet(t, &policy, true, images, labels, n));
    if (step >= o->largest_epochs * t->steps_per_epoch) {
        apq_policy_smallest(space, 8, &policy);
        APQ_TRY(train_subnet(t, &policy, false, images, labels, n));
        apq_rng rng = apq_rng_make(o->seed, APQ_RNG_SUBNET, (uint64_t)step);
        for (int i = 0; i < o->random_subnets; i++) {
            apq_policy_random(space, &rng, &policy);
            APQ_TRY(train_subnet(t, &policy, false, images, labels, n));
        }
    }
    double lr =
        apq_schedule_cosine(o->learning_rate, step, t->position.n_steps,
                            o->warmup_epochs * (double)t->steps_per_epoch);
    apq_params_step(params, lr, o->momentum, o->weight_decay);
    if (!isfinite(t->largest.loss) || !isfinite(t->others.loss)) {
        APQ_FAIL(APQ_ERR_NUMERIC,
                 "training diverged at step %" PRId64
                 "; lower the learning rate (now %g)",
                 step, o->learning_rate);
    }
    t->position.step++;
    return APQ_OK;
}

static apq_status save(trainer *t) {
    t->last_save_s = apq_now_s();
    if (t->options->checkpoint_path == NULL) {
        return APQ_OK;
    }
    apq_tensor_file *file;
    APQ_TRY(apq_tensor_file_create(&file));
    apq_status st = apq_checkpoint_put_position(file, &t->position);
    if (st == APQ_OK) {
        st = apq_params_put(apq_supernet_params(t->supernet), true, file);
    }
    if (st == APQ_OK) {
        st = apq_tensor_file_save(file, t->options->checkpoint_path);
    }
    apq_tensor_file_destroy(file);
    return st;
}

static apq_status resume(trainer *t) {
    const char *path = t->options->checkpoint_path;
    if (path == NULL || !apq_file_exists(path)) {
        return APQ_OK;
    }
    apq_tensor_file *file;
    APQ_TRY(apq_tensor_file_load(path, &file));
    apq_status st = apq_checkpoint_get_position(file, path, &t->position,
                                                &t->position.step);
    if (st == APQ_OK) {
        st = apq_params_get(apq_supernet_params(t->supernet), true, file);
        /* The file is sound, so other tensors are another space's. */
        st = st == APQ_ERR_FORMAT ? APQ_ERR_MISMATCH : st;
    }
    apq_tensor_file_destroy(file);
    if (st == APQ_OK) {
        apq_note(t->options->progress,
                 "resuming training at step %" PRId64 " of %" PRId64,
                 t->position.step, t->position.n_steps);
    }
    return st;
}

static double ratio(double a, int64_t b) {
    return b == 0 ? 0.0 : a / (double)b;
}

static apq_status log_epoch(trainer *t) {
    char line[256];
    int64_t epoch = t->position.step / t->steps_per_epoch;
    double top1 = ratio((double)t->largest.correct, t->n_largest);
    double others = ratio((double)t->others.correct, t->n_others);
    (void)snprintf(line, sizeof line,
                   "{\"epoch\":%" PRId64 ",\"largest_loss\":%.4f,"
                   "\"largest_train_top1\":%.4f,\"others_loss\":%.4f,"
                   "\"others_train_top1\":%.4f}",
                   epoch, ratio(t->largest.loss, t->n_largest), top1,
                   ratio(t->others.loss, t->n_others), others);
    char smaller[32] = ""; /* in the first epochs there may be none */
    if (t->n_others > 0) {
        (void)snprintf(smaller, sizeof smaller, "  others: %.2f %%",
                       100 * others);
    }
    apq_note(t->options->progress,
             "epoch %" PRId64 "/%d  largest: loss %.3f, train top-1 %.2f %%%s",
             epoch, t->options->epochs, ratio(t->largest.loss, t->n_largest),
             100 * top1, smaller);
    t->largest = t->others = (apq_loss_sum){0};
    t->n_largest = t->n_others = 0;
    return t->options->log_path == NULL
               ? APQ_OK
               : apq_log_append(t->options->log_path, line);
}

static apq_status after_step(trainer *t) {
    const apq_train_options *o = t->options;
    char detail[64];
    (void)snprintf(detail, sizeof detail, "largest: loss %.3f, top-1 %.1f %%",
                   ratio(t->largest.loss, t->n_largest),
                   100 * ratio((double)t->largest.correct, t->n_largest));
    apq_progress_update(o->progress, "train", (uint64_t)t->position.step,
                        (uint64_t)t->position.n_steps, detail);
    bool is_epoch_end = t->position.step % t->steps_per_epoch == 0;
    if (is_epoch_end) {
        APQ_TRY(log_epoch(t));
    }
    if (apq_stop_requested(o->progress)) {
        APQ_TRY(save(t));
        APQ_FAIL(APQ_ERR_INTERRUPTED,
                 "training interrupted at step %" PRId64 "%s", t->position.step,
                 o->checkpoint_path != NULL ? ", state saved" : "");
    }
    if (apq_now_s() - t->last_save_s >= o->checkpoint_s) {
        APQ_TRY(save(t));
    }
    return APQ_OK;
}

static apq_status train_loop(trainer *t) {
    while (t->position.step < t->position.n_steps) {
        int64_t epoch = t->position.step / t->steps_per_epoch;
        int64_t batch = t->position.step % t->steps_per_epoch;
        APQ_TRY(apq_loader_start(t->loader, (uint64_t)epoch, (size_t)batch));
        for (; batch < t->steps_per_epoch; batch++) {
            const float *images;
            const int *labels;
            int n;
            APQ_TRY(apq_loader_next(t->loader, &images, &labels, &n));
            APQ_ASSERT(n > 0);
            APQ_TRY(train_step(t, images, labels, n));
            APQ_TRY(after_step(t));
        }
    }
    return APQ_OK;
}

apq_status apq_train_supernet(apq_supernet *supernet,
                              const apq_dataset *dataset,
                              const apq_train_options *options) {
    trainer t = {.supernet = supernet, .options = options};
    int n_classes = apq_supernet_space(supernet)->n_classes;
    apq_status st = apq_loader_create(dataset,
                                      &(apq_loader_options){
                                          .split = APQ_SPLIT_TRAIN,
                                          .batch = options->batch,
                                          .augment = true,
                                          .shuffle = true,
                                          .drop_last = true,
                                          .seed = options->seed,
                                          .n_threads = options->loader_threads,
                                      },
                                      &t.loader);
    if (st == APQ_OK) {
        st = apq_arena_create(&t.arena);
    }
    t.teacher = apq_calloc((size_t)options->batch * (size_t)n_classes,
                           sizeof *t.teacher);
    if (st == APQ_OK && t.teacher == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "training: out of memory");
    }
    if (st == APQ_OK) {
        t.steps_per_epoch = (int64_t)apq_loader_batches(t.loader);
        t.position = (apq_train_position){
            .input = options->input,
            .seed = options->seed,
            .n_steps = options->epochs * t.steps_per_epoch,
        };
        t.last_save_s = apq_now_s();
        if (t.steps_per_epoch == 0) {
            st = APQ_ERROR(
                APQ_ERR_ARG, "batch %d is larger than the %zu training images",
                options->batch, apq_dataset_length(dataset, APQ_SPLIT_TRAIN));
        }
    }
    if (st == APQ_OK) {
        st = resume(&t);
    }
    if (st == APQ_OK) {
        st = train_loop(&t);
    }
    free(t.teacher);
    apq_arena_destroy(t.arena);
    apq_loader_destroy(t.loader);
    return st;
}
