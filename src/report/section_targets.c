/* What the network costs elsewhere, and how far its prices can be trusted. */
#include "report/document.h"

#include "report/format.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static double number(const json_t *object, const char *key) {
    return apq_document_number(object, key);
}

static void target_cell(apq_table *table, const json_t *target) {
    double batch = number(target, "batch");
    if (batch > 1) {
        apq_table_cell(table, "%s, batch %.0f",
                       apq_document_text(target, "target", ""), batch);
    } else {
        apq_table_cell(table, "%s", apq_document_text(target, "target", ""));
    }
}

/* A row a network; latency also as a share of the found network's. */
static void put_target(apq_table *table, const json_t *target) {
    const json_t *networks = json_object_get(target, "networks");
    double found_ms = number(
        json_object_get(json_array_get(networks, 0), "cost"), "latency_ms");
    size_t i;
    const json_t *row;
    json_array_foreach(networks, i, row) {
        const json_t *cost = json_object_get(row, "cost");
        target_cell(table, target);
        apq_table_cell(
            table, "%s",
            apq_document_baseline(apq_document_text(row, "name", "")));
        if (!json_is_object(cost)) {
            apq_table_cell(table, "%s", "cannot run it");
            apq_table_end_row(table);
            continue;
        }
        apq_cell_number(table, cost, "latency_ms", 1);
        apq_cell_fixed(table, number(cost, "latency_ms") / found_ms, 2,
                       "\u00d7");
        apq_cell_number(table, cost, "energy_mj", 1);
    }
}

void apq_section_targets(const json_t *root, apq_page *page) {
    const json_t *targets = json_object_get(root, "targets");
    if (!json_is_array(targets)) {
        return;
    }
    apq_page_heading(page, "On other targets");
    apq_table *table = apq_table_create("target|network|>ms|>of the found|>mJ");
    size_t i;
    const json_t *row;
    json_array_foreach(targets, i, row) {
        if (table != NULL && json_is_true(json_object_get(row, "is_priced"))) {
            put_target(table, row);
        }
    }
    apq_page_table(page, table);
    bool is_first = true;
    json_array_foreach(targets, i, row) {
        if (json_is_false(json_object_get(row, "is_priced"))) {
            apq_page_put(page, "%s`%s`", is_first ? "Not priced: " : ", ",
                         apq_document_text(row, "target", ""));
            is_first = false;
        }
    }
    if (!is_first) {
        apq_page_put(page, "%s",
                     ", which are measured. `apq lut build` makes their table,"
                     " `apq report --targets FILE.jsonl` prices with it. ");
    }
    apq_page_put(page, "%s",
                 "All prices are of one image; a batch's are divided by its"
                 " size.");
    apq_page_end(page);
}

static void put_table_facts(const json_t *model, apq_page *page) {
    const json_t *table = json_object_get(model, "table");
    apq_page_put(page,
                 "Prices are sums over a table of %.0f measured or computed "
                 "layers (%.0f not supported), made %s with apq %s.",
                 number(table, "rows"), number(table, "unsupported"),
                 apq_document_text(table, "date", "?"),
                 apq_document_text(table, "tool_version", "?"));
    if (number(table, "max_spread") > 0) {
        apq_page_put(page,
                     " Spread of a layer's measurements: median %.1f %%, "
                     "largest %.1f %%.",
                     100 * number(table, "median_spread"),
                     100 * number(table, "max_spread"));
    }
}

/* Of `apq lut check --networks`. */
static void put_check(const json_t *check, apq_page *page) {
    const json_t *networks = json_object_get(check, "networks");
    if (json_is_object(networks)) {
        apq_page_put(page,
                     " Whole networks were measured against their sums: %.0f, "
                     "median error %.1f %%, largest %.1f %%, Kendall \u03c4 "
                     "%.2f.",
                     number(networks, "count"),
                     100 * number(networks, "median_error"),
                     100 * number(networks, "max_error"),
                     number(networks, "kendall_tau"));
    } else {
        apq_page_put(page, "%s",
                     " Whole networks against their sums: not recorded; `apq "
                     "lut check TABLE --networks 30 --json` tells, and its "
                     "output is shown here as `lut-check.json` of the "
                     "directory.");
    }
}

void apq_section_cost_model(const json_t *root, apq_page *page) {
    const json_t *model = json_object_get(root, "cost_model");
    if (!json_is_object(model)) {
        return;
    }
    apq_page_heading(page, "Cost model");
    apq_page_put(page, "Target `%s` (hash %s)",
                 apq_document_text(model, "target", "?"),
                 apq_document_text(model, "hash", "?"));
    if (number(model, "batch") > 1) {
        apq_page_put(page, ", %.0f images at a time", number(model, "batch"));
    }
    apq_page_put(page, "%s", ". ");
    if (json_is_true(json_object_get(model, "is_table"))) {
        put_table_facts(model, page);
        put_check(json_object_get(model, "check"), page);
    } else {
        apq_page_put(page, "%s",
                     "Prices are computed by a model of the machine, layer by"
                     " layer; nothing was timed, so there is no spread.");
    }
    apq_page_end(page);
}
