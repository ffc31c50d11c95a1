/* Pictures exist in all formats, carry their labels as text, leave nothing
 * behind, and bad input is refused before a file is touched. */
#include "report/plot.h"

#include "base/file.h"

#include "unit/asserts.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct fixture {
    char dir[32];
    char stem[64], svg[64], png[64], pdf[64];
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return -1;
    }
    (void)strcpy(f->dir, "/tmp/apq-plot-XXXXXX");
    if (mkdtemp(f->dir) == NULL) {
        free(f);
        return -1;
    }
    (void)snprintf(f->stem, sizeof f->stem, "%s/a", f->dir);
    (void)snprintf(f->pdf, sizeof f->pdf, "%s/a.pdf", f->dir);
    (void)snprintf(f->svg, sizeof f->svg, "%s/a.svg", f->dir);
    (void)snprintf(f->png, sizeof f->png, "%s/a.png", f->dir);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    (void)unlink(f->svg);
    (void)unlink(f->png);
    (void)unlink(f->pdf);
    int rc = rmdir(f->dir); /* fails when anything else is left */
    free(f);
    return rc;
}

static int count_files(const char *dir) {
    DIR *d = opendir(dir);
    assert_non_null(d);
    int n = 0;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        n += e->d_name[0] != '.' ? 1 : 0;
    }
    (void)closedir(d);
    return n;
}

static void expect_text(const char *svg, const char *text) {
    char wanted[128];
    (void)snprintf(wanted, sizeof wanted, ">%s</text>", text);
    if (strstr(svg, wanted) == NULL) {
        fail_msg("the SVG lacks the text '%s'", text);
    }
}

static char *read_svg(const fixture *f) {
    char *svg = NULL;
    size_t n;
    assert_int_equal(apq_file_read(f->svg, &svg, &n), APQ_OK);
    const char *end = "</svg>\n";
    assert_true(n > strlen(end));
    assert_string_equal(svg + n - strlen(end), end);
    return svg;
}

static void expect_png(const fixture *f, unsigned width, unsigned height) {
    char *bytes = NULL;
    size_t n;
    assert_int_equal(apq_file_read(f->png, &bytes, &n), APQ_OK);
    assert_true(n > 1000);
    const unsigned char *b = (const unsigned char *)bytes;
    assert_memory_equal(b, "\x89PNG\r\n\x1a\n", 8);
    assert_int_equal(b[16] << 24 | b[17] << 16 | b[18] << 8 | b[19], width);
    assert_int_equal(b[20] << 24 | b[21] << 16 | b[22] << 8 | b[23], height);
    free(bytes);
}

static const double front_x[] = {0.51, 0.62, 0.70, 0.81, 0.93, 1.10};
static const double front_y[] = {84.2, 87.1, 88.6, 89.9, 90.8, 91.4};
static const double fixed_x[] = {0.60, 0.85, 1.15};
static const double fixed_y[] = {81.0, 86.2, 89.5};

static const apq_plot_series example_series[] = {
    {.label = "searched, mixed precision",
     .x = front_x,
     .y = front_y,
     .n = 6,
     .has_line = true,
     .marker = APQ_MARKER_CIRCLE,
     .color = 0},
    {.label = "fixed 4 < 6 bits & 8 bits",
     .x = fixed_x,
     .y = fixed_y,
     .n = 3,
     .is_dashed = true,
     .has_line = true,
     .marker = APQ_MARKER_SQUARE,
     .color = 1},
};

static apq_plot example(void) {
    return (apq_plot){.title = "Accuracy against latency",
                      .x_label = "latency [ms]",
                      .y_label = "top-1 accuracy [%]",
                      .series = example_series,
                      .n_series = 2,
                      .has_vline = true,
                      .vline = 0.8,
                      .vline_label = "budget 0.8 ms",
                      .better = "upper left"};
}

static void test_plot(void **state) {
    const fixture *f = *state;
    apq_plot plot = example();
    assert_int_equal(apq_plot_write(&plot, f->stem), APQ_OK);
    assert_int_equal(count_files(f->dir), 3);
    expect_png(f, 1520, 940);
    char *svg = read_svg(f);
    expect_text(svg, "Accuracy against latency");
    expect_text(svg, "latency [ms]");
    expect_text(svg, "top-1 accuracy [%]");
    expect_text(svg, "searched, mixed precision");
    expect_text(svg, "fixed 4 &lt; 6 bits &amp; 8 bits");
    expect_text(svg, "budget 0.8 ms");
    expect_text(svg, "better");
    /* Round ticks. */
    const char *ticks[] = {"0.6", "0.8", "1.0", "82", "84", "86", "90"};
    for (size_t i = 0; i < sizeof ticks / sizeof *ticks; i++) {
        expect_text(svg, ticks[i]);
    }
    free(svg);
}

/* Bars are lines of the SVG and widen the axes; half a pair is refused. */
static void test_bars(void **state) {
    const fixture *f = *state;
    const double low[] = {79.0, 82.0, 86.0}, high[] = {83.0, 88.0, 140.0};
    apq_plot_series series = example_series[1];
    apq_plot plot = {
        .x_label = "x", .y_label = "y", .series = &series, .n_series = 1};
    assert_int_equal(apq_plot_write(&plot, f->stem), APQ_OK);
    char *without = read_svg(f);
    series.y_low = low;
    series.y_high = high;
    assert_int_equal(apq_plot_write(&plot, f->stem), APQ_OK);
    char *with = read_svg(f);
    assert_null(strstr(without, ">140</text>"));
    expect_text(with, "140");
    int n[2] = {0};
    for (char *p = without; (p = strstr(p, "<path")) != NULL; p++) {
        n[0]++;
    }
    for (char *p = with; (p = strstr(p, "<path")) != NULL; p++) {
        n[1]++;
    }
    assert_true(n[1] > n[0]);
    free(without);
    free(with);
    series.y_high = NULL;
    assert_int_equal(apq_plot_write(&plot, f->stem), APQ_ERR_ARG);
    const double bad[] = {79.0, (double)NAN, 86.0};
    series.y_low = NULL;
    series.x_low = low;
    series.x_high = bad;
    assert_int_equal(apq_plot_write(&plot, f->stem), APQ_ERR_NUMERIC);
}

/* Embedded fonts, not outlines; and the same picture is the same bytes. */
static void test_pdf(void **state) {
    const fixture *f = *state;
    apq_plot plot = example();
    char *first = NULL, *second = NULL;
    size_t n[2];
    assert_int_equal(apq_plot_write(&plot, f->stem), APQ_OK);
    assert_int_equal(apq_file_read(f->pdf, &first, &n[0]), APQ_OK);
    assert_memory_equal(first, "%PDF-", 5);
    bool has_font = false;
    for (size_t i = 0; i + 9 < n[0]; i++) {
        has_font = has_font || memcmp(first + i, "/FontFile", 9) == 0;
    }
    assert_true(has_font);
    (void)sleep(1); /* the date it was made would differ */
    assert_int_equal(apq_plot_write(&plot, f->stem), APQ_OK);
    assert_int_equal(apq_file_read(f->pdf, &second, &n[1]), APQ_OK);
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(first, second, n[0]);
    free(first);
    free(second);
}

/* The text is that of the file; a cloud of points is one path. */
static void test_svg_text(void **state) {
    const fixture *f = *state;
    apq_plot plot = example();
    char *text = NULL;
    assert_int_equal(apq_plot_svg(&plot, &text), APQ_OK);
    assert_int_equal(apq_plot_write(&plot, f->stem), APQ_OK);
    char *file = read_svg(f);
    assert_string_equal(text, file);
    free(file);
    free(text);

    enum { N = 5000 };
    double *x = calloc(N, sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < N; i++) {
        x[i] = (i * 7919) % N;
    }
    const apq_plot_series cloud = {
        .x = x, .y = x, .n = N, .is_faint = true, .marker = APQ_MARKER_CIRCLE};
    plot.series = &cloud;
    plot.n_series = 1;
    assert_int_equal(apq_plot_svg(&plot, &text), APQ_OK);
    assert_true(strlen(text) < N * 60);
    free(text);
    free(x);
}

/* Ranges that make tick arithmetic fail when done carelessly. */
static void test_degenerate_ranges(void **state) {
    const fixture *f = *state;
    const double values[][2] = {
        {0.0, 0.0},      {5.0, 5.0},  {-3.0, -3.0},     {1e-7, 3e-7},
        {-1e12, 2.5e12}, {-0.5, 0.5}, {1e-300, 2e-300},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        apq_plot_series series = {.x = values[i],
                                  .y = values[i],
                                  .n = 2,
                                  .marker = APQ_MARKER_DIAMOND};
        apq_plot plot = {
            .x_label = "x", .y_label = "y", .series = &series, .n_series = 1};
        assert_int_equal(apq_plot_write(&plot, f->stem), APQ_OK);
        char *svg = read_svg(f);
        assert_null(strstr(svg, "nan"));
        assert_null(strstr(svg, "inf"));
        assert_null(strstr(svg, ">-0<"));
        int n_texts = 0;
        for (char *p = svg; (p = strstr(p, "<text")) != NULL; p++) {
            n_texts++;
        }
        assert_in_range(n_texts, 2 + 2 * 2, 2 + 2 * 12); /* 2..12 ticks each */
        free(svg);
    }
}

static void expect_refused(const fixture *f, const apq_plot *plot,
                           apq_status status, const char *word) {
    assert_int_equal(apq_plot_write(plot, f->stem), status);
    assert_message(word);
    assert_int_equal(count_files(f->dir), 0);
}

static void test_refused(void **state) {
    const fixture *f = *state;
    apq_plot plot = example();
    plot.n_series = 0;
    expect_refused(f, &plot, APQ_ERR_ARG, "0 series");
    plot = example();
    apq_plot_series series = example_series[0];
    plot.series = &series;
    plot.n_series = 1;
    series.n = 0;
    expect_refused(f, &plot, APQ_ERR_ARG, "empty");
    series = example_series[0];
    series.color = 8;
    expect_refused(f, &plot, APQ_ERR_ARG, "colour 8");
    series = example_series[0];
    series.has_line = false;
    series.marker = APQ_MARKER_NONE;
    expect_refused(f, &plot, APQ_ERR_ARG, "neither");
    const double bad[] = {1.0, (double)NAN, 2.0, 3.0, 4.0, 5.0};
    series = example_series[0];
    series.y = bad;
    expect_refused(f, &plot, APQ_ERR_NUMERIC, "point 1");
    series = example_series[0];
    plot.better = "top";
    expect_refused(f, &plot, APQ_ERR_ARG, "'top'");
    plot = example();
    plot.vline = (double)INFINITY;
    expect_refused(f, &plot, APQ_ERR_NUMERIC, "vertical");
    plot = example();
    assert_int_equal(apq_plot_write(&plot, "/no-such-folder/a"), APQ_ERR_IO);
}

static void test_policy(void **state) {
    const fixture *f = *state;
    apq_space space;
    assert_int_equal(apq_space_load("cifar10", &space), APQ_OK);
    apq_policy policy;
    apq_policy_largest(&space, 8, &policy);
    policy.depth[0] = (int8_t)space.stages[0].min_depth;
    double shares[APQ_MAX_BLOCKS] = {0.125, 0.0, 0.25};
    assert_int_equal(apq_plot_policy(&space, &policy, shares, f->stem), APQ_OK);
    assert_int_equal(count_files(f->dir), 3);
    expect_png(f, 1520, (unsigned)(2 * (144 + 34 * space.n_blocks)));
    char *svg = read_svg(f);
    expect_text(svg, "Policy in space cifar10");
    expect_text(svg, "7 × 7");
    expect_text(svg, "12.5 %");
    expect_text(svg, "8 bits");
    expect_text(svg, "skipped");
    char text[32];
    (void)snprintf(text, sizeof text, "%d", policy.channels[0]);
    expect_text(svg, text);
    free(svg);

    shares[0] = 1.5;
    assert_int_equal(apq_plot_policy(&space, &policy, shares, f->stem),
                     APQ_ERR_NUMERIC);
    policy.kernel[0] = 4;
    assert_int_not_equal(apq_plot_policy(&space, &policy, NULL, f->stem),
                         APQ_OK);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_plot),     CASE(test_pdf),
        CASE(test_svg_text), CASE(test_degenerate_ranges),
        CASE(test_refused),  CASE(test_policy),
        CASE(test_bars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
