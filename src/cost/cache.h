#ifndef APQ_COST_CACHE_H
#define APQ_COST_CACHE_H

#include "ir/network.h"

#include <stdbool.h>
#include <stddef.h>

/* Prices by a layer's shape and bits; names, roles and positions do not
 * matter. Grows as needed; start from a zeroed struct. */
typedef struct apq_cost_price {
    double latency_ms, energy_mj;
} apq_cost_price;

typedef struct apq_cost_cache {
    struct apq_cost_slot *slots;
    size_t n_slots, n_used; /* n_slots: zero or a power of two */
} apq_cost_cache;

bool apq_cost_cache_find(const apq_cost_cache *cache, const apq_ir_layer *layer,
                         apq_cost_price *out);
APQ_NODISCARD apq_status apq_cost_cache_add(apq_cost_cache *cache,
                                            const apq_ir_layer *layer,
                                            apq_cost_price price);
void apq_cost_cache_fini(apq_cost_cache *cache);

#endif
