#ifndef APQ_REPORT_POINTS_H
#define APQ_REPORT_POINTS_H

#include "report/page.h"
#include "report/plot.h"

#include <stdbool.h>
#include <stddef.h>

/* Points gathered from a document, and charts made of several such sets. */
typedef struct apq_points {
    double *x, *y, *low, *high; /* (n): ends of bars, the value where none */
    const char **hover;         /* (n) borrowed, or NULL */
    size_t n, capacity;
    bool has_bars, has_failed;
} apq_points;

/* A point that is not finite is left out. `half`: half the length of its bar,
 * 0 or NaN for none; along x if `along_x`, else along y. */
void apq_points_add(apq_points *points, double x, double y, double half,
                    bool along_x, const char *hover_or_null);
/* The same with a bar along y from low to high; none where one is not finite.
 */
void apq_points_add_interval(apq_points *points, double x, double y, double low,
                             double high);
/* At most `max` of them, the front always: apq_thin. */
APQ_NODISCARD apq_status apq_points_thin(apq_points *points, size_t max);
/* The points from left to right that no other one is left of and above, into
 * an empty set. */
APQ_NODISCARD apq_status apq_points_front(const apq_points *points,
                                          apq_points *front);
void apq_points_fini(apq_points *points);

typedef struct apq_point_chart {
    apq_plot_series series[APQ_PLOT_MAX_SERIES];
    const char *const *hover[APQ_PLOT_MAX_SERIES];
    size_t n;
    bool has_failed;
} apq_point_chart;

/* `look`: a series without its points, which are borrowed until the chart is
 * put on the page. An empty set is left out. */
void apq_points_series(apq_point_chart *chart, const apq_points *points,
                       bool along_x, apq_plot_series look);
/* Nothing when it has no series. Errors: NOMEM; those of apq_page_chart. */
APQ_NODISCARD apq_status apq_points_chart(const apq_point_chart *chart,
                                          apq_plot plot, const char *note,
                                          apq_page *page);

#endif
