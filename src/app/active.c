/* Active collection: fit, search, and measure what was found. Deterministic
 * in the records, so that a killed collection goes on where it was. */
#include "app/active.h"

#include "app/collect_plan.h"
#include "app/fit.h"
#include "app/search.h"

#include <math.h>
#include <stdlib.h>

/* A budget of 1, 0.9, 0.8, 0.7 or 0.6 of the recipe's, in turn: networks of
 * several sizes, and neighbouring budgets answered as well as the first. */
static void tighten(apq_recipe *recipe, size_t i) {
    double factor = 1.0 - 0.1 * (double)(i % 5);
    recipe->search.latency_ms *= factor;
    recipe->search.energy_mj *= factor;
    recipe->search.bitops_g *= factor;
    recipe->search.size_kb *= factor;
}

static bool is_known(const apq_space *space, const apq_policy *policy,
                     const uint64_t *known, size_t n_known) {
    uint64_t hash = apq_policy_hash(space, policy);
    for (size_t i = 0; i < n_known; i++) {
        if (known[i] == hash) {
            return true;
        }
    }
    return false;
}

/* The best policy of one search that is not known yet; a random one when all
 * of the best are. */
static apq_status choose_one(const apq_session *session,
                             const apq_search_parts *parts, int64_t seq,
                             size_t i, const uint64_t *known, size_t n_known,
                             apq_policy *out) {
    apq_recipe recipe = *session->recipe;
    uint64_t index = (uint64_t)seq + i;
    apq_rng rng = apq_rng_make(recipe.seed, APQ_RNG_POLICY, index);
    recipe.seed += index + 1; /* every record by another search */
    tighten(&recipe, i);
    apq_app_search_result found = {0};
    apq_status st = apq_app_search_with(&recipe, parts, NULL, &found);
    if (st == APQ_ERR_INFEASIBLE && i % 5 != 0) {
        /* Tightened too far. */
        recipe.search = session->recipe->search;
        apq_app_search_fini(&found);
        st = apq_app_search_with(&recipe, parts, NULL, &found);
    }
    if (st == APQ_OK) {
        apq_policy_random(&session->space, &rng, out);
        apq_policy_canonical(&session->space, out);
        for (size_t k = found.search->n_top; k > 0; k--) {
            const apq_policy *top = &found.search->top[k - 1].policy;
            if (!is_known(&session->space, top, known, n_known)) {
                *out = *top;
            }
        }
    }
    apq_app_search_fini(&found);
    return st;
}

static apq_status known_hashes(apq_records *records, apq_record_kind kind,
                               int64_t seq, size_t n_more, uint64_t **out,
                               size_t *n) {
    apq_record *rows;
    size_t n_rows;
    APQ_TRY(apq_records_all(records, kind, &rows, &n_rows));
    uint64_t *known = apq_calloc(n_rows + n_more, sizeof *known);
    if (known == NULL) {
        free(rows);
        APQ_FAIL(APQ_ERR_NOMEM, "active collection: out of memory");
    }
    *n = 0;
    for (size_t i = 0; i < n_rows; i++) {
        if (rows[i].seq < seq) {
            known[(*n)++] = rows[i].policy_hash;
        }
    }
    free(rows);
    *out = known;
    return APQ_OK;
}

apq_status apq_active_choose(apq_session *session, apq_records *records,
                             apq_target *target, int64_t seq, size_t n,
                             apq_policy *out) {
    apq_record_kind kind = apq_collect_quantised_kind(session->recipe);
    uint64_t *known = NULL;
    size_t n_known = 0;
    APQ_TRY(known_hashes(records, kind, seq, n, &known, &n_known));
    /* Without a word, but asked whether to stop: a fit may take long. */
    const apq_progress silent = {.ctx = session->progress->ctx,
                                 .stop_requested =
                                     session->progress->stop_requested};
    /* Clocks differ, records must not. */
    apq_recipe untimed = *session->recipe;
    untimed.search.time_limit_s = 0;
    apq_session quiet = *session;
    quiet.recipe = &untimed;
    quiet.progress = &silent;
    apq_predictor *predictor = NULL;
    apq_status st = apq_fit_records(&quiet, records, seq, &predictor, NULL);
    apq_search_parts parts = {
        .space = &session->space, .target = target, .predictor = predictor};
    for (size_t i = 0; st == APQ_OK && i < n; i++) {
        if (apq_stop_requested(session->progress)) {
            st = APQ_ERROR(APQ_ERR_INTERRUPTED,
                           "collect interrupted while choosing record %lld, "
                           "all measured ones saved",
                           (long long)seq + (long long)i);
            break;
        }
        st = choose_one(&quiet, &parts, seq, i, known, n_known, &out[i]);
        if (st == APQ_OK) {
            known[n_known++] = apq_policy_hash(&session->space, &out[i]);
        }
    }
    apq_predictor_destroy(predictor);
    free(known);
    return st;
}
