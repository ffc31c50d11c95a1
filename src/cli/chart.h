#ifndef APQ_CLI_CHART_H
#define APQ_CLI_CHART_H

#include <stddef.h>

/* A small line chart in plain characters, for a terminal. Two series are kept;
 * of a long one every other point is dropped again and again. */
enum {
    APQ_CHART_SERIES = 2,
    APQ_CHART_POINTS = 256,
    APQ_CHART_NAME_MAX = 16,
    APQ_CHART_ROWS = 6,                   /* of the plot */
    APQ_CHART_LINES = APQ_CHART_ROWS + 1, /* and the legend */
    APQ_CHART_MIN_COLUMNS = 48,           /* no chart in less */
    APQ_CHART_MAX_COLUMNS = 80,
};

typedef struct apq_chart_series {
    char name[APQ_CHART_NAME_MAX];
    int n;
    double at[APQ_CHART_POINTS], value[APQ_CHART_POINTS];
} apq_chart_series;

typedef struct apq_chart {
    int n_series;
    apq_chart_series series[APQ_CHART_SERIES];
} apq_chart;

/* All zero is a chart without points. A third series is left out, as is a value
 * that is not finite or does not come after the last. */
void apq_chart_add(apq_chart *chart, const char *series, double at,
                   double value);

/* Draws into lines of at most `columns` characters: their number,
 * APQ_CHART_LINES, or 0 when no series has two points or there is too little
 * room. */
int apq_chart_draw(const apq_chart *chart, int columns,
                   char lines[APQ_CHART_LINES][APQ_CHART_MAX_COLUMNS + 1]);

#endif
