#ifndef APQ_APP_SEARCH_H
#define APQ_APP_SEARCH_H

#include "app/price.h"
#include "app/recipe.h"
#include "base/log.h"
#include "base/status.h"
#include "predictor/predictor.h"
#include "search/driver.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A network with what is known of it before it is trained. */
typedef struct apq_candidate {
    apq_policy policy;
    double accuracy; /* predicted, a fraction */
    apq_cost cost;
    bool is_found; /* false: no such network under the budget */
    bool meets_budget;
} apq_candidate;

/* What the winner is compared with: the largest network of the space at one
 * bit-width everywhere, whatever it costs, and the best one the same search
 * finds at that bit-width under the same budget. With search.sequential also
 * what searching architecture, widths and bits in stages finds under it. */
typedef enum apq_baseline {
    APQ_BASELINE_LARGEST_8,
    APQ_BASELINE_LARGEST_4,
    APQ_BASELINE_BEST_8,
    APQ_BASELINE_BEST_4,
    APQ_N_UNIFORM_BASELINES,
    APQ_BASELINE_SEQUENTIAL = APQ_N_UNIFORM_BASELINES,
    APQ_N_BASELINES,
} apq_baseline;
/* "largest_uniform8", ..., "best_uniform4", "sequential" */
const char *apq_baseline_name(apq_baseline baseline);

/* A network that was measured after the search. */
typedef struct apq_measured {
    apq_candidate candidate;
    double accuracy; /* on validation images, a fraction */
} apq_measured;

enum {
    APQ_SEARCH_MAX_MEASURED = APQ_SEARCH_MAX_TOP + APQ_N_BASELINES,
    APQ_SEARCH_MAX_CLOUD = 2048
};

typedef struct apq_app_search_result {
    apq_space space;
    char target[64];
    char predictor[APQ_PATH_MAX], predictor_hash[APQ_HASH_MAX]; /* or "" */
    char strategy[32];
    uint64_t seed;
    apq_candidate best;
    apq_candidate baselines[APQ_N_BASELINES];
    bool has_sequential; /* it was asked for, and so is in the document */
    double budget[APQ_BUDGET_N_FIELDS]; /* 0: none */
    /* Exact limits of the space on this target; NaN where it prices none. */
    double low[APQ_BUDGET_N_FIELDS], high[APQ_BUDGET_N_FIELDS];
    double latency_share[APQ_MAX_BLOCKS]; /* of the winner, per block */
    /* Empty without search.remeasure; else `best` is the best of them. */
    apq_measured measured[APQ_SEARCH_MAX_MEASURED];
    size_t n_measured;
    double measured_accuracy; /* of `best` */
    int measured_qat_steps;
    apq_search_result *search; /* history and best candidates */
    char file[APQ_PATH_MAX];   /* of the run, that this is in, or "" */
    uint64_t evaluations;      /* networks scored, those of the baselines too */
    double seconds;            /* of everything */
    /* A sample of the candidates seen, for the picture. */
    size_t n_cloud;
    double cloud_cost[APQ_SEARCH_MAX_CLOUD];
    double cloud_accuracy[APQ_SEARCH_MAX_CLOUD];
    apq_budget_field plot_field; /* horizontal axis of the picture */
} apq_app_search_result;

/* `apq search`: the policy of highest predicted accuracy under the recipe's
 * budgets. The predictor is predictor_or_null, else the run directory's, else
 * the shipped one. With a run directory best.json and search.svg/png/pdf are
 * written there, unless best.json was made from the same input before.
 * With search.remeasure the best are measured with the run's supernet and
 * the recipe's data, and the best of these is the result.
 * The caller owns the result and calls apq_app_search_fini in every case.
 * Errors: INFEASIBLE names the budget and the smallest value possible;
 * MISMATCH predictor or run directory of another space; ARG a budget on a
 * cost the target does not give; INTERRUPTED with the best so far
 * in `out`, where `search` is there and is_stopped, and written. */
APQ_NODISCARD apq_status apq_app_search(const apq_recipe *recipe,
                                        const char *run_dir_or_null,
                                        const char *predictor_or_null,
                                        const apq_progress *progress,
                                        apq_app_search_result *out);

/* What can be known before anything is trained: the target runs the space and
 * the budgets can be met. Errors: as above, without the predictor's. */
APQ_NODISCARD apq_status apq_app_search_check(const apq_recipe *recipe,
                                              const char *run_dir_or_null,
                                              const apq_progress *progress);

/* What a search works on when it is not to be found by name and file. */
typedef struct apq_search_parts {
    const apq_space *space;
    apq_target *target; /* caches; used by one search at a time */
    const apq_predictor *predictor;
} apq_search_parts;

/* The same between given parts: of the recipe only `search` and `seed` count,
 * nothing is read or written, and the result names no predictor file. Errors
 * as above; MISMATCH also when predictor and space do not belong together. */
APQ_NODISCARD apq_status apq_app_search_with(const apq_recipe *recipe,
                                             const apq_search_parts *parts,
                                             const apq_progress *progress,
                                             apq_app_search_result *out);
void apq_app_search_fini(apq_app_search_result *result);

/* The document of docs/formats/search-result.md (malloc'd), or NULL when memory
 * is out. */
char *apq_app_search_json(const apq_app_search_result *result);
/* JSON at `json_path`; the picture at `stem`.svg, .png and .pdf. Atomic each.
 */
APQ_NODISCARD apq_status
apq_app_search_write(const apq_app_search_result *result, const char *json_path,
                     const char *stem);

#endif
