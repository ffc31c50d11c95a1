#ifndef APQ_REPORT_PLOT_H
#define APQ_REPORT_PLOT_H

#include "base/status.h"
#include "space/space.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pictures, each drawn once and written as `stem`.svg, .png (twice the SVG's
 * size in pixels) and .pdf. Text in SVG and PDF stays text. Colours are those
 * of Okabe and Ito (2008), told apart under all common colour blindness;
 * series differ in their markers too. Each file is replaced as a whole or left
 * as it was. */

enum { APQ_PLOT_MAX_SERIES = 12 };

typedef enum apq_plot_marker {
    APQ_MARKER_NONE,
    APQ_MARKER_CIRCLE,
    APQ_MARKER_SQUARE,
    APQ_MARKER_TRIANGLE,
    APQ_MARKER_DIAMOND,
    APQ_MARKER_CROSS,
} apq_plot_marker;

typedef struct apq_plot_series {
    const char *label;   /* for the legend; NULL or "": not in it */
    const double *x, *y; /* (n) finite, in the units of the axis labels */
    size_t n;            /* >= 1 */
    /* (n) finite ends of bars through the points, e.g. intervals; both ends of
     * a direction or neither (NULL). */
    const double *x_low, *x_high, *y_low, *y_high;
    bool has_line;  /* joins the points in the given order */
    bool is_dashed; /* that line */
    bool is_faint;  /* background points: small and pale */
    apq_plot_marker marker;
    int color; /* palette index 0..7: blue, vermillion, green, purple, orange,
                  sky blue, black, yellow */
} apq_plot_series;

typedef struct apq_plot {
    const char *title;   /* NULL: none */
    const char *x_label; /* with unit, e.g. "latency [ms]" */
    const char *y_label;
    const apq_plot_series *series; /* (n_series), later ones on top */
    size_t n_series;               /* 1..APQ_PLOT_MAX_SERIES */
    bool has_vline;                /* a budget */
    double vline;                  /* its x */
    const char *vline_label;
    const double *marks;     /* (n_marks) x of fine vertical lines, e.g. the */
    size_t n_marks;          /* budgets of a sweep; finite, inside the range of
                                the other values or extending it */
    const char *marks_label; /* at the last one; NULL: none */
    const char *better;      /* corner of the better results: "upper left",
                                "upper right", "lower left", "lower right", or
                                NULL */
} apq_plot;

/* Errors: APQ_ERR_ARG no series, an empty series, a series with neither line
 * nor marker, a bad colour or corner; APQ_ERR_NUMERIC a value that is not
 * finite; APQ_ERR_IO. */
APQ_NODISCARD apq_status apq_plot_write(const apq_plot *plot, const char *stem);
/* The SVG alone as malloc'd text. Errors: those above but IO. */
APQ_NODISCARD apq_status apq_plot_svg(const apq_plot *plot, char **svg);

/* A row per block: bar length is the middle channels (outline: the space's
 * range), its four strips the bit-widths, then kernel and channels.
 *
 *   latency_share_per_block (n_blocks) fractions of the network's latency,
 *   0..1; NULL: left out.
 *
 * Errors: those of apq_policy_check; APQ_ERR_NUMERIC a share outside 0..1;
 * APQ_ERR_IO. */
APQ_NODISCARD apq_status apq_plot_policy(const apq_space *space,
                                         const apq_policy *policy,
                                         const double *latency_share_per_block,
                                         const char *stem);

#endif
