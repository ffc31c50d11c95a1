#ifndef APQ_APP_SEARCH_BUDGET_H
#define APQ_APP_SEARCH_BUDGET_H

#include "app/price.h"
#include "app/search.h"

enum { APQ_BUDGET_MAX_SEEDS = APQ_BUDGET_N_FIELDS + 1 };

/* Is every cost with a budget > 0 at most that? */
bool apq_budget_meets(const double *cost, const double *budget);

/* Cheapest policies at one bit-width, or at any where `bits` is 0: one for
 * each budget, one for all together. APQ_ERR_INFEASIBLE: the target can run
 * none. */
APQ_NODISCARD apq_status apq_budget_seeds(
    const apq_price_table *prices, const double budget[APQ_BUDGET_N_FIELDS],
    int bits, apq_policy seeds[APQ_BUDGET_MAX_SEEDS], size_t *n);

/* Can the budgets of `out` be met, given its exact limits? APQ_ERR_INFEASIBLE
 * names the nearest value; APQ_ERR_ARG a cost that the target does not give. */
APQ_NODISCARD apq_status apq_budget_check(const apq_price_table *prices,
                                          const apq_app_search_result *out);

#endif
