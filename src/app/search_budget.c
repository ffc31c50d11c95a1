/* Budgets of a search: what they mean, whether they can be met, and the
 * cheapest policies, which make tight ones feasible by construction. */
#include "app/search_budget.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N_FIELDS = APQ_BUDGET_N_FIELDS };

bool apq_budget_meets(const double *cost, const double *budget) {
    for (int f = 0; f < N_FIELDS; f++) {
        /* Written so that a cost that is not a number fails. */
        if (budget[f] > 0 && !(cost[f] <= budget[f])) {
            return false;
        }
    }
    return true;
}

apq_status apq_budget_seeds(const apq_price_table *prices,
                            const double budget[N_FIELDS], int bits,
                            apq_policy seeds[APQ_BUDGET_MAX_SEEDS], size_t *n) {
    double all[N_FIELDS] = {0};
    bool has_budget = false;
    *n = 0;
    for (int f = 0; f < N_FIELDS; f++) {
        if (budget[f] > 0) {
            double weight[N_FIELDS] = {0};
            weight[f] = 1;
            all[f] = 1 / budget[f];
            has_budget = true;
            APQ_TRY(apq_price_cheapest(prices, bits, weight, &seeds[(*n)++]));
        }
    }
    if (!has_budget) {
        all[APQ_BUDGET_BITOPS_G] = 1;
    }
    return apq_price_cheapest(prices, bits, all, &seeds[(*n)++]);
}

apq_status apq_budget_check(const apq_price_table *prices,
                            const apq_app_search_result *out) {
    for (int f = 0; f < N_FIELDS; f++) {
        const char *name = apq_budget_name((apq_budget_field)f);
        if (out->budget[f] > 0 && isnan(out->low[f])) {
            APQ_FAIL(APQ_ERR_ARG, "target %s gives no %s, so no budget on it",
                     out->target, name);
        }
        if (out->budget[f] > 0 && out->budget[f] < out->low[f]) {
            APQ_FAIL(APQ_ERR_INFEASIBLE,
                     "no policy of space %s meets %s %g; the smallest possible "
                     "is %.6g",
                     out->space.name, name, out->budget[f], out->low[f]);
        }
    }
    apq_policy seeds[APQ_BUDGET_MAX_SEEDS];
    size_t n;
    APQ_TRY(apq_budget_seeds(prices, out->budget, 0, seeds, &n));
    double cost[N_FIELDS];
    for (size_t i = 0; i < n; i++) {
        apq_price_policy(prices, &seeds[i], cost);
        if (apq_budget_meets(cost, out->budget)) {
            return APQ_OK;
        }
    }
    char text[256] = "";
    for (int f = 0; f < N_FIELDS; f++) {
        size_t used = strlen(text);
        if (out->budget[f] > 0) {
            (void)snprintf(text + used, sizeof text - used, "%s%s %.6g",
                           used > 0 ? ", " : "",
                           apq_budget_name((apq_budget_field)f), cost[f]);
        }
    }
    APQ_FAIL(APQ_ERR_INFEASIBLE,
             "no policy of space %s found that meets all budgets together; "
             "the nearest costs %s",
             out->space.name, text);
}
