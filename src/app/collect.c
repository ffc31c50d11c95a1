/* `apq collect`: accuracies of sampled sub-networks, float and quantised, then
 * of those that search finds. Record i of a kind depends on (seed, kind, i)
 * and, when chosen by search, on the records before its round, so any number
 * of processes, killed or not, collect the same records. */
#include "app/app.h"

#include "app/active.h"
#include "app/collect_plan.h"
#include "app/lut.h"
#include "app/measure.h"
#include "app/noise.h"
#include "store/claims.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* One kind of records of a run while it grows. Between the work and its
 * progress it stands as the stopwatch does: each question whether to stop is an
 * occasion to move the claims' end. */
typedef struct collection {
    apq_progress base;
    const apq_progress *outer;
    apq_session *session;
    apq_records *records;
    apq_meter meter;
    const char *weights_hash;
    apq_record_kind kind;
    int64_t n;     /* all that are asked for */
    bool is_bound; /* the run, to what decides these records */
    double best, renewed_s;
    char detail[96];
    /* When this process began with the kind, and with how many records. */
    double start_s;
    size_t n_start;
} collection;

static void note(void *ctx, const char *line) {
    const collection *c = ctx;
    apq_note(c->outer, "%s", line);
}

static void update(void *ctx, const char *what, uint64_t done, uint64_t total,
                   const char *detail) {
    const collection *c = ctx;
    apq_progress_update(c->outer, what, done, total, detail);
}

static bool stop_requested(void *ctx) {
    collection *c = ctx;
    double lease_s = c->session->recipe->collect.lease_s;
    if (apq_now_s() - c->renewed_s > lease_s / 4) {
        c->renewed_s = apq_now_s();
        /* If it fails, another process may measure the same: no harm. */
        apq_status st = apq_claims_renew(c->records, lease_s);
        (void)st;
    }
    return apq_stop_requested(c->outer);
}

static const char *kind_title(apq_record_kind kind) {
    static const char *const titles[APQ_RECORD_N_KINDS] = {
        [APQ_RECORD_FLOAT] = "float",
        [APQ_RECORD_QUANTISED] = "quantised without QAT",
        [APQ_RECORD_QAT] = "quantised after QAT",
    };
    return titles[kind];
}

static apq_status measure(collection *c, const apq_policy *policy,
                          apq_evaluation *out) {
    return c->kind == APQ_RECORD_QAT
               ? apq_meter_after_qat(&c->meter, policy,
                                     c->session->recipe->collect.qat_steps, out)
               : apq_meter_subnet(&c->meter, policy,
                                  c->kind == APQ_RECORD_QUANTISED, out);
}

/* The same on other calibration images and with other random numbers. */
static apq_status measure_again(const collection *c, const apq_policy *policy,
                                apq_evaluation *out) {
    apq_recipe recipe = *c->session->recipe;
    recipe.seed += 1;
    apq_session session = *c->session;
    session.recipe = &recipe;
    collection again = *c;
    again.session = &session;
    apq_status st = apq_meter_open(&again.meter, &session, APQ_SPLIT_VAL,
                                   (size_t)session.recipe->collect.val_images);
    if (st == APQ_OK) {
        st = measure(&again, policy, out);
    }
    apq_meter_fini(&again.meter);
    return st;
}

/* What decides a label, for people to read when it has changed: all records of
 * a run are labelled alike. */
static apq_status settle_float_labels(const apq_session *session,
                                      apq_rundir_settle settle) {
    const apq_recipe *r = session->recipe;
    char labels[96];
    (void)snprintf(labels, sizeof labels,
                   "%d validation images, %d to recalibrate, seed %llu",
                   r->collect.val_images, r->collect.recalibrate_images,
                   (unsigned long long)r->seed);
    return settle(session->dir, "collect_float_labels", labels);
}

/* Those that share the work plan it alike, too. */
static apq_status settle_quantised_labels(const apq_session *session,
                                          apq_rundir_settle settle) {
    const apq_recipe *r = session->recipe;
    char labels[256], group[16];
    bool is_trained = apq_collect_quantised_kind(r) == APQ_RECORD_QAT;
    (void)snprintf(labels, sizeof labels,
                   "%d validation images, %d to recalibrate, %d QAT steps of "
                   "%d at rate %g (momentum %g, decay %g, smoothing %g), seed "
                   "%llu%s",
                   r->collect.val_images, r->collect.recalibrate_images,
                   is_trained ? r->collect.qat_steps : 0, r->finetune.batch,
                   r->collect.qat_learning_rate, r->train.momentum,
                   r->finetune.weight_decay, r->finetune.label_smoothing,
                   (unsigned long long)r->seed, apq_meter_label_kind(r));
    APQ_TRY(settle(session->dir, "collect_labels", labels));
    (void)snprintf(group, sizeof group, "%d",
                   r->collect.policies_per_architecture);
    return settle(session->dir, "collect_policies_per_architecture", group);
}

/* When the first record of a kind is there to be stored, not before: what fails
 * may be tried in another way, and how the quantised ones are made may be
 * chosen while the float ones are collected. */
static apq_status bind_records(collection *c) {
    if (c->is_bound) {
        return APQ_OK;
    }
    APQ_TRY(
        apq_rundir_bind(c->session->dir, "collect_weights", c->weights_hash));
    APQ_TRY(c->kind == APQ_RECORD_FLOAT
                ? settle_float_labels(c->session, apq_rundir_bind)
                : settle_quantised_labels(c->session, apq_rundir_bind));
    c->is_bound = true;
    return APQ_OK;
}

static apq_status measure_record(collection *c, const apq_claim *claim,
                                 const apq_policy *policy) {
    double start = apq_now_s();
    apq_evaluation result;
    APQ_TRY(claim->task == APQ_TASK_REPEAT ? measure_again(c, policy, &result)
                                           : measure(c, policy, &result));
    char *text = apq_policy_to_json(&c->session->space, policy);
    if (text == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "collect: out of memory");
    }
    apq_record record = {
        .policy = text,
        .policy_hash = apq_policy_hash(&c->session->space, policy),
        .kind = c->kind,
        .seq = claim->seq,
        .accuracy = result.top1,
        .loss = result.loss,
        .loss_sd = result.loss_sd,
        .count = result.count,
        .seconds = apq_now_s() - start,
    };
    (void)snprintf(record.weights_hash, sizeof record.weights_hash, "%s",
                   c->weights_hash);
    apq_status st = bind_records(c);
    if (st == APQ_OK) {
        st = apq_claims_finish(c->records, claim, &record);
    }
    free(text);
    c->best = result.top1 > c->best ? result.top1 : c->best;
    (void)snprintf(c->detail, sizeof c->detail, "last %.2f %%, best %.2f %%",
                   100 * result.top1, 100 * c->best);
    return st;
}

static apq_status interrupted(collection *c) {
    size_t n = 0;
    APQ_TRY(apq_records_count(c->records, c->kind, &n));
    APQ_FAIL(APQ_ERR_INTERRUPTED,
             "collect interrupted after %zu %s records, all saved", n,
             apq_record_kind_name(c->kind));
}

/* Labels a minute of this kind by all processes since this one began with it;
 * 0 while there are none. */
static double labels_a_minute(const collection *c, size_t n) {
    double minutes = (apq_now_s() - c->start_s) / 60;
    return n > c->n_start && minutes > 0 ? (double)(n - c->n_start) / minutes
                                         : 0;
}

static apq_status report_progress(collection *c, const char *state) {
    size_t n = 0;
    char what[32], detail[192];
    APQ_TRY(apq_records_count(c->records, c->kind, &n));
    (void)snprintf(what, sizeof what, "collect %s",
                   apq_record_kind_name(c->kind));
    (void)snprintf(detail, sizeof detail, "%s%.4g labels/min%s%s", state,
                   labels_a_minute(c, n), c->detail[0] == '\0' ? "" : ", ",
                   c->detail);
    apq_progress_update(&c->base, what, n, (uint64_t)c->n, detail);
    return APQ_OK;
}

/* Others are at what is left: it is done, or theirs no more, in a while. Longer
 * each time, to 0.8 s: a look locks the records that others write. */
static apq_status wait_for_others(collection *c, long *nap_ms) {
    const struct timespec nap = {.tv_nsec = *nap_ms * 1000000};
    APQ_TRY(report_progress(c, "waiting for other processes, "));
    (void)nanosleep(&nap, NULL);
    *nap_ms = *nap_ms < 800 ? 2 * *nap_ms : *nap_ms;
    return APQ_OK;
}

/* Claims the next piece of work; waits for that of others. DONE: nothing is
 * missing from *begin to end. */
static apq_status claim_next(collection *c, apq_task task, int64_t *begin,
                             int64_t end, apq_claim_state *state,
                             apq_claim *claim) {
    long nap_ms = 50;
    for (;;) {
        if (apq_stop_requested(&c->base)) {
            return interrupted(c);
        }
        APQ_TRY(apq_claims_take(c->records, task, c->kind, begin, end,
                                c->session->recipe->collect.lease_s, state,
                                claim));
        c->renewed_s = apq_now_s();
        if (*state != APQ_CLAIM_BUSY) {
            return APQ_OK;
        }
        APQ_TRY(wait_for_others(c, &nap_ms));
    }
}

/* A claim that came to nothing, with the reason. */
static apq_status give_back(collection *c, const apq_claim *claim,
                            apq_status st) {
    if (st == APQ_ERR_INTERRUPTED) {
        APQ_TRY(apq_claims_drop(c->records, claim));
        return interrupted(c);
    }
    /* Left as it is where the message must not be lost: the claim ends with
     * this process. */
    return st == APQ_ERR_NUMERIC
               ? APQ_ERROR(st, "%s record %lld: %s",
                           apq_record_kind_name(c->kind), (long long)claim->seq,
                           apq_error_message())
               : st;
}

/* A policy as run.db has it; its text is released. */
static apq_status parse_stored(const collection *c, char *text,
                               apq_policy *out) {
    apq_status st =
        apq_policy_from_json(&c->session->space, text, "run.db: policy", out);
    free(text);
    return st;
}

/* The planned policy; that of a repeat is the record's, which need not be what
 * is planned for its number: it was imported, or found by search before more
 * were planned. */
static apq_status find_policy(const collection *c, const apq_claim *claim,
                              apq_policy *out) {
    if (claim->task == APQ_TASK_REPEAT) {
        char *text;
        APQ_TRY(apq_record_policy(c->records, c->kind, claim->seq, &text));
        return parse_stored(c, text, out);
    }
    apq_collect_plan(c->session->recipe, &c->session->space, c->kind,
                     claim->seq, out);
    return APQ_OK;
}

/* Does `task` for begin .. end - 1 by policies[seq - begin], or by those that
 * find_policy() tells where policies is NULL, until all are done by whoever. */
static apq_status collect_range(collection *c, apq_task task, int64_t begin,
                                int64_t end, const apq_policy *policies) {
    int64_t at = begin;
    for (;;) {
        apq_claim_state state;
        apq_claim claim;
        APQ_TRY(claim_next(c, task, &at, end, &state, &claim));
        if (state == APQ_CLAIM_DONE) {
            return APQ_OK;
        }
        apq_policy policy;
        if (policies != NULL) {
            policy = policies[claim.seq - begin];
        } else {
            APQ_TRY(find_policy(c, &claim, &policy));
        }
        apq_status st = measure_record(c, &claim, &policy);
        if (st != APQ_OK) {
            return give_back(c, &claim, st);
        }
        APQ_TRY(report_progress(c, task == APQ_TASK_REPEAT ? "repeated, "
                                   : policies != NULL      ? "found by search, "
                                                           : ""));
    }
}

/* Chooses the policies of a round and stores them for all processes. */
static apq_status choose(collection *c, apq_target *target,
                         const apq_claim *claim, int64_t begin, size_t n,
                         apq_policy *policies) {
    char **texts = apq_calloc(n, sizeof *texts);
    apq_status st = texts == NULL
                        ? APQ_ERROR(APQ_ERR_NOMEM, "collect: out of memory")
                        : apq_active_choose(c->session, c->records, target,
                                            begin, n, policies);
    for (size_t i = 0; st == APQ_OK && i < n; i++) {
        texts[i] = apq_policy_to_json(&c->session->space, &policies[i]);
        if (texts[i] == NULL) {
            st = APQ_ERROR(APQ_ERR_NOMEM, "collect: out of memory");
        }
    }
    if (st == APQ_OK) {
        st = apq_claims_finish_choice(c->records, claim, begin, texts, n);
    }
    for (size_t i = 0; texts != NULL && i < n; i++) {
        free(texts[i]);
    }
    free(texts);
    return st == APQ_OK ? st : give_back(c, claim, st);
}

/* The policies of a round, as chosen by the process that came first. */
static apq_status chosen_policies(collection *c, apq_target *target,
                                  int64_t begin, int64_t end,
                                  apq_policy *policies) {
    int64_t at = begin;
    apq_claim_state state;
    apq_claim claim;
    APQ_TRY(claim_next(c, APQ_TASK_CHOICE, &at, end, &state, &claim));
    if (state == APQ_CLAIM_MINE) {
        APQ_TRY(
            choose(c, target, &claim, begin, (size_t)(end - begin), policies));
    }
    for (int64_t seq = begin; seq < end; seq++) {
        char *text;
        APQ_TRY(apq_choice_get(c->records, c->kind, seq, &text));
        APQ_TRY(parse_stored(c, text, &policies[seq - begin]));
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
        int64_t missing = seq;
        st = apq_records_first_missing(c->records, c->kind, &missing, end);
        if (st == APQ_OK && missing < end) {
            st = chosen_policies(c, target, seq, end, policies);
        }
        if (st == APQ_OK) {
            st = collect_range(c, APQ_TASK_RECORD, seq, end, policies);
        }
    }
    free(policies);
    apq_target_destroy(target);
    return st;
}

/* Records that are measured once more: random ones, so not the corners where
 * there are others. */
static apq_status collect_repeats(collection *c, int64_t n_planned) {
    int64_t n = c->session->recipe->collect.repeats;
    int64_t begin =
        n_planned > APQ_COLLECT_N_CORNERS ? APQ_COLLECT_N_CORNERS : 0;
    int64_t end = n_planned - begin < n ? n_planned : begin + n;
    return collect_range(c, APQ_TASK_REPEAT, begin, end, NULL);
}

/* How fast it was, and how good the labels are. */
static apq_status summarise(collection *c) {
    apq_noise noise;
    char text[512];
    APQ_TRY(apq_noise_of(c->records, c->kind, &noise));
    if (noise.n_records == 0) {
        return APQ_OK;
    }
    apq_noise_text(&noise, text, sizeof text);
    apq_note(c->outer, "%s", text);
    double rate = labels_a_minute(c, noise.n_records);
    if (rate > 0) {
        apq_note(c->outer, "  %.4g labels a minute (%s), %.3g s each", rate,
                 kind_title(c->kind), noise.seconds);
    } else {
        apq_note(c->outer, "  all measured before (%s), %.3g s each",
                 kind_title(c->kind), noise.seconds);
    }
    return APQ_OK;
}

static apq_status collect_kind(collection *c, apq_record_kind kind,
                               int64_t n_planned, int64_t n_active) {
    c->kind = kind;
    c->n = n_planned + n_active;
    c->is_bound = false;
    c->best = 0;
    c->detail[0] = '\0';
    APQ_TRY(apq_records_count(c->records, kind, &c->n_start));
    c->start_s = apq_now_s();
    APQ_TRY(collect_range(c, APQ_TASK_RECORD, 0, n_planned, NULL));
    if (n_active > 0) {
        APQ_TRY(collect_active(c, n_planned));
    }
    double rate_s = apq_now_s();
    APQ_TRY(collect_repeats(c, n_planned));
    c->start_s += apq_now_s() - rate_s; /* repeats are no labels */
    /* All may have been imported: more are to be like those asked for. */
    APQ_TRY(c->n > 0 ? bind_records(c) : APQ_OK);
    return summarise(c);
}

static apq_status collect_all(apq_session *session, apq_records *records,
                              const char *weights_hash) {
    const apq_recipe *r = session->recipe;
    collection c = {.outer = session->progress,
                    .session = session,
                    .records = records,
                    .weights_hash = weights_hash};
    c.base = (apq_progress){.ctx = &c,
                            .note = note,
                            .update = update,
                            .stop_requested = stop_requested};
    session->progress = &c.base;
    apq_status st = apq_meter_open(&c.meter, session, APQ_SPLIT_VAL,
                                   (size_t)r->collect.val_images);
    if (st == APQ_OK) {
        st = collect_kind(&c, APQ_RECORD_FLOAT, r->collect.float_records, 0);
    }
    if (st == APQ_OK) {
        st = collect_kind(&c, apq_collect_quantised_kind(r),
                          r->collect.quantised_records,
                          r->collect.active_records);
    }
    apq_meter_fini(&c.meter);
    session->progress = c.outer;
    return st;
}

/* Hash of all that decides the records: not how the work is shared. */
static apq_status collect_input(const apq_session *session, const char *weights,
                                char input[APQ_HASH_MAX]) {
    apq_recipe recipe = *session->recipe, standard;
    apq_recipe_default(&standard);
    recipe.collect.lease_s = standard.collect.lease_s;
    apq_session alone = *session;
    alone.recipe = &recipe;
    return apq_session_input_hash(&alone, "collect", weights, input);
}

typedef struct collect_files {
    char supernet[APQ_PATH_MAX], db[APQ_PATH_MAX];
    char input[APQ_HASH_MAX], weights[APQ_HASH_MAX];
    bool is_done;
} collect_files;

/* Finished from this input, and are the records still those? Some may have been
 * lost since, or imported. */
static apq_status find_done(const apq_session *session, collect_files *files) {
    const char *made = apq_rundir_step_artefact(session->dir, "collect");
    files->is_done = false;
    if (made != NULL && apq_file_exists(files->db)) {
        char hash[APQ_RECORD_TEXT_MAX];
        apq_records *records;
        APQ_TRY(apq_records_open_read(files->db, &records));
        apq_status st = apq_records_hash(records, hash);
        apq_records_close(records);
        APQ_TRY(st);
        if (strcmp(made, hash) != 0) {
            return APQ_OK;
        }
    }
    files->is_done =
        apq_session_has(session, "collect", files->input, files->db);
    return APQ_OK;
}

static apq_status prepare(apq_session *session, collect_files *files) {
    apq_rundir *dir = session->dir;
    APQ_TRY(apq_rundir_need(apq_rundir_path(dir), "supernet.safetensors",
                            files->supernet));
    APQ_TRY(apq_rundir_file(dir, "run.db", files->db));
    APQ_TRY(apq_file_hash(files->supernet, files->weights));
    APQ_TRY(apq_rundir_check(dir, "collect_weights", files->weights));
    APQ_TRY(collect_input(session, files->weights, files->input));
    APQ_TRY(settle_quantised_labels(session, apq_rundir_check));
    APQ_TRY(settle_float_labels(session, apq_rundir_check));
    APQ_TRY(find_done(session, files));
    if (files->is_done) {
        return APQ_OK;
    }
    APQ_TRY(apq_session_check_qat(session));
    APQ_TRY(apq_session_load_supernet(session, files->supernet));
    if (session->recipe->collect.quantised == 1 &&
        !apq_supernet_has_steps(session->supernet)) {
        APQ_FAIL(APQ_ERR_ARG,
                 "%s: has no shared steps, which collect.quantised: shared "
                 "needs; train with train.bits: shared",
                 files->supernet);
    }
    return APQ_OK;
}

static apq_status collect_into(apq_session *session, const collect_files *files,
                               bool is_first) {
    char artefact[APQ_RECORD_TEXT_MAX];
    if (files->is_done) {
        return APQ_OK;
    }
    if (is_first) {
        APQ_TRY(apq_session_begin(session, "collect", files->input));
    }
    apq_records *records;
    APQ_TRY(apq_records_open(files->db, &records));
    apq_status st = collect_all(session, records, files->weights);
    if (st == APQ_OK) {
        st = apq_records_hash(records, artefact);
    }
    apq_records_close(records);
    if (st != APQ_OK || !is_first) {
        return st;
    }
    return apq_session_finish(session, "collect", files->input, artefact);
}

/* Stopped by the signal that goes to all, or done: known to all. Any other end
 * the others learn of when the job is ended for it. */
static apq_status agree(apq_comm *comm, apq_status st) {
    return st == APQ_OK || st == APQ_ERR_INTERRUPTED ? apq_comm_agree(comm, st)
                                                     : st;
}

apq_status apq_app_collect_together(const apq_recipe *recipe,
                                    const char *run_dir, apq_comm *comm,
                                    const apq_progress *progress) {
    apq_session session;
    apq_status st = apq_session_open(&session, recipe, progress);
    if (st == APQ_OK) {
        apq_session_join(&session, comm);
        session.comm = NULL; /* each measures networks of its own */
        st = apq_session_check_run(run_dir);
    }
    if (st == APQ_OK) {
        st = apq_session_open_data(&session);
    }
    /* Before the run is made, so that an error leaves nothing behind. */
    st = apq_comm_agree(comm, st);
    if (st == APQ_OK) {
        st = apq_comm_agree(comm,
                            apq_session_open_shared_run(&session, run_dir));
    }
    collect_files files;
    if (st == APQ_OK) {
        st = apq_comm_agree(comm, prepare(&session, &files));
    }
    if (st == APQ_OK) {
        st = agree(comm,
                   collect_into(&session, &files, apq_comm_rank(comm) == 0));
    }
    apq_session_fini(&session);
    return st;
}

apq_status apq_app_collect(const apq_recipe *recipe, const char *run_dir,
                           const apq_progress *progress) {
    return apq_app_collect_together(recipe, run_dir, NULL, progress);
}
