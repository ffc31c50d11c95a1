#ifndef APQ_APP_SEARCH_REPORT_H
#define APQ_APP_SEARCH_REPORT_H

#include "app/search.h"

#include <jansson.h>

/* What the documents and pictures of a search and of a sweep share. Values
 * are new and the caller's; NULL when memory is out. */

/* Axis labels by apq_budget_field, with units. */
const char *apq_search_axis(apq_budget_field field);

/* Costs by name; those of 0 are left out unless has_zeros. */
json_t *apq_search_budget_json(const double values[APQ_BUDGET_N_FIELDS],
                               bool has_zeros);
json_t *apq_search_range_json(const apq_app_search_result *result);
/* null when not found. */
json_t *apq_search_candidate_json(const apq_space *space,
                                  const apq_candidate *candidate);
/* Evenly spaced rows, about `max` at most, the last one always. */
json_t *apq_search_history_json(const apq_search_history_row *rows, size_t n,
                                size_t max);
json_t *apq_search_entries_json(const apq_space *space,
                                const apq_search_entry *entries, size_t n);

#endif
