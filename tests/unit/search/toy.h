#ifndef APQ_TESTS_UNIT_SEARCH_TOY_H
#define APQ_TESTS_UNIT_SEARCH_TOY_H

#include "search/driver.h"

/* A search problem with a known answer: value and cost are sums over the
 * active blocks' genes, the cost growing with every gene. Counts and records
 * what the search asks of it. */
typedef struct toy {
    apq_space space;
    double max_cost; /* the budget; INFINITY: none */
    uint64_t n_scored, n_repeated, n_illegal, n_infeasible;
    uint64_t trace; /* hash of everything scored, in order */
    bool is_flat;   /* every policy scores 1 */
    uint64_t *seen; /* (cap_seen) hashes scored */
    size_t n_seen, cap_seen;
} toy;

void toy_init(toy *t, const char *space);
void toy_fini(toy *t);
double toy_value(const toy *t, const apq_policy *policy);
double toy_cost(const toy *t, const apq_policy *policy);
/* The callbacks; ctx is the toy. */
apq_status toy_evaluate(void *ctx, const apq_policy *batch, size_t n,
                        apq_score *scores);
apq_status toy_feasible(void *ctx, const apq_policy *policy, bool *is_feasible);
/* Options on this problem: population 20, parents 5, seed 1. */
apq_driver_options toy_options(toy *t, const char *strategy, int iterations);
/* Cost between the cheapest and dearest corner, fraction in [0, 1]. */
double toy_budget(const toy *t, double fraction);

#endif
