/* `apq export`: a format's files, all or none, with their manifest. */
#include "app/export.h"

#include "app/export_earlier.h"
#include "app/export_job.h"
#include "app/export_place.h"
#include "app/export_stage.h"
#include "app/json.h"
#include "base/path.h"
#include "export/c99.h"

#include <stdio.h>

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

/* The exported file and its manifest: FILE.onnx and manifest.json beside it, or
 * both in a folder. */
static apq_status find_places(const apq_export_format *format, const char *path,
                              char file[APQ_PATH_MAX],
                              char manifest[APQ_PATH_MAX]) {
    if (format->ending == NULL) {
        APQ_TRY(apq_path_join(file, path, format->member));
        return apq_path_join(manifest, path, "manifest.json");
    }
    if (!apq_path_has_ending(path, format->ending) || apq_dir_exists(path)) {
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

/* All files of the export, `file` and the manifest among them, into the stage.
 */
static apq_status write_staged(const apq_export_job *job,
                               const apq_export_format *format,
                               const apq_export_stage *stage,
                               apq_export_answer *out) {
    char file[APQ_PATH_MAX], manifest[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(file, stage->path, apq_path_name(out->file)));
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
    apq_status st = apq_export_job_verify(job, format, out);
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
    APQ_TRY(apq_export_job_check(job, format));
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

apq_status apq_app_export(const apq_recipe *recipe, const char *run_dir_or_null,
                          const apq_export_request *request,
                          const apq_progress *progress,
                          apq_export_answer *out) {
    *out = (apq_export_answer){.manifest = NULL};
    APQ_TRY(apq_app_export_check(request));
    const apq_export_format *format = apq_export_format_find(request->format);
    apq_export_job job = {.request = request};
    apq_status st = apq_export_job_open(&job, recipe, run_dir_or_null, progress,
                                        out->images);
    if (st == APQ_OK) {
        st = export_with(&job, format, out);
    }
    apq_export_job_close(&job);
    if (st != APQ_OK) {
        json_decref(out->manifest);
        out->manifest = NULL;
    }
    return st;
}
