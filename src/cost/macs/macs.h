#ifndef APQ_COST_MACS_MACS_H
#define APQ_COST_MACS_MACS_H

#include "cost/cost.h"

/* The hardware-free fields of one layer: bitops, searchable_bitops,
 * macs, params, weight_bytes.
 * Other fields of *out are left alone. */
void apq_macs_layer(const apq_ir_layer *layer, apq_cost *out);

#endif
