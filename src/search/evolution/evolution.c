/* Evolution: the best policies ever are parents; each iteration half of the
 * candidates are mutants, half children of two parents. APQ, CVPR 2020,
 * section 3.4. Unlike the released code every candidate enters the next
 * selection, depth mutates, and the score sees the bits. */
#include "search/strategy.h"

#include "base/memory.h"
#include "search/sampler.h"

#include <stdlib.h>
#include <string.h>

typedef struct member {
    apq_policy policy;
    uint64_t hash;
    double value;
} member;

typedef struct evolution_state {
    apq_search_env env;
    apq_sampler sampler;
    member *parents; /* (options.parents), best first, all distinct */
    size_t n_parents;
    size_t cap_parents;
} evolution_state;

static apq_status evolution_init(void *state, const apq_search_env *env) {
    evolution_state *s = state;
    s->env = *env;
    s->sampler = apq_sampler_make(env->options.seed, 1);
    s->cap_parents = (size_t)env->options.parents;
    s->parents = apq_calloc(s->cap_parents, sizeof *s->parents);
    if (s->parents == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "evolution: no memory for %d parents",
                 env->options.parents);
    }
    return APQ_OK;
}

static void evolution_fini(void *state) {
    evolution_state *s = state;
    free(s->parents);
    s->parents = NULL;
}

static const apq_policy *pick_parent(evolution_state *s) {
    uint32_t i = apq_rng_below(&s->sampler.rng, (uint32_t)s->n_parents);
    return &s->parents[i].policy;
}

static bool is_parent(const evolution_state *s, uint64_t hash) {
    for (size_t i = 0; i < s->n_parents; i++) {
        if (s->parents[i].hash == hash) {
            return true;
        }
    }
    return false;
}

/* A feasible child that is not a parent over again; with 20 blocks one
 * mutant in ten would otherwise be an exact copy. Where none turns up, new
 * blood from the sampler keeps the search alive. */
static apq_status breed(evolution_state *s, bool is_mutant, apq_policy *out) {
    const apq_search_env *env = &s->env;
    for (int i = 0; i < APQ_SEARCH_MAX_TRIES; i++) {
        const apq_policy *a = pick_parent(s);
        if (is_mutant) {
            apq_policy_mutate(env->space, env->options.mutation,
                              &s->sampler.rng, a, out);
        } else {
            const apq_policy *b = pick_parent(s);
            apq_policy_cross(env->space, &s->sampler.rng, a, b, out);
        }
        if (is_parent(s, apq_policy_hash(env->space, out))) {
            continue;
        }
        bool is_feasible;
        APQ_TRY(apq_env_feasible(env, out, &is_feasible));
        if (is_feasible) {
            return APQ_OK;
        }
    }
    return apq_sampler_draw(&s->sampler, env, out);
}

static apq_status evolution_ask(void *state, size_t cap, apq_policy *batch,
                                size_t *n) {
    evolution_state *s = state;
    size_t mutants = (size_t)s->env.options.mutants;
    *n = 0;
    for (size_t i = 0; i < cap; i++) {
        if (s->n_parents == 0) {
            APQ_TRY(apq_sampler_draw(&s->sampler, &s->env, &batch[i]));
        } else {
            bool is_mutant = i < mutants || s->n_parents == 1;
            APQ_TRY(breed(s, is_mutant, &batch[i]));
        }
    }
    *n = cap;
    return APQ_OK;
}

/* Better first; equal scores by hash, so the trace does not depend on the
 * order of evaluation. */
static bool comes_before(const member *a, const member *b) {
    if (a->value > b->value) {
        return true;
    }
    return !(a->value < b->value) && a->hash < b->hash;
}

static void insert_parent(evolution_state *s, const member *candidate) {
    size_t at = s->n_parents;
    while (at > 0 && comes_before(candidate, &s->parents[at - 1])) {
        at--;
    }
    if (at == s->cap_parents) {
        return;
    }
    size_t n_kept =
        s->n_parents < s->cap_parents ? s->n_parents : s->cap_parents - 1;
    memmove(&s->parents[at + 1], &s->parents[at],
            (n_kept - at) * sizeof *s->parents);
    s->parents[at] = *candidate;
    s->n_parents = n_kept + 1;
}

static apq_status evolution_tell(void *state, const apq_policy *batch,
                                 const apq_score *scores, size_t n) {
    evolution_state *s = state;
    for (size_t i = 0; i < n; i++) {
        member candidate = {
            .policy = batch[i],
            .hash = apq_policy_hash(s->env.space, &batch[i]),
            .value = scores[i].value,
        };
        if (scores[i].is_feasible && !is_parent(s, candidate.hash)) {
            insert_parent(s, &candidate);
        }
    }
    return APQ_OK;
}

const apq_strategy_ops apq_strategy_evolution = {
    .name = "evolution",
    .summary = "mutation and crossover of the best policies (APQ, CVPR 2020)",
    .state_bytes = sizeof(evolution_state),
    .init = evolution_init,
    .ask = evolution_ask,
    .tell = evolution_tell,
    .fini = evolution_fini,
};
