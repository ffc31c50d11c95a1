/* Descent in the neighbourhood of all policies that differ in one gene: the
 * best of a batch is moved to if better, until a whole round finds none.
 * Then a few random changes and again (iterated local search, Lourenco et
 * al. 2003). */
#include "search/strategy.h"

#include "base/memory.h"
#include "search/elite.h"
#include "search/moves.h"
#include "search/sampler.h"

#include <stdlib.h>

enum {
    MIN_CHANGES = 2,
    MORE_CHANGES = 4,
    KICKS = 16, /* the best of these is the next start */
    MAX_TRIES = 10,
};

/* What changes while the search runs. */
typedef struct progress {
    apq_sampler sampler;
    uint64_t n_told;
    bool has_best, has_base;
    apq_search_entry best; /* of all */
    apq_search_entry base; /* whose neighbours are asked */
    size_t next;           /* position in `order` */
    size_t n_idle;         /* neighbours since the last improvement */
} progress;

typedef struct local_state {
    apq_search_env env;
    progress at;
    size_t n_neighbours;
    uint32_t *order; /* (n_neighbours), shuffled */
} local_state;

static apq_status local_init(void *state, const apq_search_env *env) {
    local_state *s = state;
    s->env = *env;
    s->at.sampler = apq_sampler_make(env->options.seed, 4);
    s->n_neighbours = apq_neighbour_count(env->space);
    s->order = apq_calloc(s->n_neighbours, sizeof *s->order);
    if (s->order == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "local: no memory for %zu neighbours",
                 s->n_neighbours);
    }
    for (size_t i = 0; i < s->n_neighbours; i++) {
        s->order[i] = (uint32_t)i;
    }
    apq_rng_shuffle(&s->at.sampler.rng, s->order, s->n_neighbours);
    return APQ_OK;
}

static void local_fini(void *state) {
    local_state *s = state;
    free(s->order);
    s->order = NULL;
}

/* The next neighbours not scored before: those known have led where they
 * lead. */
static apq_status ask_neighbours(local_state *s, size_t cap, apq_policy *batch,
                                 size_t *n) {
    const apq_search_env *env = &s->env;
    while (*n < cap && s->at.n_idle < s->n_neighbours) {
        uint32_t i = s->order[s->at.next];
        s->at.next = (s->at.next + 1) % s->n_neighbours;
        s->at.n_idle++;
        bool is_feasible = false;
        if (apq_neighbour(env->space, &s->at.base.policy, i, &batch[*n])) {
            APQ_TRY(apq_env_feasible(env, &batch[*n], &is_feasible));
        }
        if (is_feasible &&
            !apq_score_cache_has(env->known,
                                 apq_policy_hash(env->space, &batch[*n]))) {
            (*n)++;
        }
    }
    return APQ_OK;
}

/* A few changes of the best policy, new if possible. */
static apq_status kick(local_state *s, apq_policy *out) {
    const apq_search_env *env = &s->env;
    apq_rng *rng = &s->at.sampler.rng;
    bool is_feasible = false;
    for (int i = 0; i < MAX_TRIES; i++) {
        *out = s->at.best.policy;
        uint32_t n = MIN_CHANGES + apq_rng_below(rng, MORE_CHANGES);
        for (uint32_t k = 0; k < n; k++) {
            apq_move_random(env->space, rng, out);
        }
        APQ_TRY(apq_sampler_shrink(&s->at.sampler, env, out, &is_feasible));
        uint64_t hash = apq_policy_hash(env->space, out);
        if (is_feasible && !apq_score_cache_has(env->known, hash)) {
            return APQ_OK;
        }
    }
    return apq_sampler_draw(&s->at.sampler, env, out);
}

static apq_status local_ask(void *state, size_t cap, apq_policy *batch,
                            size_t *n) {
    local_state *s = state;
    *n = 0;
    if (s->at.has_base) {
        APQ_TRY(ask_neighbours(s, cap, batch, n));
        if (*n > 0) {
            return APQ_OK;
        }
        s->at.has_base = false;
    }
    if (s->at.has_best && s->at.n_told >= (uint64_t)s->env.options.population) {
        *n = cap < KICKS ? cap : KICKS;
        for (size_t i = 0; i < *n; i++) {
            APQ_TRY(kick(s, &batch[i]));
        }
        return APQ_OK;
    }
    for (size_t i = 0; i < cap; i++) {
        APQ_TRY(apq_sampler_first(&s->at.sampler, &s->env, &batch[i]));
    }
    *n = cap;
    return APQ_OK;
}

static apq_status local_tell(void *state, const apq_policy *batch,
                             const apq_score *scores, size_t n) {
    local_state *s = state;
    progress *at = &s->at;
    for (size_t i = 0; i < n; i++) {
        apq_search_entry entry = {
            .policy = batch[i],
            .hash = apq_policy_hash(s->env.space, &batch[i]),
            .score = scores[i],
        };
        if (!entry.score.is_feasible) {
            continue;
        }
        if (!at->has_base || entry.score.value > at->base.score.value) {
            at->base = entry;
            at->has_base = true;
            at->n_idle = 0;
        }
        if (!at->has_best || entry.score.value > at->best.score.value) {
            at->best = entry;
            at->has_best = true;
        }
    }
    uint64_t n_first = (uint64_t)s->env.options.population;
    if (at->n_told < n_first && at->has_best) {
        at->base = at->best; /* the first population may take several asks */
        at->has_base = at->n_told + n >= n_first;
    }
    at->n_told += n;
    return APQ_OK;
}

static apq_status local_save(const void *state, apq_bytes *out) {
    const local_state *s = state;
    return apq_bytes_put(out, &s->at, sizeof s->at);
}

static apq_status local_load(void *state, apq_bytes *in) {
    local_state *s = state;
    return apq_bytes_get(in, &s->at, sizeof s->at);
}

const apq_strategy_ops apq_strategy_local = {
    .name = "local",
    .summary = "descent over all one-gene neighbours, kicked when stuck",
    .state_bytes = sizeof(local_state),
    .init = local_init,
    .ask = local_ask,
    .tell = local_tell,
    .save = local_save,
    .load = local_load,
    .fini = local_fini,
};
