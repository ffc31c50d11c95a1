/* The section of the report on what the search itself cost, step by step and
 * summed over what is spent once and what is spent for each search. */
#include "report/document.h"

#include "report/format.h"
#include "report/table.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static double number(const json_t *object, const char *key) {
    return apq_document_number(object, key);
}

static void amount_cell(apq_table *table, double value) {
    char text[APQ_FORMAT_MAX];
    apq_table_cell(table, "%s", apq_format_amount(value, text));
}

static void usd_cell(apq_table *table, const json_t *row) {
    char low[APQ_FORMAT_MAX], high[APQ_FORMAT_MAX];
    double dearest = number(row, "usd_high");
    if (dearest < 0.001) {
        apq_table_cell(table, "%s", dearest > 0 ? "< 0.001" : "0");
    } else if (dearest < 10) {
        int decimals = dearest < 1 ? 3 : 2;
        apq_table_cell(table, "%.*f\u2013%.*f", decimals,
                       number(row, "usd_low"), decimals, dearest);
    } else {
        apq_table_cell(table, "%s\u2013%s",
                       apq_format_number(number(row, "usd_low"), low),
                       apq_format_number(dearest, high));
    }
}

static void cost_row(apq_table *table, const char *name, const json_t *row,
                     const char *energy) {
    char text[APQ_FORMAT_MAX];
    apq_table_cell(table, "%s", name);
    apq_table_cell(table, "%s",
                   apq_format_duration(number(row, "wall_s"), text));
    amount_cell(table, number(row, "core_hours"));
    amount_cell(table, number(row, "gpu_hours"));
    amount_cell(table, number(row, "v100_hours"));
    amount_cell(table, number(row, "kwh"));
    amount_cell(table, number(row, "co2_lbs"));
    amount_cell(table, number(row, "co2_kg"));
    usd_cell(table, row);
    apq_table_cell(table, "%s", energy);
}

static void print_assumptions(const json_t *cost, apq_page *page) {
    const json_t *rates = json_object_get(cost, "rates");
    double per_core_s = number(cost, "training_flop_per_core_s");
    apq_page_put(
        page,
        "kWh = PUE %g \u00d7 (core-hours \u00d7 %g W + hours \u00d7 %g W "
        "memory "
        "+ GPU-hours \u00d7 %g W), or PUE \u00d7 the energy measured; CO2e = "
        "%g "
        "lb/kWh (Strubell et al., 2019). Cloud: %g\u2013%g $ a core-hour, "
        "%g\u2013%g $ a GPU-hour. ",
        number(rates, "pue"), number(rates, "core_watts"),
        number(rates, "dram_watts"), number(rates, "gpu_watts"),
        number(rates, "grid_lbs_per_kwh"), number(rates, "core_hour_usd_low"),
        number(rates, "core_hour_usd_high"), number(rates, "gpu_hour_usd_low"),
        number(rates, "gpu_hour_usd_high"));
    if (per_core_s > 0) {
        char text[APQ_FORMAT_MAX];
        apq_page_put(
            page,
            "V100-hours: the same work at %g TFLOP/s; a core did %s GFLOP/s "
            "in training. ",
            number(rates, "v100_tflops"),
            apq_format_number(per_core_s * 1e-9, text));
    } else {
        apq_page_put(page, "%s",
                     "V100-hours need a finished, metered training. ");
    }
    apq_page_put(page, "%s",
                 "Every constant can be set: `apq report "
                 "footprint.core_watts=20`.");
    apq_page_end(page);
}

void apq_section_cost(const json_t *cost, apq_page *page) {
    static const char *const groups[][2] = {
        {"one_off", "**once**: train, collect, predictor"},
        {"per_scenario", "**each scenario**: search, finetune"},
        {"other", "comparison and evaluation"},
        {"replaced", "for results replaced since"},
        {"total", "**all**"},
    };
    apq_table *table =
        json_is_object(cost)
            ? apq_table_create("step|>time|>core-h|>GPU-h|>V100-h|>kWh|>CO2e "
                               "lb|>CO2e kg|>cloud $|energy")
            : NULL;
    if (table == NULL) {
        apq_page_put(page, "%s", "What the steps spent: not recorded.");
        apq_page_end(page);
        return;
    }
    size_t i;
    const json_t *row;
    json_array_foreach(json_object_get(cost, "steps"), i, row) {
        bool is_measured = json_is_number(json_object_get(row, "energy_j"));
        cost_row(table, apq_document_text(row, "step", ""), row,
                 is_measured ? "measured" : "estimated");
    }
    for (i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        row = json_object_get(cost, groups[i][0]);
        if (number(row, "wall_s") > 0) {
            cost_row(table, groups[i][1], row, "");
        }
    }
    apq_page_table(page, table);
    print_assumptions(cost, page);
}
