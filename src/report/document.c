/* Reading the report document: what is not there is NaN or a fallback, so that
 * sections need no case for it. */
#include "report/document.h"

#include "report/format.h"

#include <math.h>
#include <string.h>

const char apq_not_recorded[] = "not recorded";

double apq_document_number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

double apq_document_held_out(const json_t *fit, const char *key) {
    return apq_document_number(fit, "n_test") > 0
               ? apq_document_number(fit, key)
               : (double)NAN;
}

const char *apq_document_text(const json_t *object, const char *key,
                              const char *fallback) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : fallback;
}

const char *apq_document_baseline(const char *name) {
    static const char *const titles[][2] = {
        {"found", "found, mixed bits"},
        {"largest_uniform8", "uniform 8 bit, largest"},
        {"largest_uniform4", "uniform 4 bit, largest"},
        {"best_uniform8", "uniform 8 bit, best found"},
        {"best_uniform4", "uniform 4 bit, best found"},
        {"sequential", "architecture, widths, bits in turn"},
    };
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++) {
        if (strcmp(titles[i][0], name) == 0) {
            return titles[i][1];
        }
    }
    return name;
}

void apq_cell_number(apq_table *table, const json_t *object, const char *key,
                     double scale) {
    char text[APQ_FORMAT_MAX];
    apq_table_cell(
        table, "%s",
        apq_format_number(scale * apq_document_number(object, key), text));
}

void apq_cell_fixed(apq_table *table, double value, int decimals,
                    const char *unit) {
    if (isfinite(value)) {
        apq_table_cell(table, "%.*f%s", decimals, value, unit);
    } else {
        apq_table_cell(table, "%s", "-");
    }
}

void apq_cell_percent(apq_table *table, double fraction) {
    char text[APQ_FORMAT_MAX];
    apq_table_cell(table, "%s", apq_format_percent(fraction, text));
}
