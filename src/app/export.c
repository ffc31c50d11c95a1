/* `apq export` and `apq verify`: load the network, write a format, run it. */
#include "app/export.h"

#include "app/export_earlier.h"
#include "app/export_job.h"
#include "app/export_place.h"
#include "app/export_stage.h"
#include "app/json.h"
#include "base/path.h"
#include "export/c99.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

apq_status apq_app_export_check(const apq_export_request *r) {
    const apq_export_format *format = apq_export_format_find(r->format);
    if (format == NULL) {
        APQ_FAIL(APQ_ERR_ARG, "export format \"%s\": not known", r->format);
    }
    if (r->is_packed && !format->may_pack) {
        APQ_FAIL(APQ_ERR_ARG, "--storage packed is not for --format %s",
                 format->name);
    }
    if (r->is_function_left_out && !format->has_intquant) {
        APQ_FAIL(APQ_ERR_ARG, "--no-function is not for --format %s",
                 format->name);
    }
    if (r->is_called_quant && !format->has_intquant) {
        APQ_FAIL(APQ_ERR_ARG, "--quant-op is not for --format %s",
                 format->name);
    }
    if (r->is_scaled && !format->has_intquant) {
        APQ_FAIL(APQ_ERR_ARG, "--scaled is not for --format %s", format->name);
    }
    if (r->prefix != NULL && !format->may_have_prefix) {
        APQ_FAIL(APQ_ERR_ARG, "--prefix is not for --format %s", format->name);
    }
    return r->prefix == NULL ? APQ_OK : apq_c99_check_prefix(r->prefix);
}

static bool has_ending(const char *path, const char *ending) {
    size_t n = strlen(path), n_ending = strlen(ending);
    return n > n_ending && strcmp(path + n - n_ending, ending) == 0;
}

/* The exported file and its manifest: FILE.onnx and manifest.json beside it, or
 * both in a folder. */
static apq_status find_places(const apq_export_format *format, const char *path,
                              char file[APQ_PATH_MAX],
                              char manifest[APQ_PATH_MAX]) {
    if (format->ending == NULL) {
        APQ_TRY(apq_path_join(file, path, format->member));
        return apq_path_join(manifest, path, "manifest.json");
    }
    if (!has_ending(path, format->ending) || apq_dir_exists(path)) {
        char name[64];
        (void)snprintf(name, sizeof name, "network%s", format->ending);
        APQ_TRY(apq_path_join(file, path, name));
        return apq_path_join(manifest, path, "manifest.json");
    }
    char dir[APQ_PATH_MAX];
    apq_path_folder(path, dir);
    (void)snprintf(file, APQ_PATH_MAX, "%s", path);
    return apq_path_join(manifest, dir, "manifest.json");
}

/* The manifest tells the name to `apq verify`, and JSON is UTF-8. */
static apq_status check_name(const char *file) {
    json_t *name = json_string(apq_path_name(file));
    bool is_utf8 = name != NULL;
    json_decref(name);
    if (!is_utf8) {
        APQ_FAIL(APQ_ERR_ARG, "%s: the file has a name that is not UTF-8",
                 file);
    }
    return APQ_OK;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

/* At least `n_images` to verify with, as far as builtin:shapes draws so many;
 * the loader takes no more. 0 is all: 1000. */
static apq_status open_drawn(apq_session *s, int64_t n_images) {
    const apq_recipe *given = s->recipe;
    apq_recipe recipe = *given;
    (void)snprintf(recipe.data, sizeof recipe.data,
                   "builtin:shapes?train=100&test=%" PRId64 "&size=%" PRId64,
                   n_images > 0 ? clamp(n_images, 10, 1000000) : INT64_C(1000),
                   clamp(s->space.resolution, 8, 256));
    recipe.n_val = -1;
    s->recipe = &recipe;
    apq_status st = apq_session_open_data(s);
    s->recipe = given;
    return st;
}

/* Whether labels of the dataset mean the classes of the network: by their names
 * or, where the network's file knows none, as the images are those that it was
 * trained on. */
static bool has_same_classes(const apq_dataset *data,
                             const apq_network_file *network) {
    int n = apq_dataset_classes(data);
    bool is_same = n == network->n_classes;
    if (is_same && network->class_names == NULL) {
        return strcmp(apq_dataset_hash(data), network->data_hash) == 0;
    }
    for (int i = 0; is_same && i < n; i++) {
        is_same = strcmp(apq_dataset_class_name(data, i),
                         network->class_names[i]) == 0;
    }
    return is_same;
}

/* Of the images that the recipe names; where they are not asked for and not
 * there, of drawn ones. Says in `images` which. */
static apq_status open_images(apq_export_job *job,
                              char images[APQ_IMAGES_MAX]) {
    apq_session *s = &job->session;
    int n_classes = s->space.n_classes;
    apq_status st = apq_session_open_data(s);
    job->is_drawn = st == APQ_ERR_IO && !job->request->needs_data;
    if (job->is_drawn) {
        const char *why =
            job->request->has_data ? apq_error_message() : "no data are named";
        (void)snprintf(images, APQ_IMAGES_MAX, "drawn (%s)", why);
        if (!job->network.has_statistics) {
            apq_note(s->progress, "%s: the normalisation is not known", why);
        }
        st = open_drawn(s, job->request->n_images);
    }
    APQ_TRY(st);
    if (!job->is_drawn) {
        (void)snprintf(images, APQ_IMAGES_MAX, "%s (%s)", s->recipe->data,
                       apq_dataset_hash(s->dataset));
    }
    apq_space_set_classes(&s->space, n_classes);
    job->has_classes =
        !job->is_drawn && has_same_classes(s->dataset, &job->network);
    job->has_normalisation =
        strcmp(apq_dataset_hash(s->dataset), job->network.data_hash) == 0;
    apq_dataset_normalisation(s->dataset, job->mean, job->std);
    if (job->network.has_statistics) {
        job->has_normalisation = true;
        memcpy(job->mean, job->network.mean, sizeof job->mean);
        memcpy(job->std, job->network.std, sizeof job->std);
    }
    return APQ_OK;
}

static apq_status open_job(apq_export_job *job, const apq_recipe *recipe,
                           const char *run_dir_or_null,
                           const apq_progress *progress,
                           char images[APQ_IMAGES_MAX]) {
    APQ_TRY(apq_session_open(&job->session, recipe, progress));
    APQ_TRY(apq_network_file_load(&job->session, job->request->model,
                                  run_dir_or_null, &job->network));
    return open_images(job, images);
}

static void close_job(apq_export_job *job) {
    json_decref(job->expected);
    json_decref(job->changed);
    apq_network_file_fini(&job->network);
    apq_session_fini(&job->session);
}

static apq_status run_verification(apq_export_job *job,
                                   const apq_export_format *format,
                                   apq_export_answer *out) {
    apq_loader *loader;
    APQ_TRY(apq_session_eval_loader(&job->session, APQ_SPLIT_TEST,
                                    (size_t)job->request->n_images, &loader));
    apq_status st = apq_loader_start(loader, 0, 0);
    if (st == APQ_OK) {
        st = format->verify(job, out->file, loader, &out->verification);
        out->verification.has_correct &= job->has_classes;
    }
    apq_loader_destroy(loader);
    if (st == APQ_OK) {
        out->is_verified = true;
        apq_manifest_set_row(out->manifest, job, &out->verification);
    }
    return st;
}

static apq_status check_normalisation(const apq_export_job *job,
                                      const apq_export_format *format) {
    if (format->reads_pixels && !job->has_normalisation) {
        APQ_FAIL(APQ_ERR_ARG,
                 "%s does not tell the mean and deviation of its images, which "
                 "--format %s needs: name them with --data",
                 job->network.path, format->name);
    }
    return APQ_OK;
}

/* All files of the export, `file` and the manifest among them, into the stage.
 */
static apq_status write_staged(const apq_export_job *job,
                               const apq_export_format *format,
                               const apq_export_stage *stage,
                               apq_export_answer *out) {
    char file[APQ_PATH_MAX], manifest[APQ_PATH_MAX];
    const char *slash = strrchr(out->file, '/');
    APQ_TRY(apq_path_join(file, stage->path,
                          slash == NULL ? out->file : slash + 1));
    APQ_TRY(apq_path_join(manifest, stage->path, "manifest.json"));
    APQ_TRY(format->write(job, file));
    out->manifest = apq_manifest_create(job, file);
    if (out->manifest == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", manifest);
    }
    return apq_json_write(json_incref(out->manifest), 9, manifest);
}

/* What --storage packed comes to, which may be nothing. */
static void note_packing(const apq_export_job *job) {
    if (!job->request->is_packed) {
        return;
    }
    const apq_int_model *m = job->network.model;
    int n = m->classifier.weight_bits <= 4, n_layers = m->n_convs + 1;
    for (int i = 0; i < m->n_convs; i++) {
        n += m->convs[i].ir.weight_bits <= 4;
    }
    if (n == 0) {
        apq_note(job->session.progress,
                 "none of %d layers has weights of up to 4 bits: none is "
                 "packed",
                 n_layers);
    } else {
        apq_note(job->session.progress,
                 "weights of %d of %d layers are packed, which saves storage "
                 "only: ONNX Runtime computes these layers in float, more "
                 "slowly",
                 n, n_layers);
    }
}

/* All of it, or nothing. */
static apq_status write_export(const apq_export_job *job,
                               const apq_export_format *format, const char *dir,
                               apq_export_answer *out) {
    apq_export_stage stage;
    APQ_TRY(apq_export_stage_open(&stage, dir));
    apq_status st = write_staged(job, format, &stage, out);
    if (st == APQ_OK) {
        st = apq_export_earlier_check(&stage, job->network.path);
    }
    if (st == APQ_OK) {
        st = apq_export_stage_commit(&stage);
    }
    apq_export_stage_close(&stage);
    return st;
}

/* The manifest is there without and then with the verification: an export is
 * described whatever the runtime does. */
static apq_status verify_written(apq_export_job *job,
                                 const apq_export_format *format,
                                 const char *manifest, apq_export_answer *out) {
    APQ_TRY(apq_file_hash(out->file, out->hash));
    out->how = format->obstacle(job->request);
    if (out->how != NULL) {
        return APQ_OK;
    }
    apq_status st = run_verification(job, format, out);
    if (st != APQ_OK) {
        return APQ_ERROR(st, "%s (%s is written, but not verified)",
                         apq_error_message(), out->file);
    }
    return apq_json_write(json_incref(out->manifest), 9, manifest);
}

static apq_status export_with(apq_export_job *job,
                              const apq_export_format *format,
                              apq_export_answer *out) {
    char manifest[APQ_PATH_MAX], dir[APQ_PATH_MAX];
    apq_export_place place;
    APQ_TRY(check_normalisation(job, format));
    APQ_TRY(find_places(format, job->request->path, out->file, manifest));
    APQ_TRY(check_name(out->file));
    apq_path_folder(manifest, dir);
    APQ_TRY(apq_export_place_make(&place, dir));
    apq_status st = apq_manifest_check(manifest, out->file);
    if (st == APQ_OK) {
        apq_export_read_expected(job);
        note_packing(job);
        st = write_export(job, format, dir, out);
    }
    if (st != APQ_OK) {
        apq_export_place_abandon(&place);
        return st;
    }
    st = verify_written(job, format, manifest, out);
    apq_export_place_close(&place);
    return st;
}

/* The same keys may mean other things in another version, and a row that is
 * added to no list would be lost. */
static apq_status check_form(const json_t *manifest, const char *path) {
    const json_t *version = json_object_get(manifest, "schema_version");
    const json_t *rows = json_object_get(manifest, "verification");
    if (!json_is_integer(version) || json_integer_value(version) != 1) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: schema_version is not 1", path);
    }
    bool is_list = json_is_array(rows);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        is_list = is_list && json_is_object(json_array_get(rows, i));
    }
    if (!is_list) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: verification is no list of objects",
                 path);
    }
    return APQ_OK;
}

/* The format and its options are those of the manifest. */
static apq_status read_export(const json_t *manifest, const char *path,
                              apq_export_request *request,
                              const apq_export_format **format) {
    APQ_TRY(apq_manifest_check_age(manifest, path));
    const char *name = json_string_value(json_object_get(manifest, "format"));
    *format = name == NULL ? NULL : apq_export_format_find(name);
    const char *file = json_string_value(json_object_get(manifest, "file"));
    if (*format == NULL || file == NULL || apq_path_name(file) != file) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: not the manifest of an export", path);
    }
    APQ_TRY(check_form(manifest, path));
    request->is_packed = json_is_true(json_object_get(manifest, "is_packed"));
    /* Manifests without the key are of a time when QONNX was of values. */
    request->is_scaled = !json_is_true(json_object_get(manifest, "has_codes"));
    request->is_function_left_out =
        (*format)->has_intquant &&
        !json_is_true(json_object_get(manifest, "has_function"));
    const char *how = (*format)->obstacle(request);
    if (how != NULL) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED, "%s: cannot be run: %s", path, how);
    }
    request->format = (*format)->name;
    return APQ_OK;
}

static apq_status check_source(const apq_export_job *job,
                               const json_t *manifest, const char *path) {
    const char *hash = json_string_value(
        json_object_get(json_object_get(manifest, "source"), "hash"));
    if (hash == NULL || strcmp(hash, job->network.hash) != 0) {
        /* The shipped one is rarely meant. */
        const char *hint = job->network.is_shipped
                               ? "; name the run or the file of the export's "
                                 "network with --run or --model"
                               : "";
        APQ_FAIL(APQ_ERR_MISMATCH, "%s: made from a network %s, %s is %s%s",
                 path, hash == NULL ? "of no hash" : hash, job->network.path,
                 job->network.hash, hint);
    }
    return APQ_OK;
}

/* To the message of a verification that failed: it may have failed by these. */
static apq_status add_changed(apq_status st, const json_t *changed) {
    char names[512] = "";
    size_t i, n = 0;
    const json_t *name;
    json_array_foreach(changed, i, name) {
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s",
                              i == 0 ? "" : ", ", json_string_value(name));
        n = n < sizeof names ? n : sizeof names - 1;
    }
    return i == 0 ? st
                  : APQ_ERROR(st, "%s (changed or gone since exported: %s)",
                              apq_error_message(), names);
}

/* A verdict is one also where the manifest cannot be written. */
static apq_status verify_with(apq_export_job *job,
                              const apq_export_format *format,
                              const char *manifest, apq_export_answer *out) {
    APQ_TRY(check_source(job, out->manifest, manifest));
    APQ_TRY(check_normalisation(job, format));
    job->changed = json_array();
    APQ_TRY(apq_manifest_find_changes(out->manifest, out->file, job->changed));
    apq_status st = run_verification(job, format, out);
    if (st != APQ_OK) {
        return add_changed(st, job->changed);
    }
    APQ_TRY(apq_file_hash(out->file, out->hash));
    out->changed = json_array_size(job->changed) > 0 ? job->changed : NULL;
    if (apq_json_write(json_incref(out->manifest), 9, manifest) != APQ_OK) {
        (void)snprintf(out->not_entered, sizeof out->not_entered, "%s",
                       apq_error_message());
    }
    return APQ_OK;
}

/* The folder of an export, or its file. */
static apq_status find_manifest(const char *path, char manifest[APQ_PATH_MAX]) {
    char dir[APQ_PATH_MAX];
    if (apq_dir_exists(path)) {
        return apq_path_join(manifest, path, "manifest.json");
    }
    if (!apq_file_exists(path)) {
        APQ_FAIL(APQ_ERR_IO, "%s: no such export", path);
    }
    apq_path_folder(path, dir);
    return apq_path_join(manifest, dir, "manifest.json");
}

/* Of the files in the folder, the manifest tells of one alone. */
static apq_status check_file(const char *path, const char *manifest,
                             const char *file) {
    const char *name = apq_path_name(path);
    if (!apq_dir_exists(path) && strcmp(name, file) != 0 &&
        strcmp(name, "manifest.json") != 0) {
        APQ_FAIL(APQ_ERR_ARG, "%s: %s is of %s, not of this file", path,
                 manifest, file);
    }
    return APQ_OK;
}

/* In the folder of the manifest, which is held. */
static apq_status
verify_there(const apq_recipe *recipe, const char *run_dir_or_null,
             const apq_export_request *request, const char *manifest,
             const apq_progress *progress, apq_export_answer *out) {
    apq_export_request own = *request;
    apq_export_job job = {.request = &own};
    const apq_export_format *format = NULL;
    APQ_TRY(apq_json_read(manifest, &out->manifest));
    APQ_TRY(read_export(out->manifest, manifest, &own, &format));
    const char *file =
        json_string_value(json_object_get(out->manifest, "file"));
    APQ_TRY(check_file(request->path, manifest, file));
    (void)snprintf(out->file, sizeof out->file, "%.*s%s",
                   (int)(strrchr(manifest, '/') + 1 - manifest), manifest,
                   file);
    apq_status st =
        open_job(&job, recipe, run_dir_or_null, progress, out->images);
    if (st == APQ_OK) {
        st = verify_with(&job, format, manifest, out);
    }
    close_job(&job);
    return st;
}

static void drop_answer(apq_export_answer *out) {
    json_decref(out->manifest);
    out->manifest = NULL;
}

apq_status apq_app_verify(const apq_recipe *recipe, const char *run_dir_or_null,
                          const apq_export_request *request,
                          const apq_progress *progress,
                          apq_export_answer *out) {
    *out = (apq_export_answer){.manifest = NULL};
    char manifest[APQ_PATH_MAX], dir[APQ_PATH_MAX];
    apq_export_place place;
    APQ_TRY(find_manifest(request->path, manifest));
    apq_path_folder(manifest, dir);
    APQ_TRY(apq_export_place_take(&place, dir));
    apq_status st =
        verify_there(recipe, run_dir_or_null, request, manifest, progress, out);
    apq_export_place_close(&place);
    if (st != APQ_OK) {
        drop_answer(out);
    }
    return st;
}

apq_status apq_app_export(const apq_recipe *recipe, const char *run_dir_or_null,
                          const apq_export_request *request,
                          const apq_progress *progress,
                          apq_export_answer *out) {
    *out = (apq_export_answer){.manifest = NULL};
    APQ_TRY(apq_app_export_check(request));
    const apq_export_format *format = apq_export_format_find(request->format);
    apq_export_job job = {.request = request};
    apq_status st =
        open_job(&job, recipe, run_dir_or_null, progress, out->images);
    if (st == APQ_OK) {
        st = export_with(&job, format, out);
    }
    close_job(&job);
    if (st != APQ_OK) {
        drop_answer(out);
    }
    return st;
}
