/* Evolution: the best policies ever are parents; each iteration half of the
 * candidates are mutants, half children of two parents. APQ, CVPR 2020,
 * section 3.3. Unlike the released code every candidate enters the next
 * selection, depth mutates, and the score sees the bits. */
#include "search/strategy.h"

#include "base/memory.h"
#include "search/elite.h"
#include "search/sampler.h"

#include <stdlib.h>
#include <string.h>

/* Infeasible children are thrown away, as in the paper; of more than these in
 * a row the last is made feasible: near the smallest cost nearly all are. */
enum { MAX_TRIES = 200, MAX_INFEASIBLE = 20, MAX_KNOWN = 10 };

typedef struct evolution_state {
    apq_search_env env;
    apq_sampler sampler;
    apq_elite parents; /* (options.parents) */
} evolution_state;

static apq_status evolution_init(void *state, const apq_search_env *env) {
    evolution_state *s = state;
    s->env = *env;
    s->sampler = apq_sampler_make(env->options.seed, 1);
    s->parents.cap = (size_t)env->options.parents;
    s->parents.entries = apq_calloc(s->parents.cap, sizeof *s->parents.entries);
    if (s->parents.entries == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "evolution: no memory for %d parents",
                 env->options.parents);
    }
    return APQ_OK;
}

static void evolution_fini(void *state) {
    evolution_state *s = state;
    free(s->parents.entries);
    s->parents.entries = NULL;
}

static const apq_policy *pick_parent(evolution_state *s) {
    uint32_t i = apq_rng_below(&s->sampler.rng, (uint32_t)s->parents.n);
    return &s->parents.entries[i].policy;
}

static void vary(evolution_state *s, bool is_mutant, apq_policy *out) {
    const apq_search_env *env = &s->env;
    const apq_policy *a = pick_parent(s);
    if (!is_mutant) {
        apq_policy_cross(env->space, &s->sampler.rng, a, pick_parent(s), out);
        return;
    }
    apq_policy_mutate(env->space, env->options.mutation, &s->sampler.rng, a,
                      out);
    if (env->options.as_released) {
        /* A released mutant keeps its parent's depth. What was drawn for a
         * block just skipped may pair kernel 7 with 4 bits: that goes back. */
        for (int b = 0; b < env->space->n_blocks; b++) {
            if (!apq_space_block_active(env->space, out, b)) {
                out->kernel[b] = a->kernel[b];
                out->bits[APQ_DW_ACT][b] = a->bits[APQ_DW_ACT][b];
            }
        }
        memcpy(out->depth, a->depth, sizeof out->depth);
    }
}

/* Is it a parent over again or, where that counts, scored before? */
static bool is_repeated(const evolution_state *s, const apq_policy *policy,
                        bool counts_known) {
    uint64_t hash = apq_policy_hash(s->env.space, policy);
    return apq_elite_has(&s->parents, hash) ||
           (counts_known && !s->env.options.as_released &&
            apq_score_cache_has(s->env.known, hash));
}

/* A feasible child that is not a parent over again; with 20 blocks one
 * mutant in ten would otherwise be an exact copy. Children known already are
 * tried again a few times, so that they do not use up the candidates. Where
 * none turns up, new blood from the sampler keeps the search alive. */
static apq_status breed(evolution_state *s, bool is_mutant, apq_policy *out) {
    const apq_search_env *env = &s->env;
    int n_infeasible = 0;
    for (int i = 0; i < MAX_TRIES; i++) {
        bool is_feasible;
        vary(s, is_mutant, out);
        APQ_TRY(apq_env_feasible(env, out, &is_feasible));
        if (!is_feasible && ++n_infeasible > MAX_INFEASIBLE) {
            APQ_TRY(apq_sampler_shrink(&s->sampler, env, out, &is_feasible));
            n_infeasible = 0;
        }
        if (is_feasible && !is_repeated(s, out, i < MAX_KNOWN)) {
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
        if (s->parents.n == 0) {
            APQ_TRY(apq_sampler_first(&s->sampler, &s->env, &batch[i]));
        } else {
            bool is_mutant = i < mutants || s->parents.n == 1;
            APQ_TRY(breed(s, is_mutant, &batch[i]));
        }
    }
    *n = cap;
    return APQ_OK;
}

static apq_status evolution_tell(void *state, const apq_policy *batch,
                                 const apq_score *scores, size_t n) {
    evolution_state *s = state;
    size_t mutants = (size_t)s->env.options.mutants;
    if (s->env.options.as_released && n > mutants) {
        n = mutants; /* the others are scored and forgotten */
    }
    for (size_t i = 0; i < n; i++) {
        apq_search_entry entry = {
            .policy = batch[i],
            .hash = apq_policy_hash(s->env.space, &batch[i]),
            .score = scores[i],
        };
        if (scores[i].is_feasible && !apq_elite_has(&s->parents, entry.hash)) {
            apq_elite_insert(&s->parents, &entry);
        }
    }
    return APQ_OK;
}

static apq_status evolution_save(const void *state, apq_bytes *out) {
    const evolution_state *s = state;
    APQ_TRY(apq_bytes_put(out, &s->sampler, sizeof s->sampler));
    return apq_elite_save(&s->parents, out);
}

static apq_status evolution_load(void *state, apq_bytes *in) {
    evolution_state *s = state;
    APQ_TRY(apq_bytes_get(in, &s->sampler, sizeof s->sampler));
    return apq_elite_load(&s->parents, in);
}

const apq_strategy_ops apq_strategy_evolution = {
    .name = "evolution",
    .summary = "mutation and crossover of the best policies (APQ, CVPR 2020)",
    .state_bytes = sizeof(evolution_state),
    .init = evolution_init,
    .ask = evolution_ask,
    .tell = evolution_tell,
    .save = evolution_save,
    .load = evolution_load,
    .fini = evolution_fini,
};
