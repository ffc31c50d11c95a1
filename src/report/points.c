/* Sets of points that grow, and charts of them. */
#include "report/points.h"

#include "report/thin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool grow(apq_points *points) {
    size_t capacity = 2 * points->capacity + 32;
    double **columns[] = {&points->x, &points->y, &points->low, &points->high};
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        double *grown = realloc(*columns[i], capacity * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        *columns[i] = grown;
    }
    const char **hover = realloc(points->hover, capacity * sizeof *hover);
    if (hover == NULL) {
        return false;
    }
    points->hover = hover;
    points->capacity = capacity;
    return true;
}

void apq_points_add(apq_points *points, double x, double y, double half,
                    bool along_x, const char *hover_or_null) {
    if (!isfinite(x) || !isfinite(y)) {
        return;
    }
    if (points->n == points->capacity && !grow(points)) {
        points->has_failed = true;
        return;
    }
    size_t i = points->n++;
    double middle = along_x ? x : y;
    double length = half > 0 ? half : 0;
    points->x[i] = x;
    points->y[i] = y;
    points->low[i] = middle - length;
    points->high[i] = middle + length;
    points->hover[i] = hover_or_null;
    points->has_bars = points->has_bars || length > 0;
}

void apq_points_add_interval(apq_points *points, double x, double y, double low,
                             double high) {
    size_t n = points->n;
    apq_points_add(points, x, y, 0, false, NULL);
    if (points->n > n && isfinite(low) && isfinite(high)) {
        points->low[n] = low;
        points->high[n] = high;
        points->has_bars = true;
    }
}

apq_status apq_points_thin(apq_points *points, size_t max) {
    if (points->n <= max) {
        return APQ_OK;
    }
    bool *keep = calloc(points->n, sizeof *keep);
    if (keep == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "report: out of memory");
    }
    apq_status st = apq_thin(points->x, points->y, points->n, max, keep);
    size_t n = 0;
    for (size_t i = 0; st == APQ_OK && i < points->n; i++) {
        if (keep[i]) {
            points->x[n] = points->x[i];
            points->y[n] = points->y[i];
            points->low[n] = points->low[i];
            points->high[n] = points->high[i];
            points->hover[n++] = points->hover[i];
        }
    }
    points->n = st == APQ_OK ? n : points->n;
    free(keep);
    return st;
}

typedef struct place {
    double x, y;
} place;

static int by_x(const void *left, const void *right) {
    const place *a = left, *b = right;
    return a->x < b->x ? -1 : a->x > b->x ? 1 : (a->y < b->y) - (a->y > b->y);
}

apq_status apq_points_front(const apq_points *points, apq_points *front) {
    place *places = calloc(points->n + 1, sizeof *places);
    if (places == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "report: out of memory");
    }
    for (size_t i = 0; i < points->n; i++) {
        places[i] = (place){points->x[i], points->y[i]};
    }
    qsort(places, points->n, sizeof *places, by_x);
    double best = -(double)INFINITY;
    for (size_t i = 0; i < points->n; i++) {
        if (places[i].y > best) {
            best = places[i].y;
            apq_points_add(front, places[i].x, best, 0, false, NULL);
        }
    }
    free(places);
    return APQ_OK;
}

void apq_points_fini(apq_points *points) {
    free(points->x);
    free(points->y);
    free(points->low);
    free(points->high);
    free(points->hover);
}

void apq_points_series(apq_point_chart *chart, const apq_points *points,
                       bool along_x, apq_plot_series look) {
    chart->has_failed = chart->has_failed || points->has_failed;
    if (points->n == 0) {
        return;
    }
    APQ_ASSERT(chart->n < APQ_PLOT_MAX_SERIES);
    look.x = points->x;
    look.y = points->y;
    look.n = points->n;
    if (points->has_bars && along_x) {
        look.x_low = points->low;
        look.x_high = points->high;
    } else if (points->has_bars) {
        look.y_low = points->low;
        look.y_high = points->high;
    }
    chart->hover[chart->n] = points->hover;
    chart->series[chart->n++] = look;
}

apq_status apq_points_chart(const apq_point_chart *chart, apq_plot plot,
                            const char *note, apq_page *page) {
    if (chart->has_failed) {
        APQ_FAIL(APQ_ERR_NOMEM, "report: out of memory");
    }
    if (chart->n == 0) {
        return APQ_OK;
    }
    plot.series = chart->series;
    plot.n_series = chart->n;
    return apq_page_chart(page, &plot, chart->hover, note);
}
