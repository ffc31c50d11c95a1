/* Line charts of characters. Values between two points are interpolated, one
 * mark a column. */
#include "cli/chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MARGIN = 8 }; /* "100.00 |" */

static const char marks[APQ_CHART_SERIES] = {'*', 'o'};

static apq_chart_series *find(apq_chart *chart, const char *name) {
    for (int i = 0; i < chart->n_series; i++) {
        if (strncmp(chart->series[i].name, name, APQ_CHART_NAME_MAX - 1) == 0) {
            return &chart->series[i];
        }
    }
    if (chart->n_series == APQ_CHART_SERIES) {
        return NULL;
    }
    apq_chart_series *s = &chart->series[chart->n_series++];
    (void)snprintf(s->name, sizeof s->name, "%s", name);
    return s;
}

/* Every other point; the first and the newest stay. */
static void thin_out(apq_chart_series *s) {
    int n = 0;
    for (int i = 0; i < s->n; i++) {
        if (i % 2 == 0 || i == s->n - 1) {
            s->at[n] = s->at[i];
            s->value[n++] = s->value[i];
        }
    }
    s->n = n;
}

void apq_chart_add(apq_chart *chart, const char *series, double at,
                   double value) {
    apq_chart_series *s = find(chart, series);
    if (s == NULL || !isfinite(at) || !isfinite(value) ||
        (s->n > 0 && at <= s->at[s->n - 1])) {
        return;
    }
    if (s->n == APQ_CHART_POINTS) {
        thin_out(s);
    }
    s->at[s->n] = at;
    s->value[s->n++] = value;
}

typedef struct bounds {
    double at[2], value[2];
} bounds;

static bounds bounds_of(const apq_chart *chart) {
    bounds b = {{HUGE_VAL, -HUGE_VAL}, {HUGE_VAL, -HUGE_VAL}};
    for (int k = 0; k < chart->n_series; k++) {
        const apq_chart_series *s = &chart->series[k];
        for (int i = 0; i < s->n; i++) {
            b.at[0] = fmin(b.at[0], s->at[i]);
            b.at[1] = fmax(b.at[1], s->at[i]);
            b.value[0] = fmin(b.value[0], s->value[i]);
            b.value[1] = fmax(b.value[1], s->value[i]);
        }
    }
    if (!(b.value[1] > b.value[0])) { /* a flat line is in the middle */
        b.value[0] -= 1;
        b.value[1] += 1;
    }
    return b;
}

/* Linear between the points around `at`; NaN outside of them. */
static double value_at(const apq_chart_series *s, double at) {
    for (int i = 0; i + 1 < s->n; i++) {
        if (at >= s->at[i] && at <= s->at[i + 1]) {
            double share = (at - s->at[i]) / (s->at[i + 1] - s->at[i]);
            return s->value[i] + share * (s->value[i + 1] - s->value[i]);
        }
    }
    return (double)NAN;
}

static void
draw_series(const apq_chart_series *s, char mark, const bounds *b, int width,
            char lines[APQ_CHART_LINES][APQ_CHART_MAX_COLUMNS + 1]) {
    for (int x = 0; x < width; x++) {
        double share = (double)x / (width - 1);
        double value = value_at(s, b->at[0] + share * (b->at[1] - b->at[0]));
        if (isfinite(value)) {
            double height = (value - b->value[0]) / (b->value[1] - b->value[0]);
            int row = (int)lrint((1 - height) * (APQ_CHART_ROWS - 1));
            lines[row][MARGIN + x] = mark;
        }
    }
}

/* "1 ... 40   * largest 71.20   o smallest 60.10" */
static void draw_legend(const apq_chart *chart, const bounds *b, size_t columns,
                        char line[APQ_CHART_MAX_COLUMNS + 1]) {
    char text[3 * APQ_CHART_MAX_COLUMNS];
    int used = snprintf(text, sizeof text, "%*s%g ... %g", MARGIN, "", b->at[0],
                        b->at[1]);
    for (int k = 0; k < chart->n_series; k++) {
        const apq_chart_series *s = &chart->series[k];
        if (s->n > 0) {
            used += snprintf(text + used, sizeof text - (size_t)used,
                             "   %c %s %.2f", marks[k], s->name,
                             s->value[s->n - 1]);
        }
    }
    (void)snprintf(line, columns + 1, "%.*s", (int)columns, text);
}

int apq_chart_draw(const apq_chart *chart, int columns,
                   char lines[APQ_CHART_LINES][APQ_CHART_MAX_COLUMNS + 1]) {
    int most = 0;
    for (int k = 0; k < chart->n_series; k++) {
        most = chart->series[k].n > most ? chart->series[k].n : most;
    }
    if (most < 2 || columns < APQ_CHART_MIN_COLUMNS) {
        return 0;
    }
    if (columns > APQ_CHART_MAX_COLUMNS) {
        columns = APQ_CHART_MAX_COLUMNS;
    }
    bounds b = bounds_of(chart);
    for (int row = 0; row < APQ_CHART_ROWS; row++) {
        (void)snprintf(lines[row], (size_t)columns + 1, "%*s|%*s", MARGIN - 1,
                       "", columns - MARGIN, "");
    }
    /* The first series is drawn over the others. */
    for (int k = chart->n_series - 1; k >= 0; k--) {
        draw_series(&chart->series[k], marks[k], &b, columns - MARGIN, lines);
    }
    for (int end = 0; end < 2; end++) {
        char label[16];
        int n = snprintf(label, sizeof label, "%6.5g", b.value[1 - end]);
        memcpy(lines[end == 0 ? 0 : APQ_CHART_ROWS - 1], label,
               (size_t)(n < MARGIN - 1 ? n : MARGIN - 1));
    }
    draw_legend(chart, &b, (size_t)columns, lines[APQ_CHART_ROWS]);
    return APQ_CHART_LINES;
}
