/* `apq train`: the supernet of a space on the user's images. */
#include "app/app.h"

#include "app/choose_policy.h"
#include "app/session.h"
#include "train/supernet_train.h"
#include "train/together.h"
#include "train/whiten.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Trained weights to go on from; of process 0, none elsewhere. */
typedef struct train_start {
    apq_tensor_file *file; /* NULL: none */
    char hash[APQ_HASH_MAX];
} train_start;

/* train.from is a supernet's file or the run that has it. */
static apq_status open_start(const apq_session *session, train_start *start) {
    const char *from = session->recipe->train.from;
    if (from[0] == '\0') {
        return APQ_OK;
    }
    char path[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(path, from, "supernet.safetensors"));
    from = apq_file_exists(path) ? path : from;
    APQ_TRY(apq_file_hash(from, start->hash));
    int n_classes;
    return apq_session_open_supernet(session, from, &n_classes, &start->file);
}

/* Fresh weights as the recipe wants them to start. */
static apq_status init_weights(apq_session *session) {
    const apq_recipe *r = session->recipe;
    if (r->train.residual_zero) {
        apq_supernet_zero_residuals(session->supernet);
    }
    return r->train.stem == 1
               ? apq_train_whiten_stem(session->supernet, session->dataset)
               : APQ_OK;
}

/* The others take process 0's weights when the training begins. */
static apq_status create_supernet(apq_session *session,
                                  const train_start *start) {
    const apq_recipe *r = session->recipe;
    APQ_TRY(r->train.bits == 1
                ? apq_supernet_create_shared(&session->space, r->seed,
                                             &session->supernet)
                : apq_supernet_create(&session->space, r->seed,
                                      &session->supernet));
    apq_supernet_set_shift_rate(session->supernet, r->train.bias_rate);
    if (r->train.from[0] == '\0') {
        return init_weights(session);
    }
    return start->file == NULL
               ? APQ_OK
               : apq_supernet_get_weights(session->supernet, start->file);
}

/* Hash of all that decides the weights: not how often they are measured. */
static apq_status training_input(const apq_session *session,
                                 const apq_policy *policy,
                                 const train_start *start,
                                 char input[APQ_HASH_MAX]) {
    apq_recipe recipe = *session->recipe;
    char salt[3 * APQ_HASH_MAX] = "", policy_hash[APQ_HASH_MAX] = "";
    if (policy != NULL) { /* what it is, not where it was read */
        uint64_t hash = apq_policy_hash(&session->space, policy);
        apq_hash_hex(&hash, sizeof hash, policy_hash);
        recipe.train.policy[0] = '\0';
    }
    recipe.train.from[0] = '\0';
    (void)snprintf(salt, sizeof salt, "%s%s%s",
                   apq_dataset_hash(session->dataset), policy_hash,
                   start->hash);
    recipe.train.eval_epochs = 0;
    recipe.train.eval_images = 1;
    apq_session silent = *session;
    silent.recipe = &recipe;
    return apq_session_input_hash(&silent, "train", salt, input);
}

/* Each process reads recipe, data and policy by itself, and trains with what it
 * has read; of `train.from` only process 0 does. */
static apq_status check_same(const apq_session *session,
                             const apq_policy *policy) {
    char input[APQ_HASH_MAX] = "";
    APQ_TRY(apq_session_check_same_images(session));
    APQ_TRY(apq_comm_agree(
        session->comm,
        training_input(session, policy, &(train_start){.file = NULL}, input)));
    return apq_session_check_same(session, "settings", input);
}

/* Of process 0, which alone has the run directory. */
typedef struct train_files {
    char supernet[APQ_PATH_MAX], checkpoint[APQ_PATH_MAX], log[APQ_PATH_MAX];
    char events[APQ_PATH_MAX], input[APQ_HASH_MAX];
    bool is_done;
} train_files;

/* Of a mismatch: the settings that differ, as far as the run's recipe tells. */
static apq_status other_training(const apq_session *session) {
    char path[APQ_PATH_MAX], changes[512] = "";
    apq_recipe now = *session->recipe, earlier;
    APQ_TRY(apq_rundir_file(session->dir, "run.json", path));
    char message[1024];
    (void)snprintf(message, sizeof message, "%s", apq_error_message());
    if (apq_recipe_load(path, &earlier) == APQ_OK) {
        now.train.eval_epochs = earlier.train.eval_epochs;
        now.train.eval_images = earlier.train.eval_images;
        apq_session_changes(&earlier, &now, "train", changes, sizeof changes);
    }
    if (changes[0] == '\0') {
        APQ_FAIL(APQ_ERR_MISMATCH, "%s", message);
    }
    APQ_FAIL(APQ_ERR_MISMATCH, "run directory %s was made with %s",
             apq_rundir_path(session->dir), changes);
}

/* Hours of training are not repeated unasked, nor over a file that someone may
 * have put there. */
static apq_status check_unchanged(const apq_session *session,
                                  const train_files *files) {
    if (apq_rundir_step_done(session->dir, "train", files->input) &&
        apq_file_exists(files->supernet) &&
        !apq_rundir_step_made(session->dir, "train", files->supernet)) {
        APQ_FAIL(APQ_ERR_MISMATCH,
                 "%s: changed since it was made: remove it to make it again",
                 files->supernet);
    }
    return APQ_OK;
}

static apq_status prepare(apq_session *session, const apq_policy *policy,
                          const train_start *start, train_files *files) {
    APQ_TRY(
        apq_rundir_file(session->dir, "supernet.safetensors", files->supernet));
    APQ_TRY(
        apq_rundir_file(session->dir, "train.checkpoint", files->checkpoint));
    APQ_TRY(apq_rundir_file(session->dir, "train.jsonl", files->log));
    APQ_TRY(apq_rundir_file(session->dir, "events.out.tfevents.apq",
                            files->events));
    APQ_TRY(training_input(session, policy, start, files->input));
    /* A training that was refused, or killed before it kept anything, does not
     * claim the directory. */
    bool has_begun = apq_file_exists(files->supernet) ||
                     apq_file_exists(files->checkpoint) ||
                     apq_file_exists(files->log);
    apq_status st =
        has_begun
            ? apq_rundir_bind(session->dir, "train_input", files->input)
            : apq_rundir_rebind(session->dir, "train_input", files->input);
    if (st != APQ_OK) {
        return st == APQ_ERR_MISMATCH ? other_training(session) : st;
    }
    /* Now, so that a training that is killed needs no recipe to go on. */
    char recipe[APQ_PATH_MAX];
    APQ_TRY(apq_rundir_file(session->dir, "run.json", recipe));
    if (!has_begun || !apq_file_exists(recipe)) {
        APQ_TRY(apq_app_keep_recipe(session->recipe,
                                    apq_rundir_path(session->dir), true,
                                    session->progress));
    }
    APQ_TRY(check_unchanged(session, files));
    files->is_done =
        apq_session_has(session, "train", files->input, files->supernet);
    if (files->is_done) { /* a kill may have come before finish() removed it */
        (void)unlink(files->checkpoint);
        return APQ_OK;
    }
    return apq_session_begin(session, "train", files->input);
}

static apq_status finish(apq_session *session, const train_files *files,
                         const apq_train_options *options) {
    char artefact[APQ_HASH_MAX];
    APQ_TRY(apq_session_save_supernet(session, files->supernet));
    APQ_TRY(apq_file_hash(files->supernet, artefact));
    double flop;
    APQ_TRY(apq_train_flop(
        &session->space, options,
        apq_dataset_length(session->dataset, APQ_SPLIT_TRAIN), &flop));
    apq_stopwatch_set_flop(&session->stopwatch, flop);
    APQ_TRY(apq_session_finish(session, "train", files->input, artefact));
    (void)unlink(files->checkpoint);
    return APQ_OK;
}

static apq_status train_into(apq_session *session, const apq_policy *policy,
                             const train_start *start) {
    const apq_recipe *r = session->recipe;
    apq_comm *comm = session->comm;
    bool is_first = apq_comm_rank(comm) == 0;
    apq_precision precision = (apq_precision)r->train.dtype;
    APQ_TRY(
        apq_comm_agree(comm, apq_session_check_precision(session, precision)));
    train_files files = {.is_done = false};
    APQ_TRY(apq_comm_agree(
        comm, is_first ? prepare(session, policy, start, &files) : APQ_OK));
    apq_comm_broadcast(comm, 0, &files.is_done, sizeof files.is_done);
    if (files.is_done) {
        return APQ_OK;
    }
    APQ_TRY(apq_comm_agree(comm, create_supernet(session, start)));
    const apq_augmentation augmentation = {
        .flip = (apq_flip)r->train.flip,
        .crop_padding = r->train.crop_padding,
        .crop_reflect = r->train.crop_reflect,
        .cutout = r->train.cutout,
        .distort = r->train.distort == 1,
    };
    const apq_train_options options = {
        .backend = session->backend,
        .precision = precision,
        .comm = comm,
        .progress = session->progress,
        .checkpoint_path = is_first ? files.checkpoint : NULL,
        .input = is_first ? files.input : NULL,
        .log_path = is_first ? files.log : NULL,
        .events_path = is_first ? files.events : NULL,
        .eval_epochs = r->train.eval_epochs,
        .eval_images = r->train.eval_images,
        .checkpoint_s = r->checkpoint_s,
        .seed = r->seed,
        .epochs = r->train.epochs,
        .batch = r->train.batch,
        .schedule = r->train.schedule,
        .random_subnets = r->train.random_subnets,
        .largest_epochs = r->train.largest_epochs,
        .shares_bits = r->train.bits == 1,
        .float_epochs = r->train.float_epochs,
        .phases = r->train.phases,
        .policy = policy,
        .learning_rate = r->train.learning_rate,
        .momentum = r->train.momentum,
        .weight_decay = r->train.weight_decay,
        .label_smoothing = r->train.label_smoothing,
        .warmup_epochs = r->train.warmup_epochs,
        .loader_threads = 1,
        .augmentation = &augmentation,
        .weight_average = r->train.weight_average,
        .lr_schedule = (apq_rate_shape)r->train.lr_schedule,
        .final_rate = r->train.final_rate,
        .stem_frozen_epochs = r->train.stem_frozen_epochs,
        .distill = (apq_distill)r->train.distill,
    };
    APQ_TRY(apq_train_supernet(session->supernet, session->dataset, &options));
    return apq_comm_agree(comm, is_first ? finish(session, &files, &options)
                                         : APQ_OK);
}

/* What would otherwise be refused when the run directory is there. */
static apq_status check_recipe(const apq_recipe *r, const apq_comm *comm) {
    APQ_TRY(apq_train_check_parts(comm, r->train.batch));
    if (r->train.bits != 1) {
        return APQ_OK;
    }
    int first = apq_train_first_bits_epoch(r->train.largest_epochs,
                                           r->train.float_epochs);
    APQ_TRY(apq_train_check_bits(r->train.schedule, first, r->train.epochs));
    if (r->train.random_subnets == 0) {
        APQ_FAIL(APQ_ERR_ARG,
                 "train.bits: shared needs train.random_subnets of at least 1: "
                 "steps of other networks than the smallest would not learn");
    }
    return APQ_OK;
}

apq_status apq_app_train_together(const apq_recipe *recipe, const char *run_dir,
                                  apq_comm *comm,
                                  const apq_progress *progress) {
    apq_session session;
    apq_status st = apq_session_open(&session, recipe, progress);
    if (st == APQ_OK) {
        apq_session_join(&session, comm);
        st = check_recipe(recipe, comm);
    }
    if (st == APQ_OK) {
        st = apq_session_check_qat(&session);
    }
    if (st == APQ_OK) {
        st = apq_session_open_data(&session);
    }
    bool is_alone = strcmp(recipe->train.schedule, "alone") == 0;
    apq_policy policy;
    if (st == APQ_OK && is_alone) {
        st = apq_app_choose_policy(&session.space, recipe->train.policy,
                                   &policy);
    }
    train_start start = {.file = NULL};
    if (st == APQ_OK && apq_comm_rank(comm) == 0) {
        st = open_start(&session, &start);
    }
    st = apq_comm_agree(comm, st);
    if (st == APQ_OK) {
        st = check_same(&session, is_alone ? &policy : NULL);
    }
    if (st == APQ_OK) {
        st = apq_comm_agree(comm, apq_comm_rank(comm) == 0
                                      ? apq_session_open_run(&session, run_dir)
                                      : APQ_OK);
    }
    if (st == APQ_OK) {
        st = train_into(&session, is_alone ? &policy : NULL, &start);
    }
    apq_tensor_file_destroy(start.file);
    apq_session_fini(&session);
    return st;
}

apq_status apq_app_train(const apq_recipe *recipe, const char *run_dir,
                         const apq_progress *progress) {
    return apq_app_train_together(recipe, run_dir, NULL, progress);
}
