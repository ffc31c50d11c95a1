/* `apq train`: the supernet of a space on the user's images. */
#include "app/app.h"

#include "app/session.h"
#include "train/supernet_train.h"
#include "train/whiten.h"

#include <stdlib.h>
#include <unistd.h>

/* A fresh supernet as the recipe wants it to start. */
static apq_status create_supernet(apq_session *session) {
    const apq_recipe *r = session->recipe;
    APQ_TRY(apq_supernet_create(&session->space, r->seed, &session->supernet));
    if (r->train.residual_zero) {
        apq_supernet_zero_residuals(session->supernet);
    }
    apq_supernet_set_shift_rate(session->supernet, r->train.bias_rate);
    return r->train.stem == 1
               ? apq_train_whiten_stem(session->supernet, session->dataset)
               : APQ_OK;
}

/* Hash of all that decides the weights: not how often they are measured. */
static apq_status training_input(const apq_session *session,
                                 char input[APQ_HASH_MAX]) {
    apq_recipe recipe = *session->recipe;
    recipe.train.eval_epochs = 0;
    recipe.train.eval_images = 1;
    apq_session silent = *session;
    silent.recipe = &recipe;
    return apq_session_input_hash(&silent, "train",
                                  apq_dataset_hash(session->dataset), input);
}

static apq_status train_into(apq_session *session) {
    const apq_recipe *r = session->recipe;
    char path[APQ_PATH_MAX], checkpoint[APQ_PATH_MAX], log[APQ_PATH_MAX];
    char events[APQ_PATH_MAX];
    char input[APQ_HASH_MAX], artefact[APQ_HASH_MAX];
    apq_precision precision = (apq_precision)r->train.dtype;
    APQ_TRY(apq_session_check_precision(session, precision));
    APQ_TRY(apq_rundir_file(session->dir, "supernet.safetensors", path));
    APQ_TRY(apq_rundir_file(session->dir, "train.checkpoint", checkpoint));
    APQ_TRY(apq_rundir_file(session->dir, "train.jsonl", log));
    APQ_TRY(apq_rundir_file(session->dir, "events.out.tfevents.apq", events));
    APQ_TRY(training_input(session, input));
    APQ_TRY(apq_rundir_bind(session->dir, "train_input", input));
    if (apq_rundir_step_done(session->dir, "train", input)) {
        apq_note(session->progress, "train: done before, %s", path);
        return APQ_OK;
    }
    APQ_TRY(apq_session_begin(session, "train", input));
    const apq_augmentation augmentation = {
        .flip = (apq_flip)r->train.flip,
        .crop_padding = r->train.crop_padding,
        .crop_reflect = r->train.crop_reflect,
        .cutout = r->train.cutout,
    };
    APQ_TRY(create_supernet(session));
    const apq_train_options options = {
        .backend = session->backend,
        .precision = precision,
        .progress = session->progress,
        .checkpoint_path = checkpoint,
        .input = input,
        .log_path = log,
        .events_path = events,
        .eval_epochs = r->train.eval_epochs,
        .eval_images = r->train.eval_images,
        .checkpoint_s = r->checkpoint_s,
        .seed = r->seed,
        .epochs = r->train.epochs,
        .batch = r->train.batch,
        .schedule = r->train.schedule,
        .random_subnets = r->train.random_subnets,
        .largest_epochs = r->train.largest_epochs,
        .phases = r->train.phases,
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
    APQ_TRY(apq_session_save_supernet(session, path));
    APQ_TRY(apq_file_hash(path, artefact));
    double flop;
    APQ_TRY(apq_train_flop(
        &session->space, &options,
        apq_dataset_length(session->dataset, APQ_SPLIT_TRAIN), &flop));
    apq_stopwatch_set_flop(&session->stopwatch, flop);
    APQ_TRY(apq_session_finish(session, "train", input, artefact));
    (void)unlink(checkpoint);
    return APQ_OK;
}

apq_status apq_app_train(const apq_recipe *recipe, const char *run_dir,
                         const apq_progress *progress) {
    return apq_session_run(recipe, run_dir, progress, true, train_into);
}
