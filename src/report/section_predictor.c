/* How well the predictor does: held-out scores, each record beside what is
 * predicted of it, and what transfer from float records is worth. */
#include "report/document.h"

#include "report/points.h"

#include <math.h>
#include <stdbool.h>

enum { MAX_SHOWN = 600 };

static double number(const json_t *object, const char *key) {
    return apq_document_number(object, key);
}

static void put_scores(const json_t *root, apq_page *page) {
    json_t *sets = json_object_get(root, "predictor");
    apq_page_heading(page, "Predictor");
    if (!json_is_object(sets)) {
        apq_page_put(page, "Held-out quality: %s.", apq_not_recorded);
        apq_page_end(page);
        return;
    }
    apq_table *table = apq_table_create(
        "records|>fitted|>held out|>pairs in order|>Kendall \u03c4|>RMSE");
    if (table == NULL) {
        return;
    }
    const char *name;
    json_t *set;
    json_object_foreach(sets, name, set) {
        apq_table_cell(table, "%s", name);
        apq_cell_fixed(
            table, number(set, "n_train") + number(set, "n_validation"), 0, "");
        apq_cell_fixed(table, number(set, "n_test"), 0, "");
        apq_cell_fixed(table,
                       100 * apq_document_held_out(set, "pairwise_accuracy"), 1,
                       " %");
        apq_cell_fixed(table, apq_document_held_out(set, "kendall_tau"), 2, "");
        apq_cell_fixed(table, 100 * apq_document_held_out(set, "rmse"), 2,
                       " points");
    }
    apq_page_table(page, table);
}

/* Where a perfect prediction is: a line through all values. */
static void add_diagonal(const apq_points *sets, size_t n, apq_points *line) {
    double low = (double)INFINITY, high = -(double)INFINITY;
    for (size_t s = 0; s < n; s++) {
        for (size_t i = 0; i < sets[s].n; i++) {
            low = fmin(low, fmin(sets[s].x[i], sets[s].y[i]));
            high = fmax(high, fmax(sets[s].x[i], sets[s].y[i]));
        }
    }
    apq_points_add(line, low, low, 0, false, NULL);
    apq_points_add(line, high, high, 0, false, NULL);
}

static apq_status put_scatter(const json_t *records, apq_page *page) {
    enum { FITTED, HELD_OUT, N_SETS };
    apq_points sets[N_SETS] = {{0}}, line = {0};
    apq_point_chart chart = {.n = 0};
    size_t i;
    const json_t *row;
    bool is_split_known = false;
    json_array_foreach(json_object_get(records, "rows"), i, row) {
        const json_t *flag = json_object_get(row, "is_held_out");
        bool is_held_out = json_is_true(flag);
        is_split_known = is_split_known || json_is_boolean(flag);
        apq_points_add(&sets[is_held_out ? HELD_OUT : FITTED],
                       100 * number(row, "accuracy"),
                       100 * number(row, "predicted"),
                       is_held_out ? 196 * number(row, "standard_error") : 0,
                       true, apq_document_text(row, "network", NULL));
    }
    apq_status st = apq_points_thin(&sets[FITTED], MAX_SHOWN);
    add_diagonal(sets, N_SETS, &line);
    apq_points_series(
        &chart, &line, false,
        (apq_plot_series){
            .label = "exact", .has_line = true, .is_dashed = true, .color = 6});
    apq_points_series(
        &chart, &sets[FITTED], true,
        (apq_plot_series){.label = is_split_known ? "records it was fitted to"
                                                  : "records",
                          .is_faint = true,
                          .marker = APQ_MARKER_CIRCLE,
                          .color = 0});
    apq_points_series(
        &chart, &sets[HELD_OUT], true,
        (apq_plot_series){.label = "held out, 95 % interval of the measurement",
                          .marker = APQ_MARKER_DIAMOND,
                          .color = 1});
    if (st == APQ_OK && line.n == 2) {
        st = apq_points_chart(&chart,
                              (apq_plot){.title = "Predicted and measured, "
                                                  "quantised networks",
                                         .x_label = "measured top-1 [%]",
                                         .y_label = "predicted top-1 [%]"},
                              NULL, page);
    }
    apq_points_fini(&sets[FITTED]);
    apq_points_fini(&sets[HELD_OUT]);
    apq_points_fini(&line);
    return st;
}

/* Of one way to fit: pairs of records in the right order; NaN where the curve
 * does not tell. */
typedef struct score {
    double value, low, high; /* per cent; 95 % interval */
} score;

static score read_score(const json_t *row, const char *arm) {
    const json_t *pairs =
        json_object_get(json_object_get(row, arm), "pairwise_accuracy");
    const json_t *interval = json_object_get(pairs, "interval_95");
    const json_t *low = json_array_get(interval, 0);
    const json_t *high = json_array_get(interval, 1);
    return (score){
        100 * number(pairs, "value"),
        json_is_number(low) ? 100 * json_number_value(low) : (double)NAN,
        json_is_number(high) ? 100 * json_number_value(high) : (double)NAN};
}

static void score_cell(apq_table *table, score s, const char *unit) {
    if (isfinite(s.value + s.low + s.high)) {
        apq_table_cell(table, "%.1f%s [%.1f, %.1f]", s.value, unit, s.low,
                       s.high);
    } else {
        apq_table_cell(table, "%s", "-");
    }
}

static void put_transfer_table(const json_t *sizes, apq_page *page) {
    apq_table *table =
        apq_table_create(">quantised records|>pairs in order, without transfer|"
                         ">with transfer|>difference in points");
    size_t i;
    const json_t *row;
    json_array_foreach(sizes, i, row) {
        if (table != NULL) {
            apq_cell_fixed(table, number(row, "quantised_records"), 0, "");
            score_cell(table, read_score(row, "scratch"), " %");
            score_cell(table, read_score(row, "transfer"), " %");
            score_cell(table, read_score(row, "difference"), "");
        }
    }
    apq_page_table(page, table);
}

static apq_status put_transfer_chart(const json_t *sizes, apq_page *page) {
    static const struct {
        const char *arm;
        apq_plot_series look;
    } arms[] = {{"scratch",
                 {.label = "without transfer, 95 %",
                  .has_line = true,
                  .is_dashed = true,
                  .marker = APQ_MARKER_SQUARE,
                  .color = 1}},
                {"transfer",
                 {.label = "with transfer, 95 %",
                  .has_line = true,
                  .marker = APQ_MARKER_CIRCLE,
                  .color = 0}}};
    enum { N_ARMS = sizeof arms / sizeof arms[0] };
    apq_points sets[N_ARMS] = {{0}};
    apq_point_chart chart = {.n = 0};
    /* Beside each other, so that neither bar hides the other. */
    double aside =
        0.004 * number(json_array_get(sizes, json_array_size(sizes) - 1),
                       "quantised_records");
    for (size_t a = 0; a < N_ARMS; a++) {
        size_t i;
        const json_t *row;
        json_array_foreach(sizes, i, row) {
            score s = read_score(row, arms[a].arm);
            double n = number(row, "quantised_records");
            apq_points_add_interval(&sets[a], a == 0 ? n - aside : n + aside,
                                    s.value, s.low, s.high);
        }
        apq_points_series(&chart, &sets[a], false, arms[a].look);
    }
    apq_status st = apq_points_chart(
        &chart,
        (apq_plot){.title = "What transfer from float records is worth",
                   .x_label = "quantised training records",
                   .y_label = "pairs in the right order [%]"},
        NULL, page);
    for (size_t a = 0; a < N_ARMS; a++) {
        apq_points_fini(&sets[a]);
    }
    return st;
}

/* Of `apq predictor curve`. */
static apq_status put_transfer(const json_t *root, apq_page *page) {
    const json_t *curve = json_object_get(root, "transfer");
    const json_t *sizes = json_object_get(curve, "sizes");
    if (json_array_size(sizes) == 0) {
        apq_page_put(page, "%s",
                     "Fits with and without transfer from float records: not "
                     "recorded; `apq predictor curve --run DIR --out "
                     "DIR/predictor-curve.json` tells, and is shown here.");
        apq_page_end(page);
        return APQ_OK;
    }
    double n_float = number(curve, "float_records");
    double n_seeds = number(curve, "seeds"),
           n_test = number(curve, "test_records");
    apq_page_put(page, "%s", "Fits with and without transfer");
    if (isfinite(n_float + n_seeds + n_test)) {
        apq_page_put(page,
                     " from %.0f float records, means over %.0f seeds on %.0f "
                     "test records",
                     n_float, n_seeds, n_test);
    }
    apq_page_put(page, "%s", "; 95 % intervals in brackets:");
    apq_page_end(page);
    put_transfer_table(sizes, page);
    return put_transfer_chart(sizes, page);
}

apq_status apq_section_predictor(const json_t *root, apq_page *page) {
    put_scores(root, page);
    APQ_TRY(put_scatter(json_object_get(root, "records"), page));
    return put_transfer(root, page);
}
