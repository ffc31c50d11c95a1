#ifndef APQ_REPORT_DOCUMENT_H
#define APQ_REPORT_DOCUMENT_H

#include <jansson.h>
#include <stdio.h>

/* Shared by the sections of the Markdown report. */

/* A member's number, NaN when it is none; its text, or `fallback`. */
double apq_document_number(const json_t *object, const char *key);
const char *apq_document_text(const json_t *object, const char *key,
                              const char *fallback);

/* The section "Search cost" of a document's search_cost. */
void apq_markdown_cost(const json_t *cost, FILE *out);

/* The section "Labels" of a document's labels; none where they are null. */
void apq_markdown_labels(json_t *labels, FILE *out);

#endif
