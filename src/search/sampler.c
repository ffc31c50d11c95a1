/* Feasible policies by rejection, or by a feasible random walk from a seed.
 * Rejection alone fails at tight budgets: 0.14 % of uniform policies meet
 * the paper's 6.11 ms. Ours; the paper does not say how it starts. */
#include "search/sampler.h"

/* Adapted between these, so a hopeless budget is not paid for per draw. */
enum { MIN_DRAWS = 10, WALK_TRIES = 100 };

apq_sampler apq_sampler_make(uint64_t seed, uint64_t stream) {
    return (apq_sampler){
        .rng = apq_rng_make(seed, APQ_RNG_SEARCH, stream),
        .max_draws = APQ_SEARCH_MAX_TRIES,
    };
}

apq_status apq_env_feasible(const apq_search_env *env, const apq_policy *policy,
                            bool *is_feasible) {
    *is_feasible = false;
    return env->feasible(env->feasible_ctx, policy, is_feasible);
}

/* The first feasible seed in cyclic order from a random one. */
static apq_status pick_seed(apq_sampler *sampler, const apq_search_env *env,
                            apq_policy *out) {
    size_t first = apq_rng_below(&sampler->rng, (uint32_t)env->n_seeds);
    for (size_t i = 0; i < env->n_seeds; i++) {
        const apq_policy *seed = &env->seeds[(first + i) % env->n_seeds];
        bool is_feasible;
        APQ_TRY(apq_env_feasible(env, seed, &is_feasible));
        if (is_feasible) {
            *out = *seed;
            return APQ_OK;
        }
    }
    APQ_FAIL(APQ_ERR_INFEASIBLE,
             "no policy of space '%s' meets the budget: %d random draws and "
             "%zu cheapest policies tried",
             env->space->name, sampler->max_draws, env->n_seeds);
}

/* Seeds are the cheapest policies, so every accepted move goes upward at
 * first and then wanders inside the budget. */
static apq_status walk(apq_sampler *sampler, const apq_search_env *env,
                       apq_policy *policy) {
    for (int i = 0; i < WALK_TRIES; i++) {
        apq_policy next;
        bool is_feasible;
        apq_policy_mutate(env->space, env->options.mutation, &sampler->rng,
                          policy, &next);
        APQ_TRY(apq_env_feasible(env, &next, &is_feasible));
        if (is_feasible) {
            *policy = next;
        }
    }
    return APQ_OK;
}

apq_status apq_sampler_draw(apq_sampler *sampler, const apq_search_env *env,
                            apq_policy *out) {
    for (int i = 0; i < sampler->max_draws; i++) {
        bool is_feasible;
        apq_policy_random(env->space, &sampler->rng, out);
        APQ_TRY(apq_env_feasible(env, out, &is_feasible));
        if (is_feasible) {
            int more = 2 * sampler->max_draws;
            sampler->max_draws =
                more < APQ_SEARCH_MAX_TRIES ? more : APQ_SEARCH_MAX_TRIES;
            return APQ_OK;
        }
    }
    APQ_TRY(pick_seed(sampler, env, out));
    int fewer = sampler->max_draws / 2;
    sampler->max_draws = fewer > MIN_DRAWS ? fewer : MIN_DRAWS;
    return walk(sampler, env, out);
}
