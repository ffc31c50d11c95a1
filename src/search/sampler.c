/* Feasible policies by rejection, or by making one cheaper until it fits.
 * Rejection alone fails at tight budgets: 0.14 % of uniform policies meet
 * the paper's 6.11 ms. Ours; the paper does not say how it starts. */
#include "search/sampler.h"

#include "search/moves.h"

/* Draws halve down to one, so a hopeless budget is not paid for each time. */
enum { MAX_DRAWS = 200, WALK_TRIES = 16 };

apq_sampler apq_sampler_make(uint64_t seed, uint64_t stream) {
    return (apq_sampler){
        .rng = apq_rng_make(seed, APQ_RNG_SEARCH, stream),
        .max_draws = MAX_DRAWS,
    };
}

apq_status apq_env_feasible(const apq_search_env *env, const apq_policy *policy,
                            bool *is_feasible) {
    *is_feasible = false;
    return env->feasible(env->feasible_ctx, policy, is_feasible);
}

/* The first feasible seed in cyclic order from a random one; NULL: none. */
static apq_status pick_seed(apq_sampler *sampler, const apq_search_env *env,
                            const apq_policy **out) {
    *out = NULL;
    size_t first = apq_rng_below(&sampler->rng, (uint32_t)env->n_seeds);
    for (size_t i = 0; i < env->n_seeds && *out == NULL; i++) {
        const apq_policy *seed = &env->seeds[(first + i) % env->n_seeds];
        bool is_feasible;
        APQ_TRY(apq_env_feasible(env, seed, &is_feasible));
        *out = is_feasible ? seed : NULL;
    }
    return APQ_OK;
}

static apq_status shrink(apq_sampler *sampler, const apq_search_env *env,
                         bool is_coarse, apq_policy *policy,
                         bool *is_feasible) {
    const apq_policy *seed;
    *is_feasible = false;
    APQ_TRY(pick_seed(sampler, env, &seed));
    if (seed == NULL) {
        return APQ_OK;
    }
    return apq_move_towards(env, &sampler->rng, seed, is_coarse, policy,
                            is_feasible);
}

apq_status apq_sampler_shrink(apq_sampler *sampler, const apq_search_env *env,
                              apq_policy *policy, bool *is_feasible) {
    return shrink(sampler, env, false, policy, is_feasible);
}

/* What was made cheaper in coarse steps has budget left, or is the seed
 * itself: it wanders a little inside the budget. */
static apq_status walk(apq_sampler *sampler, const apq_search_env *env,
                       apq_policy *policy) {
    for (int i = 0; i < WALK_TRIES; i++) {
        apq_policy next = *policy;
        bool is_feasible;
        apq_move_random(env->space, &sampler->rng, &next);
        APQ_TRY(apq_env_feasible(env, &next, &is_feasible));
        if (is_feasible) {
            *policy = next;
        }
    }
    return APQ_OK;
}

apq_status apq_sampler_draw(apq_sampler *sampler, const apq_search_env *env,
                            apq_policy *out) {
    bool is_feasible;
    for (int i = 0; i < sampler->max_draws; i++) {
        apq_policy_random(env->space, &sampler->rng, out);
        APQ_TRY(apq_env_feasible(env, out, &is_feasible));
        if (is_feasible) {
            int more = 2 * sampler->max_draws;
            sampler->max_draws = more < MAX_DRAWS ? more : MAX_DRAWS;
            return APQ_OK;
        }
    }
    APQ_TRY(shrink(sampler, env, true, out, &is_feasible));
    if (!is_feasible) {
        APQ_FAIL(APQ_ERR_INFEASIBLE,
                 "no policy of space '%s' meets the budget: %d random draws "
                 "and %zu cheapest policies tried",
                 env->space->name, sampler->max_draws, env->n_seeds);
    }
    int fewer = sampler->max_draws / 2;
    sampler->max_draws = fewer > 1 ? fewer : 1;
    return walk(sampler, env, out);
}

apq_status apq_sampler_first(apq_sampler *sampler, const apq_search_env *env,
                             apq_policy *out) {
    while (sampler->n_first < env->n_starts) {
        bool is_feasible;
        *out = env->starts[sampler->n_first++];
        APQ_TRY(apq_env_feasible(env, out, &is_feasible));
        if (!is_feasible) {
            APQ_TRY(apq_sampler_shrink(sampler, env, out, &is_feasible));
        }
        if (is_feasible) {
            return APQ_OK;
        }
    }
    return apq_sampler_draw(sampler, env, out);
}
