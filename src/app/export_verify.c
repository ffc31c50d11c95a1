/* `apq verify`: an export as it is now, beside the network that it was made
 * of. */
#include "app/export.h"

#include "app/export_job.h"
#include "app/export_place.h"
#include "app/json.h"
#include "base/path.h"

#include <stdio.h>
#include <string.h>

/* The same keys may mean other things in another version, and a row that is
 * added to no list would be lost. */
static apq_status check_form(const json_t *manifest, const char *path) {
    const json_t *rows = json_object_get(manifest, "verification");
    if (json_integer_value(json_object_get(manifest, "schema_version")) < 1) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: schema_version is none", path);
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
    job->changed = json_array();
    APQ_TRY(apq_manifest_find_changes(out->manifest, out->file, job->changed));
    apq_status st = check_source(job, out->manifest, manifest);
    if (st == APQ_OK) {
        st = apq_export_job_check(job, format);
    }
    if (st == APQ_OK) {
        st = apq_export_job_verify(job, format, out);
    }
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
    apq_status st = apq_export_job_open(&job, recipe, run_dir_or_null, progress,
                                        out->images);
    if (st == APQ_OK) {
        st = verify_with(&job, format, manifest, out);
    }
    apq_export_job_close(&job);
    return st;
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
        json_decref(out->manifest);
        out->manifest = NULL;
    }
    return st;
}
