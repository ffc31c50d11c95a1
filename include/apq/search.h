#ifndef APQ_SEARCH_H
#define APQ_SEARCH_H

#include <apq/export.h>
#include <apq/predictor.h>
#include <apq/progress.h>
#include <apq/space.h>
#include <apq/status.h>
#include <apq/target.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A finished search. It keeps nothing of what it was made from. */
typedef struct apq_search apq_search;

typedef struct apq_search_options {
    /* Budgets of one inference of one image, 0..1e12; 0: none. */
    double latency_ms;
    double energy_mj;
    double bitops_g; /* 1e9 bit operations */
    double size_kb;  /* 1000 bytes of weights */

    const char *strategy; /* as `apq list strategies` names them */
    int population;       /* candidates of one iteration, 2..100000 */
    int parents;          /* survivors of one iteration, 1..population */
    int iterations;       /* 1..1000000, the initial population included */
    double mutation;      /* probability to redraw a block, 1e-6..1 */
    uint64_t seed; /* equal seeds, equal result, at any number of threads */

    const apq_progress *progress; /* NULL: silent, never stopped */
} apq_search_options;

/* No budget; the paper's settings (APQ, CVPR 2020, section 4). In the order
 * of the members and without their names, so that C++ reads it too. */
#define APQ_SEARCH_OPTIONS_INIT                                                \
    { 0.0, 0.0, 0.0, 0.0, "evolution", 100, 25, 500, 0.1, 1, NULL }

/* The policy of highest predicted accuracy under the budgets, as `apq search`
 * finds it, with its baselines. A stop request ends it with the best so far.
 * No two searches at a time may use one target; space and predictor may be
 * shared.
 * Errors: ARG an option out of range, or a budget on a cost that the target
 * does not give; MISMATCH the predictor is of another space; INFEASIBLE no
 * policy meets the budgets (the message names the smallest value possible);
 * INTERRUPTED stopped before anything was found; NUMERIC a predicted accuracy
 * is not finite; NOMEM. */
APQ_API APQ_NODISCARD apq_status apq_search_create(
    const apq_space *space, apq_target *target, const apq_predictor *predictor,
    const apq_search_options *options, apq_search **out);
/* NULL is fine. */
APQ_API void apq_search_destroy(apq_search *search);

/* The policy found; borrowed. */
APQ_API const apq_policy *apq_search_policy(const apq_search *search);
/* Its predicted top-1 accuracy when quantised, a fraction. */
APQ_API double apq_search_accuracy(const apq_search *search);
/* Its price, within every budget; borrowed. */
APQ_API const apq_cost *apq_search_cost(const apq_search *search);
/* False when a stop request ended it. */
APQ_API bool apq_search_is_complete(const apq_search *search);

/* Everything: the document that `apq search --json` prints, with baselines,
 * the best distinct policies and the history. The caller releases it with
 * free(). Errors: NOMEM. */
APQ_API APQ_NODISCARD apq_status apq_search_json(const apq_search *search,
                                                 char **out);

#ifdef __cplusplus
}
#endif

#endif
