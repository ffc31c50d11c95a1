/* The first sections of the report: the verdict, what was asked, the
 * accuracies, and the networks of one bit-width. */
#include "report/document.h"

#include "report/format.h"
#include "report/table.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static double number(const json_t *object, const char *key) {
    return apq_document_number(object, key);
}

/* Half the 95 % interval that the choice of its images gives a measured
 * accuracy; NaN. */
static double test_error(const json_t *measured) {
    return 1.96 * number(measured, "test_standard_error");
}

static void print_error(double error, apq_page *page) {
    if (error > 0) {
        apq_page_put(page, " (\u00b1 %.2f points)", 100 * error);
    }
}

static void print_measured(const json_t *measured, apq_page *page) {
    char percent[APQ_FORMAT_MAX];
    apq_page_put(page, "%s",
                 apq_format_percent(number(measured, "test_top1"), percent));
    print_error(test_error(measured), page);
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
                       ? apq_not_recorded
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

/* Half the 95 % interval that the held-out records give a prediction; NaN. */
static double predictor_error(const json_t *root) {
    const json_t *fits = json_object_get(root, "predictor");
    return 1.96 *
           apq_document_held_out(json_object_get(fits, "quantised"), "rmse");
}

static void put_tile(apq_page *page, const char *name, double value,
                     const char *unit, const char *note) {
    char digits[APQ_FORMAT_MAX], text[2 * APQ_FORMAT_MAX];
    if (isfinite(value)) {
        (void)snprintf(text, sizeof text, "%s %s",
                       apq_format_number(value, digits), unit);
        apq_page_tile(page, name, text, note);
    }
}

static void put_tiles(const json_t *root, const json_t *result,
                      apq_page *page) {
    const json_t *measured = json_object_get(result, "measured");
    const json_t *cost = json_object_get(result, "cost");
    double p = number(measured, "test_top1"), error = predictor_error(root);
    char text[APQ_FORMAT_MAX], note[64] = "";
    if (isfinite(p)) {
        (void)snprintf(note, sizeof note, "\u00b1 %.2f on %.0f images",
                       100 * test_error(measured),
                       number(measured, "test_count"));
        apq_page_tile(page, "top-1, measured", apq_format_percent(p, text),
                      note);
    }
    note[0] = '\0';
    if (error > 0) {
        (void)snprintf(note, sizeof note, "\u00b1 %.2f points", 100 * error);
    }
    apq_page_tile(
        page, "top-1, predicted",
        apq_format_percent(number(result, "predicted_accuracy"), text), note);
    put_tile(page, "latency", number(cost, "latency_ms"), "ms", "priced");
    put_tile(page, "energy", number(cost, "energy_mj"), "mJ", "priced");
    put_tile(page, "weights", 1e-3 * number(cost, "weight_bytes"), "KB", "");
    put_tile(page, "activations", 1e-3 * number(cost, "peak_activation_bytes"),
             "KB", "largest layer");
    put_tile(page, "bit operations", 1e-9 * number(cost, "bitops"), "G", "");
    apq_page_tiles_end(page);
}

/* What finetune.policy named in place of the network found; null: nothing. */
static void put_own_choice(const json_t *own, apq_page *page) {
    const json_t *measured = json_object_get(own, "measured");
    char text[APQ_FORMAT_MAX];
    if (!json_is_object(own)) {
        return;
    }
    apq_page_put(page, "%s",
                 "Fine-tuned was another network, `finetune.policy`: top-1 ");
    print_measured(measured, page);
    apq_page_put(page, " on %.0f test images, %s ms.",
                 number(measured, "test_count"),
                 apq_format_number(
                     number(json_object_get(own, "cost"), "latency_ms"), text));
    apq_page_end(page);
}

/* Sums over a table's layers, which may have been timed; a model's prices were
 * not; without either nothing is known of them. */
static const char *origin_of_prices(const json_t *root) {
    const json_t *model = json_object_get(root, "cost_model");
    if (!json_is_object(model)) {
        return "";
    }
    return json_is_true(json_object_get(model, "is_table"))
               ? " (summed over a table of layers)"
               : " (priced, not timed)";
}

/* Measured targets tell no energy. */
static void put_prices(const json_t *root, const json_t *cost, apq_page *page) {
    char text[APQ_FORMAT_MAX];
    const json_t *asked = json_object_get(root, "asked");
    double energy = number(cost, "energy_mj");
    apq_page_put(page, "%s ms",
                 apq_format_number(number(cost, "latency_ms"), text));
    if (isfinite(energy)) {
        apq_page_put(page, " and %s mJ", apq_format_number(energy, text));
    }
    apq_page_put(page, " on %s%s. ",
                 apq_document_text(asked, "target", "an unknown target"),
                 origin_of_prices(root));
}

/* The networks that were fine-tuned beside the one found. */
static void put_others(const json_t *root, apq_page *page) {
    char text[APQ_FORMAT_MAX];
    size_t i;
    const json_t *row;
    json_array_foreach(json_object_get(root, "baselines"), i, row) {
        const json_t *other = json_object_get(row, "measured");
        if (!json_is_object(other)) {
            continue;
        }
        bool is_over = json_is_false(json_object_get(row, "meets_budget"));
        apq_page_put(page, " Fine-tuned alike, %s: ",
                     apq_document_baseline(apq_document_text(row, "name", "")));
        print_measured(other, page);
        apq_page_put(
            page, " at %s ms%s.",
            apq_format_number(
                number(json_object_get(row, "cost"), "latency_ms"), text),
            is_over ? " (over budget)" : "");
    }
}

/* Of the network found, of another in its place or of one beside it. */
static bool has_test_error(const json_t *root) {
    const json_t *result = json_object_get(root, "result");
    const json_t *own = json_object_get(result, "own_choice");
    bool has = test_error(json_object_get(result, "measured")) > 0 ||
               test_error(json_object_get(own, "measured")) > 0;
    size_t i;
    const json_t *row;
    json_array_foreach(json_object_get(root, "baselines"), i, row) {
        has = has || test_error(json_object_get(row, "measured")) > 0;
    }
    return has;
}

/* What "\u00b1" means, where it is said. */
static void put_intervals(const json_t *root, apq_page *page) {
    bool has_predictor = predictor_error(root) > 0;
    bool has_test = has_test_error(root);
    if (!has_predictor && !has_test) {
        return;
    }
    apq_page_put(page, "%s", "\u00b1: 95 % intervals. ");
    if (has_predictor) {
        apq_page_put(page, "%s",
                     "Of a predicted accuracy 1.96 times the predictor's RMSE "
                     "on records held out from its fit. ");
    }
    if (has_test) {
        apq_page_put(page, "%s",
                     "Of a measured one 1.96 standard errors by the choice of "
                     "the test images.");
    }
    apq_page_end(page);
}

void apq_section_verdict(const json_t *root, apq_page *page) {
    const json_t *result = json_object_get(root, "result");
    const json_t *measured = json_object_get(result, "measured");
    const json_t *asked = json_object_get(root, "asked");
    char text[APQ_FORMAT_MAX], budget[256];
    if (!json_is_object(result)) {
        apq_page_put(page, "No result of a search is recorded here.");
        apq_page_end(page);
        return;
    }
    apq_page_put(page, "%s", "**Result:** ");
    if (json_is_object(measured)) {
        apq_page_put(page, "%s", "top-1 ");
        print_measured(measured, page);
        apq_page_put(page, " on %.0f test images in integer arithmetic, ",
                     number(measured, "test_count"));
    }
    apq_page_put(
        page, "predicted %s",
        apq_format_percent(number(result, "predicted_accuracy"), text));
    print_error(predictor_error(root), page);
    apq_page_put(page, "%s", "; ");
    put_prices(root, json_object_get(result, "cost"), page);
    format_budget(json_object_get(asked, "constraints"), budget, sizeof budget);
    apq_page_put(page, "Budget: %s.", budget);
    put_others(root, page);
    if (json_is_false(
            json_object_get(json_object_get(root, "search"), "is_complete"))) {
        apq_page_put(page, "%s", " The search was stopped before its end.");
    }
    apq_page_end(page);
    put_tiles(root, result, page);
    put_intervals(root, page);
    if (json_is_true(json_object_get(result, "is_measurement_stale"))) {
        apq_page_put(page, "%s",
                     "The fine-tuned network in the directory is of an earlier "
                     "search: run `apq finetune` again.");
        apq_page_end(page);
    }
    put_own_choice(json_object_get(result, "own_choice"), page);
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

/* Nothing where the fine-tuning, which counts them, is of an earlier version.
 */
static void fact_images(apq_table *table, const json_t *measured) {
    double train = number(measured, "train_count");
    double val = number(measured, "val_count");
    double test = number(measured, "test_count");
    if (isfinite(train + val + test)) {
        apq_table_cell(table, "%s", "images");
        apq_table_cell(table, "%.0f to train, %.0f to validate, %.0f to test",
                       train, val, test);
    }
}

void apq_section_asked(const json_t *root, apq_page *page) {
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
                   apq_document_text(space, "name", apq_not_recorded),
                   number(space, "blocks"), number(space, "resolution"),
                   number(space, "resolution"),
                   number(space, "log10_networks"));
    fact_with_hash(table, "space",
                   json_is_object(space) ? text : apq_not_recorded,
                   apq_document_text(asked, "space_hash", ""));
    fact(table, "target", apq_document_text(asked, "target", apq_not_recorded));
    format_budget(json_object_get(asked, "constraints"), text, sizeof text);
    fact(table, "budget", text);
    fact_with_hash(table, "data",
                   apq_document_text(recipe, "data", apq_not_recorded),
                   apq_document_text(asked, "data_hash", ""));
    fact_images(table,
                json_object_get(json_object_get(root, "result"), "measured"));
    fact(table, "seed", apq_document_text(asked, "seed", apq_not_recorded));
    (void)snprintf(text, sizeof text,
                   "%s, population %.0f, parents %.0f, %.0f iterations, "
                   "mutation %g",
                   apq_document_text(search, "strategy", ""),
                   number(search, "population"), number(search, "parents"),
                   number(search, "iterations"), number(search, "mutation"));
    fact(table, "search", json_is_object(search) ? text : apq_not_recorded);
    (void)snprintf(text, sizeof text,
                   "%.0f of the supernet, %.0f of the "
                   "network found",
                   number(json_object_get(recipe, "train"), "epochs"),
                   number(json_object_get(recipe, "finetune"), "epochs"));
    fact(table, "epochs", json_is_object(recipe) ? text : apq_not_recorded);
    fact(table, "made by apq",
         json_is_string(made) ? json_string_value(made) : apq_not_recorded);
    fact(table, "processor",
         json_is_string(cpu) ? json_string_value(cpu) : apq_not_recorded);
    apq_page_heading(page, "What was asked");
    apq_page_table(page, table);
}

/* Every accuracy ever measured of the fine-tuned network has a name ending in
 * "top1"; those that the steps add later appear by themselves. */
void apq_section_accuracy(const json_t *root, apq_page *page) {
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
    apq_cell_percent(table, number(result, "predicted_accuracy"));
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
        apq_cell_percent(table, json_number_value(value));
        if (is_test) {
            apq_cell_fixed(table, number(measured, "test_count"), 0, "");
        }
        apq_table_end_row(table);
    }
    if (!json_is_object(measured)) {
        apq_table_cell(table, "%s", "measured");
        apq_table_cell(table, "%s", apq_not_recorded);
        apq_table_end_row(table);
    }
    apq_page_heading(page, "Accuracy");
    apq_page_table(page, table);
}

static void candidate_row(apq_table *table, const char *name,
                          const json_t *candidate, const char *verdict) {
    const json_t *cost = json_object_get(candidate, "cost");
    apq_table_cell(table, "%s", name);
    apq_cell_percent(table, number(candidate, "predicted_accuracy"));
    apq_cell_percent(
        table, number(json_object_get(candidate, "measured"), "test_top1"));
    apq_cell_number(table, cost, "latency_ms", 1);
    apq_cell_number(table, cost, "energy_mj", 1);
    apq_cell_number(table, cost, "bitops", 1e-9);
    apq_cell_number(table, cost, "weight_bytes", 1e-3);
    apq_table_cell(table, "%s", verdict);
}

void apq_section_baselines(const json_t *root, apq_page *page) {
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
        const char *title =
            apq_document_baseline(apq_document_text(row, "name", ""));
        if (json_is_false(json_object_get(row, "is_found"))) {
            apq_table_cell(table, "%s", title);
            apq_table_cell(table, "%s", "none");
            apq_table_end_row(table);
            continue;
        }
        bool is_met = json_is_true(json_object_get(row, "meets_budget"));
        candidate_row(table, title, row, is_met ? "met" : "exceeded");
    }
    apq_page_heading(page, "Compared with other networks");
    apq_page_table(page, table);
}
