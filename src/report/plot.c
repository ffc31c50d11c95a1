/* Scatter and line plots. Ticks at 1, 2 or 5 times a power of ten; the
 * legend stands above the axes, so it never hides a point. */
#include "report/plot.h"

#include "report/canvas.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cairo.h>

/* Okabe and Ito, "Color universal design", 2008. */
static const uint32_t palette[] = {0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7,
                                   0xe69f00, 0x56b4e9, 0x222222, 0xf0e442};

enum {
    N_COLORS = sizeof palette / sizeof *palette,
    WANTED_X_TICKS = 8,
    WANTED_Y_TICKS = 6
};

static const uint32_t ink = 0x222222;   /* titles and labels */
static const uint32_t muted = 0x5a5a5a; /* ticks and notes */
static const uint32_t grid = 0xe4e4e4;

static const double plot_width = 760.0, plot_height = 470.0;
static const double margin_left = 78.0, margin_right = 28.0,
                    margin_bottom = 62.0, legend_row = 22.0;

typedef struct axis {
    double low, high;   /* data range shown */
    double first, step; /* ticks */
    int n_ticks, n_decimals;
} axis;

typedef struct layout {
    const apq_plot *plot;
    axis x, y;
    double left, right, top, bottom; /* the axes' box, pixels */
} layout;

static double map_x(const layout *l, double x) {
    double share = (x - l->x.low) / (l->x.high - l->x.low);
    return l->left + share * (l->right - l->left);
}

static double map_y(const layout *l, double y) {
    double share = (y - l->y.low) / (l->y.high - l->y.low);
    return l->bottom - share * (l->bottom - l->top);
}

/* Range with 6 % of air on both sides and round ticks inside. */
static axis make_axis(double low, double high, int wanted_ticks) {
    double span = high - low;
    double size = fmax(fabs(low), fabs(high));
    if (!(span > size * 1e-9)) { /* a single value */
        span = size > 0.0 ? 0.2 * size : 2.0;
        low -= span / 2.0;
        high += span / 2.0;
    }
    axis a = {.low = low - 0.06 * span, .high = high + 0.06 * span};
    if (low >= 0.0 && a.low < 0.0) {
        a.low = 0.0;
    }
    double raw = (a.high - a.low) / wanted_ticks;
    double power = pow(10.0, floor(log10(raw)));
    double lead = raw / power;
    /* The nearest of 1, 2, 5 and 10 on a logarithmic scale. */
    double factor = 10.0;
    if (lead < sqrt(2.0)) {
        factor = 1.0;
    } else if (lead < sqrt(10.0)) {
        factor = 2.0;
    } else if (lead < sqrt(50.0)) {
        factor = 5.0;
    }
    a.step = factor * power;
    double first = ceil(a.low / a.step - 1e-9);
    double last = floor(a.high / a.step + 1e-9);
    a.first = first * a.step;
    a.n_ticks = (int)(last - first) + 1;
    double decimals = -floor(log10(a.step) + 1e-9);
    a.n_decimals = decimals > 0.0 ? (int)fmin(decimals, 12.0) : 0;
    return a;
}

static apq_text_style style(double size, apq_anchor anchor, uint32_t rgb) {
    return (apq_text_style){.size = size, .anchor = anchor, .rgb = rgb};
}

static void tick_text(const axis *a, int i, char text[32]) {
    double value = a->first + i * a->step;
    /* -0 would print as "-0". */
    value = fabs(value) < a->step * 1e-6 ? 0.0 : value;
    if (fabs(value) >= 1e6) {
        (void)snprintf(text, 32, "%.3g", value);
    } else {
        (void)snprintf(text, 32, "%.*f", a->n_decimals, value);
    }
}

static void draw_axes(apq_canvas *canvas, const layout *l) {
    char text[32];
    for (int i = 0; i < l->x.n_ticks; i++) {
        double x = floor(map_x(l, l->x.first + i * l->x.step)) + 0.5;
        apq_canvas_color(canvas, grid, 1.0);
        apq_canvas_line(canvas, x, l->top, x, l->bottom, 1.0);
        tick_text(&l->x, i, text);
        apq_canvas_text(canvas, x, l->bottom + 19.0,
                        style(12.0, APQ_ANCHOR_MIDDLE, muted), text);
    }
    for (int i = 0; i < l->y.n_ticks; i++) {
        double y = floor(map_y(l, l->y.first + i * l->y.step)) + 0.5;
        apq_canvas_color(canvas, grid, 1.0);
        apq_canvas_line(canvas, l->left, y, l->right, y, 1.0);
        tick_text(&l->y, i, text);
        apq_canvas_text(canvas, l->left - 9.0, y + 4.0,
                        style(12.0, APQ_ANCHOR_END, muted), text);
    }
    apq_canvas_color(canvas, 0x9a9a9a, 1.0);
    double x = floor(l->left) + 0.5;
    double y = floor(l->bottom) + 0.5;
    apq_canvas_line(canvas, x, l->top, x, y, 1.0);
    apq_canvas_line(canvas, x, y, l->right, y, 1.0);
    apq_canvas_text(canvas, (l->left + l->right) / 2.0, plot_height - 18.0,
                    style(13.0, APQ_ANCHOR_MIDDLE, ink), l->plot->x_label);
    apq_text_style vertical = style(13.0, APQ_ANCHOR_MIDDLE, ink);
    vertical.is_vertical = true;
    apq_canvas_text(canvas, 24.0, (l->top + l->bottom) / 2.0, vertical,
                    l->plot->y_label);
}

static void polygon(cairo_t *cr, double x, double y, double radius, int n,
                    double turn) {
    for (int i = 0; i < n; i++) {
        double angle = turn + 6.283185307179586 * i / n;
        cairo_line_to(cr, x + radius * cos(angle), y + radius * sin(angle));
    }
    cairo_close_path(cr);
}

/* A filled marker with a white rim, which keeps crowded points apart. */
static void draw_marker(apq_canvas *canvas, const apq_plot_series *series,
                        double x, double y) {
    cairo_t *cr = apq_canvas_cairo(canvas);
    double radius = series->is_faint ? 2.6 : 4.8;
    double alpha = series->is_faint ? 0.45 : 1.0;
    const double pi = 3.141592653589793;
    apq_canvas_color(canvas, palette[series->color], alpha);
    cairo_new_path(cr);
    switch (series->marker) {
    case APQ_MARKER_NONE:
        return;
    case APQ_MARKER_CIRCLE:
        cairo_arc(cr, x, y, radius, 0.0, 2.0 * pi);
        break;
    case APQ_MARKER_SQUARE:
        polygon(cr, x, y, radius * 1.25, 4, pi / 4.0);
        break;
    case APQ_MARKER_TRIANGLE:
        polygon(cr, x, y + radius * 0.2, radius * 1.3, 3, -pi / 2.0);
        break;
    case APQ_MARKER_DIAMOND:
        polygon(cr, x, y, radius * 1.35, 4, 0.0);
        break;
    case APQ_MARKER_CROSS:
        radius *= 0.85;
        apq_canvas_line(canvas, x - radius, y - radius, x + radius, y + radius,
                        2.0);
        apq_canvas_line(canvas, x - radius, y + radius, x + radius, y - radius,
                        2.0);
        return;
    }
    cairo_fill_preserve(cr);
    apq_canvas_color(canvas, 0xffffff, series->is_faint ? 0.0 : 1.0);
    cairo_set_line_width(cr, 0.9);
    cairo_stroke(cr);
}

/* Thousands of points as one path, a tenth of the bytes of separate shapes: a
 * dot is a line of no length with round ends. */
static void draw_cloud(apq_canvas *canvas, const layout *l,
                       const apq_plot_series *series) {
    cairo_t *cr = apq_canvas_cairo(canvas);
    bool is_dot = series->marker == APQ_MARKER_CIRCLE;
    apq_canvas_color(canvas, palette[series->color], is_dot ? 0.45 : 0.7);
    cairo_new_path(cr);
    for (size_t i = 0; i < series->n; i++) {
        double x = map_x(l, series->x[i]), y = map_y(l, series->y[i]);
        cairo_move_to(cr, x, y);
        if (is_dot) {
            cairo_close_path(cr);
            continue;
        }
        cairo_move_to(cr, x - 2.5, y - 2.5);
        cairo_line_to(cr, x + 2.5, y + 2.5);
        cairo_move_to(cr, x - 2.5, y + 2.5);
        cairo_line_to(cr, x + 2.5, y - 2.5);
    }
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    cairo_set_line_width(cr, is_dot ? 5.2 : 1.1);
    cairo_stroke(cr);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_BUTT);
}

static void set_dashes(cairo_t *cr, bool is_dashed) {
    static const double dashes[] = {6.0, 4.0};
    cairo_set_dash(cr, dashes, is_dashed ? 2 : 0, 0.0);
}

/* Behind line and markers, thin and pale, so that many may overlap. */
static void draw_bars(apq_canvas *canvas, const layout *l,
                      const apq_plot_series *series) {
    apq_canvas_color(canvas, palette[series->color],
                     series->is_faint ? 0.25 : 0.6);
    double width = series->is_faint ? 0.8 : 1.4;
    for (size_t i = 0; i < series->n && series->x_low != NULL; i++) {
        double y = map_y(l, series->y[i]);
        apq_canvas_line(canvas, map_x(l, series->x_low[i]), y,
                        map_x(l, series->x_high[i]), y, width);
    }
    for (size_t i = 0; i < series->n && series->y_low != NULL; i++) {
        double x = map_x(l, series->x[i]);
        apq_canvas_line(canvas, x, map_y(l, series->y_low[i]), x,
                        map_y(l, series->y_high[i]), width);
    }
}

static void draw_series(apq_canvas *canvas, const layout *l,
                        const apq_plot_series *series) {
    cairo_t *cr = apq_canvas_cairo(canvas);
    draw_bars(canvas, l, series);
    if (series->has_line) {
        cairo_new_path(cr);
        for (size_t i = 0; i < series->n; i++) {
            cairo_line_to(cr, map_x(l, series->x[i]), map_y(l, series->y[i]));
        }
        apq_canvas_color(canvas, palette[series->color],
                         series->is_faint ? 0.5 : 1.0);
        set_dashes(cr, series->is_dashed);
        cairo_set_line_width(cr, series->is_faint ? 1.2 : 2.0);
        cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
        cairo_stroke(cr);
        set_dashes(cr, false);
    }
    if (series->is_faint && (series->marker == APQ_MARKER_CIRCLE ||
                             series->marker == APQ_MARKER_CROSS)) {
        draw_cloud(canvas, l, series);
        return;
    }
    for (size_t i = 0; i < series->n; i++) {
        draw_marker(canvas, series, map_x(l, series->x[i]),
                    map_y(l, series->y[i]));
    }
}

static bool in_legend(const apq_plot_series *series) {
    return series->label != NULL && series->label[0] != '\0';
}

/* The legend, row by row from the height y on. Returns the rows used. */
static int draw_legend(apq_canvas *canvas, const apq_plot *plot, double y) {
    const double swatch = 30.0;
    double x = margin_left;
    int rows = 0;
    for (size_t i = 0; i < plot->n_series; i++) {
        const apq_plot_series *series = &plot->series[i];
        if (!in_legend(series)) {
            continue;
        }
        apq_text_style text = style(12.5, APQ_ANCHOR_START, ink);
        double width =
            swatch + apq_canvas_text_width(canvas, text, series->label) + 22.0;
        bool is_full = x > margin_left && x + width > plot_width - 8.0;
        rows += rows == 0 || is_full ? 1 : 0;
        x = is_full ? margin_left : x;
        double middle = y + (rows - 1) * legend_row;
        cairo_t *cr = apq_canvas_cairo(canvas);
        if (series->has_line) {
            apq_canvas_color(canvas, palette[series->color], 1.0);
            set_dashes(cr, series->is_dashed);
            apq_canvas_line(canvas, x, middle, x + swatch - 8.0, middle, 2.0);
            set_dashes(cr, false);
        }
        draw_marker(canvas, series, x + (swatch - 8.0) / 2.0, middle);
        apq_canvas_text(canvas, x + swatch, middle + 4.5, text, series->label);
        x += width;
    }
    return rows;
}

/* Beside the foot of a line at x, where fronts rarely are; on the side that
 * has room. */
static void label_vline(apq_canvas *canvas, const layout *l, double x,
                        const char *label) {
    if (label == NULL) {
        return;
    }
    cairo_t *cr = apq_canvas_cairo(canvas);
    apq_text_style text = style(12.0, APQ_ANCHOR_START, muted);
    double width = apq_canvas_text_width(canvas, text, label);
    bool is_left = x + width + 12.0 > l->right;
    text.anchor = is_left ? APQ_ANCHOR_END : APQ_ANCHOR_START;
    double at = is_left ? x - 7.0 : x + 7.0;
    double y = l->bottom - 12.0;
    apq_canvas_color(canvas, 0xffffff, 0.85);
    cairo_rectangle(cr, is_left ? at - width - 2.0 : at - 2.0, y - 12.0,
                    width + 4.0, 16.0);
    cairo_fill(cr);
    apq_canvas_text(canvas, at, y, text, label);
}

static void draw_vlines(apq_canvas *canvas, const layout *l) {
    const apq_plot *plot = l->plot;
    cairo_t *cr = apq_canvas_cairo(canvas);
    double x = 0.0;
    apq_canvas_color(canvas, muted, 1.0);
    set_dashes(cr, true);
    for (size_t i = 0; i < plot->n_marks; i++) {
        x = floor(map_x(l, plot->marks[i])) + 0.5;
        apq_canvas_line(canvas, x, l->top, x, l->bottom, 0.6);
    }
    if (plot->has_vline) {
        x = floor(map_x(l, plot->vline)) + 0.5;
        apq_canvas_line(canvas, x, l->top, x, l->bottom, 1.4);
    }
    set_dashes(cr, false);
    if (plot->n_marks > 0 || plot->has_vline) {
        label_vline(canvas, l, x,
                    plot->has_vline ? plot->vline_label : plot->marks_label);
    }
}

/* An arrow into the corner of the better results, behind the points. */
static void draw_better(apq_canvas *canvas, const layout *l) {
    if (l->plot->better == NULL) {
        return;
    }
    bool is_left = strstr(l->plot->better, "left") != NULL;
    bool is_upper = strstr(l->plot->better, "upper") != NULL;
    double sx = is_left ? -1.0 : 1.0;
    double sy = is_upper ? -1.0 : 1.0;
    double tip_x = is_left ? l->left + 14.0 : l->right - 14.0;
    double tip_y = is_upper ? l->top + 14.0 : l->bottom - 14.0;
    double tail_x = tip_x - sx * 26.0;
    double tail_y = tip_y - sy * 26.0;
    cairo_t *cr = apq_canvas_cairo(canvas);
    apq_canvas_color(canvas, 0x8a8a8a, 1.0);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    apq_canvas_line(canvas, tail_x, tail_y, tip_x, tip_y, 2.2);
    apq_canvas_line(canvas, tip_x, tip_y, tip_x - sx * 10.0, tip_y, 2.2);
    apq_canvas_line(canvas, tip_x, tip_y, tip_x, tip_y - sy * 10.0, 2.2);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_BUTT);
    apq_text_style text =
        style(12.0, is_left ? APQ_ANCHOR_START : APQ_ANCHOR_END, 0x767676);
    apq_canvas_text(canvas, tail_x - sx * 6.0, tail_y + (is_upper ? 8.0 : 0.0),
                    text, "better");
}

static void draw_plot(apq_canvas *canvas, const void *what) {
    layout l = *(const layout *)what;
    const apq_plot *plot = l.plot;
    double y = 20.0;
    if (plot->title != NULL && plot->title[0] != '\0') {
        apq_text_style title = style(16.0, APQ_ANCHOR_START, ink);
        title.is_bold = true;
        apq_canvas_text(canvas, margin_left, 32.0, title, plot->title);
        y = 54.0;
    }
    int rows = draw_legend(canvas, plot, y);
    l.top = y + rows * legend_row;
    l.left = margin_left;
    l.right = plot_width - margin_right;
    l.bottom = plot_height - margin_bottom;
    draw_axes(canvas, &l);
    draw_better(canvas, &l);
    draw_vlines(canvas, &l);
    for (size_t i = 0; i < plot->n_series; i++) {
        draw_series(canvas, &l, &plot->series[i]);
    }
}

static apq_status check_bars(const double *low, const double *high, size_t n,
                             size_t index) {
    if ((low == NULL) != (high == NULL)) {
        APQ_FAIL(APQ_ERR_ARG, "plot: series %zu: bars have one end", index);
    }
    for (size_t i = 0; low != NULL && i < n; i++) {
        if (!isfinite(low[i]) || !isfinite(high[i])) {
            APQ_FAIL(APQ_ERR_NUMERIC,
                     "plot: series %zu, bar %zu: %g to %g is not finite", index,
                     i, low[i], high[i]);
        }
    }
    return APQ_OK;
}

static apq_status check_series(const apq_plot_series *series, size_t index) {
    if (series->n == 0 || series->x == NULL || series->y == NULL) {
        APQ_FAIL(APQ_ERR_ARG, "plot: series %zu is empty", index);
    }
    if (!series->has_line && series->marker == APQ_MARKER_NONE) {
        APQ_FAIL(APQ_ERR_ARG, "plot: series %zu has neither line nor marker",
                 index);
    }
    if (series->color < 0 || series->color >= N_COLORS) {
        APQ_FAIL(APQ_ERR_ARG, "plot: series %zu: colour %d not in 0..%d", index,
                 series->color, N_COLORS - 1);
    }
    for (size_t i = 0; i < series->n; i++) {
        if (!isfinite(series->x[i]) || !isfinite(series->y[i])) {
            APQ_FAIL(APQ_ERR_NUMERIC,
                     "plot: series %zu, point %zu: (%g, %g) is not finite",
                     index, i, series->x[i], series->y[i]);
        }
    }
    APQ_TRY(check_bars(series->x_low, series->x_high, series->n, index));
    return check_bars(series->y_low, series->y_high, series->n, index);
}

static apq_status check_plot(const apq_plot *plot) {
    static const char *const corners[] = {"upper left", "upper right",
                                          "lower left", "lower right"};
    if (plot->n_series < 1 || plot->n_series > APQ_PLOT_MAX_SERIES) {
        APQ_FAIL(APQ_ERR_ARG, "plot: %zu series, not 1..%d", plot->n_series,
                 APQ_PLOT_MAX_SERIES);
    }
    if (plot->x_label == NULL || plot->y_label == NULL) {
        APQ_FAIL(APQ_ERR_ARG, "plot: an axis has no label");
    }
    for (size_t i = 0; i < plot->n_series; i++) {
        APQ_TRY(check_series(&plot->series[i], i));
    }
    if (plot->has_vline && !isfinite(plot->vline)) {
        APQ_FAIL(APQ_ERR_NUMERIC, "plot: the vertical line is at %g",
                 plot->vline);
    }
    for (size_t i = 0; i < plot->n_marks; i++) {
        if (!isfinite(plot->marks[i])) {
            APQ_FAIL(APQ_ERR_NUMERIC, "plot: mark %zu is at %g", i,
                     plot->marks[i]);
        }
    }
    for (size_t i = 0; plot->better != NULL; i++) {
        if (i == sizeof corners / sizeof *corners) {
            APQ_FAIL(APQ_ERR_ARG,
                     "plot: corner '%s' not in {upper,lower} {left,right}",
                     plot->better);
        }
        if (strcmp(plot->better, corners[i]) == 0) {
            break;
        }
    }
    return APQ_OK;
}

/* NULL has no values. */
static void extend(double range[2], const double *values, size_t n) {
    for (size_t i = 0; i < n && values != NULL; i++) {
        range[0] = fmin(range[0], values[i]);
        range[1] = fmax(range[1], values[i]);
    }
}

static apq_status make_layout(const apq_plot *plot, layout *l) {
    APQ_TRY(check_plot(plot));
    double x[2] = {plot->series[0].x[0], plot->series[0].x[0]};
    double y[2] = {plot->series[0].y[0], plot->series[0].y[0]};
    for (size_t s = 0; s < plot->n_series; s++) {
        const apq_plot_series *series = &plot->series[s];
        extend(x, series->x, series->n);
        extend(y, series->y, series->n);
        extend(x, series->x_low, series->n);
        extend(x, series->x_high, series->n);
        extend(y, series->y_low, series->n);
        extend(y, series->y_high, series->n);
    }
    extend(x, &plot->vline, plot->has_vline ? 1 : 0);
    extend(x, plot->marks, plot->n_marks);
    *l = (layout){.plot = plot,
                  .x = make_axis(x[0], x[1], WANTED_X_TICKS),
                  .y = make_axis(y[0], y[1], WANTED_Y_TICKS)};
    return APQ_OK;
}

apq_status apq_plot_write(const apq_plot *plot, const char *stem) {
    layout l;
    APQ_TRY(make_layout(plot, &l));
    return apq_canvas_write(plot_width, plot_height, draw_plot, &l, stem);
}

apq_status apq_plot_svg(const apq_plot *plot, char **svg) {
    layout l;
    APQ_TRY(make_layout(plot, &l));
    return apq_canvas_svg(plot_width, plot_height, draw_plot, &l, svg);
}
