/* What a sweep leaves behind: the document of docs/formats/front.md and a
 * picture of accuracy against the budgeted cost, one line a kind of network. */
#include "app/sweep.h"

#include "app/json.h"
#include "app/search_report.h"
#include "base/memory.h"
#include "report/plot.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_HISTORY = 20, N_LINES = 3 };

/* The search object of a sweep: a point of docs/formats/front.md. */
static json_t *point_json(const apq_space *space, const apq_sweep_point *p) {
    json_t *baselines =
        json_pack("{s:o, s:o}", apq_baseline_name(APQ_BASELINE_BEST_8),
                  apq_search_candidate_json(space, &p->uniform8),
                  apq_baseline_name(APQ_BASELINE_BEST_4),
                  apq_search_candidate_json(space, &p->uniform4));
    return json_pack(
        "{s:i, s:o, s:f, s:o, s:o, s:I, s:f, s:b, s:o, s:o}", "schema_version",
        1, "policy", apq_json_policy(space, &p->best.policy),
        "predicted_accuracy", p->best.accuracy, "cost",
        apq_json_cost(&p->best.cost), "constraints",
        apq_search_budget_json(p->budget, false), "evaluations",
        (json_int_t)p->evaluations, "seconds", p->seconds, "is_complete",
        p->is_complete, "baselines", baselines, "history",
        apq_search_history_json(p->history, p->n_history, MAX_HISTORY));
}

static json_t *points_json(const apq_sweep_result *result, bool *is_complete) {
    json_t *points = json_array();
    *is_complete = !result->is_stopped;
    for (int i = 0; i < result->n_points; i++) {
        (void)json_array_append_new(
            points, point_json(&result->common.space, &result->points[i]));
        *is_complete = *is_complete && result->points[i].is_complete;
    }
    return points;
}

static json_t *skipped_json(const apq_sweep_result *result) {
    json_t *skipped = json_array();
    for (int i = 0; i < result->n_skipped; i++) {
        (void)json_array_append_new(
            skipped, json_real(apq_sweep_budget(&result->range, i)));
    }
    return skipped;
}

char *apq_app_sweep_json(const apq_sweep_result *result) {
    const apq_app_search_result *common = &result->common;
    bool is_complete;
    json_t *points = points_json(result, &is_complete);
    json_t *sweep =
        json_pack("{s:s, s:f, s:f, s:i, s:o}", "budget",
                  apq_budget_name(result->range.field), "from",
                  result->range.from, "to", result->range.to, "points",
                  result->range.n_points, "skipped", skipped_json(result));
    json_t *root = json_pack(
        "{s:i, s:s, s:s, s:o, s:o, s:o, s:I, s:f, s:o, s:s, s:s, s:I, s:b}",
        "schema_version", 1, "space", common->space.name, "target",
        common->target, "sweep", sweep, "points", points, "front",
        apq_search_entries_json(&common->space, result->front, result->n_front),
        "evaluations", (json_int_t)result->evaluations, "seconds",
        result->seconds, "range", apq_search_range_json(common), "strategy",
        common->strategy, "predictor_hash", common->predictor_hash, "seed",
        (json_int_t)common->seed, "is_complete", is_complete);
    char *text =
        root == NULL
            ? NULL
            : json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
    json_decref(root);
    return text;
}

/* Coordinates of the lines and of the front. */
typedef struct drawing {
    double *x[N_LINES + 1], *y[N_LINES + 1], *marks;
    size_t n[N_LINES + 1];
    double *memory;
} drawing;

static void add(drawing *d, int line, double cost, double accuracy) {
    if (isfinite(cost)) {
        d->x[line][d->n[line]] = cost;
        d->y[line][d->n[line]++] = 100 * accuracy;
    }
}

static apq_status make_drawing(const apq_sweep_result *r, drawing *d) {
    size_t n = (size_t)r->n_points;
    size_t room = n > r->n_front ? n : r->n_front;
    *d = (drawing){
        .memory = apq_calloc((2 * (N_LINES + 1) + 1) * room, sizeof(double))};
    if (d->memory == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "search: no memory for the picture");
    }
    for (size_t i = 0; i <= N_LINES; i++) {
        d->x[i] = d->memory + 2 * i * room;
        d->y[i] = d->x[i] + room;
    }
    d->marks = d->memory + 2 * (N_LINES + 1) * room;
    for (size_t i = 0; i < n; i++) {
        const apq_sweep_point *p = &r->points[i];
        const apq_candidate *lines[N_LINES] = {&p->uniform8, &p->uniform4,
                                               &p->best};
        d->marks[i] = p->budget[r->range.field];
        for (int k = 0; k < N_LINES; k++) {
            double cost[APQ_BUDGET_N_FIELDS];
            apq_budget_of_cost(&lines[k]->cost, cost);
            if (lines[k]->is_found) {
                add(d, k, cost[r->range.field], lines[k]->accuracy);
            }
        }
    }
    for (size_t i = 0; i < r->n_front; i++) {
        add(d, N_LINES, r->front[i].score.cost[r->range.field],
            r->front[i].score.value);
    }
    return APQ_OK;
}

static apq_status draw(const apq_sweep_result *r, const drawing *d,
                       const char *stem) {
    static const apq_plot_series looks[N_LINES + 1] = {
        {.label = "best, uniform 8 bit",
         .has_line = true,
         .marker = APQ_MARKER_SQUARE,
         .color = 2},
        {.label = "best, uniform 4 bit",
         .has_line = true,
         .marker = APQ_MARKER_TRIANGLE,
         .color = 3},
        {.label = "best, mixed",
         .has_line = true,
         .marker = APQ_MARKER_DIAMOND,
         .color = 1},
        {.label = "front of accuracy and all costs",
         .is_faint = true,
         .marker = APQ_MARKER_CIRCLE,
         .color = 5}};
    static const int order[] = {N_LINES, 0, 1, 2}; /* the front below */
    apq_plot_series series[N_LINES + 1];
    size_t n = 0;
    for (size_t i = 0; i <= N_LINES; i++) {
        int k = order[i];
        if (d->n[k] > 0) {
            series[n] = looks[k];
            series[n].x = d->x[k];
            series[n].y = d->y[k];
            series[n++].n = d->n[k];
        }
    }
    char title[256];
    (void)snprintf(title, sizeof title, "Budgets in %s on %s",
                   r->common.space.name, r->common.target);
    apq_plot plot = {
        .title = title,
        .x_label = apq_search_axis(r->range.field),
        .y_label = "predicted accuracy [%]",
        .series = series,
        .n_series = n,
        .marks = d->marks,
        .n_marks = (size_t)r->n_points,
        .marks_label = "budgets",
        .better = "upper left",
    };
    return apq_plot_write(&plot, stem);
}

apq_status apq_app_sweep_write(const apq_sweep_result *result,
                               const char *json_path, const char *stem) {
    char *text = apq_app_sweep_json(result);
    if (text == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", json_path);
    }
    apq_status st = apq_file_write_text(json_path, text);
    free(text);
    APQ_TRY(st);
    drawing d;
    st = make_drawing(result, &d);
    if (st == APQ_OK) {
        st = draw(result, &d, stem);
    }
    free(d.memory);
    return st;
}
