/* The report document as Markdown: verdict first, then what was asked, the
 * network block by block, what it is compared with, and how it was found. */
#include "report/markdown.h"

#include "report/document.h"
#include "report/format.h"
#include "report/table.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char not_recorded[] = "not recorded";

double apq_document_number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

const char *apq_document_text(const json_t *object, const char *key,
                              const char *fallback) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : fallback;
}

static double number(const json_t *object, const char *key) {
    return apq_document_number(object, key);
}

/* A cell with a scaled member as a plain number. */
static void number_cell(apq_table *table, const json_t *object, const char *key,
                        double scale) {
    char text[APQ_FORMAT_MAX];
    apq_table_cell(table, "%s",
                   apq_format_number(scale * number(object, key), text));
}

/* A member with fixed decimals and its unit; "-" when there is none. */
static void fixed_cell(apq_table *table, double value, int decimals,
                       const char *unit) {
    if (isfinite(value)) {
        apq_table_cell(table, "%.*f%s", decimals, value, unit);
    } else {
        apq_table_cell(table, "%s", "-");
    }
}

static void percent_cell(apq_table *table, double fraction) {
    char text[APQ_FORMAT_MAX];
    apq_table_cell(table, "%s", apq_format_percent(fraction, text));
}

static void finish(apq_table *table, FILE *out) {
    apq_table_print(table, out);
    apq_table_destroy(table);
}

/* best_uniform4 as people say it. */
static const char *baseline_title(const char *name) {
    static const char *const titles[][2] = {
        {"largest_uniform8", "uniform 8 bit, largest"},
        {"largest_uniform4", "uniform 4 bit, largest"},
        {"best_uniform8", "uniform 8 bit, best found"},
        {"best_uniform4", "uniform 4 bit, best found"},
    };
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++) {
        if (strcmp(titles[i][0], name) == 0) {
            return titles[i][1];
        }
    }
    return name;
}

static void print_measured(const json_t *measured, FILE *out) {
    char percent[APQ_FORMAT_MAX];
    (void)fprintf(out, "%s",
                  apq_format_percent(number(measured, "test_top1"), percent));
    double error = number(measured, "test_standard_error");
    if (error > 0) {
        (void)fprintf(out, " (standard error %.2f points)", 100 * error);
    }
}

/* Budgets as "latency <= 0.5 ms". */
static void format_budget(const json_t *constraints, char *out, size_t size) {
    static const char *const rows[][3] = {
        {"latency_ms", "latency", "ms"},
        {"energy_mj", "energy", "mJ"},
        {"bitops_g", "bit operations", "G"},
        {"size_kb", "weights", "KB"},
    };
    (void)snprintf(out, size, "%s",
                   constraints == NULL || json_is_null(constraints)
                       ? not_recorded
                   : json_object_size(constraints) == 0 ? "none"
                                                        : "");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double limit = number(constraints, rows[i][0]);
        if (!isnan(limit)) {
            size_t used = strlen(out);
            (void)snprintf(out + used, size - used, "%s%s \u2264 %.6g %s",
                           used > 0 ? ", " : "", rows[i][1], limit, rows[i][2]);
        }
    }
}

static void print_verdict(const json_t *root, FILE *out) {
    const json_t *result = json_object_get(root, "result");
    const json_t *measured = json_object_get(result, "measured");
    const json_t *asked = json_object_get(root, "asked");
    char text[APQ_FORMAT_MAX], energy[APQ_FORMAT_MAX], budget[256];
    if (!json_is_object(result)) {
        (void)fprintf(out, "No result of a search is recorded here.\n\n");
        return;
    }
    (void)fputs("**Result:** ", out);
    if (json_is_object(measured)) {
        (void)fputs("top-1 ", out);
        print_measured(measured, out);
        (void)fprintf(out, " on %.0f test images in integer arithmetic, ",
                      number(measured, "test_count"));
    }
    const json_t *cost = json_object_get(result, "cost");
    (void)fprintf(
        out, "predicted %s; ",
        apq_format_percent(number(result, "predicted_accuracy"), text));
    (void)fprintf(out, "%s ms and %s mJ on %s (priced, not timed). ",
                  apq_format_number(number(cost, "latency_ms"), text),
                  apq_format_number(number(cost, "energy_mj"), energy),
                  apq_document_text(asked, "target", "an unknown target"));
    format_budget(json_object_get(asked, "constraints"), budget, sizeof budget);
    (void)fprintf(out, "Budget: %s.", budget);
    size_t i;
    const json_t *row;
    json_array_foreach(json_object_get(root, "baselines"), i, row) {
        const json_t *other = json_object_get(row, "measured");
        if (json_is_object(other)) {
            (void)fprintf(out, " Fine-tuned alike, %s: ",
                          baseline_title(apq_document_text(row, "name", "")));
            print_measured(other, out);
            (void)fprintf(
                out, " at %s ms.",
                apq_format_number(
                    number(json_object_get(row, "cost"), "latency_ms"), text));
        }
    }
    if (json_is_false(
            json_object_get(json_object_get(root, "search"), "is_complete"))) {
        (void)fputs(" The search was stopped before its end.", out);
    }
    (void)fputs("\n\n", out);
    if (json_is_true(json_object_get(result, "is_measurement_stale"))) {
        (void)fputs("The fine-tuned network in the directory is of an earlier "
                    "search: run `apq finetune` again.\n\n",
                    out);
    }
}

static void fact(apq_table *table, const char *name, const char *value) {
    apq_table_cell(table, "%s", name);
    apq_table_cell(table, "%s", value);
}

static void fact_with_hash(apq_table *table, const char *name,
                           const char *value, const char *hash) {
    apq_table_cell(table, "%s", name);
    apq_table_cell(table, hash[0] != '\0' ? "%s (hash %s)" : "%s", value, hash);
}

static void print_asked(const json_t *root, FILE *out) {
    const json_t *asked = json_object_get(root, "asked");
    const json_t *recipe = json_object_get(asked, "recipe");
    const json_t *space = json_object_get(asked, "space");
    const json_t *search = json_object_get(recipe, "search");
    const json_t *cost = json_object_get(root, "search_cost");
    const json_t *made = json_array_get(json_object_get(cost, "versions"), 0);
    const json_t *cpu = json_array_get(json_object_get(cost, "cpus"), 0);
    char text[256];
    apq_table *table = apq_table_create("asked for|value");
    if (table == NULL) {
        return;
    }
    (void)snprintf(text, sizeof text,
                   "%s: %.0f blocks, %.0f\u00d7%.0f pixels, 10^%.1f networks",
                   apq_document_text(space, "name", not_recorded),
                   number(space, "blocks"), number(space, "resolution"),
                   number(space, "resolution"),
                   number(space, "log10_networks"));
    fact_with_hash(table, "space", json_is_object(space) ? text : not_recorded,
                   apq_document_text(asked, "space_hash", ""));
    fact(table, "target", apq_document_text(asked, "target", not_recorded));
    format_budget(json_object_get(asked, "constraints"), text, sizeof text);
    fact(table, "budget", text);
    fact_with_hash(table, "data",
                   apq_document_text(recipe, "data", not_recorded),
                   apq_document_text(asked, "data_hash", ""));
    fact(table, "seed", apq_document_text(asked, "seed", not_recorded));
    (void)snprintf(text, sizeof text,
                   "%s, population %.0f, parents %.0f, %.0f iterations, "
                   "mutation %g",
                   apq_document_text(search, "strategy", ""),
                   number(search, "population"), number(search, "parents"),
                   number(search, "iterations"), number(search, "mutation"));
    fact(table, "search", json_is_object(search) ? text : not_recorded);
    (void)snprintf(text, sizeof text,
                   "%.0f of the supernet, %.0f of the "
                   "network found",
                   number(json_object_get(recipe, "train"), "epochs"),
                   number(json_object_get(recipe, "finetune"), "epochs"));
    fact(table, "epochs", json_is_object(recipe) ? text : not_recorded);
    fact(table, "made by apq",
         json_is_string(made) ? json_string_value(made) : not_recorded);
    fact(table, "processor",
         json_is_string(cpu) ? json_string_value(cpu) : not_recorded);
    (void)fputs("## What was asked\n\n", out);
    finish(table, out);
}

/* "8/6": weight bits / input bits. */
static void bits_cell(apq_table *table, const json_t *row, const char *weight,
                      const char *act) {
    apq_table_cell(table, "%.0f/%.0f", number(row, weight), number(row, act));
}

static void network_row(apq_table *table, const json_t *row) {
    bool is_block = json_is_integer(json_object_get(row, "block"));
    if (is_block) {
        apq_table_cell(table, "%.0f", number(row, "block"));
    } else {
        apq_table_cell(table, "%s", apq_document_text(row, "layer", ""));
    }
    if (json_is_true(json_object_get(row, "is_skipped"))) {
        apq_table_cell(table, "%s", "skipped");
        apq_table_end_row(table);
        return;
    }
    double kernel = number(row, "kernel");
    apq_table_cell(table, "%.0f\u00d7%.0f%s", kernel, kernel,
                   number(row, "stride") > 1 ? " /2" : "");
    if (is_block) {
        apq_table_cell(table, "%.0f of %.0f", number(row, "channels"),
                       number(row, "max_channels"));
        bits_cell(table, row, "pw_weight_bits", "pw_act_bits");
        bits_cell(table, row, "dw_weight_bits", "dw_act_bits");
    } else {
        apq_table_cell(table, "%.0f", number(row, "out_channels"));
        bits_cell(table, row, "weight_bits", "act_bits");
        apq_table_cell(table, "%s", "");
    }
    char text[APQ_FORMAT_MAX];
    number_cell(table, row, "macs", 1e-6);
    number_cell(table, row, "weight_bytes", 1e-3);
    double latency_ms = number(row, "latency_ms");
    apq_table_cell(table, "%s", apq_format_number(1e3 * latency_ms, text));
    fixed_cell(table, 100 * number(row, "latency_share"), 1, " %");
    number_cell(table, row, "energy_mj", 1e3);
    fixed_cell(table, 100 * number(row, "energy_share"), 1, " %");
}

static void print_network(const json_t *root, FILE *out) {
    const json_t *result = json_object_get(root, "result");
    const json_t *rows = json_object_get(result, "rows");
    (void)fputs("## The network\n\n", out);
    if (json_array_size(rows) == 0) {
        (void)fprintf(out, "The chosen policy block by block: %s.\n\n",
                      not_recorded);
        return;
    }
    apq_table *table = apq_table_create(
        "block|kernel|>channels|>expand, project W/A|>depthwise W/A|>M MACs|"
        ">KB|>\u00b5s|>share|>\u00b5J|>share");
    if (table == NULL) {
        return;
    }
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row) {
        network_row(table, row);
    }
    const json_t *cost = json_object_get(result, "cost");
    for (int c = 0; c < 5; c++) {
        apq_table_cell(table, "%s", c == 0 ? "all" : "");
    }
    number_cell(table, cost, "macs", 1e-6);
    number_cell(table, cost, "weight_bytes", 1e-3);
    number_cell(table, cost, "latency_ms", 1e3);
    apq_table_cell(table, "%s", "");
    number_cell(table, cost, "energy_mj", 1e3);
    apq_table_end_row(table);
    finish(table, out);
    char text[APQ_FORMAT_MAX];
    (void)fprintf(
        out,
        "W/A: bits of weights and of the layer's input. Kernel \"/2\""
        " halves the resolution. KB are weights. Largest activations "
        "of a layer: %s KB.\n\n",
        apq_format_number(1e-3 * number(cost, "peak_activation_bytes"), text));
}

/* Every accuracy ever measured of the fine-tuned network has a name ending in
 * "top1"; those that the steps add later appear by themselves. */
static void print_accuracy(const json_t *root, FILE *out) {
    json_t *result = json_object_get(root, "result");
    json_t *measured = json_object_get(result, "measured");
    if (!json_is_object(result)) {
        return;
    }
    apq_table *table = apq_table_create("accuracy|>top-1|>images");
    if (table == NULL) {
        return;
    }
    apq_table_cell(table, "%s", "predicted, quantised, validation");
    percent_cell(table, number(result, "predicted_accuracy"));
    apq_table_end_row(table);
    const char *key;
    json_t *value;
    json_object_foreach(measured, key, value) {
        size_t n = strlen(key);
        if (n < 5 || strcmp(key + n - 5, "_top1") != 0) {
            continue;
        }
        bool is_test = strcmp(key, "test_top1") == 0;
        apq_table_cell(table, "%s%.*s",
                       is_test ? "measured in integers, " : "measured, ",
                       (int)(n - 5), key);
        percent_cell(table, json_number_value(value));
        if (is_test) {
            fixed_cell(table, number(measured, "test_count"), 0, "");
        }
        apq_table_end_row(table);
    }
    if (!json_is_object(measured)) {
        apq_table_cell(table, "%s", "measured");
        apq_table_cell(table, "%s", not_recorded);
        apq_table_end_row(table);
    }
    (void)fputs("## Accuracy\n\n", out);
    finish(table, out);
}

static void candidate_row(apq_table *table, const char *name,
                          const json_t *candidate, const char *verdict) {
    const json_t *cost = json_object_get(candidate, "cost");
    apq_table_cell(table, "%s", name);
    percent_cell(table, number(candidate, "predicted_accuracy"));
    percent_cell(table,
                 number(json_object_get(candidate, "measured"), "test_top1"));
    number_cell(table, cost, "latency_ms", 1);
    number_cell(table, cost, "energy_mj", 1);
    number_cell(table, cost, "bitops", 1e-9);
    number_cell(table, cost, "weight_bytes", 1e-3);
    apq_table_cell(table, "%s", verdict);
}

static void print_baselines(const json_t *root, FILE *out) {
    const json_t *rows = json_object_get(root, "baselines");
    apq_table *table =
        json_is_array(rows)
            ? apq_table_create("network|>predicted|>test|>ms|>mJ|>GBitOps|>KB|"
                               "budget")
            : NULL;
    if (table == NULL) {
        return;
    }
    candidate_row(table, "found, mixed bits", json_object_get(root, "result"),
                  "met");
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row) {
        const char *title = baseline_title(apq_document_text(row, "name", ""));
        if (json_is_false(json_object_get(row, "is_found"))) {
            apq_table_cell(table, "%s", title);
            apq_table_cell(table, "%s", "none");
            apq_table_end_row(table);
            continue;
        }
        bool is_met = json_is_true(json_object_get(row, "meets_budget"));
        candidate_row(table, title, row, is_met ? "met" : "exceeded");
    }
    (void)fputs("## Compared with one bit-width\n\n", out);
    finish(table, out);
}

static void print_predictor(const json_t *root, FILE *out) {
    json_t *sets = json_object_get(root, "predictor");
    (void)fputs("## Predictor\n\n", out);
    if (!json_is_object(sets)) {
        (void)fprintf(out, "Held-out quality: %s.\n\n", not_recorded);
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
        fixed_cell(table, number(set, "n_train") + number(set, "n_validation"),
                   0, "");
        fixed_cell(table, number(set, "n_test"), 0, "");
        fixed_cell(table, 100 * number(set, "pairwise_accuracy"), 1, " %");
        fixed_cell(table, number(set, "kendall_tau"), 2, "");
        fixed_cell(table, 100 * number(set, "rmse"), 2, " points");
    }
    finish(table, out);
}

static void print_curve(const json_t *rows, const char *key, const char *title,
                        double scale, const char *unit, FILE *out) {
    size_t n = json_array_size(rows);
    double *values = calloc(n + 1, sizeof *values);
    size_t used = 0;
    for (size_t i = 0; values != NULL && i < n; i++) {
        double value = scale * number(json_array_get(rows, i), key);
        if (isfinite(value) && (value > 0 || used > 0)) {
            values[used++] = value;
        }
    }
    if (used > 0) {
        char line[APQ_SPARKLINE_MAX];
        (void)fprintf(out, "%-36s %s  %.2f \u2192 %.2f%s\n", title,
                      apq_format_sparkline(values, used, line), values[0],
                      values[used - 1], unit);
    }
    free(values);
}

static void print_curves(const json_t *root, FILE *out) {
    const json_t *curves = json_object_get(root, "curves");
    const json_t *train = json_object_get(curves, "train");
    const json_t *search = json_object_get(curves, "search");
    (void)fputs("## Curves\n\n", out);
    if (!json_is_array(train) && !json_is_array(search)) {
        (void)fprintf(out, "Training and search: %s.\n\n", not_recorded);
        return;
    }
    (void)fputs("```\n", out);
    print_curve(train, "largest_train_top1", "train top-1, largest", 100, " %",
                out);
    print_curve(train, "others_train_top1", "train top-1, smallest and random",
                100, " %", out);
    print_curve(train, "largest_val_top1", "validation top-1, largest", 100,
                " %", out);
    print_curve(train, "smallest_val_top1", "validation top-1, smallest", 100,
                " %", out);
    print_curve(train, "largest_loss", "train loss, largest", 1, "", out);
    print_curve(search, "best", "search, best predicted top-1", 100, " %", out);
    print_curve(search, "mean", "search, mean of the population", 100, " %",
                out);
    (void)fputs("```\n\n", out);
    size_t i;
    const json_t *name;
    const json_t *figures = json_object_get(root, "figures");
    json_array_foreach(figures, i, name) {
        (void)fprintf(out, "%s[%s](%s)", i == 0 ? "Figures: " : ", ",
                      json_string_value(name), json_string_value(name));
    }
    if (json_array_size(figures) > 0) {
        (void)fputs("\n\n", out);
    }
}

static void print_provenance(const json_t *root, FILE *out) {
    json_t *provenance = json_object_get(root, "provenance");
    json_t *steps = json_object_get(provenance, "steps");
    (void)fputs("## Provenance\n\n", out);
    if (!json_is_object(steps) || json_object_size(steps) == 0) {
        (void)fprintf(out, "Hashes of the steps: %s.\n\n", not_recorded);
    } else {
        apq_table *table = apq_table_create("finished step|input|artefact");
        const char *name;
        json_t *step;
        json_object_foreach(steps, name, step) {
            if (table == NULL) {
                break;
            }
            apq_table_cell(table, "%s", name);
            apq_table_cell(table, "%s", apq_document_text(step, "input", ""));
            apq_table_cell(table, "%s",
                           apq_document_text(step, "artefact", ""));
        }
        if (table != NULL) {
            finish(table, out);
        }
    }
    (void)fprintf(out, "Reported by apq %s.\n",
                  apq_document_text(json_object_get(root, "program"), "apq",
                                    not_recorded));
}

apq_status apq_report_markdown(const json_t *document, char **text) {
    char *buffer = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&buffer, &n);
    if (out == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "report: out of memory");
    }
    (void)fprintf(out, "# Report on %s\n\n",
                  apq_document_text(document, "directory", ""));
    print_verdict(document, out);
    print_asked(document, out);
    print_accuracy(document, out);
    print_baselines(document, out);
    print_network(document, out);
    apq_markdown_labels(json_object_get(document, "labels"), out);
    print_predictor(document, out);
    print_curves(document, out);
    (void)fputs("## Search cost\n\n", out);
    apq_markdown_cost(json_object_get(document, "search_cost"), out);
    print_provenance(document, out);
    bool has_failed = ferror(out) != 0;
    if (fclose(out) != 0 || has_failed) {
        free(buffer);
        APQ_FAIL(APQ_ERR_NOMEM, "report: out of memory");
    }
    *text = buffer;
    return APQ_OK;
}
