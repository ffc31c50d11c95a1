#ifndef APQ_APP_RANGE_INTERNAL_H
#define APQ_APP_RANGE_INTERNAL_H

#include "app/price.h"

#include <stdbool.h>

/* Shared by the two halves of the range: sums over layers, and the peak. */
enum { APQ_RANGE_LOW, APQ_RANGE_HIGH, APQ_RANGE_N_ENDS };

/* Whether `value` replaces `than` at an end; NaN is replaced by anything. */
bool apq_range_is_better(int end, double value, double than);

/* Writes the genes of one block into its three layers (expand, depthwise,
 * project, in this order). */
void apq_range_set_genes(const apq_policy *genes, int block,
                         apq_ir_layer layers[3]);

/* Smallest and largest peak_activation_bytes. `net` has every block active
 * and is changed. */
void apq_range_peak(const apq_price_table *table, apq_ir_network *net,
                    double out[APQ_RANGE_N_ENDS]);

#endif
