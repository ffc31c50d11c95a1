#ifndef APQ_SEARCH_CACHE_H
#define APQ_SEARCH_CACHE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { APQ_SCORE_COSTS = 4 };

/* What the evaluation says about one policy. */
typedef struct apq_score {
    double value;                 /* higher is better; finite */
    double cost[APQ_SCORE_COSTS]; /* lower is better; NaN: not given */
    bool is_feasible;             /* false: never a parent, never the best */
} apq_score;

/* Scores by the policy's 64-bit hash, in order of first sight. Grows as
 * needed. Two distinct policies share a hash with probability ~n^2 / 2^65. */
typedef struct apq_score_cache {
    uint32_t *slots;   /* (n_slots) entry index + 1; 0 is free */
    size_t n_slots;    /* a power of two */
    uint64_t *hashes;  /* (cap_entries) */
    apq_score *scores; /* (cap_entries) */
    size_t n_entries, cap_entries;
} apq_score_cache;

/* Zero-initialise before use; fini accepts that too. */
void apq_score_cache_fini(apq_score_cache *cache);
/* Index of the hash's entry; *is_new when it was made now, score zeroed.
 * Indices stay valid; pointers into `scores` do not. */
APQ_NODISCARD apq_status apq_score_cache_at(apq_score_cache *cache,
                                            uint64_t hash, size_t *entry,
                                            bool *is_new);
bool apq_score_cache_has(const apq_score_cache *cache, uint64_t hash);

#endif
