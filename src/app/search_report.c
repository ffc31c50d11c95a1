/* What a search leaves behind: the document of docs/formats/search-result.md
 * and a picture of accuracy against the budgeted cost. */
#include "app/search_report.h"

#include "app/json.h"
#include "report/plot.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_HISTORY = 1000, MAX_CANDIDATES = 512 };

const char *apq_search_axis(apq_budget_field field) {
    static const char *const labels[] = {"latency [ms]", "energy [mJ]",
                                         "bit operations [G]", "size [KB]"};
    return labels[field];
}

json_t *apq_search_budget_json(const double values[APQ_BUDGET_N_FIELDS],
                               bool has_zeros) {
    json_t *object = json_object();
    for (int f = 0; f < APQ_BUDGET_N_FIELDS; f++) {
        if (has_zeros || values[f] > 0) {
            (void)json_object_set_new(object,
                                      apq_budget_name((apq_budget_field)f),
                                      apq_json_number(values[f]));
        }
    }
    return object;
}

json_t *apq_search_range_json(const apq_app_search_result *result) {
    json_t *object = json_object();
    for (int f = 0; f < APQ_BUDGET_N_FIELDS; f++) {
        (void)json_object_set_new(
            object, apq_budget_name((apq_budget_field)f),
            json_pack("{s:o, s:o}", "low", apq_json_number(result->low[f]),
                      "high", apq_json_number(result->high[f])));
    }
    return object;
}

json_t *apq_search_candidate_json(const apq_space *space,
                                  const apq_candidate *c) {
    return !c->is_found
               ? json_null()
               : json_pack("{s:f, s:o, s:b, s:o}", "predicted_accuracy",
                           c->accuracy, "cost", apq_json_cost(&c->cost),
                           "meets_budget", c->meets_budget, "policy",
                           apq_json_policy(space, &c->policy));
}

static json_t *baselines_json(const apq_app_search_result *result) {
    json_t *object = json_object();
    int n = result->has_sequential ? APQ_N_BASELINES : APQ_N_UNIFORM_BASELINES;
    for (int i = 0; i < n; i++) {
        (void)json_object_set_new(
            object, apq_baseline_name((apq_baseline)i),
            apq_search_candidate_json(&result->space, &result->baselines[i]));
    }
    return object;
}

json_t *apq_search_history_json(const apq_search_history_row *rows, size_t n,
                                size_t max) {
    json_t *out = json_array();
    size_t stride = n / max + 1;
    for (size_t i = 0; i < n; i++) {
        const apq_search_history_row *row = &rows[i];
        if (i % stride == 0 || i + 1 == n) {
            (void)json_array_append_new(
                out, json_pack("{s:i, s:I, s:f, s:f, s:o, s:f}", "iteration",
                               row->iteration, "evaluations",
                               (json_int_t)row->evaluations, "best", row->best,
                               "mean", row->mean, "feasible",
                               apq_json_number(row->feasible), "diversity",
                               row->diversity));
        }
    }
    return out;
}

json_t *apq_search_entries_json(const apq_space *space,
                                const apq_search_entry *entries, size_t n) {
    json_t *rows = json_array();
    for (size_t i = 0; i < n; i++) {
        (void)json_array_append_new(
            rows,
            json_pack("{s:f, s:o, s:o}", "predicted_accuracy",
                      entries[i].score.value, "cost",
                      apq_search_budget_json(entries[i].score.cost, true),
                      "policy", apq_json_policy(space, &entries[i].policy)));
    }
    return rows;
}

/* null where nothing was measured. */
static json_t *measured_json(const apq_app_search_result *result) {
    if (result->n_measured == 0) {
        return json_null();
    }
    json_t *rows = json_array();
    for (size_t i = 0; i < result->n_measured; i++) {
        const apq_measured *m = &result->measured[i];
        json_t *row = apq_search_candidate_json(&result->space, &m->candidate);
        (void)json_object_set_new(row, "measured_accuracy",
                                  json_real(m->accuracy));
        (void)json_array_append_new(rows, row);
    }
    return json_pack("{s:i, s:o}", "qat_steps", result->measured_qat_steps,
                     "networks", rows);
}

/* The picture's candidates, fewer of them, as two columns. */
static json_t *candidates_json(const apq_app_search_result *result) {
    json_t *costs = json_array(), *accuracies = json_array();
    size_t stride = result->n_cloud / MAX_CANDIDATES + 1;
    for (size_t i = 0; i < result->n_cloud; i += stride) {
        double cost = result->cloud_cost[i];
        if (isfinite(cost)) {
            (void)json_array_append_new(costs, json_real(cost));
            (void)json_array_append_new(accuracies,
                                        json_real(result->cloud_accuracy[i]));
        }
    }
    return json_pack("{s:s, s:o, s:o}", "budget",
                     apq_budget_name(result->plot_field), "cost", costs,
                     "predicted_accuracy", accuracies);
}

char *apq_app_search_json(const apq_app_search_result *result) {
    const apq_search_result *search = result->search;
    json_t *root = json_pack(
        "{s:i, s:s, s:s, s:o, s:f, s:o, s:o, s:I, s:f, s:o, s:o, s:o, s:o, "
        "s:s, "
        "s:s?, s:I, s:b, s:o}",
        "schema_version", 1, "space", result->space.name, "target",
        result->target, "policy",
        apq_json_policy(&result->space, &result->best.policy),
        "predicted_accuracy", result->best.accuracy, "cost",
        apq_json_cost(&result->best.cost), "constraints",
        apq_search_budget_json(result->budget, false), "evaluations",
        (json_int_t)result->evaluations, "seconds", result->seconds, "range",
        apq_search_range_json(result), "baselines", baselines_json(result),
        "top",
        apq_search_entries_json(&result->space, search->top, search->n_top),
        "front",
        apq_search_entries_json(&result->space, search->front, search->n_front),
        "strategy", result->strategy, "predictor_hash",
        result->predictor_hash[0] != '\0' ? result->predictor_hash : NULL,
        "seed", (json_int_t)result->seed, "is_complete",
        !search->is_stopped && !search->is_timed_out, "history",
        apq_search_history_json(search->history, search->n_history,
                                MAX_HISTORY));
    (void)json_object_set_new(root, "measured_accuracy",
                              result->n_measured > 0
                                  ? json_real(result->measured_accuracy)
                                  : json_null());
    (void)json_object_set_new(root, "measured", measured_json(result));
    (void)json_object_set_new(root, "candidates", candidates_json(result));
    char *text =
        root == NULL
            ? NULL
            : json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
    json_decref(root);
    return text;
}

/* Adds the baselines of one bit-width as one series. */
static size_t add_baselines(const apq_app_search_result *result, int first,
                            double *x, double *y) {
    size_t n = 0;
    for (int i = first; i < APQ_N_UNIFORM_BASELINES; i += 2) {
        const apq_candidate *c = &result->baselines[i];
        double cost[APQ_BUDGET_N_FIELDS];
        apq_budget_of_cost(&c->cost, cost);
        if (c->is_found && isfinite(cost[result->plot_field])) {
            x[n] = cost[result->plot_field];
            y[n++] = 100 * c->accuracy;
        }
    }
    return n;
}

static apq_status draw(const apq_app_search_result *result, double *cloud_y,
                       const char *stem) {
    for (size_t i = 0; i < result->n_cloud; i++) {
        cloud_y[i] = 100 * result->cloud_accuracy[i];
    }
    double x8[2], y8[2], x4[2], y4[2], cost[APQ_BUDGET_N_FIELDS];
    size_t n8 = add_baselines(result, APQ_BASELINE_LARGEST_8, x8, y8);
    size_t n4 = add_baselines(result, APQ_BASELINE_LARGEST_4, x4, y4);
    apq_budget_of_cost(&result->best.cost, cost);
    double best_x = cost[result->plot_field];
    double best_y = 100 * result->best.accuracy;
    apq_plot_series series[4];
    size_t n = 0;
    if (result->n_cloud > 0) {
        series[n++] = (apq_plot_series){.label = "candidates",
                                        .x = result->cloud_cost,
                                        .y = cloud_y,
                                        .n = result->n_cloud,
                                        .is_faint = true,
                                        .marker = APQ_MARKER_CIRCLE,
                                        .color = 5};
    }
    if (n8 > 0) {
        series[n++] = (apq_plot_series){.label = "uniform 8 bit",
                                        .x = x8,
                                        .y = y8,
                                        .n = n8,
                                        .marker = APQ_MARKER_SQUARE,
                                        .color = 2};
    }
    if (n4 > 0) {
        series[n++] = (apq_plot_series){.label = "uniform 4 bit",
                                        .x = x4,
                                        .y = y4,
                                        .n = n4,
                                        .marker = APQ_MARKER_TRIANGLE,
                                        .color = 3};
    }
    series[n++] = (apq_plot_series){.label = "found",
                                    .x = &best_x,
                                    .y = &best_y,
                                    .n = 1,
                                    .marker = APQ_MARKER_DIAMOND,
                                    .color = 1};
    char title[256];
    (void)snprintf(title, sizeof title, "Search in %s on %s",
                   result->space.name, result->target);
    double budget = result->budget[result->plot_field];
    apq_plot plot = {
        .title = title,
        .x_label = apq_search_axis(result->plot_field),
        .y_label = "predicted accuracy [%]",
        .series = series,
        .n_series = n,
        .has_vline = budget > 0,
        .vline = budget,
        .vline_label = "budget",
        .better = "upper left",
    };
    return apq_plot_write(&plot, stem);
}

static apq_status write_pictures(const apq_app_search_result *result,
                                 const char *stem) {
    char policy[APQ_PATH_MAX + 16];
    double *cloud_y = calloc(APQ_SEARCH_MAX_CLOUD, sizeof *cloud_y);
    if (cloud_y == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "search: no memory for the picture");
    }
    apq_status st = draw(result, cloud_y, stem);
    free(cloud_y);
    APQ_TRY(st);
    (void)snprintf(policy, sizeof policy, "%s-policy", stem);
    bool has_shares = isfinite(result->best.cost.latency_ms);
    return apq_plot_policy(&result->space, &result->best.policy,
                           has_shares ? result->latency_share : NULL, policy);
}

apq_status apq_app_search_write(const apq_app_search_result *result,
                                const char *json_path, const char *stem) {
    char *text = apq_app_search_json(result);
    if (text == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", json_path);
    }
    apq_status st = apq_file_write_text(json_path, text);
    free(text);
    APQ_TRY(st);
    return write_pictures(result, stem);
}
