/* The section "Labels" of the report: what the predictor learned from
 * and how much of its differences is noise. */
#include "report/document.h"

#include "report/table.h"

#include <math.h>

static void points(apq_table *table, double value, double scale) {
    if (isfinite(value)) {
        apq_table_cell(table, "%.3g", scale * value);
    } else {
        apq_table_cell(table, "%s", "-");
    }
}

static void add_row(apq_table *table, const char *kind, const json_t *set,
                    const char *label, double scale) {
    const json_t *spread = json_object_get(set, label);
    double ceiling = apq_document_number(spread, "pairwise_ceiling");
    apq_table_cell(table, "%s, %s", kind,
                   scale > 1 ? "top-1 in points" : "loss");
    apq_table_cell(table, "%.0f", apq_document_number(set, "records"));
    points(table, apq_document_number(spread, "mean"), scale);
    points(table, apq_document_number(spread, "sd"), scale);
    points(table, apq_document_number(spread, "image_error"), scale);
    points(table, apq_document_number(spread, "repeat_error"), scale);
    points(table, apq_document_number(spread, "noise"), scale);
    if (isfinite(ceiling)) {
        apq_table_cell(table, "%.1f %%", 100 * ceiling);
    } else {
        apq_table_cell(table, "%s", "-");
    }
}

void apq_section_labels(json_t *labels, apq_page *page) {
    if (!json_is_object(labels)) {
        return;
    }
    apq_table *table =
        apq_table_create("labels|>records|>mean|>s.d.|>images|>repeats|>noise|>"
                         "ceiling of pairs");
    if (table == NULL) {
        return;
    }
    const char *kind;
    json_t *set;
    json_object_foreach(labels, kind, set) {
        if (json_is_object(set)) {
            add_row(table, kind, set, "accuracy", 100);
            add_row(table, kind, set, "loss", 1);
        }
    }
    apq_page_heading(page, "Labels");
    apq_page_table(page, table);
}
