#ifndef APQ_CLI_COST_PRINT_H
#define APQ_CLI_COST_PRINT_H

#include "app/app.h"
#include "app/bit_pairs.h"
#include "app/range.h"

#include <jansson.h>

/* How `apq cost` shows things; standard output. */

/* The object of docs/automation.md; a target that runs batches adds `batch` and
 * `batch_latency_ms`. */
json_t *apq_print_cost_json(const apq_cost *cost, int batch);
/* One row; the heading before row 0. */
void apq_print_cost_row(const apq_cost *cost, size_t i);
/* Smallest and largest, and what is excluded. */
void apq_print_range(const apq_cost *low, const apq_cost *high,
                     const apq_excluded *excluded);
json_t *apq_print_range_json(const apq_cost *low, const apq_cost *high,
                             const apq_excluded *excluded);

/* Every layer of policy i with what decides its price, and their sum. Layers
 * that the accounting leaves out cost nothing. */
APQ_NODISCARD apq_status apq_print_explain(apq_target *target,
                                           const apq_ir_network *network,
                                           size_t i);
/* The same as the `layers` array, owned by the caller. */
APQ_NODISCARD apq_status apq_print_explain_json(apq_target *target,
                                                const apq_ir_network *network,
                                                json_t **out);

/* One pair, printed as it is found; the heading before the first. */
void apq_print_bit_pair(const apq_bit_pair *pair, bool is_first);
json_t *apq_print_bit_pair_json(const apq_bit_pair *pair);
void apq_print_bit_summary(const apq_bit_pair_summary *sum);
json_t *apq_print_bit_summary_json(const apq_bit_pair_summary *sum);

#endif
