/* `apq search --remeasure K`: the best of a search, measured with the run's
 * supernet on validation images. The predictor's error is largest at its own
 * optimum, so its order there is not to be trusted. */
#include "app/remeasure.h"

#include "app/json.h"
#include "app/measure.h"
#include "store/rundir.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct remeasure {
    apq_search_job *job;
    apq_session session;
    apq_meter meter;
    bool has_meter;
    char path[APQ_PATH_MAX]; /* of remeasure.json */
    json_t *known;           /* policy hash: accuracy */
    char key[APQ_HASH_MAX];
} remeasure;

apq_status apq_remeasure_check(apq_search_job *self,
                               const char *run_dir_or_null) {
    char path[APQ_PATH_MAX];
    if (run_dir_or_null == NULL) {
        APQ_FAIL(APQ_ERR_ARG,
                 "search.remeasure needs the supernet of a run: use "
                 "--run DIR");
    }
    if (self->recipe->data[0] == '\0') {
        APQ_FAIL(APQ_ERR_ARG,
                 "search.remeasure needs images: use --data PATH or "
                 "the recipe's 'data' key");
    }
    APQ_TRY(apq_rundir_need(run_dir_or_null, "supernet.safetensors", path));
    return apq_file_hash(path, self->weights_hash);
}

/* The images must be those of the run. */
static apq_status bind_data(remeasure *r, const char *run_dir) {
    apq_rundir *dir = NULL;
    APQ_TRY(apq_rundir_open(run_dir, true, &dir));
    apq_status st = apq_session_bind_data(&r->session, dir);
    apq_rundir_close(dir);
    return st;
}

/* Values measured before with the same weights, images and steps. */
static apq_status load_known(remeasure *r) {
    const apq_recipe *recipe = r->job->recipe;
    char salt[256];
    (void)snprintf(salt, sizeof salt, "%s %s %d %d %.17g %.17g %.17g",
                   r->job->weights_hash, apq_dataset_hash(r->session.dataset),
                   recipe->search.remeasure_qat_steps, recipe->finetune.batch,
                   recipe->train.momentum, recipe->finetune.weight_decay,
                   recipe->finetune.label_smoothing);
    APQ_TRY(apq_session_input_hash(&r->session, "collect", salt, r->key));
    json_t *root = NULL;
    if (apq_file_exists(r->path)) {
        APQ_TRY(apq_json_read(r->path, &root));
    }
    const char *key = json_string_value(json_object_get(root, "input"));
    json_t *known = json_object_get(root, "accuracy");
    r->known = key != NULL && strcmp(key, r->key) == 0 && json_is_object(known)
                   ? json_incref(known)
                   : json_object();
    json_decref(root);
    return APQ_OK;
}

static apq_status measure(remeasure *r, const apq_policy *policy,
                          double *accuracy) {
    const apq_search_job *job = r->job;
    int n_steps = job->recipe->search.remeasure_qat_steps;
    char name[APQ_HASH_MAX];
    (void)snprintf(name, sizeof name, "%016" PRIx64,
                   apq_policy_hash(&job->out->space, policy));
    const json_t *before = json_object_get(r->known, name);
    if (json_is_number(before)) {
        *accuracy = json_number_value(before);
        return APQ_OK;
    }
    apq_evaluation result;
    APQ_TRY(n_steps > 0
                ? apq_meter_after_qat(&r->meter, policy, n_steps, &result)
                : apq_meter_subnet(&r->meter, policy, true, &result));
    *accuracy = result.top1;
    if (json_object_set_new(r->known, name, json_real(result.top1)) != 0) {
        APQ_FAIL(APQ_ERR_NOMEM, "search: out of memory");
    }
    return apq_json_write(
        json_pack("{s:s, s:O}", "input", r->key, "accuracy", r->known), 17,
        r->path);
}

static apq_status measure_all(remeasure *r, const apq_policy *policies,
                              size_t n) {
    apq_app_search_result *out = r->job->out;
    const apq_progress *progress = r->job->progress;
    double best = -1;
    for (size_t i = 0; i < n; i++) {
        apq_measured *m = &out->measured[i];
        APQ_TRY(apq_search_job_describe(r->job, &policies[i], &m->candidate));
        apq_status st = measure(r, &policies[i], &m->accuracy);
        if (st == APQ_ERR_INTERRUPTED) {
            APQ_FAIL(APQ_ERR_INTERRUPTED,
                     "search stopped after measuring %zu of %zu, all kept", i,
                     n);
        }
        APQ_TRY(st);
        out->n_measured = i + 1;
        bool is_tie = !(m->accuracy > best) && !(m->accuracy < best);
        if (m->accuracy > best ||
            (is_tie && m->candidate.accuracy > out->best.accuracy)) {
            best = m->accuracy;
            out->best = m->candidate;
            out->measured_accuracy = m->accuracy;
        }
        char detail[64];
        (void)snprintf(detail, sizeof detail, "last %.2f %%, best %.2f %%",
                       100 * m->accuracy, 100 * best);
        apq_progress_update(progress, "measured", i + 1, n, detail);
    }
    return APQ_OK;
}

/* The baselines under the budget that are not among the n policies. */
static size_t add_baselines(const apq_app_search_result *out,
                            apq_policy *policies, size_t n) {
    for (int b = 0; b < APQ_N_BASELINES; b++) {
        const apq_candidate *c = &out->baselines[b];
        uint64_t hash = apq_policy_hash(&out->space, &c->policy);
        bool is_new = c->is_found && c->meets_budget;
        for (size_t i = 0; is_new && i < n; i++) {
            is_new = apq_policy_hash(&out->space, &policies[i]) != hash;
        }
        if (is_new) {
            policies[n++] = c->policy;
        }
    }
    return n;
}

static apq_status with_session(remeasure *r, const char *run_dir) {
    apq_session *session = &r->session;
    const apq_recipe *recipe = r->job->recipe;
    char supernet[APQ_PATH_MAX];
    apq_policy policies[APQ_SEARCH_MAX_MEASURED];
    APQ_TRY(apq_path_join(r->path, run_dir, "remeasure.json"));
    APQ_TRY(apq_path_join(supernet, run_dir, "supernet.safetensors"));
    APQ_TRY(apq_session_open_data(session));
    APQ_TRY(bind_data(r, run_dir));
    APQ_TRY(apq_session_load_supernet(session, supernet));
    APQ_TRY(load_known(r));
    r->has_meter = true;
    APQ_TRY(apq_meter_open(&r->meter, session, APQ_SPLIT_VAL,
                           (size_t)recipe->collect.val_images));
    size_t n = apq_remeasure_choose(&r->job->out->space, r->job->out->search,
                                    (size_t)recipe->search.remeasure, policies);
    n = add_baselines(r->job->out, policies, n);
    return measure_all(r, policies, n);
}

apq_status apq_remeasure(apq_search_job *self, const char *run_dir) {
    remeasure r = {.job = self};
    self->out->measured_qat_steps = self->recipe->search.remeasure_qat_steps;
    /* Its own stopwatch is not assigned: the search's meters all. */
    apq_status st = apq_session_open(&r.session, self->recipe, self->progress);
    if (st == APQ_OK) {
        st = with_session(&r, run_dir);
    }
    if (r.has_meter) {
        apq_meter_fini(&r.meter);
    }
    json_decref(r.known);
    apq_session_fini(&r.session);
    return st;
}
