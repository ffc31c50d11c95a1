#ifndef APQ_APP_RANGE_H
#define APQ_APP_RANGE_H

#include "app/price.h"
#include "base/status.h"
#include "cost/cost.h"

#include <stddef.h>

/* Smallest and largest value of each cost field over all policies of the
 * table's space that its target can run. Exact, each field on its own (no
 * policy need reach two of them at once). Errors: those of lowering. */
APQ_NODISCARD apq_status apq_app_range(const apq_price_table *table,
                                       apq_cost *low, apq_cost *high);

/* What a search will never propose. A choice is all six genes of a block;
 * counts are sums over blocks. */
typedef struct apq_excluded {
    size_t n_choices;
    size_t n_forbidden;   /* by the space */
    size_t n_unsupported; /* of the others, by the target */
    /* Bits and kernels that are excluded in every block, empty when there are
     * none: "1x1 with 4/6-bit activations, 7x7 depthwise with 4-bit
     * activations". Ends in an ellipsis where the list is longer. */
    char text[240];
} apq_excluded;

void apq_app_excluded(const apq_price_table *table, apq_excluded *out);

#endif
