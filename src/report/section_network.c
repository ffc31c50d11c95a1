/* The network of the report: a row a block and, on pages, a picture and a table
 * of its layers. */
#include "report/document.h"

#include "report/format.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static double number(const json_t *object, const char *key) {
    return apq_document_number(object, key);
}

/* "-" unless both are known. */
static void pair_cell(apq_table *table, double left, const char *joint,
                      double right) {
    if (isfinite(left) && isfinite(right)) {
        apq_table_cell(table, "%.0f%s%.0f", left, joint, right);
    } else {
        apq_table_cell(table, "%s", "-");
    }
}

/* "8/6": weight bits / input bits. */
static void bits_cell(apq_table *table, const json_t *row, const char *weight,
                      const char *act) {
    pair_cell(table, number(row, weight), "/", number(row, act));
}

static void kernel_cell(apq_table *table, const json_t *row) {
    double kernel = number(row, "kernel");
    if (number(row, "stride") > 1 && isfinite(kernel)) {
        apq_table_cell(table, "%.0f\u00d7%.0f /2", kernel, kernel);
    } else {
        pair_cell(table, kernel, "\u00d7", kernel);
    }
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
    kernel_cell(table, row);
    if (is_block) {
        pair_cell(table, number(row, "channels"), " of ",
                  number(row, "max_channels"));
        bits_cell(table, row, "pw_weight_bits", "pw_act_bits");
        bits_cell(table, row, "dw_weight_bits", "dw_act_bits");
    } else {
        apq_cell_fixed(table, number(row, "out_channels"), 0, "");
        bits_cell(table, row, "weight_bits", "act_bits");
        apq_table_cell(table, "%s", "");
    }
    char text[APQ_FORMAT_MAX];
    apq_cell_number(table, row, "macs", 1e-6);
    apq_cell_number(table, row, "weight_bytes", 1e-3);
    double latency_ms = number(row, "latency_ms");
    apq_table_cell(table, "%s", apq_format_number(1e3 * latency_ms, text));
    apq_cell_fixed(table, 100 * number(row, "latency_share"), 1, " %");
    apq_cell_number(table, row, "energy_mj", 1e3);
    apq_cell_fixed(table, 100 * number(row, "energy_share"), 1, " %");
}

/* Points of accuracy: "-0.12", "0", or "-" where not known. */
static const char *format_change(double fraction, char out[16]) {
    double points = 100 * fraction;
    if (!isfinite(points)) {
        return "-";
    }
    if (fabs(points) < 0.005) {
        return "0";
    }
    (void)snprintf(out, 16, "%+.2f", points);
    return out;
}

/* By weights / by inputs. */
static void sensitivity_cell(apq_table *table, const json_t *row) {
    double weight = number(row, "weight_sensitivity");
    double act = number(row, "act_sensitivity");
    char left[16], right[16];
    if (isfinite(weight) || isfinite(act)) {
        apq_table_cell(table, "%s / %s", format_change(weight, left),
                       format_change(act, right));
    } else {
        apq_table_cell(table, "%s", "-");
    }
}

static void layer_row(apq_table *table, const json_t *row) {
    apq_table_cell(table, "%s", apq_document_text(row, "name", ""));
    apq_table_cell(table, "%s", apq_document_text(row, "kind", ""));
    kernel_cell(table, row);
    pair_cell(table, number(row, "in_channels"), " \u2192 ",
              number(row, "out_channels"));
    apq_cell_fixed(table, 100 * number(row, "kept"), 0, " %");
    bits_cell(table, row, "weight_bits", "act_bits");
    apq_cell_number(table, row, "macs", 1e-6);
    apq_cell_number(table, row, "weight_bytes", 8e-3);
    apq_cell_number(table, row, "latency_ms", 1e3);
    apq_cell_fixed(table, 100 * number(row, "latency_share"), 1, " %");
    apq_cell_number(table, row, "energy_mj", 1e3);
    apq_table_cell(table, "%s", apq_document_text(row, "bound", "-"));
    apq_cell_fixed(table, number(row, "sqnr_db"), 1, "");
    sensitivity_cell(table, row);
}

/* Twice as long as the table of blocks: only where it can be scrolled past. */
static void put_layers(const json_t *result, apq_page *page) {
    const json_t *layers = json_object_get(result, "layers");
    if (!apq_page_is_html(page) || json_array_size(layers) == 0) {
        return;
    }
    apq_table *table = apq_table_create(
        "layer|kind|kernel|>channels|>kept|>W/A|>M MACs|>weights kbit|"
        ">\u00b5s|>share|>\u00b5J|bound by|>SQNR dB|>fewer W/A");
    size_t i;
    const json_t *row;
    json_array_foreach(layers, i, row) {
        if (table != NULL) {
            layer_row(table, row);
        }
    }
    apq_page_put(page, "%s", "**Layer by layer**");
    apq_page_end(page);
    apq_page_table(page, table);
    apq_page_put(page,
                 "SQNR: signal to quantisation noise of the weights in `%s`. "
                 "Fewer W/A: change of the predicted top-1, in points, when "
                 "the layer's weights / its inputs get the next smaller "
                 "bit-width; the 1\u00d71 layers of a block share theirs.",
                 apq_document_text(result, "weights", apq_not_recorded));
    apq_page_end(page);
}

void apq_section_network(const json_t *root, apq_page *page) {
    const json_t *result = json_object_get(root, "result");
    const json_t *rows = json_object_get(result, "rows");
    apq_page_heading(page, "The network");
    if (json_array_size(rows) == 0) {
        apq_page_put(page, "The chosen policy block by block: %s.",
                     apq_not_recorded);
        apq_page_end(page);
        return;
    }
    if (apq_page_is_html(page)) {
        apq_layers_picture(json_object_get(result, "layers"),
                           apq_page_html(page));
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
    apq_cell_number(table, cost, "macs", 1e-6);
    apq_cell_number(table, cost, "weight_bytes", 1e-3);
    apq_cell_number(table, cost, "latency_ms", 1e3);
    apq_table_cell(table, "%s", "");
    apq_cell_number(table, cost, "energy_mj", 1e3);
    apq_table_end_row(table);
    apq_page_table(page, table);
    char text[APQ_FORMAT_MAX];
    apq_page_put(
        page,
        "W/A: bits of weights and of the layer's input. Kernel \"/2\""
        " halves the resolution. KB are weights. Largest activations "
        "of a layer: %s KB.",
        apq_format_number(1e-3 * number(cost, "peak_activation_bytes"), text));
    apq_page_end(page);
    put_layers(result, page);
}
