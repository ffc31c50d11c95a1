/* The sorted best entries, by insertion: few of many candidates get in. */
#include "search/elite.h"

#include <string.h>

bool apq_entry_before(const apq_search_entry *a, const apq_search_entry *b) {
    if (a->score.value > b->score.value) {
        return true;
    }
    return !(a->score.value < b->score.value) && a->hash < b->hash;
}

bool apq_elite_has(const apq_elite *elite, uint64_t hash) {
    for (size_t i = 0; i < elite->n; i++) {
        if (elite->entries[i].hash == hash) {
            return true;
        }
    }
    return false;
}

void apq_elite_insert(apq_elite *elite, const apq_search_entry *entry) {
    size_t at = elite->n;
    while (at > 0 && apq_entry_before(entry, &elite->entries[at - 1])) {
        at--;
    }
    if (at == elite->cap) {
        return;
    }
    size_t n_kept = elite->n < elite->cap ? elite->n : elite->cap - 1;
    memmove(&elite->entries[at + 1], &elite->entries[at],
            (n_kept - at) * sizeof *elite->entries);
    elite->entries[at] = *entry;
    elite->n = n_kept + 1;
}

apq_status apq_elite_save(const apq_elite *elite, apq_bytes *out) {
    APQ_TRY(apq_bytes_put(out, &elite->n, sizeof elite->n));
    return apq_bytes_put(out, elite->entries,
                         elite->n * sizeof *elite->entries);
}

apq_status apq_elite_load(apq_elite *elite, apq_bytes *in) {
    size_t n;
    APQ_TRY(apq_bytes_get(in, &n, sizeof n));
    if (n > elite->cap) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "saved search has %zu entries, at most %zu fit", n,
                 elite->cap);
    }
    APQ_TRY(apq_bytes_get(in, elite->entries, n * sizeof *elite->entries));
    elite->n = n;
    return APQ_OK;
}
