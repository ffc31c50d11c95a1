/* Accuracy against each cost: what the search saw and kept, what was measured,
 * the networks of one bit-width, the budget and the network found. */
#include "report/document.h"

#include "report/points.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { MAX_SHOWN = 600, MAX_ROWS = 12 };

static double number(const json_t *object, const char *key) {
    return apq_document_number(object, key);
}

/* A cost by its budget's name, from either form of cost object. */
typedef struct axis {
    const char *budget, *label, *title;
    const char *cost; /* its name in costs of networks */
    double scale;     /* of that */
} axis;

static const axis axes[] = {
    {"latency_ms", "latency [ms]", "Accuracy and latency", "latency_ms", 1},
    {"energy_mj", "energy [mJ]", "Accuracy and energy", "energy_mj", 1},
    {"size_kb", "weights [KB]", "Accuracy and size", "weight_bytes", 1e-3},
};

static double cost_of(const json_t *holder, const axis *a) {
    const json_t *cost = json_object_get(holder, "cost");
    double value = number(cost, a->budget);
    return isfinite(value) ? value : a->scale * number(cost, a->cost);
}

typedef enum set {
    SEEN,     /* by the search */
    RECORDS,  /* measured for the predictor */
    FRONT,    /* of the search, over all costs */
    EDGE,     /* of the above on this axis */
    BUDGETS,  /* answers to several, on that budget's axis */
    FINALIST, /* measured by the search */
    EIGHT,    /* of one bit-width */
    FOUR,
    STAGES, /* one kind of gene after the other */
    FOUND,
    TUNED, /* measured on test images */
    N_SETS,
} set;

static const apq_plot_series looks[N_SETS] = {
    [SEEN] = {.label = "seen by the search, predicted",
              .is_faint = true,
              .marker = APQ_MARKER_CIRCLE,
              .color = 5},
    [RECORDS] = {.label = "records, measured",
                 .is_faint = true,
                 .marker = APQ_MARKER_CROSS,
                 .color = 6},
    [FRONT] = {.label = "kept by the search, predicted",
               .marker = APQ_MARKER_CIRCLE,
               .color = 0},
    [EDGE] = {.label = "front of these", .has_line = true, .color = 0},
    [BUDGETS] = {.label = "best under each budget, predicted",
                 .has_line = true,
                 .is_dashed = true,
                 .marker = APQ_MARKER_DIAMOND,
                 .color = 4},
    [FINALIST] = {.label = "finalists, measured",
                  .marker = APQ_MARKER_CROSS,
                  .color = 4},
    [EIGHT] = {.label = "uniform 8 bit, predicted",
               .marker = APQ_MARKER_SQUARE,
               .color = 2},
    [FOUR] = {.label = "uniform 4 bit, predicted",
              .marker = APQ_MARKER_TRIANGLE,
              .color = 3},
    [STAGES] = {.label = "searched in stages, predicted",
                .marker = APQ_MARKER_CIRCLE,
                .color = 4},
    [FOUND] = {.label = "found, predicted",
               .marker = APQ_MARKER_DIAMOND,
               .color = 1},
    [TUNED] = {.label = "fine-tuned, test images, 95 %",
               .marker = APQ_MARKER_CROSS,
               .color = 1},
};

static void add_entries(const json_t *entries, const axis *a, const char *key,
                        apq_points *points) {
    size_t i;
    const json_t *row;
    json_array_foreach(entries, i, row) {
        apq_points_add(points, cost_of(row, a), 100 * number(row, key), 0,
                       false, apq_document_text(row, "network", NULL));
    }
}

static void add_seen(const json_t *candidates, const axis *a,
                     apq_points *points) {
    if (strcmp(apq_document_text(candidates, "budget", ""), a->budget) != 0) {
        return;
    }
    const json_t *costs = json_object_get(candidates, "cost");
    const json_t *values = json_object_get(candidates, "predicted_accuracy");
    for (size_t i = 0; i < json_array_size(costs); i++) {
        const json_t *y = json_array_get(values, i);
        apq_points_add(points, json_number_value(json_array_get(costs, i)),
                       json_is_number(y) ? 100 * json_number_value(y)
                                         : (double)NAN,
                       0, false, NULL);
    }
}

static void add_records(const json_t *records, const axis *a,
                        apq_points *points) {
    size_t i;
    const json_t *row;
    json_array_foreach(json_object_get(records, "rows"), i, row) {
        apq_points_add(points, number(row, a->budget),
                       100 * number(row, "accuracy"), 0, false,
                       apq_document_text(row, "network", NULL));
    }
}

/* The measured accuracy of a fine-tuned network, with its interval. */
static void add_tuned(const json_t *holder, const axis *a, const char *name,
                      apq_points *points) {
    const json_t *measured = json_object_get(holder, "measured");
    apq_points_add(points, cost_of(holder, a),
                   100 * number(measured, "test_top1"),
                   196 * number(measured, "test_standard_error"), false, name);
}

static void add_baselines(const json_t *baselines, const axis *a,
                          apq_points sets[N_SETS]) {
    size_t i;
    const json_t *row;
    json_array_foreach(baselines, i, row) {
        const char *name = apq_document_text(row, "name", "");
        set own = strcmp(name, "sequential") == 0 ? STAGES
                  : strchr(name, '4') != NULL     ? FOUR
                                                  : EIGHT;
        apq_points_add(&sets[own], cost_of(row, a),
                       100 * number(row, "predicted_accuracy"), 0, false,
                       apq_document_baseline(name));
        add_tuned(row, a, apq_document_baseline(name), &sets[TUNED]);
    }
}

static void add_budgets(const json_t *sweep, const axis *a,
                        apq_points *points) {
    const char *budget =
        apq_document_text(json_object_get(sweep, "sweep"), "budget", "");
    if (strcmp(budget, a->budget) == 0) {
        add_entries(json_object_get(sweep, "points"), a, "predicted_accuracy",
                    points);
    }
}

static const json_t *kept(const json_t *root) {
    const json_t *search = json_object_get(root, "search");
    const json_t *front = json_object_get(search, "front");
    return json_array_size(front) > 0 ? front : json_object_get(search, "top");
}

static apq_status fill(const json_t *root, const axis *a,
                       apq_points sets[N_SETS]) {
    const json_t *search = json_object_get(root, "search");
    const json_t *result = json_object_get(root, "result");
    add_seen(json_object_get(search, "candidates"), a, &sets[SEEN]);
    add_records(json_object_get(root, "records"), a, &sets[RECORDS]);
    add_entries(kept(root), a, "predicted_accuracy", &sets[FRONT]);
    add_entries(json_object_get(json_object_get(root, "sweep"), "front"), a,
                "predicted_accuracy", &sets[FRONT]);
    add_budgets(json_object_get(root, "sweep"), a, &sets[BUDGETS]);
    add_entries(json_object_get(search, "measured"), a, "measured_accuracy",
                &sets[FINALIST]);
    add_baselines(json_object_get(root, "baselines"), a, sets);
    apq_points_add(&sets[FOUND], cost_of(result, a),
                   100 * number(result, "predicted_accuracy"), 0, false,
                   "found");
    add_tuned(result, a, "found", &sets[TUNED]);
    APQ_TRY(apq_points_front(&sets[FRONT], &sets[EDGE]));
    for (int s = 0; s < N_SETS; s++) {
        APQ_TRY(apq_points_thin(&sets[s], MAX_SHOWN));
    }
    return APQ_OK;
}

static apq_status put_axis(const json_t *root, const axis *a, apq_page *page) {
    apq_points sets[N_SETS] = {{0}};
    apq_point_chart chart = {.n = 0};
    apq_status st = fill(root, a, sets);
    for (int s = 0; s < N_SETS; s++) {
        if (s != EDGE || sets[s].n > 1) {
            apq_points_series(&chart, &sets[s], false, looks[s]);
        }
    }
    double budget =
        number(json_object_get(json_object_get(root, "asked"), "constraints"),
               a->budget);
    if (st == APQ_OK) {
        st = apq_points_chart(&chart,
                              (apq_plot){.title = a->title,
                                         .x_label = a->label,
                                         .y_label = "top-1 [%]",
                                         .has_vline = budget > 0,
                                         .vline = budget > 0 ? budget : 0,
                                         .vline_label = "budget",
                                         .better = "upper left"},
                              NULL, page);
    }
    for (int s = 0; s < N_SETS; s++) {
        apq_points_fini(&sets[s]);
    }
    return st;
}

/* Evenly spaced entries of what the search kept. */
static void put_table(const json_t *entries, apq_page *page) {
    size_t n = json_array_size(entries);
    bool is_html = apq_page_is_html(page);
    apq_table *table =
        n == 0 ? NULL
               : apq_table_create(is_html ? ">predicted|>ms|>mJ|>GBitOps|>KB|"
                                            "network"
                                          : ">predicted|>ms|>mJ|>GBitOps|>KB");
    size_t step = (n + MAX_ROWS - 1) / MAX_ROWS;
    for (size_t i = 0; table != NULL && i < n; i += step) {
        const json_t *row = json_array_get(entries, i);
        const json_t *cost = json_object_get(row, "cost");
        apq_cell_percent(table, number(row, "predicted_accuracy"));
        apq_cell_number(table, cost, "latency_ms", 1);
        apq_cell_number(table, cost, "energy_mj", 1);
        apq_cell_number(table, cost, "bitops_g", 1);
        apq_cell_number(table, cost, "size_kb", 1);
        if (is_html) {
            apq_table_cell(table, "%s", apq_document_text(row, "network", ""));
        }
    }
    apq_page_table(page, table);
    if (is_html && n > 0) {
        apq_page_put(page, "%s",
                     "`k3 80 pw6/8 dw4/6`: kernel 3, 80 middle channels, bits"
                     " of weights / input of the pointwise and of the"
                     " depthwise layers; a bar begins a stage.");
        apq_page_end(page);
    }
}

apq_status apq_section_tradeoff(const json_t *root, apq_page *page) {
    if (!json_is_object(json_object_get(root, "result"))) {
        return APQ_OK;
    }
    apq_page_heading(page, "Accuracy and cost");
    for (size_t i = 0; i < sizeof axes / sizeof axes[0]; i++) {
        APQ_TRY(put_axis(root, &axes[i], page));
    }
    if (json_array_size(kept(root)) > 0) {
        size_t n = json_array_size(kept(root));
        apq_page_put(page, "Kept by the search: %zu network%s%s:", n,
                     n == 1 ? "" : "s",
                     n > MAX_ROWS ? ", some of which are" : "");
        apq_page_end(page);
        put_table(kept(root), page);
    }
    return APQ_OK;
}
