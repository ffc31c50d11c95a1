/* Opening what the steps share, and the provenance that ties their files
 * together. */
#include "app/session.h"

#include "app/machine.h"
#include "app/run_space.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALIBRATION_BATCH = 125, LOADER_THREADS = 1 };

apq_status apq_session_open(apq_session *session, const apq_recipe *recipe,
                            const apq_progress *progress) {
    *session =
        (apq_session){.recipe = recipe, .progress = &session->stopwatch.base};
    apq_stopwatch_start(&session->stopwatch, recipe->checkpoint_s, progress);
    APQ_TRY(apq_space_load_text(recipe->space, &session->space,
                                &session->space_text));
    apq_recipe_set_accounting(recipe, &session->space);
    APQ_TRY(apq_backend_find(recipe->backend, &session->backend));
    apq_machine_set_threads(recipe->threads);
    apq_space_hash(&session->space, session->space_hash);
    return APQ_OK;
}

void apq_session_join(apq_session *session, apq_comm *comm) {
    int size = apq_comm_size(comm), n_local = apq_comm_local_size(comm);
    session->comm = comm;
    if (size == 1) {
        return;
    }
    apq_stopwatch_share(&session->stopwatch, size,
                        (size + n_local - 1) / n_local);
    if (session->recipe->threads > 0) {
        return;
    }
    int share = apq_machine_share_threads(n_local);
    if (share > apq_backend_threads()) {
        apq_note(session->progress,
                 "a process may run on %d of its %d processors: mpirun "
                 "--bind-to none lifts this",
                 apq_backend_threads(), share);
    }
}

static apq_status settle_data(const apq_session *session, apq_rundir *dir,
                              apq_rundir_settle settle) {
    char n_val[32];
    APQ_TRY(settle(dir, "data_hash", apq_dataset_hash(session->dataset)));
    /* Which images these are follows from their number. */
    (void)snprintf(n_val, sizeof n_val, "%zu",
                   apq_dataset_length(session->dataset, APQ_SPLIT_VAL));
    return settle(dir, "n_val", n_val);
}

apq_status apq_session_bind_data(const apq_session *session, apq_rundir *dir) {
    return settle_data(session, dir, apq_rundir_bind);
}

static apq_status settle_run(apq_session *session, apq_rundir_settle settle) {
    apq_rundir *dir = session->dir;
    char seed[32];
    (void)snprintf(seed, sizeof seed, "%llu",
                   (unsigned long long)session->recipe->seed);
    APQ_TRY(settle(dir, "space", session->space.name));
    APQ_TRY(settle(dir, "space_hash", session->space_hash));
    APQ_TRY(settle(dir, "seed", seed));
    return session->dataset == NULL ? APQ_OK
                                    : settle_data(session, dir, settle);
}

apq_status apq_session_open_run(apq_session *session, const char *run_dir) {
    APQ_TRY(apq_rundir_open(run_dir, true, &session->dir));
    return settle_run(session, apq_rundir_check);
}

apq_status apq_session_check_run(const char *run_dir) {
    char manifest[APQ_PATH_MAX], supernet[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(manifest, run_dir, "manifest.json"));
    APQ_TRY(apq_path_join(supernet, run_dir, "supernet.safetensors"));
    if (!apq_file_exists(manifest) && !apq_file_exists(supernet)) {
        APQ_FAIL(APQ_ERR_IO, "%s: no run and no supernet: run 'apq train'",
                 run_dir);
    }
    return APQ_OK;
}

apq_status apq_session_open_shared_run(apq_session *session,
                                       const char *run_dir) {
    APQ_TRY(apq_rundir_open_shared(run_dir, true, &session->dir));
    return settle_run(session, apq_rundir_check);
}

apq_status apq_session_run(const apq_recipe *recipe, const char *run_dir,
                           const apq_progress *progress, bool has_data,
                           apq_session_step step) {
    apq_session session;
    apq_status st = apq_session_open(&session, recipe, progress);
    if (st == APQ_OK) {
        st = apq_session_check_run(run_dir);
    }
    if (st == APQ_OK && has_data) {
        st = apq_session_open_data(&session);
    }
    if (st == APQ_OK) {
        st = apq_session_open_run(&session, run_dir);
    }
    if (st == APQ_OK) {
        st = step(&session);
    }
    apq_session_fini(&session);
    return st;
}

bool apq_session_has(const apq_session *session, const char *step,
                     const char *input, const char *path) {
    if (!apq_rundir_step_done(session->dir, step, input)) {
        return false;
    }
    bool is_there = apq_file_exists(path);
    apq_note(session->progress,
             is_there ? "%s: done before, %s" : "%s: again, %s is gone", step,
             path);
    return is_there;
}

apq_status apq_session_begin(apq_session *session, const char *step,
                             const char *input) {
    APQ_TRY(settle_run(session, apq_rundir_bind));
    APQ_TRY(apq_run_space_keep(session->dir, session->space_text));
    return apq_stopwatch_assign(&session->stopwatch,
                                apq_rundir_path(session->dir), step, input);
}

apq_status apq_session_finish(apq_session *session, const char *step,
                              const char *input, const char *artefact) {
    APQ_TRY(apq_stopwatch_write(&session->stopwatch));
    session->stopwatch.path[0] = '\0';
    return apq_rundir_step_mark(session->dir, step, input, artefact);
}

void apq_session_fini(apq_session *session) {
    /* Of a step that was stopped or failed: what it spent so far. */
    apq_status st = apq_stopwatch_write(&session->stopwatch);
    (void)st;
    apq_supernet_destroy(session->supernet);
    apq_dataset_destroy(session->dataset);
    apq_rundir_close(session->dir);
    free(session->space_text);
    session->space_text = NULL;
    session->supernet = NULL;
    session->dataset = NULL;
    session->dir = NULL;
}

/* The network would read other numbers, or beyond the last image. */
static apq_status check_channels(const apq_session *session) {
    int channels = apq_dataset_channels(session->dataset);
    if (session->space.image_channels != channels) {
        APQ_FAIL(APQ_ERR_ARG,
                 "space %s: image_channels %d, images of the data have %d",
                 session->space.name, session->space.image_channels, channels);
    }
    return APQ_OK;
}

apq_status apq_session_open_data(apq_session *session) {
    const apq_recipe *r = session->recipe;
    if (r->data[0] == '\0') {
        APQ_FAIL(APQ_ERR_ARG, "no data given: use --data PATH or the recipe's "
                              "'data' key");
    }
    apq_data_options options = APQ_DATA_OPTIONS_INIT;
    options.resolution = session->space.resolution;
    options.n_val = r->n_val;
    options.progress = session->progress;
    APQ_TRY(apq_dataset_open(r->data, &options, &session->dataset));
    APQ_TRY(check_channels(session));
    apq_space_set_classes(&session->space,
                          apq_dataset_classes(session->dataset));
    return APQ_OK;
}

/* A recipe's section as JSON; NULL without memory. */
static json_t *section_of(const apq_recipe *recipe, const char *section) {
    char *text = apq_recipe_to_json(recipe);
    json_t *root = text == NULL ? NULL : json_loads(text, 0, NULL);
    json_t *part = json_incref(json_object_get(root, section));
    free(text);
    json_decref(root);
    return part;
}

/* Keys at their defaults are left out, so that a key added later does not make
 * other inputs of those before. A default that changes needs a new key. */
static char *changed_keys(const apq_recipe *recipe, const char *section) {
    apq_recipe standard;
    apq_recipe_default(&standard);
    json_t *part = section_of(recipe, section);
    json_t *defaults = section_of(&standard, section);
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(part, next, key, value) {
        if (json_equal(value, json_object_get(defaults, key))) {
            (void)json_object_del(part, key);
        }
    }
    char *text = part == NULL || defaults == NULL
                     ? NULL
                     : json_dumps(part, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(part);
    json_decref(defaults);
    return text;
}

void apq_session_changes(const apq_recipe *earlier, const apq_recipe *now,
                         const char *section, char *out, size_t size) {
    json_t *before = section_of(earlier, section);
    json_t *after = section_of(now, section);
    const char *key;
    json_t *value;
    size_t n = 0;
    out[0] = '\0';
    json_object_foreach(after, key, value) {
        const json_t *other = json_object_get(before, key);
        if (json_equal(value, other) || n >= size) {
            continue;
        }
        const size_t flags = JSON_ENCODE_ANY | JSON_REAL_PRECISION(12);
        char *old_text = json_dumps(other, flags);
        char *new_text = json_dumps(value, flags);
        if (old_text != NULL && new_text != NULL) {
            n += (size_t)snprintf(out + n, size - n, "%s%s.%s %s, now %s",
                                  n > 0 ? "; " : "", section, key, old_text,
                                  new_text);
        }
        free(old_text);
        free(new_text);
    }
    json_decref(before);
    json_decref(after);
}

apq_status apq_session_input_hash(const apq_session *session,
                                  const char *section, const char *salt,
                                  char out[APQ_HASH_MAX]) {
    char *part = changed_keys(session->recipe, section);
    if (part == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "recipe section '%s': out of memory", section);
    }
    char all[8192];
    (void)snprintf(all, sizeof all, "%s|%s|%llu|%s", part, session->space_hash,
                   (unsigned long long)session->recipe->seed, salt);
    free(part);
    apq_hash_hex(all, strlen(all), out);
    return APQ_OK;
}

apq_status apq_session_check_same(const apq_session *session, const char *what,
                                  const char *hash) {
    char first[APQ_HASH_MAX];
    (void)snprintf(first, sizeof first, "%s", hash);
    apq_comm_broadcast(session->comm, 0, first, sizeof first);
    return apq_comm_agree(session->comm,
                          strcmp(first, hash) == 0
                              ? APQ_OK
                              : APQ_ERROR(APQ_ERR_ARG,
                                          "its %s are not those of process 0",
                                          what));
}

apq_status apq_session_check_same_images(const apq_session *session) {
    char text[2 * APQ_HASH_MAX + 32], hash[APQ_HASH_MAX];
    (void)snprintf(text, sizeof text, "%s %zu",
                   apq_dataset_hash(session->dataset),
                   apq_dataset_length(session->dataset, APQ_SPLIT_VAL));
    apq_hash_hex(text, strlen(text), hash);
    return apq_session_check_same(session, "images", hash);
}

apq_status apq_session_check_precision(const apq_session *session,
                                       apq_precision precision) {
    if (precision == APQ_BFLOAT16 && !session->backend->has_bfloat16) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "backend \"%s\" computes in float32 only, not in bfloat16",
                 session->backend->name);
    }
    return APQ_OK;
}

static apq_status check_qat(const apq_session *session, const char *key,
                            int precision, int quantiser) {
    if (precision == APQ_BFLOAT16 && quantiser == APQ_QUANTISER_LSQ) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "%s is bfloat16, but quantiser \"lsq\" is trained in float32",
                 key);
    }
    return apq_session_check_precision(session, (apq_precision)precision);
}

apq_status apq_session_check_qat(const apq_session *session) {
    const apq_recipe *r = session->recipe;
    APQ_TRY(check_qat(session, "collect.qat_dtype", r->collect.qat_dtype,
                      r->collect.quantiser));
    return check_qat(session, "finetune.dtype", r->finetune.dtype,
                     r->finetune.quantiser);
}

apq_status apq_session_tensor_file(const apq_session *session,
                                   const char *format, const char *key,
                                   const char *value, apq_tensor_file **out) {
    if (value == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s, %s: out of memory", format, key);
    }
    apq_tensor_file *file;
    APQ_TRY(apq_tensor_file_create(&file));
    char classes[16];
    (void)snprintf(classes, sizeof classes, "%d", session->space.n_classes);
    const char *const meta[][2] = {
        {"format", format},
        {"space", session->space.name},
        {"space_hash", session->space_hash},
        {"classes", classes},
        {"data_hash", apq_dataset_hash(session->dataset)},
        {key, value},
        {"space_text", session->space_text},
    };
    apq_status st = APQ_OK;
    for (size_t i = 0; st == APQ_OK && i < sizeof meta / sizeof meta[0]; i++) {
        st = meta[i][1] == NULL
                 ? APQ_OK
                 : apq_tensor_file_put_meta(file, meta[i][0], meta[i][1]);
    }
    if (st == APQ_OK) {
        *out = file; /* success: ownership moves to the caller */
        file = NULL;
    }
    apq_tensor_file_destroy(file);
    return st;
}

apq_status apq_session_save_supernet(apq_session *session, const char *path) {
    char *recipe = apq_recipe_to_json(session->recipe);
    apq_tensor_file *file = NULL;
    apq_status st = apq_session_tensor_file(session, "apq supernet 1", "recipe",
                                            recipe, &file);
    free(recipe);
    if (st == APQ_OK && apq_supernet_has_steps(session->supernet)) {
        st = apq_tensor_file_put_meta(file, "bits", "shared");
    }
    if (st == APQ_OK) {
        st =
            apq_params_put(apq_supernet_params(session->supernet), false, file);
    }
    if (st == APQ_OK) {
        st = apq_tensor_file_save(file, path);
    }
    apq_tensor_file_destroy(file);
    return st;
}

static apq_status check_supernet(const apq_session *session,
                                 const apq_tensor_file *file, const char *path,
                                 int *n_classes) {
    const char *hash = apq_tensor_file_meta(file, "space_hash");
    const char *name = apq_tensor_file_meta(file, "space");
    *n_classes = 0;
    APQ_TRY(
        apq_tensor_file_check_format(file, "apq supernet", "a supernet", 1));
    APQ_TRY(apq_tensor_file_meta_int(file, "classes", 1, APQ_MAX_CLASSES,
                                     n_classes));
    if (hash == NULL || name == NULL || *n_classes == 0) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: not a supernet of apq", path);
    }
    if (strcmp(hash, session->space_hash) != 0) {
        APQ_FAIL(APQ_ERR_MISMATCH, "%s: made for space %s (%s), now %s (%s)",
                 path, name, hash, session->space.name, session->space_hash);
    }
    if (session->dataset != NULL && *n_classes != session->space.n_classes) {
        APQ_FAIL(APQ_ERR_MISMATCH, "%s: made for %d classes, now %d", path,
                 *n_classes, session->space.n_classes);
    }
    return APQ_OK;
}

apq_status apq_session_open_supernet(const apq_session *session,
                                     const char *path, int *n_classes,
                                     apq_tensor_file **out) {
    apq_tensor_file *file;
    APQ_TRY(apq_tensor_file_load(path, &file));
    apq_status st = check_supernet(session, file, path, n_classes);
    if (st != APQ_OK) {
        apq_tensor_file_destroy(file);
        return st;
    }
    *out = file;
    return APQ_OK;
}

/* Of the file's kind, with first weights. */
static apq_status create_for(apq_session *session, const apq_tensor_file *file,
                             const char *path) {
    const char *bits = apq_tensor_file_meta(file, "bits");
    if (bits == NULL) {
        return apq_supernet_create(&session->space, session->recipe->seed,
                                   &session->supernet);
    }
    if (strcmp(bits, "shared") != 0) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: unknown bits \"%s\"", path, bits);
    }
    return apq_supernet_create_shared(&session->space, session->recipe->seed,
                                      &session->supernet);
}

apq_status apq_session_load_supernet(apq_session *session, const char *path) {
    apq_tensor_file *file;
    int n_classes;
    APQ_TRY(apq_session_open_supernet(session, path, &n_classes, &file));
    apq_space_set_classes(&session->space, n_classes);
    apq_status st = create_for(session, file, path);
    if (st == APQ_OK) {
        st =
            apq_params_get(apq_supernet_params(session->supernet), false, file);
    }
    apq_tensor_file_destroy(file);
    if (st == APQ_OK &&
        !apq_params_finite(apq_supernet_params(session->supernet))) {
        st = APQ_ERROR(APQ_ERR_FORMAT, "%s: a weight is not finite", path);
    }
    return st;
}

apq_status apq_session_calibration_loader(const apq_session *session,
                                          apq_loader **out) {
    return apq_loader_create(session->dataset,
                             &(apq_loader_options){
                                 .split = APQ_SPLIT_TRAIN,
                                 .batch = CALIBRATION_BATCH,
                                 .augment = true,
                                 .shuffle = true,
                                 .seed = session->recipe->seed,
                                 .n_threads = LOADER_THREADS,
                                 .progress = session->progress,
                             },
                             out);
}

int apq_session_calibration_batches(const apq_session *session) {
    int n = session->recipe->collect.recalibrate_images;
    return (n + CALIBRATION_BATCH - 1) / CALIBRATION_BATCH;
}

apq_loader_options apq_session_eval_options(const apq_session *session,
                                            apq_split split, size_t limit) {
    int n_parts = apq_comm_size(session->comm);
    return (apq_loader_options){
        .split = split,
        .batch = n_parts * APQ_EVAL_BATCH,
        .limit = limit,
        .seed = session->recipe->seed,
        .n_threads = LOADER_THREADS,
        .progress = session->progress,
        .part = apq_comm_rank(session->comm),
        .n_parts = n_parts,
    };
}

apq_status apq_session_eval_loader(const apq_session *session, apq_split split,
                                   size_t limit, apq_loader **out) {
    apq_loader_options options =
        apq_session_eval_options(session, split, limit);
    return apq_loader_create(session->dataset, &options, out);
}
