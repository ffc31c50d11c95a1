#ifndef APQ_APP_PRICE_H
#define APQ_APP_PRICE_H

#include "base/status.h"
#include "cost/cost.h"
#include "space/space.h"

#include <stdbool.h>
#include <stddef.h>

/* The costs a search may be given a budget for. */
typedef enum apq_budget_field {
    APQ_BUDGET_LATENCY_MS,
    APQ_BUDGET_ENERGY_MJ,
    APQ_BUDGET_BITOPS_G, /* 1e9 bit operations */
    APQ_BUDGET_SIZE_KB,  /* 1000 bytes of weights */
    APQ_BUDGET_N_FIELDS,
} apq_budget_field;

/* "latency_ms" ... */
const char *apq_budget_name(apq_budget_field field);
/* "ms", "mJ", "GBitOps", "kB" */
const char *apq_budget_unit(apq_budget_field field);
/* The same costs of a priced network; NaN where the target gives none. */
void apq_budget_of_cost(const apq_cost *cost, double out[APQ_BUDGET_N_FIELDS]);

/* The price of every choice of every block. All budget costs are sums over
 * layers and a layer sees only its own block's genes, so a policy costs the
 * fixed layers plus one table entry per active block: exact, in nanoseconds.
 * Entries a target cannot execute, or the space forbids, are infinite. */
typedef struct apq_price_table apq_price_table;

/* `target` is used during the call only. Errors: APQ_ERR_ARG when it cannot
 * run a fixed layer or any choice of a block, naming layer and buffers. */
APQ_NODISCARD apq_status apq_price_table_create(const apq_space *space,
                                                apq_target *target,
                                                apq_price_table **out);
void apq_price_table_destroy(apq_price_table *table);

/* Costs of a legal policy. */
void apq_price_policy(const apq_price_table *table, const apq_policy *policy,
                      double out[APQ_BUDGET_N_FIELDS]);

/* The policy of smallest sum of weight[f] * cost[f] over the fields of
 * weight != 0, all weights >= 0; exact, ties to the first. `bits` 0 allows all
 * bit-widths, else only that one. APQ_ERR_INFEASIBLE when the target can
 * execute none. */
APQ_NODISCARD apq_status
apq_price_cheapest(const apq_price_table *table, int bits,
                   const double weight[APQ_BUDGET_N_FIELDS], apq_policy *out);

/* The table as it is, for those who walk all of it. The space is borrowed;
 * apq_price_choice writes the genes of choice i < apq_price_n_choices of a
 * block into `genes` and what its layers cost, infinite when excluded. */
const apq_space *apq_price_space(const apq_price_table *table);
void apq_price_fixed(const apq_price_table *table,
                     double out[APQ_BUDGET_N_FIELDS]);
size_t apq_price_n_choices(const apq_price_table *table, int block);
void apq_price_choice(const apq_price_table *table, int block, size_t i,
                      apq_policy *genes, double out[APQ_BUDGET_N_FIELDS]);

#endif
