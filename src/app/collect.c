/* `apq collect`: accuracies of sampled sub-networks, float and quantised, then
 * of those that search finds. Record i of a kind depends on (seed, kind, i)
 * and, when chosen by search, on the records before its round, so a killed
 * collection goes on where it was. */
#include "app/app.h"

#include "app/active.h"
#include "app/lut.h"
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

/* One kind of records of a run while it grows. */
typedef struct collection {
    apq_session *session;
    apq_records *records;
    apq_meter meter;
    const char *weights_hash;
    apq_record_kind kind;
    int64_t n; /* all that are asked for */
    double best;
} collection;

static apq_status measure(collection *c, const apq_policy *policy,
                          apq_evaluation *out) {
    return c->kind == APQ_RECORD_QAT
               ? apq_meter_after_qat(&c->meter, policy,
                                     c->session->recipe->collect.qat_steps, out)
               : apq_meter_subnet(&c->meter, policy,
                                  c->kind == APQ_RECORD_QUANTISED, out);
}

static apq_status add_record(collection *c, int64_t seq,
                             const apq_policy *policy, double *accuracy) {
    double start = apq_now_s();
    apq_evaluation result;
    APQ_TRY(measure(c, policy, &result));
    char *text = apq_policy_to_json(&c->session->space, policy);
    if (text == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "collect: out of memory");
    }
    apq_record record = {
        .policy = text,
        .policy_hash = apq_policy_hash(&c->session->space, policy),
        .kind = c->kind,
        .seq = seq,
        .accuracy = result.top1,
        .loss = result.loss,
        .count = result.count,
        .seconds = apq_now_s() - start,
    };
    (void)snprintf(record.weights_hash, sizeof record.weights_hash, "%s",
                   c->weights_hash);
    apq_status st = apq_records_add(c->records, &record);
    free(text);
    *accuracy = result.top1;
    return st;
}

static apq_status interrupted(int64_t n_records) {
    APQ_FAIL(APQ_ERR_INTERRUPTED,
             "collect interrupted after %lld records, all saved",
             (long long)n_records);
}

/* Records begin .. end - 1; of policies[seq - begin], or the planned ones
 * where policies is NULL. */
static apq_status collect_range(collection *c, int64_t begin, int64_t end,
                                const apq_policy *policies) {
    const apq_progress *progress = c->session->progress;
    char what[32], detail[64] = "";
    (void)snprintf(what, sizeof what, "collect %s",
                   apq_record_kind_name(c->kind));
    for (int64_t seq = begin; seq < end; seq++) {
        bool has;
        APQ_TRY(apq_records_has(c->records, c->kind, seq, &has));
        if (!has) {
            apq_policy policy;
            double accuracy = 0;
            if (policies != NULL) {
                policy = policies[seq - begin];
            } else {
                planned_policy(c->session, c->kind, seq, &policy);
            }
            apq_status st = add_record(c, seq, &policy, &accuracy);
            if (st == APQ_ERR_INTERRUPTED) {
                return interrupted(seq);
            }
            APQ_TRY(st);
            c->best = accuracy > c->best ? accuracy : c->best;
            (void)snprintf(detail, sizeof detail,
                           "%slast %.2f %%, best %.2f %%",
                           policies != NULL ? "found by search: " : "",
                           100 * accuracy, 100 * c->best);
        }
        apq_progress_update(progress, what, (uint64_t)seq + 1, (uint64_t)c->n,
                            detail);
        if (apq_stop_requested(progress)) {
            return interrupted(seq + 1);
        }
    }
    return APQ_OK;
}

/* The records from begin on, chosen by search in rounds of equal size. */
static apq_status collect_active(collection *c, int64_t begin) {
    const apq_recipe *r = c->session->recipe;
    int64_t n = (c->n - begin + r->collect.active_rounds - 1) /
                r->collect.active_rounds;
    apq_target *target;
    APQ_TRY(apq_target_load(r->target, &target));
    apq_status st = apq_app_check_target(&c->session->space, target);
    apq_policy *policies = apq_calloc((size_t)n, sizeof *policies);
    if (st == APQ_OK && policies == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "collect: out of memory");
    }
    for (int64_t seq = begin; st == APQ_OK && seq < c->n; seq += n) {
        int64_t end = seq + n < c->n ? seq + n : c->n;
        bool has;
        st = apq_records_has(c->records, c->kind, end - 1, &has);
        if (st == APQ_OK && !has) {
            st = apq_active_choose(c->session, c->records, target, seq,
                                   (size_t)(end - seq), policies);
        }
        if (st == APQ_OK) {
            st = collect_range(c, seq, end, policies);
        }
    }
    free(policies);
    apq_target_destroy(target);
    return st;
}

static apq_status collect_all(apq_session *session, apq_records *records,
                              const char *weights_hash) {
    const apq_recipe *r = session->recipe;
    collection c = {.session = session,
                    .records = records,
                    .weights_hash = weights_hash,
                    .kind = APQ_RECORD_FLOAT,
                    .n = r->collect.float_records};
    apq_status st = apq_meter_open(&c.meter, session, APQ_SPLIT_VAL,
                                   (size_t)r->collect.val_images);
    if (st == APQ_OK) {
        st = collect_range(&c, 0, c.n, NULL);
    }
    c.kind = r->collect.qat_steps > 0 ? APQ_RECORD_QAT : APQ_RECORD_QUANTISED;
    c.n = r->collect.quantised_records + r->collect.active_records;
    c.best = 0;
    if (st == APQ_OK) {
        st = collect_range(&c, 0, r->collect.quantised_records, NULL);
    }
    if (st == APQ_OK && r->collect.active_records > 0) {
        st = collect_active(&c, r->collect.quantised_records);
    }
    apq_meter_fini(&c.meter);
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
                   "%llu%s",
                   r->collect.val_images, r->collect.recalibrate_images,
                   r->collect.qat_steps, r->finetune.batch,
                   r->collect.qat_learning_rate, r->train.momentum,
                   r->finetune.weight_decay, r->finetune.label_smoothing,
                   (unsigned long long)r->seed, apq_meter_label_kind(r));
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
    return apq_session_run(recipe, run_dir, progress, true, collect_into);
}
