/* Thinning of point clouds: a sort by x finds the front in one pass; what room
 * is left goes to the other points at a fixed stride, in their own order. */
#include "report/thin.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct point {
    double x, y;
    size_t index;
} point;

/* Left to right, of equal x the better one first. */
static int by_x(const void *left, const void *right) {
    const point *a = left, *b = right;
    if (a->x < b->x || a->x > b->x) {
        return a->x < b->x ? -1 : 1;
    }
    if (a->y < b->y || a->y > b->y) {
        return a->y > b->y ? -1 : 1;
    }
    return a->index < b->index ? -1 : 1;
}

/* Marks at most `max` of the n_wanted points for which keep equals `is_kept`
 * and which are finite, evenly spaced; the rest of them is not kept. */
static void space_evenly(const point *points, size_t n, size_t n_wanted,
                         size_t max, bool is_kept, bool *keep) {
    size_t seen = 0;
    for (size_t i = 0; i < n; i++) {
        if (keep[points[i].index] != is_kept) {
            continue;
        }
        /* Of n_wanted, number `seen` is one of the max chosen. */
        bool is_chosen = n_wanted <= max ||
                         (seen + 1) * max / n_wanted > seen * max / n_wanted;
        keep[points[i].index] = is_chosen;
        seen++;
    }
}

apq_status apq_thin(const double *x, const double *y, size_t n, size_t max,
                    bool *keep) {
    point *points = calloc(n + 1, sizeof *points);
    if (points == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "report: out of memory");
    }
    size_t n_finite = 0, n_front = 0;
    for (size_t i = 0; i < n; i++) {
        keep[i] = false;
        if (isfinite(x[i]) && isfinite(y[i])) {
            points[n_finite++] = (point){x[i], y[i], i};
        }
    }
    qsort(points, n_finite, sizeof *points, by_x);
    double best = -(double)INFINITY;
    for (size_t i = 0; i < n_finite; i++) {
        if (points[i].y > best) {
            best = points[i].y;
            keep[points[i].index] = true;
            n_front++;
        }
    }
    if (n_front > max) {
        space_evenly(points, n_finite, n_front, max, true, keep);
    } else {
        /* The front's marks must outlive those of the others. */
        size_t n_others = 0;
        for (size_t i = 0; i < n_finite; i++) {
            if (!keep[points[i].index]) {
                points[n_others++] = points[i];
            }
        }
        space_evenly(points, n_others, n_others, max - n_front, false, keep);
    }
    free(points);
    return APQ_OK;
}
