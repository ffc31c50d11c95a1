/* The search loop: ask, score what is new, tell, keep the best. Written once
 * here, so that budget, cache, history and stopping are the same for every
 * strategy. */
#include "search/driver.h"

#include "base/memory.h"
#include "search/cache.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_POPULATION = 100000, MAX_ITERATIONS = 1000000 };

/* Everything one run owns besides its result. */
typedef struct run {
    const apq_space *space;
    const apq_driver_options *options;
    const apq_strategy_ops *ops;
    void *state;
    apq_policy smallest;     /* the seed when the caller gives none */
    apq_policy *batch;       /* (population) as asked */
    apq_score *scores;       /* (population) of batch */
    size_t *entries;         /* (population) cache entry of batch */
    apq_policy *fresh;       /* (population) canonical, not scored before */
    apq_score *fresh_scores; /* (population) */
    size_t *fresh_at;        /* (population) position in batch */
    uint64_t *hashes;        /* (population) of batch */
    apq_score_cache cache;
    uint64_t n_done, n_total; /* candidates */
    size_t cap_history;
    double best;   /* when it was last better than before */
    int n_stalled; /* iterations since */
    apq_search_result *result;
} run;

static apq_status always_feasible(void *ctx, const apq_policy *policy,
                                  bool *is_feasible) {
    (void)ctx;
    (void)policy;
    *is_feasible = true;
    return APQ_OK;
}

static apq_status check_options(const apq_driver_options *options) {
    if (options->population < 2 || options->population > MAX_POPULATION) {
        APQ_FAIL(APQ_ERR_ARG, "search population %d not in 2..%d",
                 options->population, MAX_POPULATION);
    }
    if (options->parents < 1 || options->parents > options->population) {
        APQ_FAIL(APQ_ERR_ARG, "search parents %d not in 1..%d (population)",
                 options->parents, options->population);
    }
    if (options->iterations < 1 || options->iterations > MAX_ITERATIONS) {
        APQ_FAIL(APQ_ERR_ARG, "search iterations %d not in 1..%d",
                 options->iterations, MAX_ITERATIONS);
    }
    if (options->patience < 0) {
        APQ_FAIL(APQ_ERR_ARG, "search patience %d is below 0",
                 options->patience);
    }
    if (!(options->mutation > 0.0 && options->mutation <= 1.0)) {
        APQ_FAIL(APQ_ERR_ARG, "search mutation %g not in (0, 1]",
                 options->mutation);
    }
    if (options->evaluate == NULL) {
        APQ_FAIL(APQ_ERR_ARG, "search has no evaluation");
    }
    if (options->seeds == NULL && options->n_seeds > 0) {
        APQ_FAIL(APQ_ERR_ARG, "search has %zu seeds but no policies",
                 options->n_seeds);
    }
    return APQ_OK;
}

static apq_status run_init(run *r) {
    const apq_driver_options *options = r->options;
    size_t n = (size_t)options->population;
    r->n_total = (uint64_t)options->population * (uint64_t)options->iterations;
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
    for (size_t i = 0; i < options->n_seeds; i++) {
        APQ_TRY(apq_policy_check(r->space, &options->seeds[i]));
    }
    apq_policy_smallest(r->space, r->space->bits[0], &r->smallest);
    bool has_seeds = options->n_seeds > 0;
    apq_search_env env = {
        .space = r->space,
        .options = {.population = options->population,
                    .parents = options->parents,
                    .mutants = options->population / 2,
                    .crossovers = options->population - options->population / 2,
                    .mutation = options->mutation,
                    .seed = options->seed},
        .feasible =
            options->feasible != NULL ? options->feasible : always_feasible,
        .feasible_ctx = options->ctx,
        .seeds = has_seeds ? options->seeds : &r->smallest,
        .n_seeds = has_seeds ? options->n_seeds : 1,
    };
    return r->ops->init(r->state, &env);
}

static void run_fini(run *r) {
    if (r->state != NULL && r->ops->fini != NULL) {
        r->ops->fini(r->state);
    }
    apq_score_cache_fini(&r->cache);
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

/* Keeps the archive sorted by value, then hash. The policy is not in it. */
static void archive_insert(apq_search_result *result,
                           const apq_search_entry *entry) {
    size_t at = result->n_top;
    while (at > 0) {
        const apq_search_entry *above = &result->top[at - 1];
        bool is_better = entry->score.value > above->score.value;
        bool is_worse = entry->score.value < above->score.value;
        if (is_worse || (!is_better && entry->hash > above->hash)) {
            break;
        }
        at--;
    }
    if (at == APQ_SEARCH_MAX_TOP) {
        return;
    }
    size_t n_kept =
        result->n_top < APQ_SEARCH_MAX_TOP ? result->n_top : result->n_top - 1;
    memmove(&result->top[at + 1], &result->top[at],
            (n_kept - at) * sizeof *result->top);
    result->top[at] = *entry;
    result->n_top = n_kept + 1;
}

/* Scores the n candidates of r->batch, each distinct network once ever. */
static apq_status score_batch(run *r, size_t n) {
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
    for (size_t k = 0; k < n_fresh; k++) {
        const apq_score *score = &r->fresh_scores[k];
        if (!isfinite(score->value)) {
            APQ_FAIL(APQ_ERR_NUMERIC, "search: candidate %llu has the value %g",
                     (unsigned long long)(r->n_done + r->fresh_at[k]),
                     score->value);
        }
        r->cache.scores[r->entries[r->fresh_at[k]]] = *score;
        if (score->is_feasible) {
            apq_search_entry entry = {.policy = r->fresh[k],
                                      .hash = r->hashes[r->fresh_at[k]],
                                      .score = *score};
            archive_insert(r->result, &entry);
        }
    }
    for (size_t i = 0; i < n; i++) {
        r->scores[i] = r->cache.scores[r->entries[i]];
    }
    r->result->n_evaluations += n_fresh;
    r->result->n_cached += n - n_fresh;
    return APQ_OK;
}

static apq_status history_append(run *r, size_t n) {
    apq_search_result *result = r->result;
    if (result->n_history == r->cap_history) {
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
    }
    double sum = 0.0;
    size_t n_feasible = 0;
    for (size_t i = 0; i < n; i++) {
        if (r->scores[i].is_feasible) {
            sum += r->scores[i].value;
            n_feasible++;
        }
    }
    /* Rows start with the first feasible score: there is no best before. */
    if (result->n_top > 0) {
        double best = result->top[0].score.value;
        result->history[result->n_history] = (apq_search_history_row){
            .iteration =
                (int)((r->n_done + n - 1) / (uint64_t)r->options->population) +
                1,
            .evaluations = result->n_evaluations,
            .best = best,
            .mean = n_feasible > 0 ? sum / (double)n_feasible : best,
        };
        result->n_history++;
    }
    return APQ_OK;
}

/* Whether the best has stayed the same for as long as the caller waits. */
static bool is_stalled(run *r) {
    if (r->result->n_top == 0) {
        return false;
    }
    double best = r->result->top[0].score.value;
    bool is_better = r->n_stalled == 0 || best > r->best;
    r->n_stalled = is_better ? 1 : r->n_stalled + 1;
    r->best = best;
    return r->options->patience > 0 && r->n_stalled > r->options->patience;
}

/* One ask, score, tell round. */
static apq_status step(run *r, bool *is_exhausted) {
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
    char detail[64] = "";
    if (r->result->n_top > 0) {
        (void)snprintf(detail, sizeof detail, "best %.4f",
                       r->result->top[0].score.value);
    }
    apq_progress_update(r->options->progress, "candidates", r->n_done,
                        r->n_total, detail);
    return APQ_OK;
}

static apq_status run_loop(run *r) {
    bool is_exhausted = false;
    while (r->n_done < r->n_total && !is_exhausted) {
        if (apq_stop_requested(r->options->progress)) {
            r->result->is_stopped = true;
            break;
        }
        APQ_TRY(step(r, &is_exhausted));
        is_exhausted = is_exhausted || is_stalled(r);
    }
    if (r->result->n_top == 0) {
        if (r->result->is_stopped) {
            APQ_FAIL(APQ_ERR_INTERRUPTED,
                     "search stopped before a policy was scored");
        }
        APQ_FAIL(APQ_ERR_INFEASIBLE,
                 "none of %llu evaluated policies of space '%s' is feasible",
                 (unsigned long long)r->result->n_evaluations, r->space->name);
    }
    r->result->best = r->result->top[0].policy;
    r->result->best_value = r->result->top[0].score.value;
    return APQ_OK;
}

apq_status apq_search_run(const apq_space *space,
                          const apq_driver_options *options,
                          apq_search_result **out) {
    *out = NULL;
    APQ_TRY(check_options(options));
    double start_s = apq_now_s();
    run r = {.space = space, .options = options};
    APQ_TRY(apq_strategy_find(options->strategy, &r.ops));
    apq_status st = run_init(&r);
    if (st == APQ_OK) {
        st = run_loop(&r);
    }
    if (st == APQ_OK) {
        r.result->seconds = apq_now_s() - start_s;
        *out = r.result; /* ownership moves to the caller */
        r.result = NULL;
    }
    run_fini(&r);
    return st;
}

void apq_search_result_destroy(apq_search_result *result) {
    if (result != NULL) {
        free(result->history);
        free(result);
    }
}
