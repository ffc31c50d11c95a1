#ifndef APQ_SEARCH_FRONT_H
#define APQ_SEARCH_FRONT_H

#include "search/strategy.h"

/* A key and where it came from; for sorting. */
typedef struct apq_ranked {
    double key;
    uint64_t hash;
    size_t index;
} apq_ranked;

/* Policies of which none is better than another in value and every cost at
 * once. Beyond twice `cap` entries the most crowded are dropped, so a dropped
 * one may have been better than some that come later. */
typedef struct apq_front {
    apq_search_entry *entries; /* (2 * cap) */
    size_t n, cap;
    double *crowding;  /* (2 * cap), scratch */
    apq_ranked *order; /* (2 * cap), scratch */
} apq_front;

/* At least as good in value and all costs, better in one. Costs that are not
 * numbers are not compared. */
bool apq_score_dominates(const apq_score *a, const apq_score *b);

/* Ascending by key, equal ones by hash. */
void apq_ranked_sort(apq_ranked *order, size_t n);

/* Crowding distance of n mutually non-dominated entries, entries[members[i]]
 * or, where members is NULL, entries[i]: the sum over value and costs of the
 * gap between an entry's neighbours, as a share of the whole range; infinite at
 * the ends. `order` is scratch (n). Source: Deb et al., IEEE Trans. Evol. Comp.
 * 2002, section III-B. */
void apq_crowding(const apq_search_entry *entries, const size_t *members,
                  size_t n, apq_ranked *order, double *crowding);

/* cap >= 2. Release with fini, also after an error. */
APQ_NODISCARD apq_status apq_front_init(apq_front *front, size_t cap);
void apq_front_fini(apq_front *front);
/* The entry must be new to the front. */
void apq_front_insert(apq_front *front, const apq_search_entry *entry);
/* Cuts to `cap` and sorts by value, best first. */
void apq_front_finish(apq_front *front);

#endif
