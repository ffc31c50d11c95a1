/* `apq predictor eval`: scores with intervals, the ceiling that the labels'
 * noise sets, and a picture of both. */
#include "app/judge.h"

#include "app/fit.h"
#include "app/json.h"
#include "app/noise.h"
#include "app/samples.h"
#include "base/memory.h"
#include "report/plot.h"
#include "store/rundir.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double two_sided_95 = 1.959964; /* of a normal distribution */

apq_status apq_judge_plot_stem(const char *plot, const char *tail,
                               char out[APQ_PATH_MAX]) {
    size_t n = strlen(plot);
    if (n > 4 && (strcmp(plot + n - 4, ".svg") == 0 ||
                  strcmp(plot + n - 4, ".png") == 0 ||
                  strcmp(plot + n - 4, ".pdf") == 0)) {
        n -= 4;
    }
    if (n + strlen(tail) >= APQ_PATH_MAX) {
        APQ_FAIL(APQ_ERR_ARG, "--plot is longer than %d characters",
                 APQ_PATH_MAX - 1);
    }
    memcpy(out, plot, n);
    (void)strcpy(out + n, tail);
    return APQ_OK;
}

/* Values of n samples side by side, in one allocation. */
typedef struct columns {
    double *actual, *predicted, *low, *high; /* (n) */
    int64_t *counts;                         /* (n) */
    apq_policy *policies;                    /* (n) */
} columns;

static void columns_fini(columns *c) {
    free(c->actual);
    free(c->counts);
    free(c->policies);
}

static apq_status columns_init(const apq_predictor_sample *samples, size_t n,
                               columns *c) {
    c->actual = apq_calloc(4 * n, sizeof *c->actual);
    c->counts = apq_calloc(n, sizeof *c->counts);
    c->policies = apq_calloc(n, sizeof *c->policies);
    if (c->actual == NULL || c->counts == NULL || c->policies == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "no memory for %zu records", n);
    }
    c->predicted = c->actual + n;
    c->low = c->predicted + n;
    c->high = c->low + n;
    for (size_t i = 0; i < n; i++) {
        c->actual[i] = samples[i].accuracy;
        c->counts[i] = samples[i].count;
        c->policies[i] = samples[i].policy;
    }
    return APQ_OK;
}

/* Everything in percent. */
static apq_status draw(const columns *c, size_t n, bool has_noise,
                       const char *plot) {
    char stem[APQ_PATH_MAX];
    APQ_TRY(apq_judge_plot_stem(plot, "", stem));
    double ends[2] = {(double)INFINITY, -(double)INFINITY};
    for (size_t i = 0; i < n; i++) {
        double p = c->actual[i];
        double half = has_noise ? two_sided_95 * sqrt(fmax(p * (1.0 - p), 0.0) /
                                                      (double)c->counts[i])
                                : 0.0;
        c->low[i] = 100.0 * (p - half);
        c->high[i] = 100.0 * (p + half);
        c->actual[i] *= 100.0;
        c->predicted[i] *= 100.0;
        ends[0] = fmin(ends[0], fmin(c->actual[i], c->predicted[i]));
        ends[1] = fmax(ends[1], fmax(c->actual[i], c->predicted[i]));
    }
    const apq_plot_series series[] = {
        {.label = "predicted as measured",
         .x = ends,
         .y = ends,
         .n = 2,
         .has_line = true,
         .is_dashed = true,
         .color = 6},
        {.label = has_noise ? "networks, 95 % interval of the measurement"
                            : "networks",
         .x = c->actual,
         .y = c->predicted,
         .n = n,
         .x_low = has_noise ? c->low : NULL,
         .x_high = has_noise ? c->high : NULL,
         .is_faint = n > 50,
         .marker = APQ_MARKER_CIRCLE,
         .color = 0},
    };
    const apq_plot picture = {.title = "Accuracy predictor",
                              .x_label = "measured top-1 accuracy [%]",
                              .y_label = "predicted top-1 accuracy [%]",
                              .series = series,
                              .n_series = 2};
    return apq_plot_write(&picture, stem);
}

static apq_status judge_columns(const apq_predictor *predictor, columns *c,
                                size_t n, bool with_bits, double repeat_error,
                                uint64_t seed, const char *plot,
                                apq_judgement *out) {
    APQ_TRY(apq_predictor_predict(predictor, c->policies, n, with_bits,
                                  c->predicted));
    out->has_noise = n > 1;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(c->predicted[i])) {
            APQ_FAIL(APQ_ERR_NUMERIC, "prediction of record %zu is %g", i,
                     c->predicted[i]);
        }
        out->has_noise = out->has_noise && c->counts[i] > 0 &&
                         c->actual[i] >= 0.0 && c->actual[i] <= 1.0;
    }
    APQ_TRY(
        apq_quality_measure(c->predicted, c->actual, n, seed, &out->quality));
    if (out->has_noise) {
        out->noise = apq_label_noise_of(c->actual, c->counts, n, repeat_error);
        apq_pairwise_by_gap(c->predicted, c->actual, n, out->noise.noise,
                            out->gaps);
    }
    return plot == NULL ? APQ_OK : draw(c, n, out->has_noise, plot);
}

apq_status apq_judge(const apq_predictor *predictor,
                     const apq_predictor_sample *samples, size_t n,
                     bool with_bits, double repeat_error, uint64_t seed,
                     const char *plot, apq_judgement *out) {
    *out = (apq_judgement){.has_noise = false};
    if (n == 0 || n > UINT32_MAX) {
        APQ_FAIL(APQ_ERR_ARG, "%zu records to judge by, at least 1 is needed",
                 n);
    }
    columns c = {0};
    apq_status st = columns_init(samples, n, &c);
    if (st == APQ_OK) {
        st = judge_columns(predictor, &c, n, with_bits, repeat_error, seed,
                           plot, out);
    }
    columns_fini(&c);
    return st;
}

/* The space is the recipe's, which may be a file. */
static apq_status load_predictor(const apq_recipe *recipe, const char *file,
                                 apq_predictor **out) {
    apq_space space;
    APQ_TRY(apq_space_load(recipe->space, &space));
    return apq_predictor_load(file, &space, out);
}

/* What was held out is known for the records of the fit only. Predictors of
 * version 1 of the database carry the hash of its file. */
static apq_status check_records(const apq_predictor *predictor,
                                const char *file, const char *db) {
    const char *expected = apq_predictor_records_hash(predictor);
    char hash[APQ_RECORD_TEXT_MAX], file_hash[APQ_HASH_MAX];
    apq_records *records = NULL;
    APQ_TRY(apq_file_hash(db, file_hash));
    APQ_TRY(apq_records_open_read(db, &records));
    apq_status st = apq_records_hash(records, hash);
    apq_records_close(records);
    APQ_TRY(st);
    if (strcmp(expected, hash) != 0 && strcmp(expected, file_hash) != 0) {
        APQ_FAIL(APQ_ERR_MISMATCH,
                 "%s: fitted to the records of hash %s, %s has %s", file,
                 expected[0] == '\0' ? "unknown" : expected, db, hash);
    }
    return APQ_OK;
}

/* A run's manifest knows seed and settings of the fit, which decide what was
 * held out. Shipped artefacts have none. */
static apq_status check_recipe(const apq_recipe *recipe, const char *run_dir,
                               const char *records_hash) {
    char manifest[APQ_PATH_MAX], input[APQ_HASH_MAX];
    apq_session session;
    apq_rundir *dir = NULL;
    APQ_TRY(apq_path_join(manifest, run_dir, "manifest.json"));
    if (!apq_file_exists(manifest)) {
        return APQ_OK;
    }
    apq_status st = apq_session_open(&session, recipe, NULL);
    if (st == APQ_OK) {
        st = apq_session_input_hash(&session, "predictor", records_hash, input);
    }
    if (st == APQ_OK) {
        st = apq_rundir_open_read(run_dir, &dir);
    }
    if (st == APQ_OK && !apq_rundir_step_done(dir, "predictor", input)) {
        st = APQ_ERROR(APQ_ERR_MISMATCH,
                       "%s: its predictor was fitted with another seed or "
                       "other settings than those of run.json: fit it again",
                       run_dir);
    }
    apq_rundir_close(dir);
    apq_session_fini(&session);
    return st;
}

/* Keeps of the set what the recipe's fit only reports on. */
static apq_status keep_held_out(const apq_recipe *recipe,
                                const apq_space *space, bool with_bits,
                                const char *db, apq_sample_set *set) {
    apq_predictor_fit_options options =
        apq_recipe_fit_options(recipe, with_bits);
    apq_predictor_parts parts = {0};
    uint32_t *rows = apq_calloc(set->n, sizeof *rows);
    apq_predictor_sample *kept = apq_calloc(set->n, sizeof *kept);
    apq_status st = APQ_OK;
    if (rows == NULL || kept == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "no memory for %zu records", set->n);
    } else if (set->n > 0) {
        st = apq_predictor_split(&options, space, set->samples, set->n, rows,
                                 &parts);
    }
    if (st == APQ_OK && parts.n_test == 0) {
        st = APQ_ERROR(APQ_ERR_ARG,
                       "%s: none of %zu %s records was held out "
                       "(predictor.held_out %g)",
                       db, set->n, with_bits ? "quantised" : "float",
                       recipe->predictor.held_out);
    }
    for (size_t i = 0; i < parts.n_test && st == APQ_OK; i++) {
        kept[i] = set->samples[rows[set->n - parts.n_test + i]];
    }
    free(rows);
    if (st != APQ_OK) {
        free(kept);
        return st;
    }
    free(set->samples);
    *set = (apq_sample_set){kept, parts.n_test};
    return APQ_OK;
}

static apq_status held_out(const apq_recipe *recipe, const char *db,
                           const apq_space *space, bool with_bits,
                           apq_sample_set *set, double *repeat_error) {
    apq_records *records = NULL;
    APQ_TRY(apq_records_open_read(db, &records));
    apq_status st =
        apq_samples_add_all(space, records, with_bits, INT64_MAX, set);
    if (st == APQ_OK) {
        st = apq_noise_repeat_error(records, with_bits, repeat_error);
    }
    apq_records_close(records);
    return st == APQ_OK ? keep_held_out(recipe, space, with_bits, db, set) : st;
}

static apq_status check_run(const apq_recipe *recipe, const char *run_dir,
                            const apq_predictor *predictor, const char *file,
                            const char *db) {
    APQ_TRY(apq_fit_check_supernet(predictor, file, run_dir));
    APQ_TRY(check_records(predictor, file, db));
    return check_recipe(recipe, run_dir, apq_predictor_records_hash(predictor));
}

apq_status apq_judge_run(const apq_recipe *recipe,
                         const apq_judge_request *request, apq_judgement *out) {
    char path[APQ_PATH_MAX], db[APQ_PATH_MAX];
    apq_predictor *predictor = NULL;
    apq_sample_set set = {0};
    double repeat_error = 0;
    const char *file = request->predictor;
    if (file == NULL) {
        APQ_TRY(
            apq_rundir_need(request->run_dir, "predictor.safetensors", path));
        file = path;
    }
    APQ_TRY(apq_rundir_need(request->run_dir, "run.db", db));
    APQ_TRY(load_predictor(recipe, file, &predictor));
    apq_status st = check_run(recipe, request->run_dir, predictor, file, db);
    if (st == APQ_OK) {
        st = held_out(recipe, db, apq_predictor_space(predictor),
                      request->with_bits, &set, &repeat_error);
    }
    if (st == APQ_OK) {
        st = apq_judge(predictor, set.samples, set.n, request->with_bits,
                       repeat_error, request->seed, request->plot, out);
    }
    apq_samples_release(&set);
    apq_predictor_destroy(predictor);
    return st;
}

/* null: not known. */
static json_t *ends_json(apq_interval interval) {
    return json_pack("[o, o]", apq_json_number(interval.low),
                     apq_json_number(interval.high));
}

json_t *apq_interval_json(apq_interval interval) {
    return json_pack("{s:o, s:o}", "value", apq_json_number(interval.value),
                     "interval_95", ends_json(interval));
}

json_t *apq_label_noise_json(const apq_label_noise *noise_or_null) {
    return noise_or_null == NULL
               ? json_null()
               : json_pack("{s:f, s:f, s:f}", "noise", noise_or_null->noise,
                           "spread", noise_or_null->spread, "pairwise_ceiling",
                           noise_or_null->ceiling);
}

static json_t *gaps_json(const apq_judgement *judgement) {
    if (!judgement->has_noise) {
        return json_null();
    }
    json_t *rows = json_array();
    for (int g = 0; g < APQ_N_GAPS; g++) {
        const apq_gap *gap = &judgement->gaps[g];
        (void)json_array_append_new(
            rows, json_pack("{s:f, s:o, s:I, s:o}", "above", gap->low, "up_to",
                            apq_json_number(gap->high), "pairs",
                            (json_int_t)gap->n_pairs, "pairwise_accuracy",
                            apq_json_number(gap->accuracy)));
    }
    return rows;
}

json_t *apq_judgement_json(const apq_judgement *judgement) {
    const apq_quality *q = &judgement->quality;
    return json_pack(
        "{s:I, s:o, s:o, s:o, s:{s:o, s:o, s:o}, s:o, s:o}", "count",
        (json_int_t)q->n, "pairwise_accuracy",
        apq_json_number(q->pairwise_accuracy.value), "kendall_tau",
        apq_json_number(q->kendall_tau.value), "rmse",
        apq_json_number(q->rmse.value), "interval_95", "pairwise_accuracy",
        ends_json(q->pairwise_accuracy), "kendall_tau",
        ends_json(q->kendall_tau), "rmse", ends_json(q->rmse), "label_noise",
        apq_label_noise_json(judgement->has_noise ? &judgement->noise : NULL),
        "by_difference", gaps_json(judgement));
}
