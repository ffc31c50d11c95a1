#ifndef APQ_SEARCH_STRATEGY_H
#define APQ_SEARCH_STRATEGY_H

#include "base/rng.h"
#include "base/status.h"
#include "search/bytes.h"
#include "search/cache.h"
#include "space/space.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The extension point of the search: one static const table per strategy,
 * one line in registry.c. The driver owns the loop, the budget, the cache of
 * scores and the evaluation; a strategy only proposes policies (ask) and
 * learns their scores (tell). It knows neither predictor nor target. */

/* Whether a policy keeps every budget: the cost model's answer, much cheaper
 * than an evaluation. Must depend on the active genes only. */
typedef apq_status (*apq_feasible_fn)(void *ctx, const apq_policy *policy,
                                      bool *is_feasible);

/* A scored policy. */
typedef struct apq_search_entry {
    apq_policy policy;
    uint64_t hash; /* apq_policy_hash() */
    apq_score score;
} apq_search_entry;

/* Options shared by all strategies; checked by the driver. */
typedef struct apq_strategy_options {
    int population;  /* candidates of one iteration, >= 2 */
    int parents;     /* survivors, 1..population */
    int mutants;     /* of `population`; the rest are children of two */
    double mutation; /* probability per block and per depth, (0, 1] */
    uint64_t seed;
    uint64_t total;   /* candidates of the whole search */
    bool as_released; /* evolution: with the defects of the released code */
} apq_strategy_options;

/* What a strategy may use. Copied by init; the pointers stay valid until
 * fini. */
typedef struct apq_search_env {
    const apq_space *space;
    apq_strategy_options options;
    apq_feasible_fn feasible; /* never NULL */
    void *feasible_ctx;
    const apq_policy *seeds;  /* (n_seeds) legal; the cheapest ones known */
    size_t n_seeds;           /* >= 1 */
    const apq_policy *starts; /* (n_starts) legal; see apq_sampler_first() */
    size_t n_starts;
    const apq_score_cache *known; /* everything scored so far */
} apq_search_env;

typedef struct apq_strategy_ops {
    const char *name;    /* registry key, e.g. "evolution" */
    const char *summary; /* one line for listings */
    size_t state_bytes;  /* allocated and zeroed by the caller, 64-aligned */
    bool is_annealed;    /* a stall is no end: patience does not apply */

    /* REQUIRED. */
    apq_status (*init)(void *state, const apq_search_env *env);
    /* Writes 1..cap legal, feasible policies; none when the search is over.
     * Errors: APQ_ERR_INFEASIBLE when none was found in a bounded number of
     * tries. */
    apq_status (*ask)(void *state, size_t cap, apq_policy *batch, size_t *n);
    /* The scores of the last batch asked for, in its order. */
    apq_status (*tell)(void *state, const apq_policy *batch,
                       const apq_score *scores, size_t n);
    /* Everything that tell and ask have changed since init, between a tell
     * and an ask; load follows an init with the same environment. Errors of
     * load: APQ_ERR_FORMAT. */
    apq_status (*save)(const void *state, apq_bytes *out);
    apq_status (*load)(void *state, apq_bytes *in);

    /* OPTIONAL. NULL: nothing to release. Accepts a half-made state. */
    void (*fini)(void *state);
} apq_strategy_ops;

extern const apq_strategy_ops apq_strategy_evolution;
extern const apq_strategy_ops apq_strategy_evolution_plus;
extern const apq_strategy_ops apq_strategy_nsga2;
extern const apq_strategy_ops apq_strategy_local;
extern const apq_strategy_ops apq_strategy_random;

/* The strategy of that name. Errors: APQ_ERR_ARG, naming the nearest one. */
APQ_NODISCARD apq_status apq_strategy_find(const char *name,
                                           const apq_strategy_ops **out);
/* NULL-terminated names of all strategies, the default first. */
const char *const *apq_strategy_names(void);
/* One-line summary of a strategy, or NULL when there is none of that name. */
const char *apq_strategy_summary(const char *name);

#endif
