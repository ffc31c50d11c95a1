/* `apq search` from recipe to files: opens what a search needs, runs it and
 * its baselines (search_job.c), keeps the result in the run directory. */
#include "app/search.h"

#include "app/remeasure.h"
#include "app/search_job.h"
#include "base/memory.h"
#include "store/rundir.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Is best.json what this input made? A stopped search may have overwritten it
 * since. */
static bool is_up_to_date(const apq_rundir *dir, const char *input,
                          const char *json) {
    return apq_rundir_step_done(dir, "search", input) &&
           apq_rundir_step_made(dir, "search", json);
}

static apq_status write_into(apq_search_job *self, apq_rundir *dir) {
    char input[APQ_HASH_MAX], artefact[APQ_HASH_MAX], hash[APQ_HASH_MAX];
    char json[APQ_PATH_MAX], stem[APQ_PATH_MAX];
    apq_space_hash(&self->out->space, hash);
    APQ_TRY(apq_rundir_bind(dir, "space", self->out->space.name));
    APQ_TRY(apq_rundir_bind(dir, "space_hash", hash));
    apq_search_job_key(self, input);
    APQ_TRY(apq_rundir_file(dir, "best.json", json));
    APQ_TRY(apq_rundir_file(dir, "search", stem));
    /* The same input gives the same policy: keeping the file keeps the steps
     * made from it valid. */
    if (is_up_to_date(dir, input, json)) {
        apq_note(self->progress, "search: %s is up to date", json);
        return APQ_OK;
    }
    APQ_TRY(apq_app_search_write(self->out, json, stem));
    (void)snprintf(self->out->file, sizeof self->out->file, "%s", json);
    APQ_TRY(apq_stopwatch_write(&self->stopwatch));
    if (self->out->search->is_stopped || self->out->search->is_timed_out) {
        return APQ_OK; /* not what the input alone decides */
    }
    APQ_TRY(apq_file_hash(json, artefact));
    return apq_rundir_step_mark(dir, "search", input, artefact);
}

static apq_status write_run(apq_search_job *self, const char *run_dir) {
    apq_rundir *dir = NULL;
    APQ_TRY(apq_rundir_open(run_dir, true, &dir));
    apq_status st = write_into(self, dir);
    apq_rundir_close(dir);
    return st;
}

/* Before the search: a run that another step is writing would refuse the
 * result. */
static apq_status check_free(const char *run_dir) {
    char manifest[APQ_PATH_MAX];
    apq_rundir *dir = NULL;
    APQ_TRY(apq_path_join(manifest, run_dir, "manifest.json"));
    if (!apq_file_exists(manifest)) {
        return APQ_OK; /* a folder is made a run by a result only */
    }
    apq_status st = apq_rundir_open(run_dir, false, &dir);
    apq_rundir_close(dir);
    return st;
}

/* Meters the search, unless the run has its result: repeating it is no part of
 * what the result cost. */
static apq_status begin_metering(apq_search_job *self, const char *run_dir) {
    char input[APQ_HASH_MAX], json[APQ_PATH_MAX];
    apq_rundir *dir = NULL;
    apq_search_job_key(self, input);
    bool is_done = apq_dir_exists(run_dir) &&
                   apq_rundir_open_read(run_dir, &dir) == APQ_OK &&
                   apq_rundir_file(dir, "best.json", json) == APQ_OK &&
                   is_up_to_date(dir, input, json);
    apq_rundir_close(dir);
    return is_done ? APQ_OK
                   : apq_stopwatch_assign(&self->stopwatch, run_dir, "search",
                                          input);
}

/* Evenly spaced candidates for the picture. */
static void sample_cloud(apq_app_search_result *out) {
    const apq_search_result *search = out->search;
    size_t stride = search->n_scores / APQ_SEARCH_MAX_CLOUD + 1;
    for (size_t i = 0; i < search->n_scores; i += stride) {
        out->cloud_cost[out->n_cloud] = search->scores[i].cost[out->plot_field];
        out->cloud_accuracy[out->n_cloud++] = search->scores[i].value;
    }
}

/* With space, target and predictor in place. */
static apq_status search_all(apq_search_job *self, const char *run_dir,
                             double start_s) {
    apq_app_search_result *out = self->out;
    const apq_recipe *r = self->recipe;
    self->deadline_s =
        r->search.time_limit_s > 0 ? start_s + r->search.time_limit_s : 0;
    APQ_TRY(apq_search_job_run(self, 0, &out->search));
    sample_cloud(out);
    out->evaluations = out->search->n_evaluations;
    APQ_TRY(apq_search_job_describe(self, &out->search->best, &out->best));
    if (!out->search->is_stopped) {
        apq_status st = apq_search_job_baselines(self);
        /* Baselines may miss then, the answer does not. */
        out->search->is_stopped |= st == APQ_ERR_INTERRUPTED;
        APQ_TRY(st == APQ_ERR_INTERRUPTED ? APQ_OK : st);
        if (!r->search.as_released) {
            apq_search_job_keep_better(out);
        }
    }
    if (!out->search->is_stopped && run_dir != NULL &&
        r->search.remeasure > 0) {
        apq_status st = apq_remeasure(self, run_dir);
        out->search->is_stopped |= st == APQ_ERR_INTERRUPTED;
        APQ_TRY(st == APQ_ERR_INTERRUPTED ? APQ_OK : st);
    }
    APQ_TRY(apq_search_job_shares(self));
    out->seconds = apq_now_s() - start_s;
    return APQ_OK;
}

static apq_status check_stopped(const apq_app_search_result *out) {
    if (out->search->is_stopped) {
        APQ_FAIL(APQ_ERR_INTERRUPTED,
                 "search stopped after %llu evaluations%s%s",
                 (unsigned long long)out->evaluations,
                 out->file[0] != '\0' ? ", best so far in " : "", out->file);
    }
    return APQ_OK;
}

apq_status apq_app_search(const apq_recipe *recipe, const char *run_dir_or_null,
                          const char *predictor_or_null,
                          const apq_progress *progress,
                          apq_app_search_result *out) {
    double start_s = apq_now_s();
    apq_search_job *self = NULL;
    APQ_TRY(apq_search_job_create(recipe, progress, out, &self));
    apq_status st =
        apq_search_job_open(self, run_dir_or_null, predictor_or_null);
    if (st == APQ_OK && recipe->search.remeasure > 0) {
        st = apq_remeasure_check(self, run_dir_or_null);
    }
    if (st == APQ_OK && run_dir_or_null != NULL) {
        st = check_free(run_dir_or_null);
        if (st == APQ_OK) {
            st = begin_metering(self, run_dir_or_null);
        }
        char key[APQ_HASH_MAX];
        apq_search_job_key(self, key);
        if (st == APQ_OK) {
            st = apq_search_file_init(&self->file, run_dir_or_null,
                                      "search.checkpoint", key,
                                      recipe->checkpoint_s);
        }
    }
    if (st == APQ_OK) {
        st = search_all(self, run_dir_or_null, start_s);
    }
    if (st == APQ_OK && run_dir_or_null != NULL) {
        st = write_run(self, run_dir_or_null);
        if (st == APQ_OK && !out->search->is_stopped) {
            apq_search_file_remove(&self->file);
        }
    }
    apq_search_job_destroy(self);
    return st == APQ_OK ? check_stopped(out) : st;
}

apq_status apq_app_search_check(const apq_recipe *recipe, const char *run_dir,
                                const apq_progress *progress) {
    apq_app_search_result *out = apq_calloc(1, sizeof *out);
    if (out == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "search: out of memory");
    }
    apq_search_job *self = NULL;
    apq_status st = apq_search_job_create(recipe, progress, out, &self);
    if (st == APQ_OK) {
        st = apq_search_job_open_target(self, run_dir);
        apq_search_job_destroy(self);
    }
    free(out);
    return st;
}

static apq_status check_predictor(const apq_search_parts *parts) {
    const apq_space *other = apq_predictor_space(parts->predictor);
    char hash[APQ_HASH_MAX], other_hash[APQ_HASH_MAX];
    apq_space_hash(parts->space, hash);
    apq_space_hash(other, other_hash);
    if (strcmp(hash, other_hash) != 0) {
        APQ_FAIL(APQ_ERR_MISMATCH,
                 "search: the predictor is of space %s (%s), not of %s (%s)",
                 other->name, other_hash, parts->space->name, hash);
    }
    return APQ_OK;
}

apq_status apq_app_search_with(const apq_recipe *recipe,
                               const apq_search_parts *parts,
                               const apq_progress *progress,
                               apq_app_search_result *out) {
    double start_s = apq_now_s();
    apq_search_job *self = NULL;
    APQ_TRY(apq_search_job_create(recipe, progress, out, &self));
    out->space = *parts->space;
    self->target = parts->target;
    self->predictor = parts->predictor;
    apq_status st = check_predictor(parts);
    if (st == APQ_OK) {
        st = apq_search_job_prepare(self);
    }
    if (st == APQ_OK) {
        st = search_all(self, NULL, start_s);
    }
    apq_search_job_destroy(self);
    return st == APQ_OK ? check_stopped(out) : st;
}

void apq_app_search_fini(apq_app_search_result *result) {
    apq_search_result_destroy(result->search);
    result->search = NULL;
}
