#ifndef APQ_SEARCH_SAMPLER_H
#define APQ_SEARCH_SAMPLER_H

#include "search/strategy.h"

/* Draws feasible policies. Plain data; part of a strategy's state. */
typedef struct apq_sampler {
    apq_rng rng;
    int max_draws;  /* uniform draws tried before one is made cheaper */
    size_t n_first; /* of env->starts that have been tried */
} apq_sampler;

/* `stream` keeps the strategies' random numbers apart. */
apq_sampler apq_sampler_make(uint64_t seed, uint64_t stream);

/* Asks the environment's constraint. */
APQ_NODISCARD apq_status apq_env_feasible(const apq_search_env *env,
                                          const apq_policy *policy,
                                          bool *is_feasible);

/* One feasible policy: uniform by rejection; where that fails, a uniform one
 * whose genes move to those of a feasible seed until it fits (budgets of a
 * fraction of a percent need ~700 uniform draws each). Errors:
 * APQ_ERR_INFEASIBLE when neither a draw nor a seed is feasible. */
APQ_NODISCARD apq_status apq_sampler_draw(apq_sampler *sampler,
                                          const apq_search_env *env,
                                          apq_policy *out);

/* The next policy of a first population: those of env->starts in order, brought
 * under budget where needed, then draws. */
APQ_NODISCARD apq_status apq_sampler_first(apq_sampler *sampler,
                                           const apq_search_env *env,
                                           apq_policy *out);

/* Brings a policy under budget by small steps towards a feasible seed; false
 * where no seed is feasible. */
APQ_NODISCARD apq_status apq_sampler_shrink(apq_sampler *sampler,
                                            const apq_search_env *env,
                                            apq_policy *policy,
                                            bool *is_feasible);

#endif
