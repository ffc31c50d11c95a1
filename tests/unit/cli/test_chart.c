/* Charts of characters: where points are drawn, what little room and odd
 * values do. */
#include "cli/chart.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef char canvas[APQ_CHART_LINES][APQ_CHART_MAX_COLUMNS + 1];

enum { MARGIN = 8 };

static int count(canvas lines, char mark) {
    int n = 0;
    for (int row = 0; row < APQ_CHART_ROWS; row++) {
        for (const char *p = lines[row]; *p != '\0'; p++) {
            n += *p == mark;
        }
    }
    return n;
}

static void a_line_goes_from_corner_to_corner(void **state) {
    (void)state;
    apq_chart chart = {0};
    canvas lines;
    apq_chart_add(&chart, "up", 1, 10);
    assert_int_equal(apq_chart_draw(&chart, 60, lines), 0); /* one point */
    apq_chart_add(&chart, "up", 5, 20);
    assert_int_equal(apq_chart_draw(&chart, 60, lines), APQ_CHART_LINES);
    for (int row = 0; row < APQ_CHART_ROWS; row++) {
        assert_int_equal(strlen(lines[row]), 60);
        assert_int_equal(lines[row][MARGIN - 1], '|');
    }
    assert_int_equal(lines[APQ_CHART_ROWS - 1][MARGIN], '*');
    assert_int_equal(lines[0][59], '*');
    assert_int_equal(count(lines, '*'), 60 - MARGIN); /* one a column */
    assert_non_null(strstr(lines[0], "20"));
    assert_non_null(strstr(lines[APQ_CHART_ROWS - 1], "10"));
    assert_non_null(strstr(lines[APQ_CHART_ROWS], "1 ... 5   * up 20.00"));
}

static void two_series_share_the_axes(void **state) {
    (void)state;
    apq_chart chart = {0};
    canvas lines;
    for (int i = 1; i <= 4; i++) {
        apq_chart_add(&chart, "high", i, 70);
        apq_chart_add(&chart, "low", i, 20 + i);
        apq_chart_add(&chart, "third", i, 1000); /* left out */
    }
    assert_int_equal(apq_chart_draw(&chart, 500, lines), APQ_CHART_LINES);
    assert_int_equal(strlen(lines[0]), APQ_CHART_MAX_COLUMNS);
    assert_int_equal(lines[0][MARGIN], '*');
    assert_int_equal(lines[APQ_CHART_ROWS - 1][MARGIN], 'o');
    assert_int_equal(count(lines, '*'), APQ_CHART_MAX_COLUMNS - MARGIN);
    assert_int_equal(count(lines, 'o'), APQ_CHART_MAX_COLUMNS - MARGIN);
    assert_non_null(strstr(lines[APQ_CHART_ROWS], "o low 24.00"));
}

/* All widths: no line is longer, none is written beyond its end. */
static void every_width_is_kept(void **state) {
    (void)state;
    apq_chart chart = {0};
    canvas lines;
    apq_chart_add(&chart, "a long name of a series", 1e9, -1e30);
    apq_chart_add(&chart, "a long name of a series", 2e9, 1e30);
    apq_chart_add(&chart, "another", 1e-9, 0);
    for (int columns = -1; columns < 200; columns++) {
        int n = apq_chart_draw(&chart, columns, lines);
        assert_int_equal(n,
                         columns < APQ_CHART_MIN_COLUMNS ? 0 : APQ_CHART_LINES);
        for (int row = 0; row < n; row++) {
            assert_true(strlen(lines[row]) <= (size_t)columns);
            assert_true(strlen(lines[row]) <= APQ_CHART_MAX_COLUMNS);
        }
    }
}

static void odd_values_are_left_out(void **state) {
    (void)state;
    apq_chart chart = {0};
    canvas lines;
    apq_chart_add(&chart, "x", 1, (double)NAN);
    apq_chart_add(&chart, "x", 2, (double)INFINITY);
    apq_chart_add(&chart, "x", 3, 5);
    apq_chart_add(&chart, "x", 3, 6);
    apq_chart_add(&chart, "x", 2, 7);
    assert_int_equal(chart.series[0].n, 1);
    apq_chart_add(&chart, "x", 4, 5); /* flat: in the middle */
    assert_int_equal(apq_chart_draw(&chart, 60, lines), APQ_CHART_LINES);
    int middle = 0;
    for (int row = 1; row < APQ_CHART_ROWS - 1; row++) {
        middle += strchr(lines[row], '*') != NULL;
    }
    assert_int_equal(middle, 1);
}

/* Far more than are kept: order, ends and shape remain. */
static void long_series_are_thinned_out(void **state) {
    (void)state;
    apq_chart chart = {0};
    for (int i = 0; i < 20 * APQ_CHART_POINTS; i++) {
        apq_chart_add(&chart, "x", i, 2 * i);
    }
    const apq_chart_series *s = &chart.series[0];
    assert_true(s->n >= APQ_CHART_POINTS / 2 && s->n <= APQ_CHART_POINTS);
    assert_true(s->at[0] == 0 && s->at[s->n - 1] == 20 * APQ_CHART_POINTS - 1);
    for (int i = 0; i < s->n; i++) {
        assert_true(s->value[i] == 2 * s->at[i]);
        assert_true(i == 0 || s->at[i] > s->at[i - 1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_goes_from_corner_to_corner),
        cmocka_unit_test(two_series_share_the_axes),
        cmocka_unit_test(every_width_is_kept),
        cmocka_unit_test(odd_values_are_left_out),
        cmocka_unit_test(long_series_are_thinned_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
