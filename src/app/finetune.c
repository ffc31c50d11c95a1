/* `apq finetune`: quantisation-aware training of the policy found, and of a
 * uniform-bit baseline with the same schedule, or of a policy of the user's
 * alone; each network reads the test images once. */
#include "app/app.h"

#include "app/choose_policy.h"
#include "app/json.h"
#include "app/network.h"
#include "app/session.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"
#include "train/finetune.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEACHER_BATCHES = 16 }; /* 2,000 images, as the network itself */
enum { DIGITS = 10 };          /* of reals in finetune.json */

typedef struct contender {
    const char *name; /* "network" or "baseline" */
    const char *file, *checkpoint;
    const char *input;    /* hash of all that the step is made from */
    apq_teacher *teacher; /* borrowed; NULL: none */
    apq_policy policy;
    apq_cost cost;
    apq_evaluation test;
    char hash[APQ_HASH_MAX]; /* of the finished file */
} contender;

static const char *const k_checkpoints[] = {"network.checkpoint",
                                            "baseline.checkpoint"};

/* What is fine-tuned. */
typedef struct lineup {
    apq_policy network, baseline;
    bool has_baseline;
    char hash[APQ_HASH_MAX]; /* of what they were read from */
} lineup;

/* What the search chose, and the network of one bit-width that it is compared
 * with: the best found under the budget, if there is one, or the largest. */
static apq_status read_found(const apq_session *session, lineup *out) {
    const char *baseline = session->recipe->finetune.baseline;
    char path[APQ_PATH_MAX];
    APQ_TRY(apq_rundir_need(apq_rundir_path(session->dir), "best.json", path));
    APQ_TRY(apq_file_hash(path, out->hash));
    json_t *root;
    APQ_TRY(apq_json_read(path, &root));
    apq_status st = apq_json_to_policy(
        &session->space, json_object_get(root, "policy"), path, &out->network);
    const json_t *all = json_object_get(root, "baselines");
    const json_t *object = json_object_get(all, baseline);
    out->has_baseline = json_is_object(object);
    if (st == APQ_OK && out->has_baseline) {
        st = apq_json_to_policy(&session->space,
                                json_object_get(object, "policy"), path,
                                &out->baseline);
    } else if (st == APQ_OK && strcmp(baseline, "none") != 0) {
        apq_note(session->progress,
                 "%s: no %s under its budget, nothing to compare with", path,
                 baseline);
    }
    json_decref(root);
    return st;
}

static bool is_found(const apq_recipe *recipe) {
    return strcmp(recipe->finetune.policy, "found") == 0;
}

static apq_status read_lineup(const apq_session *session, lineup *out) {
    if (is_found(session->recipe)) {
        return read_found(session, out);
    }
    APQ_TRY(apq_app_choose_policy(
        &session->space, session->recipe->finetune.policy, &out->network));
    uint64_t hash = apq_policy_hash(&session->space, &out->network);
    apq_hash_hex(&hash, sizeof hash, out->hash);
    return APQ_OK;
}

static apq_status save_model(const apq_session *session, const contender *c,
                             const apq_model *model, const apq_nn_net *net,
                             const char *path) {
    char *policy = apq_policy_to_json(&session->space, &c->policy);
    apq_tensor_file *file = NULL;
    apq_status st = apq_session_tensor_file(session, "apq network 2", "policy",
                                            policy, &file);
    free(policy);
    if (st == APQ_OK) {
        st = apq_network_put_data(file, session->dataset);
    }
    if (st == APQ_OK) {
        st = apq_model_put(model, net, false, file);
    }
    if (st == APQ_OK) {
        st = apq_tensor_file_save(file, path);
    }
    apq_tensor_file_destroy(file);
    return st;
}

/* Accuracy of the network as deployed: integer codes, integer sums. */
static apq_status test_network(const apq_session *session, apq_nn_net *net,
                               apq_evaluation *out) {
    apq_loader *loader = NULL;
    APQ_TRY(apq_session_eval_loader(session, APQ_SPLIT_TEST, 0, &loader));
    apq_arena_reset(net->arena);
    apq_status st = apq_evaluate(net, loader, false, out);
    apq_loader_destroy(loader);
    return st;
}

static uint64_t finetune_seed(const apq_recipe *recipe) {
    int seed = recipe->finetune.seed;
    return seed < 0 ? recipe->seed : (uint64_t)seed;
}

/* The checkpoint stays until the step is finished: a kill while the second
 * network is tuned must not cost the first one's training. */
static apq_status tune_and_test(const apq_session *session, contender *c,
                                apq_model *model, apq_nn_net *net) {
    const apq_recipe *r = session->recipe;
    char checkpoint[APQ_PATH_MAX], path[APQ_PATH_MAX], log[APQ_PATH_MAX];
    char label[64];
    bool is_dropped;
    APQ_TRY(apq_rundir_file(session->dir, c->checkpoint, checkpoint));
    APQ_TRY(apq_rundir_file(session->dir, c->file, path));
    APQ_TRY(apq_rundir_file(session->dir, "finetune.jsonl", log));
    APQ_TRY(apq_checkpoint_drop_other(checkpoint, c->input, &is_dropped));
    if (is_dropped) {
        apq_note(session->progress,
                 "%s: of another policy or recipe, starting anew", checkpoint);
    }
    (void)snprintf(label, sizeof label, "fine-tune %s", c->name);
    APQ_TRY(apq_finetune(model, net, session->dataset,
                         &(apq_finetune_options){
                             .backend = session->backend,
                             .precision = (apq_precision)r->finetune.dtype,
                             .progress = session->progress,
                             .checkpoint_path = checkpoint,
                             .input = c->input,
                             .checkpoint_s = r->checkpoint_s,
                             .label = label,
                             .log_path = log,
                             .log_name = c->name,
                             .seed = finetune_seed(r),
                             .epochs = r->finetune.epochs,
                             .batch = r->finetune.batch,
                             .learning_rate = r->finetune.learning_rate,
                             .momentum = r->train.momentum,
                             .weight_decay = r->finetune.weight_decay,
                             .label_smoothing = r->finetune.label_smoothing,
                             .teacher = c->teacher,
                             .recalibrate_images = 2000,
                             .loader_threads = 1,
                         }));
    APQ_TRY(save_model(session, c, model, net, path));
    APQ_TRY(apq_file_hash(path, c->hash));
    return test_network(session, net, &c->test);
}

static apq_status tune_contender(const apq_session *session, contender *c) {
    apq_arena *arena;
    APQ_TRY(apq_arena_create(&arena));
    apq_model *model = NULL;
    apq_nn_net net = {0};
    apq_status st = apq_supernet_extract(
        session->supernet, &c->policy,
        (apq_quantiser)session->recipe->finetune.quantiser, &model);
    if (st == APQ_OK) {
        st = apq_model_bind(model, session->backend, arena, &net);
    }
    if (st == APQ_OK) {
        st = tune_and_test(session, c, model, &net);
    }
    apq_nn_net_fini(&net);
    apq_model_destroy(model);
    apq_arena_destroy(arena);
    return st;
}

static apq_status price(const apq_session *session, const apq_policy *policy,
                        apq_cost *out) {
    apq_target *target;
    APQ_TRY(apq_target_load(session->recipe->target, &target));
    apq_ir_network ir;
    apq_status st = apq_policy_lower(&session->space, policy, &ir);
    if (st == APQ_OK) {
        st = apq_cost_network(target, &ir, out);
    }
    apq_target_destroy(target);
    return st;
}

static json_t *contender_json(const apq_session *session, const contender *c) {
    json_t *out = json_object();
    json_object_set_new(out, "policy",
                        apq_json_policy(&session->space, &c->policy));
    json_object_set_new(out, "cost", apq_json_cost(&c->cost));
    json_object_set_new(out, "test_top1", json_real(c->test.top1));
    json_object_set_new(out, "test_loss", json_real(c->test.loss));
    json_object_set_new(out, "test_count", json_integer(c->test.count));
    json_object_set_new(out, "train_count",
                        json_integer((json_int_t)apq_dataset_length(
                            session->dataset, APQ_SPLIT_TRAIN)));
    json_object_set_new(out, "val_count",
                        json_integer((json_int_t)apq_dataset_length(
                            session->dataset, APQ_SPLIT_VAL)));
    json_object_set_new(out, "file", json_string(c->file));
    json_object_set_new(out, "hash", json_string(c->hash));
    return out;
}

/* NULL where the recipe asks for none. */
static apq_status open_teacher(const apq_session *session, apq_teacher **out) {
    *out = NULL;
    if (session->recipe->finetune.distill == 0) {
        return APQ_OK;
    }
    apq_loader *loader;
    APQ_TRY(apq_session_calibration_loader(session, &loader));
    apq_status st = apq_teacher_create(session->supernet, session->backend,
                                       loader, TEACHER_BATCHES, out);
    apq_loader_destroy(loader);
    return st;
}

static apq_status tune_all(apq_session *session, const lineup *policies,
                           apq_teacher *teacher, const char *path,
                           const char *input) {
    const apq_recipe *r = session->recipe;
    const char *baseline = is_found(r) ? r->finetune.baseline : "none";
    bool has_baseline = policies->has_baseline;
    contender winner = {.name = "network",
                        .file = "network.safetensors",
                        .checkpoint = k_checkpoints[0],
                        .input = input,
                        .teacher = teacher,
                        .policy = policies->network};
    contender uniform = {.name = "baseline",
                         .file = "baseline.safetensors",
                         .checkpoint = k_checkpoints[1],
                         .input = input,
                         .teacher = teacher,
                         .policy = policies->baseline};
    APQ_TRY(price(session, &winner.policy, &winner.cost));
    APQ_TRY(tune_contender(session, &winner));
    if (has_baseline) {
        /* Metered apart: only a comparison needs the baseline. */
        APQ_TRY(apq_stopwatch_write(&session->stopwatch));
        APQ_TRY(apq_session_begin(session, "baseline", input));
        APQ_TRY(price(session, &uniform.policy, &uniform.cost));
        APQ_TRY(tune_contender(session, &uniform));
    }
    json_t *root = json_object();
    json_object_set_new(root, "schema_version", json_integer(1));
    json_object_set_new(root, "network", contender_json(session, &winner));
    json_object_set_new(root, "baseline_name", json_string(baseline));
    json_object_set_new(root, "baseline",
                        has_baseline ? contender_json(session, &uniform)
                                     : json_null());
    return apq_json_write(root, DIGITS, path);
}

/* Of what the networks are, not of where they were read. */
static apq_status input_of(const apq_session *session, const char *weights,
                           const char *policies, char input[APQ_HASH_MAX]) {
    char salt[2 * APQ_HASH_MAX + 32];
    apq_recipe recipe = *session->recipe, standard;
    int n = snprintf(salt, sizeof salt, "%s %s", weights, policies);
    apq_recipe_default(&standard);
    if (recipe.train.momentum != standard.train.momentum) {
        (void)snprintf(salt + n, sizeof salt - (size_t)n, " %.17g",
                       recipe.train.momentum);
    }
    if (!is_found(&recipe)) {
        recipe.finetune.policy[0] = '\0';
    }
    apq_session nameless = *session;
    nameless.recipe = &recipe;
    return apq_session_input_hash(&nameless, "finetune", salt, input);
}

/* Are the networks those of finetune.json? A fine-tuning that was interrupted
 * may have replaced them since. Files of earlier versions tell no hashes. */
static apq_status check_networks(const apq_session *session, const char *path,
                                 bool *are_whole) {
    json_t *root;
    *are_whole = true;
    APQ_TRY(apq_json_read(path, &root));
    apq_status st = APQ_OK;
    const char *name;
    json_t *row;
    json_object_foreach(root, name, row) {
        const char *of = json_string_value(json_object_get(row, "file"));
        const char *hash = json_string_value(json_object_get(row, "hash"));
        char file[APQ_PATH_MAX], now[APQ_HASH_MAX] = "";
        if (st != APQ_OK || of == NULL || hash == NULL) {
            continue;
        }
        st = apq_rundir_file(session->dir, of, file);
        if (st == APQ_OK && apq_file_exists(file)) {
            st = apq_file_hash(file, now);
        }
        if (st == APQ_OK && strcmp(hash, now) != 0) {
            apq_note(session->progress,
                     "finetune: again, %s is not of finetune.json", file);
            *are_whole = false;
        }
    }
    json_decref(root);
    return st;
}

static apq_status is_done(const apq_session *session, const char *input,
                          const char *path, bool *out) {
    *out = apq_rundir_step_done(session->dir, "finetune", input);
    if (*out && apq_file_exists(path)) {
        APQ_TRY(check_networks(session, path, out));
    }
    *out = *out && apq_session_has(session, "finetune", input, path);
    return APQ_OK;
}

/* Also of a step that was killed after its end; those of another fine-tuning
 * are kept, which goes on with them. */
static apq_status drop_checkpoints(const apq_session *session,
                                   const char *input) {
    char path[APQ_PATH_MAX];
    for (int i = 0; i < 2; i++) {
        APQ_TRY(apq_rundir_file(session->dir, k_checkpoints[i], path));
        APQ_TRY(apq_checkpoint_drop_own(path, input));
    }
    return APQ_OK;
}

/* As they are written, to DIGITS. */
static bool is_same_cost(const json_t *a, const json_t *b) {
    const size_t flags = JSON_SORT_KEYS | JSON_REAL_PRECISION(DIGITS);
    char *left = json_dumps(a, flags), *right = json_dumps(b, flags);
    bool is_same = left != NULL && right != NULL && strcmp(left, right) == 0;
    free(left);
    free(right);
    return is_same;
}

static apq_status reprice_row(const apq_session *session, json_t *row,
                              const apq_policy *policy, bool *is_changed) {
    apq_cost cost;
    APQ_TRY(price(session, policy, &cost));
    json_t *now = apq_json_cost(&cost);
    if (is_same_cost(json_object_get(row, "cost"), now)) {
        json_decref(now);
        return APQ_OK;
    }
    *is_changed = true;
    return json_object_set_new(row, "cost", now) == 0
               ? APQ_OK
               : APQ_ERROR(APQ_ERR_FORMAT,
                           "finetune.json: a network is missing");
}

/* What is done before is of any target: nothing is trained for one, but prices
 * are of the recipe's. */
static apq_status reprice(const apq_session *session, const lineup *policies,
                          const char *path, const char *input) {
    json_t *root;
    bool is_changed = false;
    APQ_TRY(apq_json_read(path, &root));
    apq_status st = reprice_row(session, json_object_get(root, "network"),
                                &policies->network, &is_changed);
    if (st == APQ_OK && policies->has_baseline) {
        st = reprice_row(session, json_object_get(root, "baseline"),
                         &policies->baseline, &is_changed);
    }
    if (st != APQ_OK || !is_changed) {
        json_decref(root);
        return st;
    }
    char artefact[APQ_HASH_MAX];
    APQ_TRY(apq_json_write(root, DIGITS, path));
    apq_note(session->progress, "finetune: %s has the prices of %s now", path,
             session->recipe->target);
    APQ_TRY(apq_file_hash(path, artefact));
    return apq_rundir_step_mark(session->dir, "finetune", input, artefact);
}

static apq_status finetune_into(apq_session *session) {
    char supernet[APQ_PATH_MAX], path[APQ_PATH_MAX], weights[APQ_HASH_MAX];
    char input[APQ_HASH_MAX], artefact[APQ_HASH_MAX];
    lineup policies = {.has_baseline = false};
    APQ_TRY(apq_rundir_need(apq_rundir_path(session->dir),
                            "supernet.safetensors", supernet));
    APQ_TRY(apq_rundir_file(session->dir, "finetune.json", path));
    APQ_TRY(apq_file_hash(supernet, weights));
    APQ_TRY(read_lineup(session, &policies));
    APQ_TRY(input_of(session, weights, policies.hash, input));
    bool has_all;
    APQ_TRY(is_done(session, input, path, &has_all));
    if (has_all) {
        APQ_TRY(reprice(session, &policies, path, input));
        return drop_checkpoints(session, input);
    }
    APQ_TRY(apq_session_check_qat(session));
    APQ_TRY(apq_session_load_supernet(session, supernet));
    APQ_TRY(apq_session_begin(session, "finetune", input));
    apq_teacher *teacher;
    APQ_TRY(open_teacher(session, &teacher));
    apq_status st = tune_all(session, &policies, teacher, path, input);
    apq_teacher_destroy(teacher);
    APQ_TRY(st);
    APQ_TRY(apq_file_hash(path, artefact));
    APQ_TRY(apq_session_finish(session, "finetune", input, artefact));
    return drop_checkpoints(session, input);
}

apq_status apq_app_finetune(const apq_recipe *recipe, const char *run_dir,
                            const apq_progress *progress,
                            const apq_progress *results) {
    APQ_TRY(apq_session_run(recipe, run_dir, progress, true, finetune_into));
    return apq_results_finetune(recipe, run_dir, results);
}
