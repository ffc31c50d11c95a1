/* Open addressing with linear probing over the policy hash. The keys are
 * hashes already, so their low bits index the table directly. */
#include "search/cache.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 1024 };

void apq_score_cache_fini(apq_score_cache *cache) {
    free(cache->slots);
    free(cache->hashes);
    free(cache->scores);
    *cache = (apq_score_cache){0};
}

/* Slot of the hash, or the free slot where it belongs. */
static size_t probe(const apq_score_cache *cache, const uint32_t *slots,
                    size_t n_slots, uint64_t hash) {
    size_t at = (size_t)hash & (n_slots - 1);
    while (slots[at] != 0 && cache->hashes[slots[at] - 1] != hash) {
        at = (at + 1) & (n_slots - 1);
    }
    return at;
}

/* Doubles the table; at most half of the slots are ever used. */
static apq_status grow(apq_score_cache *cache) {
    size_t n_slots = cache->n_slots == 0 ? FIRST_SLOTS : 2 * cache->n_slots;
    size_t cap = n_slots / 2;
    apq_status st = APQ_OK;
    uint32_t *slots = apq_calloc(n_slots, sizeof *slots);
    uint64_t *hashes = apq_calloc(cap, sizeof *hashes);
    apq_score *scores = apq_calloc(cap, sizeof *scores);
    if (slots == NULL || hashes == NULL || scores == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "search: no memory for %zu scores", cap);
        goto done;
    }
    if (cache->n_entries > 0) {
        memcpy(hashes, cache->hashes, cache->n_entries * sizeof *hashes);
        memcpy(scores, cache->scores, cache->n_entries * sizeof *scores);
    }
    for (size_t i = 0; i < cache->n_entries; i++) {
        slots[probe(cache, slots, n_slots, hashes[i])] = (uint32_t)(i + 1);
    }
    apq_score_cache old = *cache;
    cache->slots = slots;
    cache->n_slots = n_slots;
    cache->hashes = hashes;
    cache->scores = scores;
    cache->cap_entries = cap;
    slots = old.slots;
    hashes = old.hashes;
    scores = old.scores;
done:
    free(slots);
    free(hashes);
    free(scores);
    return st;
}

bool apq_score_cache_has(const apq_score_cache *cache, uint64_t hash) {
    return cache->n_slots > 0 &&
           cache->slots[probe(cache, cache->slots, cache->n_slots, hash)] != 0;
}

apq_status apq_score_cache_at(apq_score_cache *cache, uint64_t hash,
                              size_t *entry, bool *is_new) {
    if (cache->n_entries == cache->cap_entries) {
        APQ_TRY(grow(cache));
    }
    size_t at = probe(cache, cache->slots, cache->n_slots, hash);
    *is_new = cache->slots[at] == 0;
    if (*is_new) {
        cache->hashes[cache->n_entries] = hash;
        cache->n_entries++;
        cache->slots[at] = (uint32_t)cache->n_entries;
    }
    *entry = cache->slots[at] - 1;
    return APQ_OK;
}
