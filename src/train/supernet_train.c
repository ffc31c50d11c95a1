/* The training loop: position, optimiser step, checkpoint, stop. What a step
 * trains is its method's. A step's random choices depend only on (seed, step),
 * its images only on (seed, epoch), so a resumed run repeats an undisturbed
 * one. */
#include "train/supernet_train.h"

#include "base/file.h"
#include "base/tfevents.h"
#include "train/checkpoint.h"
#include "train/method.h"
#include "train/probe.h"
#include "train/schedule.h"
#include "train/together.h"
#include "train/train_log.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CALIBRATION_BATCH = 250 }; /* as of fine-tuning */

typedef struct trainer {
    apq_train_env env;
    const apq_train_method *method;
    void *state; /* the method's */
    apq_loader *loader;
    apq_loader *calibration; /* of shared steps; NULL: there are none */
    apq_train_position position;
    apq_probe *probe;    /* NULL: none */
    apq_train_sums sums; /* since the last line of the log, as up to start_s */
    int64_t n_images;
    double start_s;
    uint64_t policies; /* the environment's */
    double last_save_s;
} trainer;

/* The complete list of schedules. A new one is a file and a line in each of
 * the two tables. */
static const apq_train_method *const methods[] = {
    &apq_train_sandwich, &apq_train_progressive, &apq_train_alone};
static const char *const names[] = {"sandwich", "progressive", "alone", NULL};

enum { N_METHODS = sizeof methods / sizeof methods[0] };
_Static_assert(sizeof names / sizeof names[0] == N_METHODS + 1,
               "names and methods list the same entries");

const char *const *apq_train_schedule_names(void) {
    return names;
}

static apq_status find_method(const char *name, const apq_train_method **out) {
    *out = methods[0];
    for (size_t i = 0; name != NULL && i < N_METHODS; i++) {
        if (strcmp(methods[i]->name, name) == 0) {
            *out = methods[i];
            return APQ_OK;
        }
    }
    if (name != NULL) {
        APQ_FAIL(APQ_ERR_ARG, "training schedule \"%s\" is unknown", name);
    }
    return APQ_OK;
}

int apq_train_first_bits_epoch(int largest_epochs, int float_epochs) {
    return largest_epochs > float_epochs ? largest_epochs : float_epochs;
}

apq_status apq_train_check_bits(const char *schedule, int first_bits_epoch,
                                int epochs) {
    const apq_train_method *method;
    APQ_TRY(find_method(schedule, &method));
    if (!method->can_share_bits) {
        APQ_FAIL(APQ_ERR_ARG,
                 "train.bits: shared is for train.schedule sandwich, not %s",
                 method->name);
    }
    if (first_bits_epoch >= epochs) {
        APQ_FAIL(APQ_ERR_ARG,
                 "train.bits: shared begins after %d epochs of %d; lower "
                 "train.largest_epochs or train.float_epochs",
                 first_bits_epoch, epochs);
    }
    return APQ_OK;
}

apq_status apq_train_flop(const apq_space *space,
                          const apq_train_options *options, size_t n_images,
                          double *flop) {
    const apq_train_method *method;
    APQ_TRY(find_method(options->schedule, &method));
    APQ_TRY(method->flop_per_image(space, options, flop));
    *flop *= (double)n_images;
    return APQ_OK;
}

/* Gradients and losses of this process's part of the next batch. */
static apq_status compute(trainer *t, apq_train_sums *sums) {
    const apq_space *space = apq_supernet_space(t->env.supernet);
    apq_comm *comm = t->env.options->comm;
    apq_train_batch batch = {.step = t->position.step};
    t->policies = 0;
    APQ_TRY(apq_loader_next(t->loader, &batch.images, &batch.labels, &batch.n));
    APQ_ASSERT(batch.n > 0);
    APQ_TRY(t->method->gradients(t->state, &batch, sums));
    apq_train_sums_decisions(
        sums, batch.images, batch.labels, batch.n,
        (size_t)space->resolution * (size_t)space->resolution *
            (size_t)space->image_channels,
        batch.step, (int64_t)apq_comm_rank(comm) * batch.n, t->policies);
    return APQ_OK;
}

/* Before the first step in bits: from images that depend on the seed alone, so
 * that a checkpoint of this position, written before, may be taken up. */
static apq_status enter_bits(trainer *t) {
    const float *images;
    const int *labels;
    int n;
    APQ_TRY(apq_loader_start(t->calibration, 0, 0));
    APQ_TRY(apq_loader_next(t->calibration, &images, &labels, &n));
    APQ_ASSERT(n > 0);
    return apq_supernet_start_steps(t->env.supernet, t->env.options->backend,
                                    t->env.arena, images, n);
}

/* As process 0 rounds. */
static apq_status enter_bits_together(trainer *t) {
    apq_comm *comm = t->env.options->comm;
    apq_params *params = apq_supernet_params(t->env.supernet);
    size_t n_bytes = params->n_values * sizeof *params->value;
    APQ_TRY(apq_comm_agree(comm, enter_bits(t)));
    apq_comm_broadcast(comm, 0, params->value, n_bytes);
    if (params->average != NULL) {
        apq_comm_broadcast(comm, 0, params->average, n_bytes);
    }
    return APQ_OK;
}

static apq_status train_step(trainer *t, apq_train_outcome *outcome) {
    const apq_train_options *o = t->env.options;
    apq_params *params = apq_supernet_params(t->env.supernet);
    int64_t step = t->position.step;
    if (step == t->env.first_bits_step) {
        APQ_TRY(enter_bits_together(t));
    }
    /* The rate alone: momentum is at hand when the stem begins to learn. */
    bool is_frozen = step < o->stem_frozen_epochs * t->env.steps_per_epoch;
    params->items[apq_supernet_stem(t->env.supernet)].rate =
        is_frozen ? 0.0F : 1.0F;
    apq_params_zero_grad(params);
    *outcome = (apq_train_outcome){.status = APQ_OK};
    outcome->status = compute(t, &outcome->sums);
    outcome->is_stopping = apq_stop_requested(o->progress);
    outcome->is_save_due = apq_now_s() - t->last_save_s >= o->checkpoint_s;
    APQ_TRY(apq_train_together(o->comm, params, outcome));
    if (o->distill == APQ_DISTILL_ALPHA) {
        apq_params_clip_grad(params, 1.0F);
    }
    apq_params_step(params, t->method->learning_rate(t->state, step),
                    o->momentum, o->weight_decay);
    apq_train_sums_add(&t->sums, &outcome->sums);
    /* A loss tells of the weights before the step; those after it may be
     * saved. */
    if (!isfinite(t->sums.largest.loss) || !isfinite(t->sums.others.loss) ||
        !apq_params_finite(params)) {
        return apq_comm_agree(o->comm,
                              APQ_ERROR(APQ_ERR_NUMERIC,
                                        "training diverged at step %" PRId64
                                        "; lower the learning rate (now %g)",
                                        step, o->learning_rate));
    }
    if (o->weight_average > 0) {
        apq_params_average_step(params,
                                apq_schedule_average(o->weight_average, step));
    }
    t->position.step++;
    t->n_images += o->batch;
    return APQ_OK;
}

static apq_status write_checkpoint(const trainer *t) {
    if (t->env.options->checkpoint_path == NULL) {
        return APQ_OK;
    }
    apq_tensor_file *file;
    APQ_TRY(apq_tensor_file_create(&file));
    apq_status st = apq_checkpoint_put_position(file, &t->position);
    if (st == APQ_OK) {
        st = apq_params_put(apq_supernet_params(t->env.supernet), true, file);
    }
    if (st == APQ_OK && t->method->save != NULL) {
        st = t->method->save(t->state, file);
    }
    if (st == APQ_OK) {
        st = apq_tensor_file_save(file, t->env.options->checkpoint_path);
    }
    apq_tensor_file_destroy(file);
    return st;
}

static apq_status save(trainer *t) {
    apq_comm *comm = t->env.options->comm;
    t->last_save_s = apq_now_s();
    APQ_TRY(apq_train_check_same(comm, apq_supernet_params(t->env.supernet)));
    return apq_comm_agree(comm, apq_comm_rank(comm) == 0 ? write_checkpoint(t)
                                                         : APQ_OK);
}

static apq_status take(trainer *t, const apq_tensor_file *file,
                       const char *path) {
    APQ_TRY(apq_checkpoint_get_position(file, path, &t->position,
                                        &t->position.step));
    apq_status st =
        apq_params_get(apq_supernet_params(t->env.supernet), true, file);
    if (st == APQ_OK && t->method->load != NULL) {
        st = t->method->load(t->state, file, t->position.step);
    }
    /* The file is sound, so other tensors are another space's. */
    return st == APQ_ERR_FORMAT ? APQ_ERR_MISMATCH : st;
}

/* Every process takes the bytes of process 0's file. */
static apq_status resume(trainer *t) {
    const apq_train_options *o = t->env.options;
    const char *path = o->checkpoint_path;
    char *bytes;
    size_t n_bytes;
    APQ_TRY(apq_train_share_file(o->comm, path, &bytes, &n_bytes));
    if (bytes == NULL) {
        return APQ_OK;
    }
    path = path != NULL ? path : "checkpoint";
    apq_tensor_file *file = NULL;
    apq_status st = apq_tensor_file_parse(path, bytes, n_bytes, &file);
    free(bytes);
    if (st == APQ_OK) {
        st = take(t, file, path);
    }
    apq_tensor_file_destroy(file);
    if (st == APQ_OK) {
        apq_note(o->progress,
                 "resuming training at step %" PRId64 " of %" PRId64,
                 t->position.step, t->position.n_steps);
    }
    return apq_comm_agree(o->comm, st);
}

static void start_epoch(trainer *t) {
    t->sums = (apq_train_sums){0};
    t->n_images = 0;
    t->start_s = apq_now_s();
}

static const char *phase_of(const trainer *t, int64_t step) {
    return t->method->phase == NULL ? NULL : t->method->phase(t->state, step);
}

static void swap_average(apq_params *params) {
    float *value = params->value;
    params->value = params->average;
    params->average = value;
}

/* Of the average where one is kept, since the training ends with it. */
static apq_status measure(trainer *t, apq_probe_result *out) {
    apq_params *params = apq_supernet_params(t->env.supernet);
    bool has_average = params->average != NULL;
    if (has_average) {
        swap_average(params);
    }
    apq_status st = apq_probe_run(t->probe, t->env.supernet,
                                  t->env.options->backend, t->env.arena, out);
    if (has_average) {
        swap_average(params);
    }
    return st;
}

static apq_status log_epoch(trainer *t) {
    const apq_train_options *o = t->env.options;
    int64_t last_step = t->position.step - 1;
    apq_train_epoch e = {
        .epoch = t->position.step / t->env.steps_per_epoch,
        .sums = t->sums,
        .phase = phase_of(t, last_step),
        .learning_rate = t->method->learning_rate(t->state, last_step),
        .n_images = t->n_images,
        .seconds = apq_now_s() - t->start_s,
    };
    e.is_probed = t->probe != NULL &&
                  (e.epoch % o->eval_epochs == 0 || e.epoch == o->epochs);
    if (e.is_probed) {
        APQ_TRY(measure(t, &e.probe));
    }
    return apq_train_log_epoch(o, &e);
}

/* Process 0 measures and tells; the others wait for it. */
static apq_status end_epoch(trainer *t) {
    apq_comm *comm = t->env.options->comm;
    apq_status st = apq_comm_rank(comm) == 0 ? log_epoch(t) : APQ_OK;
    start_epoch(t);
    return apq_comm_agree(comm, st);
}

static apq_status after_step(trainer *t, const apq_train_outcome *outcome) {
    const apq_train_options *o = t->env.options;
    char detail[96];
    apq_train_log_detail(&t->sums, phase_of(t, t->position.step - 1), detail,
                         sizeof detail);
    apq_progress_update(o->progress, "train", (uint64_t)t->position.step,
                        (uint64_t)t->position.n_steps, detail);
    if (t->position.step % t->env.steps_per_epoch == 0) {
        APQ_TRY(end_epoch(t));
    }
    if (outcome->is_stopping) {
        APQ_TRY(save(t));
        return apq_comm_agree(
            o->comm,
            APQ_ERROR(APQ_ERR_INTERRUPTED,
                      "training interrupted at step %" PRId64 "%s",
                      t->position.step,
                      o->checkpoint_path != NULL ? ", state saved" : ""));
    }
    return outcome->is_save_due ? save(t) : APQ_OK;
}

static apq_status train_loop(trainer *t) {
    while (t->position.step < t->position.n_steps) {
        int64_t epoch = t->position.step / t->env.steps_per_epoch;
        int64_t batch = t->position.step % t->env.steps_per_epoch;
        APQ_TRY(apq_comm_agree(
            t->env.options->comm,
            apq_loader_start(t->loader, (uint64_t)epoch, (size_t)batch)));
        for (; batch < t->env.steps_per_epoch; batch++) {
            apq_train_outcome outcome;
            APQ_TRY(train_step(t, &outcome));
            APQ_TRY(after_step(t, &outcome));
        }
    }
    return APQ_OK;
}

static apq_status open_loader(trainer *t, const apq_dataset *dataset) {
    const apq_train_options *o = t->env.options;
    APQ_TRY(apq_train_check_parts(o->comm, o->batch));
    APQ_TRY(apq_loader_create(dataset,
                              &(apq_loader_options){
                                  .split = APQ_SPLIT_TRAIN,
                                  .batch = o->batch,
                                  .augment = true,
                                  .augmentation = o->augmentation,
                                  .shuffle = true,
                                  .drop_last = true,
                                  .seed = o->seed,
                                  .n_threads = o->loader_threads,
                                  .part = apq_comm_rank(o->comm),
                                  .n_parts = apq_comm_size(o->comm),
                              },
                              &t->loader));
    t->env.steps_per_epoch = (int64_t)apq_loader_batches(t->loader);
    if (t->env.steps_per_epoch == 0) {
        APQ_FAIL(APQ_ERR_ARG, "batch %d is larger than the %zu training images",
                 o->batch, apq_dataset_length(dataset, APQ_SPLIT_TRAIN));
    }
    t->env.n_steps = o->epochs * t->env.steps_per_epoch;
    t->env.first_bits_step = t->env.n_steps;
    t->position = (apq_train_position){
        .input = o->input,
        .seed = o->seed,
        .n_steps = t->env.n_steps,
    };
    return APQ_OK;
}

static apq_status open_bits(trainer *t, const apq_dataset *dataset) {
    const apq_train_options *o = t->env.options;
    if (!o->shares_bits) {
        return APQ_OK;
    }
    int first = apq_train_first_bits_epoch(o->largest_epochs, o->float_epochs);
    APQ_TRY(apq_train_check_bits(o->schedule, first, o->epochs));
    if (!apq_supernet_has_steps(t->env.supernet)) {
        APQ_FAIL(APQ_ERR_ARG, "training: the supernet has no steps to share");
    }
    t->env.first_bits_step = first * t->env.steps_per_epoch;
    return apq_loader_create(dataset,
                             &(apq_loader_options){
                                 .split = APQ_SPLIT_TRAIN,
                                 .batch = CALIBRATION_BATCH,
                                 .augment = true,
                                 .shuffle = true,
                                 .seed = o->seed,
                                 .n_threads = 1,
                             },
                             &t->calibration);
}

static apq_status open_probe(trainer *t, const apq_dataset *dataset) {
    const apq_train_options *o = t->env.options;
    return o->eval_epochs > 0
               ? apq_probe_create(dataset, o->eval_images, o->seed, &t->probe)
               : APQ_OK;
}

/* What a run that was killed told after its last checkpoint is told again, by
 * process 0, whose file it is. */
static apq_status resume_events(const trainer *t) {
    const apq_train_options *o = t->env.options;
    int64_t next = t->position.step / t->env.steps_per_epoch + 1;
    if (o->events_path == NULL || apq_comm_rank(o->comm) != 0) {
        return APQ_OK;
    }
    return apq_tfevents_resume(o->events_path, (double)time(NULL), next);
}

static apq_status open_method(trainer *t) {
    t->state = calloc(1, t->method->state_bytes);
    if (t->state == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "training: out of memory");
    }
    return t->method->init(t->state, &t->env);
}

static void close_method(trainer *t) {
    if (t->state != NULL && t->method->fini != NULL) {
        t->method->fini(t->state);
    }
    free(t->state);
}

apq_status apq_train_supernet(apq_supernet *supernet,
                              const apq_dataset *dataset,
                              const apq_train_options *options) {
    trainer t = {.env = {.supernet = supernet, .options = options}};
    t.env.policies = &t.policies;
    APQ_TRY(find_method(options->schedule, &t.method));
    apq_status st = open_loader(&t, dataset);
    if (st == APQ_OK) {
        st = open_bits(&t, dataset);
    }
    if (st == APQ_OK) {
        st = apq_arena_create(&t.env.arena);
    }
    if (st == APQ_OK) {
        st = open_method(&t);
    }
    apq_params *params = apq_supernet_params(supernet);
    st = apq_comm_agree(options->comm, st);
    if (st == APQ_OK) { /* as process 0 rounds its random numbers */
        apq_comm_broadcast(options->comm, 0, params->value,
                           params->n_values * sizeof *params->value);
    }
    if (st == APQ_OK && options->weight_average > 0) {
        st = apq_params_average_begin(params);
    }
    if (st == APQ_OK && apq_comm_rank(options->comm) == 0) {
        st = open_probe(&t, dataset);
    }
    st = apq_comm_agree(options->comm, st);
    if (st == APQ_OK) {
        st = resume(&t);
    }
    if (st == APQ_OK) {
        st = apq_comm_agree(options->comm, resume_events(&t));
    }
    t.last_save_s = apq_now_s();
    start_epoch(&t);
    if (st == APQ_OK) {
        st = train_loop(&t);
    }
    if (st == APQ_OK) {
        st = apq_train_check_same(options->comm, params);
    }
    if (st == APQ_OK && options->weight_average > 0) {
        apq_params_average_end(params);
    }
    apq_probe_destroy(t.probe);
    close_method(&t);
    apq_arena_destroy(t.env.arena);
    apq_loader_destroy(t.calibration);
    apq_loader_destroy(t.loader);
    return st;
}
