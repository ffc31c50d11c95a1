#ifndef APQ_REPORT_DOCUMENT_H
#define APQ_REPORT_DOCUMENT_H

#include "report/page.h"
#include "report/table.h"

#include <jansson.h>

/* Shared by the sections of a report. */

extern const char apq_not_recorded[];

/* A member's number, NaN when it is none; its text, or `fallback`. */
double apq_document_number(const json_t *object, const char *key);
const char *apq_document_text(const json_t *object, const char *key,
                              const char *fallback);
/* A score of one fit of the predictor; NaN where no records were held out from
 * it: files of earlier versions then have that of the records it was fitted
 * to. */
double apq_document_held_out(const json_t *fit, const char *key);
/* "best_uniform4" as people say it. */
const char *apq_document_baseline(const char *name);

/* Cells: a scaled member as a plain number; a value with fixed decimals and
 * its unit; a fraction in per cent. "-" when there is none. */
void apq_cell_number(apq_table *table, const json_t *object, const char *key,
                     double scale);
void apq_cell_fixed(apq_table *table, double value, int decimals,
                    const char *unit);
void apq_cell_percent(apq_table *table, double fraction);

/* Sections, in the order of the report. `root` is the document; each says
 * "not recorded" or leaves itself out where its part is null. */
void apq_section_verdict(const json_t *root, apq_page *page);
void apq_section_asked(const json_t *root, apq_page *page);
void apq_section_accuracy(const json_t *root, apq_page *page);
void apq_section_baselines(const json_t *root, apq_page *page);
APQ_NODISCARD apq_status apq_section_tradeoff(const json_t *root,
                                              apq_page *page);
void apq_section_network(const json_t *root, apq_page *page);
void apq_section_targets(const json_t *root, apq_page *page);
void apq_section_cost_model(const json_t *root, apq_page *page);
void apq_section_labels(json_t *labels, apq_page *page);
APQ_NODISCARD apq_status apq_section_predictor(const json_t *root,
                                               apq_page *page);
APQ_NODISCARD apq_status apq_section_curves(const json_t *root, apq_page *page);
void apq_section_exports(const json_t *root, apq_page *page);
void apq_section_cost(const json_t *cost, apq_page *page);
void apq_section_provenance(const json_t *root, apq_page *page);

/* A picture of the network's layers as HTML; `layers` is result.layers. */
void apq_layers_picture(const json_t *layers, FILE *out);

#endif
