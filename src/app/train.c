/* `apq train`: the supernet of a space on the user's images. */
#include "app/app.h"

#include "app/session.h"
#include "train/supernet_train.h"

#include <stdlib.h>
#include <unistd.h>

static apq_status policy_macs(const apq_space *space, const apq_policy *policy,
                              double *macs) {
    apq_ir_network network;
    APQ_TRY(apq_policy_lower(space, policy, &network));
    *macs = 0;
    for (size_t i = 0; i < network.n_layers; i++) {
        *macs += (double)apq_ir_layer_macs(&network.layers[i]);
    }
    return APQ_OK;
}

/* Operations of the training by its recipe: 6 a MAC and image, two forward
 * and four backward, for every sub-network of a step; random ones at their
 * mean size. */
static apq_status training_flop(const apq_session *session, double *flop) {
    enum { N_SAMPLES = 64 };
    const apq_recipe *r = session->recipe;
    const apq_space *space = &session->space;
    apq_policy policy;
    double largest, smallest, macs, random = 0;
    apq_policy_largest(space, 8, &policy);
    APQ_TRY(policy_macs(space, &policy, &largest));
    apq_policy_smallest(space, 8, &policy);
    APQ_TRY(policy_macs(space, &policy, &smallest));
    for (uint64_t i = 0; i < N_SAMPLES; i++) {
        apq_rng rng = apq_rng_make(r->seed, APQ_RNG_POLICY, i);
        apq_policy_random(space, &rng, &policy);
        APQ_TRY(policy_macs(space, &policy, &macs));
        random += macs / N_SAMPLES;
    }
    int shared = r->train.epochs - r->train.largest_epochs;
    double per_image = r->train.epochs * largest;
    if (shared > 0) {
        per_image += shared * (smallest + r->train.random_subnets * random);
    }
    *flop = 6 * per_image *
            (double)apq_dataset_length(session->dataset, APQ_SPLIT_TRAIN);
    return APQ_OK;
}

static apq_status train_into(apq_session *session) {
    const apq_recipe *r = session->recipe;
    char path[APQ_PATH_MAX], checkpoint[APQ_PATH_MAX], log[APQ_PATH_MAX];
    char input[APQ_HASH_MAX], artefact[APQ_HASH_MAX];
    APQ_TRY(apq_rundir_file(session->dir, "supernet.safetensors", path));
    APQ_TRY(apq_rundir_file(session->dir, "train.checkpoint", checkpoint));
    APQ_TRY(apq_rundir_file(session->dir, "train.jsonl", log));
    APQ_TRY(apq_session_input_hash(session, "train",
                                   apq_dataset_hash(session->dataset), input));
    APQ_TRY(apq_rundir_bind(session->dir, "train_input", input));
    if (apq_rundir_step_done(session->dir, "train", input)) {
        apq_note(session->progress, "train: done before, %s", path);
        return APQ_OK;
    }
    APQ_TRY(apq_session_begin(session, "train", input));
    APQ_TRY(apq_supernet_create(&session->space, r->seed, &session->supernet));
    APQ_TRY(apq_train_supernet(session->supernet, session->dataset,
                               &(apq_train_options){
                                   .backend = session->backend,
                                   .progress = session->progress,
                                   .checkpoint_path = checkpoint,
                                   .input = input,
                                   .log_path = log,
                                   .checkpoint_s = r->checkpoint_s,
                                   .seed = r->seed,
                                   .epochs = r->train.epochs,
                                   .batch = r->train.batch,
                                   .random_subnets = r->train.random_subnets,
                                   .largest_epochs = r->train.largest_epochs,
                                   .learning_rate = r->train.learning_rate,
                                   .momentum = r->train.momentum,
                                   .weight_decay = r->train.weight_decay,
                                   .label_smoothing = r->train.label_smoothing,
                                   .warmup_epochs = r->train.warmup_epochs,
                                   .loader_threads = 1,
                               }));
    APQ_TRY(apq_session_save_supernet(session, path));
    APQ_TRY(apq_file_hash(path, artefact));
    double flop;
    APQ_TRY(training_flop(session, &flop));
    apq_stopwatch_set_flop(&session->stopwatch, flop);
    APQ_TRY(apq_session_finish(session, "train", input, artefact));
    (void)unlink(checkpoint);
    return APQ_OK;
}

apq_status apq_app_train(const apq_recipe *recipe, const char *run_dir,
                         const apq_progress *progress) {
    return apq_session_run(recipe, run_dir, progress, true, train_into);
}
