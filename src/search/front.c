/* The archive of non-dominated policies, thinned by crowding distance (Deb et
 * al., IEEE Trans. Evol. Comp. 2002) only when it has doubled, so that an
 * insertion stays one pass over it. */
#include "search/front.h"

#include "base/memory.h"
#include "search/elite.h"

#include <math.h>
#include <stdlib.h>

enum { N_OBJECTIVES = 1 + APQ_SCORE_COSTS };

bool apq_score_dominates(const apq_score *a, const apq_score *b) {
    bool is_better = a->value > b->value;
    if (a->value < b->value) {
        return false;
    }
    for (int c = 0; c < APQ_SCORE_COSTS; c++) {
        if (a->cost[c] > b->cost[c]) {
            return false;
        }
        is_better = is_better || a->cost[c] < b->cost[c];
    }
    return is_better;
}

static double objective(const apq_score *score, int i) {
    return i == 0 ? score->value : score->cost[i - 1];
}

static int compare_ranked(const void *a, const void *b) {
    const apq_ranked *x = a, *y = b;
    if (x->key < y->key || x->key > y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

void apq_ranked_sort(apq_ranked *order, size_t n) {
    if (n > 0) {
        qsort(order, n, sizeof *order, compare_ranked);
    }
}

void apq_crowding(const apq_search_entry *entries, const size_t *members,
                  size_t n, apq_ranked *order, double *crowding) {
    for (size_t i = 0; i < n; i++) {
        crowding[i] = 0;
    }
    for (int o = 0; o < N_OBJECTIVES && n > 0; o++) {
        for (size_t i = 0; i < n; i++) {
            const apq_search_entry *e = &entries[members ? members[i] : i];
            order[i] = (apq_ranked){objective(&e->score, o), e->hash, i};
        }
        apq_ranked_sort(order, n);
        double range = order[n - 1].key - order[0].key;
        if (!(range > 0)) {
            continue; /* a cost nobody gives, or all alike */
        }
        crowding[order[0].index] = (double)INFINITY;
        crowding[order[n - 1].index] = (double)INFINITY;
        for (size_t i = 1; i + 1 < n; i++) {
            crowding[order[i].index] +=
                (order[i + 1].key - order[i - 1].key) / range;
        }
    }
}

apq_status apq_front_init(apq_front *front, size_t cap) {
    *front = (apq_front){.cap = cap};
    front->entries = apq_calloc(2 * cap, sizeof *front->entries);
    front->crowding = apq_calloc(2 * cap, sizeof *front->crowding);
    front->order = apq_calloc(2 * cap, sizeof(apq_ranked));
    if (front->entries == NULL || front->crowding == NULL ||
        front->order == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "search: no memory for a front of %zu", cap);
    }
    return APQ_OK;
}

void apq_front_fini(apq_front *front) {
    free(front->entries);
    free(front->crowding);
    free(front->order);
    *front = (apq_front){0};
}

/* Keeps the `cap` entries of largest crowding distance, in their order. */
static void thin(apq_front *front) {
    if (front->n <= front->cap) {
        return;
    }
    apq_ranked *order = front->order;
    apq_crowding(front->entries, NULL, front->n, order, front->crowding);
    for (size_t i = 0; i < front->n; i++) {
        order[i] = (apq_ranked){-front->crowding[i], front->entries[i].hash, i};
    }
    apq_ranked_sort(order, front->n);
    for (size_t i = 0; i < front->n; i++) {
        front->crowding[order[i].index] = i < front->cap ? 1 : 0;
    }
    size_t n = 0;
    for (size_t i = 0; i < front->n; i++) {
        if (front->crowding[i] > 0) {
            front->entries[n++] = front->entries[i];
        }
    }
    front->n = n;
}

void apq_front_insert(apq_front *front, const apq_search_entry *entry) {
    size_t n = 0;
    for (size_t i = 0; i < front->n; i++) {
        if (apq_score_dominates(&front->entries[i].score, &entry->score)) {
            return; /* then the entry dominates none: nothing has moved */
        }
    }
    for (size_t i = 0; i < front->n; i++) {
        if (!apq_score_dominates(&entry->score, &front->entries[i].score)) {
            if (n != i) {
                front->entries[n] = front->entries[i];
            }
            n++;
        }
    }
    front->entries[n] = *entry;
    front->n = n + 1;
    if (front->n == 2 * front->cap) {
        thin(front);
    }
}

static int compare_entries(const void *a, const void *b) {
    return apq_entry_before(a, b) ? -1 : apq_entry_before(b, a);
}

void apq_front_finish(apq_front *front) {
    thin(front);
    if (front->n > 0) {
        qsort(front->entries, front->n, sizeof *front->entries,
              compare_entries);
    }
}
