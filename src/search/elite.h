#ifndef APQ_SEARCH_ELITE_H
#define APQ_SEARCH_ELITE_H

#include "search/strategy.h"

/* The best policies in order: higher value first, equal ones by hash, so that
 * no order of evaluation shows. Entries are distinct. */
typedef struct apq_elite {
    apq_search_entry *entries; /* (cap), owned by the user */
    size_t n, cap;
} apq_elite;

bool apq_entry_before(const apq_search_entry *a, const apq_search_entry *b);
bool apq_elite_has(const apq_elite *elite, uint64_t hash);
/* The entry must not be there yet; dropped where it is not good enough. */
void apq_elite_insert(apq_elite *elite, const apq_search_entry *entry);

APQ_NODISCARD apq_status apq_elite_save(const apq_elite *elite, apq_bytes *out);
/* Into an elite of the same capacity. */
APQ_NODISCARD apq_status apq_elite_load(apq_elite *elite, apq_bytes *in);

#endif
