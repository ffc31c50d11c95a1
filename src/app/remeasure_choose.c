/* Which networks are worth a measurement. The best of a search differ in a
 * gene or two and share the predictor's error; networks far apart do not.
 * Greedy farthest-point choice (Gonzalez, Theor. Comput. Sci. 1985). */
#include "app/remeasure.h"

#include "search/elite.h"

#include <stdlib.h>

enum { MAX_POOL = 1024 };
/* Predictors are off by about a point of accuracy at their own optimum. */
static const double margin = 0.01;

/* Genes that differ, of canonical policies. */
static int distance(const apq_space *space, const apq_policy *a,
                    const apq_policy *b) {
    int n = 0;
    for (int s = 0; s < space->n_stages; s++) {
        n += a->depth[s] != b->depth[s];
    }
    for (int i = 0; i < space->n_blocks; i++) {
        n += a->kernel[i] != b->kernel[i];
        n += a->channels[i] != b->channels[i];
        for (int g = 0; g < APQ_N_BIT_GENES; g++) {
            n += a->bits[g][i] != b->bits[g][i];
        }
    }
    return n;
}

static int compare(const void *a, const void *b) {
    const apq_search_entry *const *x = a, *const *y = b;
    return apq_entry_before(*x, *y) ? -1 : apq_entry_before(*y, *x);
}

static size_t add_distinct(const apq_search_entry *entries, size_t n_entries,
                           const apq_search_entry **pool, size_t n) {
    for (size_t i = 0; i < n_entries && n < MAX_POOL; i++) {
        size_t at = 0;
        while (at < n && pool[at]->hash != entries[i].hash) {
            at++;
        }
        if (at == n) {
            pool[n++] = &entries[i];
        }
    }
    return n;
}

size_t apq_remeasure_choose(const apq_space *space,
                            const apq_search_result *search, size_t k,
                            apq_policy *chosen) {
    const apq_search_entry *pool[MAX_POOL];
    apq_policy policies[MAX_POOL];
    int nearest[MAX_POOL]; /* genes to the nearest chosen one; 0: chosen */
    size_t n = add_distinct(search->top, search->n_top, pool, 0);
    n = add_distinct(search->front, search->n_front, pool, n);
    if (n == 0) {
        return 0;
    }
    qsort(pool, n, sizeof pool[0], compare);
    size_t n_near = 0;
    while (n_near < n && (n_near < k || pool[n_near]->score.value >=
                                            pool[0]->score.value - margin)) {
        policies[n_near] = pool[n_near]->policy;
        apq_policy_canonical(space, &policies[n_near]);
        nearest[n_near++] = 1;
    }
    size_t n_chosen = 0, next = 0;
    while (n_chosen < k && n_chosen < n_near) {
        chosen[n_chosen++] = policies[next];
        size_t farthest = 0;
        for (size_t i = 0; i < n_near; i++) {
            int d = distance(space, &policies[i], &policies[next]);
            nearest[i] = n_chosen == 1 || d < nearest[i] ? d : nearest[i];
            /* Of equally far ones the better, which comes first. */
            farthest = nearest[i] > nearest[farthest] ? i : farthest;
        }
        next = farthest;
    }
    return n_chosen;
}
