/* Hash table with integer keys, open addressing and linear probing, at most
 * half full. A price depends on shape and bits only, so that is the key. */
#include "cost/cache.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { N_KEY = 10, FIRST_SLOTS = 512 };

struct apq_cost_slot {
    int32_t key[N_KEY]; /* key[0] is kind + 1; 0 marks a free slot */
    apq_cost_price price;
};

static void make_key(const apq_ir_layer *l, int32_t key[N_KEY]) {
    const int32_t values[N_KEY] = {
        (int32_t)l->kind + 1,
        l->in_channels,
        l->out_channels,
        l->kernel,
        l->stride,
        l->in_size,
        l->out_size,
        l->weight_bits,
        l->act_bits,
        /* Models ignore these; a table of measurements may not. */
        l->is_input_image | l->is_act_signed << 1 | l->has_relu6 << 2,
    };
    memcpy(key, values, sizeof values);
}

/* The slot that holds the key, or the free one where it belongs. */
static struct apq_cost_slot *probe(const apq_cost_cache *cache,
                                   const int32_t key[N_KEY]) {
    uint64_t hash = 0;
    for (int i = 0; i < N_KEY; i++) {
        /* Odd constant: 2^64 / golden ratio (Knuth, multiplicative hash). */
        hash = (hash ^ (uint32_t)key[i]) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 32;
    }
    size_t at = (size_t)hash & (cache->n_slots - 1);
    while (cache->slots[at].key[0] != 0 &&
           memcmp(cache->slots[at].key, key, sizeof cache->slots[at].key) !=
               0) {
        at = (at + 1) & (cache->n_slots - 1);
    }
    return &cache->slots[at];
}

bool apq_cost_cache_find(const apq_cost_cache *cache, const apq_ir_layer *layer,
                         apq_cost_price *out) {
    if (cache->n_slots == 0) {
        return false;
    }
    int32_t key[N_KEY];
    make_key(layer, key);
    const struct apq_cost_slot *slot = probe(cache, key);
    if (slot->key[0] == 0) {
        return false;
    }
    *out = slot->price;
    return true;
}

static apq_status grow(apq_cost_cache *cache) {
    apq_cost_cache bigger = {
        .n_slots = cache->n_slots == 0 ? FIRST_SLOTS : cache->n_slots * 2};
    bigger.slots = apq_calloc(bigger.n_slots, sizeof *bigger.slots);
    if (bigger.slots == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "cost cache: no memory for %zu entries",
                 bigger.n_slots);
    }
    for (size_t i = 0; i < cache->n_slots; i++) {
        if (cache->slots[i].key[0] != 0) {
            *probe(&bigger, cache->slots[i].key) = cache->slots[i];
        }
    }
    bigger.n_used = cache->n_used;
    free(cache->slots);
    *cache = bigger;
    return APQ_OK;
}

apq_status apq_cost_cache_add(apq_cost_cache *cache, const apq_ir_layer *layer,
                              apq_cost_price price) {
    if (2 * (cache->n_used + 1) > cache->n_slots) {
        APQ_TRY(grow(cache));
    }
    int32_t key[N_KEY];
    make_key(layer, key);
    struct apq_cost_slot *slot = probe(cache, key);
    if (slot->key[0] == 0) {
        cache->n_used++;
    }
    memcpy(slot->key, key, sizeof key);
    slot->price = price;
    return APQ_OK;
}

void apq_cost_cache_fini(apq_cost_cache *cache) {
    free(cache->slots);
    *cache = (apq_cost_cache){0};
}
