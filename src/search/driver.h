#ifndef APQ_SEARCH_DRIVER_H
#define APQ_SEARCH_DRIVER_H

#include "base/log.h"
#include "search/strategy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Best distinct policies kept for measuring again: the predictor's error is
 * largest at its own optimum. */
enum { APQ_SEARCH_MAX_TOP = 32 };

/* Limits of what a search is asked for, wherever it is asked. */
enum {
    APQ_SEARCH_MIN_POPULATION = 2,
    APQ_SEARCH_MAX_POPULATION = 100000,
    APQ_SEARCH_MAX_ITERATIONS = 1000000,
};
#define APQ_SEARCH_MIN_MUTATION 1e-6

/* Scores n distinct canonical policies: scores[i] of batch[i], value finite.
 * The scores arrive zeroed with is_feasible set; clearing it excludes the
 * policy. */
typedef apq_status (*apq_evaluate_fn)(void *ctx, const apq_policy *batch,
                                      size_t n, apq_score *scores);

/* Keeps a search across the end of the process. The bytes are for the same
 * build on the same machine. */
typedef struct apq_search_saver {
    void *ctx;
    /* Replaces what was saved before, at once or not at all. */
    apq_status (*save)(void *ctx, const void *bytes, size_t n);
    /* malloc'd for the caller to free; NULL when nothing is saved. */
    apq_status (*load)(void *ctx, void **bytes, size_t *n);
    double interval_s; /* between two saves; 0: after every batch. Saved as
                          well when the user stops the search. */
    const char *key;   /* names what evaluate and feasible depend on, at most
                          512 characters; a state of another key, or of other
                          options, is ignored */
} apq_search_saver;

typedef struct apq_driver_options {
    const char *strategy; /* see apq_strategy_names() */
    int population;       /* candidates of one iteration; limits above */
    int parents;          /* 1..population */
    int iterations;       /* 1.., the initial population included */
    int patience;    /* iterations without a better best that end it; 0: never;
                        ignored by a strategy that is annealed */
    double mutation; /* per block and per depth, APQ_SEARCH_MIN_MUTATION..1 */
    uint64_t seed;   /* equal seeds, equal traces */
    const apq_progress *progress; /* NULL: silent, never stopped */
    apq_evaluate_fn evaluate;     /* required; the predictor */
    apq_feasible_fn feasible;     /* NULL: every policy is feasible */
    void *ctx;                    /* of evaluate and feasible */
    const apq_policy *seeds;  /* (n_seeds) legal, the cheapest known; NULL: */
    size_t n_seeds;           /* the smallest policy at the fewest bits */
    const apq_policy *starts; /* (n_starts) legal, good ones known before, as */
    size_t n_starts;          /* of a tighter budget; tried first, brought under
                                 budget where needed */
    size_t front_cap;    /* 0: no front; else 2.. non-dominated entries kept */
    double time_limit_s; /* 0: none */
    bool as_released;    /* `evolution` only: see docs/search.md */
    const apq_search_saver *saver; /* NULL: nothing is kept */
} apq_driver_options;

/* The paper's settings (APQ, CVPR 2020, section 4); of each population
 * half are mutants and half crossovers. */
#define APQ_DRIVER_OPTIONS_INIT                                                \
    {                                                                          \
        .strategy = "evolution", .population = 100, .parents = 25,             \
        .iterations = 500, .mutation = 0.1                                     \
    }

/* State after one iteration. */
typedef struct apq_search_history_row {
    int iteration;        /* 1.. */
    uint64_t evaluations; /* distinct policies scored so far */
    double best;          /* best value so far */
    double mean;          /* of this iteration's feasible candidates */
    double feasible;      /* share of what was put to `feasible` since the last
                             row, to find candidates or to bring them under
                             budget, that passed; NaN: nothing was */
    double diversity; /* of this iteration's candidates; search/diversity.h */
} apq_search_history_row;

typedef struct apq_search_result {
    apq_policy best; /* canonical; equals top[0].policy */
    double best_value;
    uint64_t n_evaluations; /* distinct policies given to evaluate */
    uint64_t n_cached;      /* candidates seen before; the sum of the two is
                               population * iterations unless stopped, out of
                               time or patience, or nothing new was asked for
                               10 iterations */
    double seconds;         /* wall clock */
    bool is_stopped;        /* the user asked to stop */
    bool is_timed_out;      /* time_limit_s passed */
    apq_search_history_row *history;
    size_t n_history;
    apq_search_entry top[APQ_SEARCH_MAX_TOP]; /* best first, all distinct */
    size_t n_top;
    apq_search_entry *front; /* (n_front) by value, best first; none is better
                                than another in value and all costs */
    size_t n_front;
    apq_score *scores; /* (n_scores) all, in the order of their evaluation */
    size_t n_scores;
} apq_search_result;

/* Searches the space for the feasible policy of highest value. The budget is
 * population * iterations candidates; a candidate met before costs no
 * evaluation. Equal scores are ordered by hash. A stop request or the time
 * limit ends the search after the current batch with the best so far; a saved
 * one goes on where it was and ends as if it had never been interrupted.
 * Errors: APQ_ERR_ARG options out of range; APQ_ERR_INFEASIBLE no policy
 * meets the constraint; APQ_ERR_NUMERIC a value is not finite;
 * APQ_ERR_INTERRUPTED stopped before anything was scored; whatever a
 * callback returns. *out is NULL on failure. */
APQ_NODISCARD apq_status apq_search_run(const apq_space *space,
                                        const apq_driver_options *options,
                                        apq_search_result **out);
/* NULL is fine. */
void apq_search_result_destroy(apq_search_result *result);

#endif
