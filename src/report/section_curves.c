/* How training, search and fine-tuning went, as lines of text or as charts. */
#include "report/document.h"

#include "report/format.h"
#include "report/points.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double number(const json_t *object, const char *key) {
    return apq_document_number(object, key);
}

/* A key of rows as a line of text, or as a series of a chart. */
typedef struct curve {
    const char *key, *title;
    double scale;
    const char *unit;
} curve;

static const curve train_top1[] = {
    {"largest_train_top1", "train top-1, largest", 100, " %"},
    {"others_train_top1", "train top-1, smallest and random", 100, " %"},
    {"largest_val_top1", "validation top-1, largest", 100, " %"},
    {"smallest_val_top1", "validation top-1, smallest", 100, " %"},
};
static const curve train_loss[] = {
    {"largest_loss", "train loss, largest", 1, ""},
    {"others_loss", "train loss, smallest and random", 1, ""},
};
static const curve search_top1[] = {
    {"best", "search, best predicted top-1", 100, " %"},
    {"mean", "search, mean of the population", 100, " %"},
};
static const curve search_dynamics[] = {
    {"feasible", "search, tried networks in the budget", 100, " %"},
    {"diversity", "search, diversity of candidates", 100, " %"},
};
static const curve tune_top1[] = {
    {"train_top1", "train top-1, fine-tuning", 100, " %"},
};

/* Leading zeros are of networks whose training has not begun. */
static void put_line(const json_t *rows, const curve *c, FILE *out) {
    size_t n = json_array_size(rows);
    double *values = calloc(n + 1, sizeof *values);
    size_t used = 0;
    for (size_t i = 0; values != NULL && i < n; i++) {
        double value = c->scale * number(json_array_get(rows, i), c->key);
        if (isfinite(value) && (value > 0 || used > 0)) {
            values[used++] = value;
        }
    }
    if (used > 0) {
        char line[APQ_SPARKLINE_MAX];
        (void)fprintf(out, "%-36s %s  %.2f \u2192 %.2f%s\n", c->title,
                      apq_format_sparkline(values, used, line), values[0],
                      values[used - 1], c->unit);
    }
    free(values);
}

#define N_OF(curves) (sizeof(curves) / sizeof(curves)[0])

static void put_lines(const json_t *curves, apq_page *page) {
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    if (out == NULL) {
        return;
    }
    const json_t *train = json_object_get(curves, "train");
    for (size_t i = 0; i < N_OF(train_top1); i++) {
        put_line(train, &train_top1[i], out);
    }
    put_line(train, &train_loss[0], out);
    for (size_t i = 0; i < N_OF(search_top1); i++) {
        put_line(json_object_get(curves, "search"), &search_top1[i], out);
    }
    for (size_t i = 0; i < N_OF(search_dynamics); i++) {
        put_line(json_object_get(curves, "search"), &search_dynamics[i], out);
    }
    put_line(json_object_get(json_object_get(curves, "finetune"), "network"),
             &tune_top1[0], out);
    if (fclose(out) == 0) {
        apq_page_code(page, text);
    }
    free(text);
}

static void gather(const json_t *rows, const char *x_key, const curve *c,
                   apq_points *points) {
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row) {
        double value = c->scale * number(row, c->key);
        if (value > 0 || points->n > 0) {
            apq_points_add(points, number(row, x_key), value, 0, false, NULL);
        }
    }
}

enum { MAX_LINES = 4 };

/* Series of one chart: curves of the same rows. Markers only where the points
 * are few enough to be told apart. */
static apq_status put_chart(const json_t *rows, const char *x_key,
                            const curve *curves, size_t n, apq_plot plot,
                            apq_page *page) {
    static const apq_plot_marker markers[MAX_LINES] = {
        APQ_MARKER_CIRCLE, APQ_MARKER_SQUARE, APQ_MARKER_TRIANGLE,
        APQ_MARKER_DIAMOND};
    apq_points points[MAX_LINES] = {{0}};
    apq_point_chart chart = {.n = 0};
    bool is_sparse = json_array_size(rows) <= 60;
    for (size_t i = 0; i < n; i++) {
        gather(rows, x_key, &curves[i], &points[i]);
        apq_points_series(&chart, &points[i], false,
                          (apq_plot_series){.label = curves[i].title,
                                            .has_line = true,
                                            .is_dashed = i % 2 == 1,
                                            .marker = is_sparse
                                                          ? markers[i]
                                                          : APQ_MARKER_NONE,
                                            .color = (int)i});
    }
    apq_status st = apq_points_chart(&chart, plot, NULL, page);
    for (size_t i = 0; i < n; i++) {
        apq_points_fini(&points[i]);
    }
    return st;
}

static apq_status put_tuning(json_t *tuned, apq_page *page) {
    static const char *const names[][2] = {{"network", "network found"},
                                           {"baseline", "uniform network"}};
    apq_points points[2] = {{0}};
    apq_point_chart chart = {.n = 0};
    for (int i = 0; i < 2; i++) {
        gather(json_object_get(tuned, names[i][0]), "epoch", &tune_top1[0],
               &points[i]);
        apq_points_series(&chart, &points[i], false,
                          (apq_plot_series){.label = names[i][1],
                                            .has_line = true,
                                            .is_dashed = i == 1,
                                            .marker = i == 0
                                                          ? APQ_MARKER_CIRCLE
                                                          : APQ_MARKER_SQUARE,
                                            .color = i});
    }
    apq_status st = apq_points_chart(&chart,
                                     (apq_plot){.title = "Fine-tuning",
                                                .x_label = "epoch",
                                                .y_label = "train top-1 [%]"},
                                     NULL, page);
    apq_points_fini(&points[0]);
    apq_points_fini(&points[1]);
    return st;
}

static apq_status put_charts(const json_t *curves, apq_page *page) {
    const json_t *train = json_object_get(curves, "train");
    APQ_TRY(put_chart(train, "epoch", train_top1, N_OF(train_top1),
                      (apq_plot){.title = "Training of the supernet",
                                 .x_label = "epoch",
                                 .y_label = "top-1 [%]"},
                      page));
    APQ_TRY(put_chart(train, "epoch", train_loss, N_OF(train_loss),
                      (apq_plot){.title = "Loss of the supernet",
                                 .x_label = "epoch",
                                 .y_label = "cross entropy [nat]"},
                      page));
    APQ_TRY(put_chart(json_object_get(curves, "search"), "evaluations",
                      search_top1, N_OF(search_top1),
                      (apq_plot){.title = "Search",
                                 .x_label = "networks scored",
                                 .y_label = "predicted top-1 [%]"},
                      page));
    APQ_TRY(put_chart(json_object_get(curves, "search"), "evaluations",
                      search_dynamics, N_OF(search_dynamics),
                      (apq_plot){.title = "Course of the search",
                                 .x_label = "networks scored",
                                 .y_label = "share [%]"},
                      page));
    return put_tuning(json_object_get(curves, "finetune"), page);
}

static void put_figure_names(const json_t *figures, apq_page *page) {
    size_t i;
    const json_t *name;
    json_array_foreach(figures, i, name) {
        apq_page_put(page, "%s", i == 0 ? "Figures: " : ", ");
        apq_page_link(page, json_string_value(name));
    }
    apq_page_end(page);
}

apq_status apq_section_curves(const json_t *root, apq_page *page) {
    const json_t *curves = json_object_get(root, "curves");
    apq_page_heading(page, "Curves");
    if (!json_is_array(json_object_get(curves, "train")) &&
        !json_is_array(json_object_get(curves, "search"))) {
        apq_page_put(page, "Training and search: %s.", apq_not_recorded);
        apq_page_end(page);
        return APQ_OK;
    }
    if (apq_page_is_html(page)) {
        return put_charts(curves, page);
    }
    put_lines(curves, page);
    put_figure_names(json_object_get(root, "figures"), page);
    return APQ_OK;
}
