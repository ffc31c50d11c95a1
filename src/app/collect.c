/* `apq collect`: accuracies of sampled sub-networks, float and quantised.
 * Record i of a kind depends on (seed, kind, i) only, so a killed collection
 * goes on where it was. */
#include "app/app.h"

#include "app/measure.h"
#include "store/records.h"

#include <stdio.h>
#include <stdlib.h>

/* The plan: the corners first, so that predictors see the extremes, then
 * uniform samples. */
static void planned_policy(const apq_session *session, apq_record_kind kind,
                           int64_t seq, apq_policy *out) {
    const apq_space *space = &session->space;
    int fewest = space->bits[0];
    if (seq == 0) {
        apq_policy_largest(space, 8, out);
    } else if (seq == 1) {
        apq_policy_smallest(space, 8, out);
    } else if (seq == 2 && kind != APQ_RECORD_FLOAT) {
        apq_policy_largest(space, fewest, out);
    } else if (seq == 3 && kind != APQ_RECORD_FLOAT) {
        apq_policy_smallest(space, fewest, out);
    } else {
        uint64_t index = ((uint64_t)kind << 32) + (uint64_t)seq;
        apq_rng rng =
            apq_rng_make(session->recipe->seed, APQ_RNG_COLLECT, index);
        apq_policy_random(space, &rng, out);
    }
    apq_policy_canonical(space, out);
}

static apq_status add_record(apq_session *session, apq_records *records,
                             apq_meter *meter, apq_record_kind kind,
                             int64_t seq, const char *weights_hash,
                             apq_evaluation *result) {
    apq_policy policy;
    planned_policy(session, kind, seq, &policy);
    double start = apq_now_s();
    if (kind == APQ_RECORD_QAT) {
        APQ_TRY(apq_meter_after_qat(
            meter, &policy, session->recipe->collect.qat_steps, result));
    } else {
        APQ_TRY(apq_meter_subnet(meter, &policy, kind == APQ_RECORD_QUANTISED,
                                 result));
    }
    char *text = apq_policy_to_json(&session->space, &policy);
    if (text == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "collect: out of memory");
    }
    apq_record record = {
        .policy = text,
        .policy_hash = apq_policy_hash(&session->space, &policy),
        .kind = kind,
        .seq = seq,
        .accuracy = result->top1,
        .loss = result->loss,
        .count = result->count,
        .seconds = apq_now_s() - start,
    };
    (void)snprintf(record.weights_hash, sizeof record.weights_hash, "%s",
                   weights_hash);
    apq_status st = apq_records_add(records, &record);
    free(text);
    return st;
}

static apq_status collect_kind(apq_session *session, apq_records *records,
                               apq_meter *meter, apq_record_kind kind, int n,
                               const char *weights_hash) {
    char what[32], detail[64] = "";
    (void)snprintf(what, sizeof what, "collect %s", apq_record_kind_name(kind));
    double best = 0;
    for (int64_t seq = 0; seq < n; seq++) {
        bool has;
        APQ_TRY(apq_records_has(records, kind, seq, &has));
        if (!has) {
            apq_evaluation result;
            APQ_TRY(add_record(session, records, meter, kind, seq, weights_hash,
                               &result));
            best = result.top1 > best ? result.top1 : best;
            (void)snprintf(detail, sizeof detail, "last %.2f %%, best %.2f %%",
                           100 * result.top1, 100 * best);
        }
        apq_progress_update(session->progress, what, (uint64_t)seq + 1,
                            (uint64_t)n, detail);
        if (apq_stop_requested(session->progress)) {
            APQ_FAIL(APQ_ERR_INTERRUPTED,
                     "collect interrupted after %lld records, all saved",
                     (long long)seq + 1);
        }
    }
    return APQ_OK;
}

static apq_status collect_all(apq_session *session, apq_records *records,
                              const char *weights_hash) {
    const apq_recipe *r = session->recipe;
    apq_meter meter;
    apq_status st = apq_meter_open(&meter, session, APQ_SPLIT_VAL,
                                   (size_t)r->collect.val_images);
    if (st == APQ_OK) {
        st = collect_kind(session, records, &meter, APQ_RECORD_FLOAT,
                          r->collect.float_records, weights_hash);
    }
    apq_record_kind kind =
        r->collect.qat_steps > 0 ? APQ_RECORD_QAT : APQ_RECORD_QUANTISED;
    if (st == APQ_OK) {
        st = collect_kind(session, records, &meter, kind,
                          r->collect.quantised_records, weights_hash);
    }
    apq_meter_fini(&meter);
    return st;
}

/* All records of a run are labelled alike: what decides a label, for people to
 * read when it has changed. */
static apq_status bind_labels(apq_session *session) {
    const apq_recipe *r = session->recipe;
    char labels[256];
    (void)snprintf(labels, sizeof labels,
                   "%d validation images, %d to recalibrate, %d QAT steps of "
                   "%d at rate %g (momentum %g, decay %g, smoothing %g), seed "
                   "%llu",
                   r->collect.val_images, r->collect.recalibrate_images,
                   r->collect.qat_steps, r->finetune.batch,
                   r->collect.qat_learning_rate, r->train.momentum,
                   r->finetune.weight_decay, r->finetune.label_smoothing,
                   (unsigned long long)r->seed);
    return apq_rundir_bind(session->dir, "collect_labels", labels);
}

static apq_status collect_into(apq_session *session) {
    char supernet[APQ_PATH_MAX], db[APQ_PATH_MAX];
    char input[APQ_HASH_MAX], weights[APQ_HASH_MAX], artefact[APQ_HASH_MAX];
    APQ_TRY(apq_rundir_file(session->dir, "supernet.safetensors", supernet));
    APQ_TRY(apq_rundir_file(session->dir, "run.db", db));
    APQ_TRY(apq_file_hash(supernet, weights));
    APQ_TRY(apq_rundir_bind(session->dir, "collect_weights", weights));
    APQ_TRY(apq_session_input_hash(session, "collect", weights, input));
    if (apq_rundir_step_done(session->dir, "collect", input)) {
        apq_note(session->progress, "collect: done before, %s", db);
        return APQ_OK;
    }
    APQ_TRY(bind_labels(session));
    APQ_TRY(apq_session_begin(session, "collect", input));
    APQ_TRY(apq_session_load_supernet(session, supernet));
    apq_records *records;
    APQ_TRY(apq_records_open(db, &records));
    apq_status st = collect_all(session, records, weights);
    apq_records_close(records);
    if (st == APQ_OK) {
        st = apq_file_hash(db, artefact);
    }
    return st != APQ_OK
               ? st
               : apq_session_finish(session, "collect", input, artefact);
}

apq_status apq_app_collect(const apq_recipe *recipe, const char *run_dir,
                           const apq_progress *progress) {
    apq_session session;
    apq_status st = apq_session_open(&session, recipe, progress);
    if (st == APQ_OK) {
        st = apq_session_open_data(&session);
    }
    if (st == APQ_OK) {
        st = apq_session_open_run(&session, run_dir);
    }
    if (st == APQ_OK) {
        st = collect_into(&session);
    }
    apq_session_fini(&session);
    return st;
}
