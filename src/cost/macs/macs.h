#ifndef APQ_COST_MACS_MACS_H
#define APQ_COST_MACS_MACS_H

#include "cost/cost.h"

/* The hardware-free fields of one layer: bitops, macs, params, weight_bytes.
 * Other fields of *out are left alone. */
void apq_macs_layer(const apq_ir_layer *layer, apq_cost *out);

/* Bytes of the largest set of activations alive at once: input, output and
 * any residual held across the layer. A tensor takes the act bits of the
 * layer that reads it; the logits take 32. */
double apq_macs_peak_activation_bytes(const apq_ir_network *network);

#endif
