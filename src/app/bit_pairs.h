#ifndef APQ_APP_BIT_PAIRS_H
#define APQ_APP_BIT_PAIRS_H

#include "base/status.h"
#include "cost/cost.h"
#include "space/space.h"

#include <stddef.h>

/* A layer at some bits, and what happens when one operand is narrowed. */
typedef struct apq_bit_pair {
    apq_ir_layer layer;        /* at the wider bits */
    int weight_bits, act_bits; /* the narrower: one of the two */
    /* Narrower over wider; not finite where the wider costs nothing or the
     * energy is not known. */
    double latency_ratio, energy_ratio;
} apq_bit_pair;

/* Counts over all distinct searched layers of a space. */
typedef struct apq_bit_pair_summary {
    size_t n_layers;           /* distinct shapes */
    size_t n_entries;          /* shapes at bits that the target can run */
    size_t n_pairs;            /* both ends of which it can run */
    size_t n_slower, n_dearer; /* narrower costs more cycles, more energy */
    double max_latency_ratio, max_energy_ratio; /* at least 1 */
} apq_bit_pair_summary;

typedef void apq_bit_pair_fn(const apq_bit_pair *pair, void *ctx);

/* Calls `fn` for every pair whose narrower end is slower or dearer by more
 * than rounding, in the order of the blocks. */
APQ_NODISCARD apq_status apq_app_bit_pairs(const apq_space *space,
                                           apq_target *target,
                                           apq_bit_pair_fn *fn, void *ctx,
                                           apq_bit_pair_summary *out);

#endif
