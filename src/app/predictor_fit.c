/* `apq predictor fit`: float records first, then transferred to quantised
 * ones, each with held-out records that are only reported. */
#include "app/fit.h"

#include "app/app.h"
#include "app/json.h"
#include "app/samples.h"
#include "app/session.h"
#include "predictor/predictor.h"
#include "store/records.h"

#include <apq/apq.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

/* Where none are held out the fit's scores are of samples it was shown. */
static json_t *held_out_score(const apq_predictor_report *report,
                              double score) {
    return apq_json_number(report->n_test > 0 ? score : (double)NAN);
}

static json_t *report_json(const apq_predictor_report *report) {
    return json_pack(
        "{s:I,s:I,s:I,s:i,s:o,s:o,s:o}", "n_train", (json_int_t)report->n_train,
        "n_validation", (json_int_t)report->n_validation, "n_test",
        (json_int_t)report->n_test, "epochs", report->epochs,
        "pairwise_accuracy", held_out_score(report, report->pairwise_accuracy),
        "kendall_tau", held_out_score(report, report->kendall_tau), "rmse",
        held_out_score(report, report->rmse));
}

static apq_status fit_set(const apq_session *session, apq_predictor *predictor,
                          const char *name, const apq_sample_set *set,
                          bool with_bits, json_t *reports) {
    if (set->n == 0) {
        apq_note(session->progress, "predictor: no %s records", name);
        return APQ_OK;
    }
    apq_predictor_fit_options options =
        apq_recipe_fit_options(session->recipe, with_bits);
    options.progress = session->progress;
    apq_predictor_report report;
    APQ_TRY(
        apq_predictor_fit(predictor, set->samples, set->n, &options, &report));
    if (reports != NULL) {
        json_object_set_new(reports, name, report_json(&report));
    }
    return APQ_OK;
}

static apq_status save_all(apq_session *session, const apq_predictor *predictor,
                           const char *weights_hash, const char *db_hash,
                           json_t *reports) {
    char path[APQ_PATH_MAX], json_path[APQ_PATH_MAX];
    APQ_TRY(apq_rundir_file(session->dir, "predictor.safetensors", path));
    APQ_TRY(apq_rundir_file(session->dir, "predictor.json", json_path));
    const apq_predictor_meta metas[] = {
        {"metric", "top1"},
        {"tool_version", apq_version()},
        {"supernet_hash", weights_hash},
        {"records_hash", db_hash},
    };
    /* A kill between the two must not leave what tells of other weights. */
    (void)unlink(json_path);
    APQ_TRY(apq_predictor_save(predictor, path, metas,
                               sizeof metas / sizeof metas[0]));
    return apq_json_write(json_incref(reports), 6, json_path);
}

static apq_status fit_samples(const apq_session *session,
                              apq_predictor *predictor,
                              const apq_sample_set *plain,
                              const apq_sample_set *quantised,
                              json_t *reports) {
    if (!session->recipe->predictor.transfer) {
        if (quantised->n == 0) {
            APQ_FAIL(APQ_ERR_ARG, "no quantised records to fit without "
                                  "transfer: run 'apq collect' first");
        }
        return fit_set(session, predictor, "quantised", quantised, true,
                       reports);
    }
    if (plain->n + quantised->n == 0) {
        APQ_FAIL(APQ_ERR_ARG, "no records: run 'apq collect' first");
    }
    APQ_TRY(fit_set(session, predictor, "float", plain, false, reports));
    return fit_set(session, predictor, "quantised", quantised, true, reports);
}

apq_status apq_fit_records(const apq_session *session, apq_records *records,
                           int64_t n_quantised, apq_predictor **out,
                           json_t *reports) {
    const apq_recipe *r = session->recipe;
    apq_sample_set plain = {0}, quantised = {0};
    apq_predictor *predictor = NULL;
    apq_status st =
        apq_samples_add_all(&session->space, records, false, INT64_MAX, &plain);
    if (st == APQ_OK) {
        st = apq_samples_add_all(&session->space, records, true, n_quantised,
                                 &quantised);
    }
    if (st == APQ_OK) {
        st = apq_predictor_create_ensemble(&session->space, r->predictor.hidden,
                                           r->predictor.ensemble, r->seed,
                                           &predictor);
    }
    if (st == APQ_OK) {
        st = fit_samples(session, predictor, &plain, &quantised, reports);
    }
    apq_samples_release(&plain);
    apq_samples_release(&quantised);
    if (st != APQ_OK) {
        apq_predictor_destroy(predictor);
        return st;
    }
    *out = predictor;
    return APQ_OK;
}

apq_status apq_fit_check_supernet(const apq_predictor *predictor,
                                  const char *file, const char *run_dir) {
    const char *expected = apq_predictor_supernet_hash(predictor);
    char path[APQ_PATH_MAX], hash[APQ_HASH_MAX];
    APQ_TRY(apq_path_join(path, run_dir, "supernet.safetensors"));
    if (expected[0] == '\0' || !apq_file_exists(path)) {
        return APQ_OK;
    }
    APQ_TRY(apq_file_hash(path, hash));
    if (strcmp(expected, hash) != 0) {
        APQ_FAIL(APQ_ERR_MISMATCH,
                 "%s: fitted to the supernet of hash %s, %s has %s", file,
                 expected, path, hash);
    }
    return APQ_OK;
}

/* Are both files those of this input? A fit that was interrupted, or of other
 * settings, may have written since. */
static bool is_done(const apq_session *session, const char *input,
                    const char *path, const char *json_path) {
    if (!apq_rundir_step_done(session->dir, "predictor", input)) {
        return false;
    }
    bool is_changed = apq_file_exists(path) &&
                      !apq_rundir_step_made(session->dir, "predictor", path);
    if (is_changed || !apq_file_exists(json_path)) {
        apq_note(session->progress, "predictor: again, %s %s",
                 is_changed ? path : json_path,
                 is_changed ? "changed since it was made" : "is gone");
        return false;
    }
    return apq_session_has(session, "predictor", input, path);
}

/* The records as they are, not as the collection left them: some may have been
 * imported since. */
static apq_status fit_file(apq_session *session, apq_records *records,
                           const char *path) {
    char supernet[APQ_PATH_MAX], weights[APQ_HASH_MAX];
    char json_path[APQ_PATH_MAX], db_hash[APQ_RECORD_TEXT_MAX];
    char input[APQ_HASH_MAX], artefact[APQ_HASH_MAX];
    APQ_TRY(apq_rundir_need(apq_rundir_path(session->dir),
                            "supernet.safetensors", supernet));
    APQ_TRY(apq_rundir_file(session->dir, "predictor.json", json_path));
    APQ_TRY(apq_file_hash(supernet, weights));
    APQ_TRY(apq_records_hash(records, db_hash));
    APQ_TRY(apq_session_input_hash(session, "predictor", db_hash, input));
    if (is_done(session, input, path, json_path)) {
        return APQ_OK;
    }
    APQ_TRY(apq_session_begin(session, "predictor", input));
    apq_predictor *predictor = NULL;
    json_t *reports = json_object();
    apq_status st =
        apq_fit_records(session, records, INT64_MAX, &predictor, reports);
    if (st == APQ_OK) {
        st = save_all(session, predictor, weights, db_hash, reports);
    }
    json_decref(reports);
    apq_predictor_destroy(predictor);
    APQ_TRY(st);
    APQ_TRY(apq_file_hash(path, artefact));
    return apq_session_finish(session, "predictor", input, artefact);
}

static apq_status fit_into(apq_session *session) {
    char db[APQ_PATH_MAX], path[APQ_PATH_MAX];
    APQ_TRY(apq_rundir_file(session->dir, "run.db", db));
    APQ_TRY(apq_rundir_file(session->dir, "predictor.safetensors", path));
    if (apq_rundir_step_artefact(session->dir, "collect") == NULL) {
        APQ_FAIL(APQ_ERR_ARG, "%s: no finished collection: run 'apq collect'",
                 apq_rundir_path(session->dir));
    }
    apq_records *records;
    APQ_TRY(apq_records_open_read(db, &records));
    apq_status st = fit_file(session, records, path);
    apq_records_close(records);
    return st;
}

apq_status apq_app_predictor_fit(const apq_recipe *recipe, const char *run_dir,
                                 const apq_progress *progress,
                                 const apq_progress *results) {
    APQ_TRY(apq_session_run(recipe, run_dir, progress, false, fit_into));
    return apq_results_predictor(run_dir, results);
}
