/* The search loop: ask, score what is new, tell, keep the best. Written once
 * here, so that budget, cache, history and stopping are the same for every
 * strategy. */
#include "search/driver.h"

#include "base/memory.h"
#include "search/loop.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_FRONT = 100000,
    /* Iterations that bring nothing new: what is feasible is known. */
    MAX_IDLE_ITERATIONS = 10,
};

static bool is_seed(const apq_search_loop *r, const apq_policy *policy) {
    for (size_t i = 0; i < r->options->n_seeds; i++) {
        if (policy == &r->options->seeds[i]) {
            return true;
        }
    }
    return false;
}

/* What strategies call: asks the caller's, without one every policy passes.
 * Seeds are asked for again and again, and say nothing of what is proposed. */
static apq_status count_feasible(void *ctx, const apq_policy *policy,
                                 bool *is_feasible) {
    apq_search_loop *r = ctx;
    *is_feasible = true;
    if (r->options->feasible != NULL) {
        APQ_TRY(r->options->feasible(r->options->ctx, policy, is_feasible));
    }
    if (!is_seed(r, policy)) {
        r->n_asked++;
        r->n_passed += *is_feasible;
    }
    return APQ_OK;
}

static apq_status check_options(const apq_driver_options *options) {
    if (options->population < APQ_SEARCH_MIN_POPULATION ||
        options->population > APQ_SEARCH_MAX_POPULATION) {
        APQ_FAIL(APQ_ERR_ARG, "search population %d not in %d..%d",
                 options->population, APQ_SEARCH_MIN_POPULATION,
                 APQ_SEARCH_MAX_POPULATION);
    }
    if (options->parents < 1 || options->parents > options->population) {
        APQ_FAIL(APQ_ERR_ARG, "search parents %d not in 1..%d (population)",
                 options->parents, options->population);
    }
    if (options->iterations < 1 ||
        options->iterations > APQ_SEARCH_MAX_ITERATIONS) {
        APQ_FAIL(APQ_ERR_ARG, "search iterations %d not in 1..%d",
                 options->iterations, APQ_SEARCH_MAX_ITERATIONS);
    }
    if (options->patience < 0) {
        APQ_FAIL(APQ_ERR_ARG, "search patience %d is below 0",
                 options->patience);
    }
    if (!(options->mutation >= APQ_SEARCH_MIN_MUTATION &&
          options->mutation <= 1.0)) {
        APQ_FAIL(APQ_ERR_ARG, "search mutation %g not in %g..1",
                 options->mutation, APQ_SEARCH_MIN_MUTATION);
    }
    if (options->evaluate == NULL) {
        APQ_FAIL(APQ_ERR_ARG, "search has no evaluation");
    }
    if ((options->seeds == NULL && options->n_seeds > 0) ||
        (options->starts == NULL && options->n_starts > 0)) {
        APQ_FAIL(APQ_ERR_ARG,
                 "search has %zu seeds and %zu starts, but no "
                 "policies",
                 options->n_seeds, options->n_starts);
    }
    if (options->front_cap == 1 || options->front_cap > MAX_FRONT) {
        APQ_FAIL(APQ_ERR_ARG, "search front_cap %zu not 0 or in 2..%d",
                 options->front_cap, MAX_FRONT);
    }
    if (!(options->time_limit_s >= 0)) {
        APQ_FAIL(APQ_ERR_ARG, "search time_limit_s %g is negative",
                 options->time_limit_s);
    }
    if (options->as_released && options->strategy != NULL &&
        strcmp(options->strategy, "evolution") != 0) {
        APQ_FAIL(APQ_ERR_ARG,
                 "strategy '%s' has no released form; only evolution has",
                 options->strategy);
    }
    return APQ_OK;
}

static apq_status check_policies(const apq_space *space,
                                 const apq_driver_options *options) {
    for (size_t i = 0; i < options->n_seeds; i++) {
        APQ_TRY(apq_policy_check(space, &options->seeds[i]));
    }
    for (size_t i = 0; i < options->n_starts; i++) {
        APQ_TRY(apq_policy_check(space, &options->starts[i]));
    }
    return APQ_OK;
}

static apq_status allocate(apq_search_loop *r) {
    size_t n = (size_t)r->options->population;
    r->result = apq_calloc(1, sizeof *r->result);
    r->state = apq_calloc(1, r->ops->state_bytes);
    r->batch = apq_calloc(n, sizeof *r->batch);
    r->scores = apq_calloc(n, sizeof *r->scores);
    r->entries = apq_calloc(n, sizeof *r->entries);
    r->fresh = apq_calloc(n, sizeof *r->fresh);
    r->fresh_scores = apq_calloc(n, sizeof *r->fresh_scores);
    r->fresh_at = apq_calloc(n, sizeof *r->fresh_at);
    r->hashes = apq_calloc(n, sizeof *r->hashes);
    if (r->result == NULL || r->state == NULL || r->batch == NULL ||
        r->scores == NULL || r->entries == NULL || r->fresh == NULL ||
        r->fresh_scores == NULL || r->fresh_at == NULL || r->hashes == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "search: no memory for a population of %zu", n);
    }
    r->top = (apq_elite){.entries = r->result->top, .cap = APQ_SEARCH_MAX_TOP};
    APQ_TRY(apq_diversity_init(&r->diversity, r->space));
    return r->options->front_cap > 0
               ? apq_front_init(&r->front, r->options->front_cap)
               : APQ_OK;
}

static apq_status start(apq_search_loop *r) {
    const apq_driver_options *options = r->options;
    r->n_total = (uint64_t)options->population * (uint64_t)options->iterations;
    APQ_TRY(check_policies(r->space, options));
    APQ_TRY(allocate(r));
    apq_policy_smallest(r->space, r->space->bits[0], &r->smallest);
    bool has_seeds = options->n_seeds > 0;
    apq_search_env env = {
        .space = r->space,
        .options = {.population = options->population,
                    .parents = options->parents,
                    .mutants = options->population / 2,
                    .mutation = options->mutation,
                    .seed = options->seed,
                    .total = r->n_total,
                    .as_released = options->as_released},
        .feasible = count_feasible,
        .feasible_ctx = r,
        .seeds = has_seeds ? options->seeds : &r->smallest,
        .n_seeds = has_seeds ? options->n_seeds : 1,
        .starts = options->starts,
        .n_starts = options->n_starts,
        .known = &r->cache,
    };
    APQ_TRY(r->ops->init(r->state, &env));
    r->saved_at_s = apq_now_s();
    return options->saver != NULL ? apq_search_resume(r) : APQ_OK;
}

static void finish(apq_search_loop *r) {
    if (r->state != NULL && r->ops->fini != NULL) {
        r->ops->fini(r->state);
    }
    apq_score_cache_fini(&r->cache);
    apq_front_fini(&r->front);
    apq_diversity_fini(&r->diversity);
    free(r->state);
    free(r->batch);
    free(r->scores);
    free(r->entries);
    free(r->fresh);
    free(r->fresh_scores);
    free(r->fresh_at);
    free(r->hashes);
    apq_search_result_destroy(r->result);
}

/* Scores the n candidates of r->batch, each distinct network once ever. */
static apq_status score_batch(apq_search_loop *r, size_t n) {
    size_t n_fresh = 0;
    for (size_t i = 0; i < n; i++) {
        bool is_new;
        r->hashes[i] = apq_policy_hash(r->space, &r->batch[i]);
        APQ_TRY(apq_score_cache_at(&r->cache, r->hashes[i], &r->entries[i],
                                   &is_new));
        if (is_new) {
            r->fresh[n_fresh] = r->batch[i];
            apq_policy_canonical(r->space, &r->fresh[n_fresh]);
            r->fresh_scores[n_fresh] = (apq_score){.is_feasible = true};
            r->fresh_at[n_fresh] = i;
            n_fresh++;
        }
    }
    if (n_fresh > 0) {
        APQ_TRY(r->options->evaluate(r->options->ctx, r->fresh, n_fresh,
                                     r->fresh_scores));
    }
    /* The released code forgets its crossover children. */
    size_t n_counted =
        r->options->as_released ? (size_t)r->options->population / 2 : n;
    for (size_t k = 0; k < n_fresh; k++) {
        const apq_score *score = &r->fresh_scores[k];
        if (!isfinite(score->value)) {
            APQ_FAIL(APQ_ERR_NUMERIC, "search: candidate %llu has the value %g",
                     (unsigned long long)(r->n_done + r->fresh_at[k]),
                     score->value);
        }
        r->cache.scores[r->entries[r->fresh_at[k]]] = *score;
        if (score->is_feasible && r->fresh_at[k] < n_counted) {
            apq_search_entry entry = {.policy = r->fresh[k],
                                      .hash = r->hashes[r->fresh_at[k]],
                                      .score = *score};
            apq_elite_insert(&r->top, &entry);
            if (r->front.cap > 0) {
                apq_front_insert(&r->front, &entry);
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        r->scores[i] = r->cache.scores[r->entries[i]];
    }
    r->result->n_evaluations += n_fresh;
    r->result->n_cached += n - n_fresh;
    r->n_idle = n_fresh > 0 ? 0 : r->n_idle + n;
    return APQ_OK;
}

apq_status apq_search_grow_history(apq_search_loop *r) {
    apq_search_result *result = r->result;
    if (result->n_history < r->cap_history) {
        return APQ_OK;
    }
    size_t cap = r->cap_history == 0 ? 64 : 2 * r->cap_history;
    apq_search_history_row *rows = apq_calloc(cap, sizeof *rows);
    if (rows == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "search: no memory for %zu rows", cap);
    }
    if (result->n_history > 0) {
        memcpy(rows, result->history, result->n_history * sizeof *rows);
    }
    free(result->history);
    result->history = rows;
    r->cap_history = cap;
    return APQ_OK;
}

/* A row for every `population` candidates, however they were batched. Rows
 * start with the first feasible score: there is no best before. */
static apq_status history_append(apq_search_loop *r, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (r->scores[i].is_feasible) {
            r->row_sum += r->scores[i].value;
            r->row_feasible++;
        }
        apq_diversity_add(&r->diversity, &r->batch[i]);
    }
    uint64_t population = (uint64_t)r->options->population;
    uint64_t iteration = (r->n_done + n) / population;
    if (iteration == r->n_done / population || r->top.n == 0) {
        return APQ_OK;
    }
    APQ_TRY(apq_search_grow_history(r));
    double best = r->top.entries[0].score.value;
    r->result->history[r->result->n_history++] = (apq_search_history_row){
        .iteration = (int)iteration,
        .evaluations = r->result->n_evaluations,
        .best = best,
        .mean =
            r->row_feasible > 0 ? r->row_sum / (double)r->row_feasible : best,
        .feasible = r->n_asked > 0 ? (double)r->n_passed / (double)r->n_asked
                                   : (double)NAN,
        .diversity = apq_diversity_take(&r->diversity),
    };
    r->row_sum = 0;
    r->row_feasible = 0;
    r->n_asked = 0;
    r->n_passed = 0;
    return APQ_OK;
}

/* Whether the best has stayed the same for as long as the caller waits. */
static bool is_stalled(apq_search_loop *r, size_t n) {
    if (r->top.n == 0 || r->options->patience == 0 || r->ops->is_annealed) {
        return false;
    }
    double best = r->top.entries[0].score.value;
    bool is_better = !r->has_best || best > r->best;
    r->n_stalled = is_better ? 0 : r->n_stalled + n;
    r->best = best;
    r->has_best = true;
    return r->n_stalled >=
           (uint64_t)r->options->patience * (uint64_t)r->options->population;
}

/* One ask, score, tell round. */
static apq_status step(apq_search_loop *r, bool *is_exhausted) {
    uint64_t left = r->n_total - r->n_done;
    size_t cap = (size_t)r->options->population;
    cap = left < cap ? (size_t)left : cap;
    size_t n = 0;
    APQ_TRY(r->ops->ask(r->state, cap, r->batch, &n));
    APQ_ASSERT(n <= cap);
    *is_exhausted = n == 0;
    if (n == 0) {
        return APQ_OK;
    }
    APQ_TRY(score_batch(r, n));
    APQ_TRY(r->ops->tell(r->state, r->batch, r->scores, n));
    APQ_TRY(history_append(r, n));
    r->n_done += n;
    *is_exhausted = is_stalled(r, n);
    char detail[64] = "";
    if (r->top.n > 0) {
        (void)snprintf(detail, sizeof detail, "best %.2f %%",
                       100 * r->top.entries[0].score.value);
    }
    apq_progress_update(r->options->progress, "candidates", r->n_done,
                        r->n_total, detail);
    return APQ_OK;
}

static apq_status work(apq_search_loop *r, double start_s) {
    const apq_driver_options *options = r->options;
    bool is_exhausted = false;
    uint64_t max_idle = MAX_IDLE_ITERATIONS * (uint64_t)options->population;
    while (r->n_done < r->n_total && r->n_idle < max_idle && !is_exhausted) {
        double now_s = apq_now_s();
        if (apq_stop_requested(options->progress)) {
            r->result->is_stopped = true;
            break;
        }
        if (options->time_limit_s > 0 && r->n_done > 0 &&
            now_s - start_s >= options->time_limit_s) {
            r->result->is_timed_out = true;
            break;
        }
        if (options->saver != NULL && r->n_done > 0 &&
            now_s - r->saved_at_s >= options->saver->interval_s) {
            APQ_TRY(apq_search_save(r));
        }
        APQ_TRY(step(r, &is_exhausted));
    }
    bool is_worth_it = r->result->is_stopped && r->n_done > 0;
    return options->saver != NULL && is_worth_it ? apq_search_save(r) : APQ_OK;
}

/* Hands what was found to the result. */
static apq_status conclude(apq_search_loop *r) {
    apq_search_result *result = r->result;
    if (r->top.n == 0) {
        if (result->is_stopped) {
            APQ_FAIL(APQ_ERR_INTERRUPTED,
                     "search stopped before a policy was scored");
        }
        APQ_FAIL(APQ_ERR_INFEASIBLE,
                 "none of %llu evaluated policies of space '%s' is feasible",
                 (unsigned long long)result->n_evaluations, r->space->name);
    }
    result->n_top = r->top.n;
    result->best = result->top[0].policy;
    result->best_value = result->top[0].score.value;
    if (r->front.cap > 0) {
        apq_front_finish(&r->front);
        result->front = r->front.entries; /* ownership moves, as below */
        result->n_front = r->front.n;
        r->front.entries = NULL;
    }
    result->scores = r->cache.scores;
    result->n_scores = r->cache.n_entries;
    r->cache.scores = NULL;
    return APQ_OK;
}

apq_status apq_search_run(const apq_space *space,
                          const apq_driver_options *options,
                          apq_search_result **out) {
    *out = NULL;
    APQ_TRY(check_options(options));
    double start_s = apq_now_s();
    apq_search_loop r = {.space = space, .options = options};
    APQ_TRY(apq_strategy_find(options->strategy, &r.ops));
    apq_status st = start(&r);
    if (st == APQ_OK) {
        st = work(&r, start_s);
    }
    if (st == APQ_OK) {
        st = conclude(&r);
    }
    if (st == APQ_OK) {
        r.result->seconds = apq_now_s() - start_s;
        *out = r.result; /* ownership moves to the caller */
        r.result = NULL;
    }
    finish(&r);
    return st;
}

void apq_search_result_destroy(apq_search_result *result) {
    if (result != NULL) {
        free(result->history);
        free(result->front);
        free(result->scores);
        free(result);
    }
}
