/* `apq eval`: one sub-network of a supernet, recalibrated, on validation or
 * test images. */
#include "app/app.h"

#include "app/choose_policy.h"
#include "app/eval_network.h"
#include "app/measure.h"
#include "store/rundir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static apq_status open_meter(apq_session *session,
                             const apq_eval_request *request, apq_meter *meter,
                             apq_policy *policy) {
    bool is_test = strcmp(request->split, "test") == 0;
    if (!is_test && strcmp(request->split, "val") != 0) {
        APQ_FAIL(APQ_ERR_ARG, "--split %s: expected val or test",
                 request->split);
    }
    APQ_TRY(apq_app_choose_policy(&session->space, request->policy, policy));
    return apq_meter_open(meter, session,
                          is_test ? APQ_SPLIT_TEST : APQ_SPLIT_VAL,
                          (size_t)(request->limit > 0 ? request->limit : 0));
}

/* Each process has read all of it by itself. */
static apq_status check_same(const apq_session *session,
                             const apq_policy *policy) {
    const apq_params *params = apq_supernet_params(session->supernet);
    char weights[APQ_HASH_MAX], settings[APQ_HASH_MAX], salt[APQ_HASH_MAX];
    uint64_t hash = apq_policy_hash(&session->space, policy);
    apq_hash_hex(params->value, params->n_values * sizeof *params->value,
                 weights);
    apq_hash_hex(&hash, sizeof hash, salt);
    APQ_TRY(apq_session_check_same_images(session));
    APQ_TRY(apq_session_check_same(session, "weights", weights));
    APQ_TRY(
        apq_comm_agree(session->comm, apq_session_input_hash(session, "collect",
                                                             salt, settings)));
    return apq_session_check_same(session, "settings", settings);
}

static apq_status eval_with(apq_session *session,
                            const apq_eval_request *request,
                            apq_eval_answer *out) {
    apq_meter meter = {.session = session};
    apq_evaluation result;
    apq_status st = apq_comm_agree(
        session->comm, open_meter(session, request, &meter, &out->policy));
    meter.is_bfloat16 = request->is_bfloat16;
    meter.check = request->checks ? &out->check : NULL;
    if (st == APQ_OK && session->comm != NULL) {
        st = check_same(session, &out->policy);
    }
    if (st == APQ_OK) {
        st = request->qat_steps > 0
                 ? apq_meter_after_qat(&meter, &out->policy, request->qat_steps,
                                       &result)
                 : apq_meter_subnet(&meter, &out->policy, request->is_quantised,
                                    &result);
    }
    apq_meter_fini(&meter);
    if (st == APQ_OK) {
        out->top1 = result.top1;
        out->loss = result.loss;
        out->count = result.count;
        out->seconds = result.seconds;
    }
    return st;
}

/* Validation images of another split may be ones that the run was trained on;
 * other images are the user's business. */
static apq_status check_val(const apq_session *session,
                            const char *run_dir_or_null) {
    char manifest[APQ_PATH_MAX], n_val[32];
    apq_rundir *dir;
    if (run_dir_or_null == NULL) {
        return APQ_OK;
    }
    APQ_TRY(apq_path_join(manifest, run_dir_or_null, "manifest.json"));
    if (!apq_file_exists(manifest)) {
        return APQ_OK;
    }
    APQ_TRY(apq_rundir_open_read(run_dir_or_null, &dir));
    const char *data = apq_rundir_bound(dir, "data_hash");
    const char *n = apq_rundir_bound(dir, "n_val");
    (void)snprintf(n_val, sizeof n_val, "%zu",
                   apq_dataset_length(session->dataset, APQ_SPLIT_VAL));
    apq_status st = APQ_OK;
    if (data != NULL && n != NULL &&
        strcmp(data, apq_dataset_hash(session->dataset)) == 0 &&
        strcmp(n, n_val) != 0) {
        st = APQ_ERROR(APQ_ERR_MISMATCH,
                       "%s: made with %s validation images, not %s: the others "
                       "are ones that it was trained on",
                       run_dir_or_null, n, n_val);
    }
    apq_rundir_close(dir);
    return st;
}

/* An evaluation reads the run only; where it may, it leaves what it spent. */
static bool is_writable_run(const char *run_dir) {
    char manifest[APQ_PATH_MAX];
    return run_dir != NULL &&
           apq_path_join(manifest, run_dir, "manifest.json") == APQ_OK &&
           apq_file_exists(manifest) && access(run_dir, W_OK) == 0;
}

/* First of all: without a run there may be another recipe, and its data would
 * be missed. */
static apq_status find_supernet(const apq_recipe *recipe,
                                const char *run_dir_or_null,
                                char path[APQ_PATH_MAX]) {
    char dir[APQ_PATH_MAX];
    if (run_dir_or_null != NULL) {
        return apq_rundir_need(run_dir_or_null, "supernet.safetensors", path);
    }
    APQ_TRY(apq_app_shipped_dir(recipe->space, dir));
    return apq_path_join(path, dir, "supernet.safetensors");
}

apq_status apq_app_eval(const apq_recipe *recipe, const char *run_dir_or_null,
                        const apq_eval_request *request,
                        const apq_progress *progress, apq_eval_answer *out) {
    if (request->model != NULL) {
        return apq_eval_network(recipe, request, progress, out);
    }
    apq_session session;
    char supernet[APQ_PATH_MAX];
    apq_status st = apq_session_open(&session, recipe, progress);
    if (st == APQ_OK) {
        apq_session_join(&session, request->comm);
        st = find_supernet(recipe, run_dir_or_null, supernet);
    }
    if (st == APQ_OK) {
        st = apq_session_open_data(&session);
    }
    if (st == APQ_OK) {
        st = apq_session_load_supernet(&session, supernet);
    }
    if (st == APQ_OK && strcmp(request->split, "val") == 0) {
        st = check_val(&session, run_dir_or_null);
    }
    if (st == APQ_OK && apq_comm_rank(request->comm) == 0 &&
        is_writable_run(run_dir_or_null)) {
        st = apq_stopwatch_assign(&session.stopwatch, run_dir_or_null, "eval",
                                  "");
    }
    st = apq_comm_agree(request->comm, st);
    if (st == APQ_OK) {
        out->space = session.space;
        st = eval_with(&session, request, out);
    }
    apq_session_fini(&session);
    return st;
}
