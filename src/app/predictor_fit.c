/* `apq predictor fit`: float records first, then transferred to quantised
 * ones, each with held-out records that are only reported. */
#include "app/fit.h"

#include "app/app.h"
#include "app/json.h"
#include "app/session.h"
#include "predictor/predictor.h"
#include "store/records.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct sample_set {
    apq_predictor_sample *samples;
    size_t n;
} sample_set;

static apq_status load_samples(const apq_session *session, apq_records *records,
                               apq_record_kind kind, int64_t n_seq,
                               sample_set *set) {
    apq_record *rows;
    size_t n;
    APQ_TRY(apq_records_all(records, kind, &rows, &n));
    if (n == 0) {
        free(rows);
        return APQ_OK;
    }
    apq_predictor_sample *grown =
        realloc(set->samples, (set->n + n) * sizeof *grown);
    if (grown == NULL) {
        free(rows);
        APQ_FAIL(APQ_ERR_NOMEM, "records: out of memory");
    }
    set->samples = grown;
    apq_status st = APQ_OK;
    for (size_t i = 0; st == APQ_OK && i < n && rows[i].seq < n_seq; i++) {
        apq_predictor_sample *s = &set->samples[set->n];
        char where[64];
        (void)snprintf(where, sizeof where, "run.db: record %lld",
                       (long long)rows[i].id);
        s->accuracy = rows[i].accuracy;
        st = apq_policy_from_json(&session->space, rows[i].policy, where,
                                  &s->policy);
        set->n += st == APQ_OK;
    }
    free(rows);
    return st;
}

static json_t *report_json(const apq_predictor_report *report) {
    return json_pack("{s:I,s:I,s:I,s:i,s:f,s:f,s:f}", "n_train",
                     (json_int_t)report->n_train, "n_validation",
                     (json_int_t)report->n_validation, "n_test",
                     (json_int_t)report->n_test, "epochs", report->epochs,
                     "pairwise_accuracy", report->pairwise_accuracy,
                     "kendall_tau", report->kendall_tau, "rmse", report->rmse);
}

static apq_status fit_set(const apq_session *session, apq_predictor *predictor,
                          const char *name, const sample_set *set,
                          bool with_bits, json_t *reports) {
    const apq_recipe *r = session->recipe;
    if (set->n == 0) {
        apq_note(session->progress, "predictor: no %s records", name);
        return APQ_OK;
    }
    apq_predictor_fit_options options = apq_predictor_fit_defaults();
    options.epochs = r->predictor.epochs;
    options.batch = r->predictor.batch;
    options.learning_rate = r->predictor.learning_rate;
    options.weight_decay = r->predictor.weight_decay;
    options.validation_fraction = r->predictor.held_out / 2;
    options.test_fraction = r->predictor.held_out / 2;
    options.seed = r->seed;
    options.with_bits = with_bits;
    options.progress = session->progress;
    apq_predictor_report report;
    APQ_TRY(
        apq_predictor_fit(predictor, set->samples, set->n, &options, &report));
    apq_note(session->progress,
             "predictor on %zu %s records: held-out pairwise accuracy "
             "%.1f %%, Kendall tau %.3f, RMSE %.2f points (%zu records)",
             set->n, name, 100 * report.pairwise_accuracy, report.kendall_tau,
             100 * report.rmse, report.n_test);
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
        {"supernet_hash", weights_hash},
        {"records_hash", db_hash},
    };
    APQ_TRY(apq_predictor_save(predictor, path, metas,
                               sizeof metas / sizeof metas[0]));
    return apq_json_write(json_incref(reports), 6, json_path);
}

static apq_status fit_samples(const apq_session *session,
                              apq_predictor *predictor, const sample_set *plain,
                              const sample_set *quantised, json_t *reports) {
    if (plain->n + quantised->n == 0) {
        APQ_FAIL(APQ_ERR_ARG, "no records: run 'apq collect' first");
    }
    APQ_TRY(fit_set(session, predictor, "float", plain, false, reports));
    return fit_set(session, predictor, "quantised", quantised, true, reports);
}

apq_status apq_fit_records(const apq_session *session, apq_records *records,
                           int64_t n_quantised, apq_predictor **out,
                           json_t *reports) {
    sample_set plain = {0}, quantised = {0};
    apq_predictor *predictor = NULL;
    apq_status st =
        load_samples(session, records, APQ_RECORD_FLOAT, INT64_MAX, &plain);
    if (st == APQ_OK) {
        st = load_samples(session, records, APQ_RECORD_QUANTISED, n_quantised,
                          &quantised);
    }
    if (st == APQ_OK) {
        st = load_samples(session, records, APQ_RECORD_QAT, n_quantised,
                          &quantised);
    }
    if (st == APQ_OK) {
        st = apq_predictor_create_random(&session->space,
                                         session->recipe->predictor.hidden,
                                         session->recipe->seed, &predictor);
    }
    if (st == APQ_OK) {
        st = fit_samples(session, predictor, &plain, &quantised, reports);
    }
    free(plain.samples);
    free(quantised.samples);
    if (st != APQ_OK) {
        apq_predictor_destroy(predictor);
        return st;
    }
    *out = predictor;
    return APQ_OK;
}

static apq_status fit_into(apq_session *session) {
    char supernet[APQ_PATH_MAX], db[APQ_PATH_MAX], path[APQ_PATH_MAX];
    char weights[APQ_HASH_MAX], input[APQ_HASH_MAX], artefact[APQ_HASH_MAX];
    APQ_TRY(apq_rundir_file(session->dir, "supernet.safetensors", supernet));
    APQ_TRY(apq_rundir_file(session->dir, "run.db", db));
    APQ_TRY(apq_rundir_file(session->dir, "predictor.safetensors", path));
    const char *db_hash = apq_rundir_step_artefact(session->dir, "collect");
    if (db_hash == NULL) {
        APQ_FAIL(APQ_ERR_ARG, "%s: no finished collection: run 'apq collect'",
                 apq_rundir_path(session->dir));
    }
    APQ_TRY(apq_file_hash(supernet, weights));
    APQ_TRY(apq_session_input_hash(session, "predictor", db_hash, input));
    if (apq_rundir_step_done(session->dir, "predictor", input)) {
        apq_note(session->progress, "predictor: done before, %s", path);
        return APQ_OK;
    }
    APQ_TRY(apq_session_begin(session, "predictor", input));
    apq_records *records;
    APQ_TRY(apq_records_open(db, &records));
    apq_predictor *predictor = NULL;
    json_t *reports = json_object();
    apq_status st =
        apq_fit_records(session, records, INT64_MAX, &predictor, reports);
    if (st == APQ_OK) {
        st = save_all(session, predictor, weights, db_hash, reports);
    }
    json_decref(reports);
    apq_predictor_destroy(predictor);
    apq_records_close(records);
    if (st == APQ_OK) {
        st = apq_file_hash(path, artefact);
    }
    return st != APQ_OK
               ? st
               : apq_session_finish(session, "predictor", input, artefact);
}

apq_status apq_app_predictor_fit(const apq_recipe *recipe, const char *run_dir,
                                 const apq_progress *progress) {
    return apq_session_run(recipe, run_dir, progress, false, fit_into);
}
