/* NSGA-II: survivors by front and crowding distance over value and all costs,
 * so one run gives the whole front. Deb et al., IEEE Trans. Evol. Comp. 2002.
 * Ours: half of the parents win by value alone, since with five objectives
 * nearly everybody is on the first front; children are single-gene changes. */
#include "search/strategy.h"

#include "base/memory.h"
#include "search/elite.h"
#include "search/front.h"
#include "search/moves.h"
#include "search/sampler.h"

#include <stdlib.h>
#include <string.h>

/* The sorting compares all pairs. */
enum { MAX_POPULATION = 4096, MAX_TRIES = 10 };
static const double crossover_rate = 0.5, more_moves_rate = 0.5;
static const double value_share = 0.5;
static const double by_value_rate = 0.7;

typedef struct nsga2_state {
    apq_search_env env;
    apq_sampler sampler;
    uint64_t n_told;
    size_t n, cap;             /* cap = population */
    apq_search_entry *members; /* (2 * cap), the first n alive */
    size_t *fronts;            /* (2 * cap) rank of each; 0 is the best */
    double *crowding;          /* (2 * cap) */
    apq_search_entry *kept;    /* (cap) survivors; scratch, as the rest: */
    size_t *kept_fronts;       /* (cap) */
    double *kept_crowding;     /* (cap) */
    bool *is_kept;             /* (2 * cap) */
    size_t *list;              /* (2 * cap) members of one front */
    double *distances;         /* (2 * cap) of `list` */
    apq_ranked *order;         /* (2 * cap) */
} nsga2_state;

static apq_status nsga2_init(void *state, const apq_search_env *env) {
    nsga2_state *s = state;
    s->env = *env;
    s->sampler = apq_sampler_make(env->options.seed, 3);
    s->cap = (size_t)env->options.population;
    if (s->cap > MAX_POPULATION) {
        APQ_FAIL(APQ_ERR_ARG, "nsga2 population %zu not in 2..%d", s->cap,
                 MAX_POPULATION);
    }
    s->members = apq_calloc(2 * s->cap, sizeof *s->members);
    s->fronts = apq_calloc(2 * s->cap, sizeof *s->fronts);
    s->crowding = apq_calloc(2 * s->cap, sizeof *s->crowding);
    s->kept_fronts = apq_calloc(s->cap, sizeof *s->kept_fronts);
    s->kept_crowding = apq_calloc(s->cap, sizeof *s->kept_crowding);
    s->is_kept = apq_calloc(2 * s->cap, sizeof *s->is_kept);
    s->kept = apq_calloc(s->cap, sizeof *s->kept);
    s->list = apq_calloc(2 * s->cap, sizeof *s->list);
    s->distances = apq_calloc(2 * s->cap, sizeof *s->distances);
    s->order = apq_calloc(2 * s->cap, sizeof *s->order);
    if (s->members == NULL || s->fronts == NULL || s->crowding == NULL ||
        s->kept == NULL || s->kept_fronts == NULL || s->kept_crowding == NULL ||
        s->is_kept == NULL || s->list == NULL || s->distances == NULL ||
        s->order == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "nsga2: no memory for a population of %zu",
                 s->cap);
    }
    return APQ_OK;
}

static void nsga2_fini(void *state) {
    nsga2_state *s = state;
    free(s->members);
    free(s->fronts);
    free(s->kept_fronts);
    free(s->kept_crowding);
    free(s->is_kept);
    free(s->crowding);
    free(s->kept);
    free(s->list);
    free(s->distances);
    free(s->order);
}

/* Binary tournament. */
static const apq_policy *pick_parent(nsga2_state *s) {
    apq_rng *rng = &s->sampler.rng;
    size_t a = apq_rng_below(rng, (uint32_t)s->n);
    size_t b = apq_rng_below(rng, (uint32_t)s->n);
    bool is_a;
    if (apq_rng_uniform(rng) < by_value_rate) {
        is_a = apq_entry_before(&s->members[a], &s->members[b]);
    } else if (s->fronts[a] != s->fronts[b]) {
        is_a = s->fronts[a] < s->fronts[b];
    } else {
        is_a = s->crowding[a] > s->crowding[b];
    }
    return &s->members[is_a ? a : b].policy;
}

static apq_status breed(nsga2_state *s, apq_policy *out) {
    const apq_search_env *env = &s->env;
    apq_rng *rng = &s->sampler.rng;
    bool is_feasible = false;
    for (int i = 0; i < MAX_TRIES; i++) {
        *out = *pick_parent(s);
        if (apq_rng_uniform(rng) < crossover_rate) {
            apq_policy_cross(env->space, rng, out, pick_parent(s), out);
        }
        do {
            apq_move_random(env->space, rng, out);
        } while (apq_rng_uniform(rng) < more_moves_rate);
        APQ_TRY(apq_sampler_shrink(&s->sampler, env, out, &is_feasible));
        uint64_t hash = apq_policy_hash(env->space, out);
        if (is_feasible && !apq_score_cache_has(env->known, hash)) {
            return APQ_OK;
        }
    }
    return apq_sampler_draw(&s->sampler, env, out);
}

static apq_status nsga2_ask(void *state, size_t cap, apq_policy *batch,
                            size_t *n) {
    nsga2_state *s = state;
    bool is_first = s->n == 0 || s->n_told < s->cap;
    *n = 0;
    for (size_t i = 0; i < cap; i++) {
        APQ_TRY(is_first ? apq_sampler_first(&s->sampler, &s->env, &batch[i])
                         : breed(s, &batch[i]));
    }
    *n = cap;
    return APQ_OK;
}

static bool has_member(const nsga2_state *s, uint64_t hash) {
    for (size_t i = 0; i < s->n; i++) {
        if (s->members[i].hash == hash) {
            return true;
        }
    }
    return false;
}

/* Members of `front` into s->list: those not yet ranked that no member not
 * yet ranked dominates. */
static size_t peel(nsga2_state *s, size_t front) {
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        bool is_out = s->fronts[i] < front;
        for (size_t k = 0; k < s->n && !is_out; k++) {
            is_out =
                s->fronts[k] >= front &&
                apq_score_dominates(&s->members[k].score, &s->members[i].score);
        }
        if (!is_out) {
            s->list[n++] = i;
        }
    }
    return n;
}

/* Ranks and distances of all members. */
static void rank_members(nsga2_state *s) {
    for (size_t i = 0; i < s->n; i++) {
        s->fronts[i] = SIZE_MAX;
    }
    size_t n_ranked = 0;
    for (size_t front = 0; n_ranked < s->n; front++) {
        size_t n = peel(s, front);
        apq_crowding(s->members, s->list, n, s->order, s->distances);
        for (size_t i = 0; i < n; i++) {
            s->fronts[s->list[i]] = front;
            s->crowding[s->list[i]] = s->distances[i];
        }
        n_ranked += n;
    }
}

/* Moves the member at `from` behind the n_kept survivors. */
static void keep(nsga2_state *s, size_t from, size_t *n_kept) {
    s->kept[*n_kept] = s->members[from];
    s->kept_fronts[*n_kept] = s->fronts[from];
    s->kept_crowding[*n_kept] = s->crowding[from];
    s->is_kept[from] = true;
    (*n_kept)++;
}

/* The best by value, then by rank, the least crowded first. */
static void select_survivors(nsga2_state *s) {
    size_t n_kept = 0;
    rank_members(s);
    for (size_t i = 0; i < s->n; i++) {
        s->is_kept[i] = false;
        s->order[i] =
            (apq_ranked){-s->members[i].score.value, s->members[i].hash, i};
    }
    apq_ranked_sort(s->order, s->n);
    size_t n_by_value = (size_t)(value_share * (double)s->cap);
    for (size_t i = 0; i < s->n && n_kept < n_by_value; i++) {
        keep(s, s->order[i].index, &n_kept);
    }
    for (size_t front = 0; n_kept < s->cap && n_kept < s->n; front++) {
        size_t n = 0;
        for (size_t i = 0; i < s->n; i++) {
            if (s->fronts[i] == front && !s->is_kept[i]) {
                s->order[n++] =
                    (apq_ranked){-s->crowding[i], s->members[i].hash, i};
            }
        }
        apq_ranked_sort(s->order, n);
        for (size_t i = 0; i < n && n_kept < s->cap; i++) {
            keep(s, s->order[i].index, &n_kept);
        }
    }
    s->n = n_kept;
    memcpy(s->members, s->kept, n_kept * sizeof *s->members);
    memcpy(s->fronts, s->kept_fronts, n_kept * sizeof *s->fronts);
    memcpy(s->crowding, s->kept_crowding, n_kept * sizeof *s->crowding);
}

static apq_status nsga2_tell(void *state, const apq_policy *batch,
                             const apq_score *scores, size_t n) {
    nsga2_state *s = state;
    for (size_t i = 0; i < n; i++) {
        apq_search_entry entry = {
            .policy = batch[i],
            .hash = apq_policy_hash(s->env.space, &batch[i]),
            .score = scores[i],
        };
        if (scores[i].is_feasible && !has_member(s, entry.hash)) {
            s->members[s->n++] = entry;
        }
    }
    s->n_told += n;
    select_survivors(s);
    return APQ_OK;
}

static apq_status nsga2_save(const void *state, apq_bytes *out) {
    const nsga2_state *s = state;
    APQ_TRY(apq_bytes_put(out, &s->sampler, sizeof s->sampler));
    APQ_TRY(apq_bytes_put(out, &s->n_told, sizeof s->n_told));
    APQ_TRY(apq_bytes_put(out, &s->n, sizeof s->n));
    APQ_TRY(apq_bytes_put(out, s->members, s->n * sizeof *s->members));
    APQ_TRY(apq_bytes_put(out, s->fronts, s->n * sizeof *s->fronts));
    return apq_bytes_put(out, s->crowding, s->n * sizeof *s->crowding);
}

static apq_status nsga2_load(void *state, apq_bytes *in) {
    nsga2_state *s = state;
    APQ_TRY(apq_bytes_get(in, &s->sampler, sizeof s->sampler));
    APQ_TRY(apq_bytes_get(in, &s->n_told, sizeof s->n_told));
    APQ_TRY(apq_bytes_get(in, &s->n, sizeof s->n));
    if (s->n > s->cap) {
        APQ_FAIL(APQ_ERR_FORMAT, "saved population %zu, at most %zu fit", s->n,
                 s->cap);
    }
    APQ_TRY(apq_bytes_get(in, s->members, s->n * sizeof *s->members));
    APQ_TRY(apq_bytes_get(in, s->fronts, s->n * sizeof *s->fronts));
    return apq_bytes_get(in, s->crowding, s->n * sizeof *s->crowding);
}

const apq_strategy_ops apq_strategy_nsga2 = {
    .name = "nsga2",
    .summary = "the whole front of value and costs in one run (NSGA-II)",
    .state_bytes = sizeof(nsga2_state),
    .init = nsga2_init,
    .ask = nsga2_ask,
    .tell = nsga2_tell,
    .save = nsga2_save,
    .load = nsga2_load,
    .fini = nsga2_fini,
};
