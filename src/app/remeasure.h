#ifndef APQ_APP_REMEASURE_H
#define APQ_APP_REMEASURE_H

#include "app/search_job.h"

/* Measures the recipe's search.remeasure best networks of a search and its
 * baselines under the budget for real, before the winner is named. Private to
 * search.c. */

/* Before the search: is there what it takes? Leaves self->weights_hash.
 * Errors: ARG no run directory or no data; IO no supernet. */
APQ_NODISCARD apq_status apq_remeasure_check(apq_search_job *self,
                                             const char *run_dir_or_null);

/* After the search: fills out->measured and makes its best the result. Values
 * are kept in the run's remeasure.json, so that a second call measures
 * nothing twice. Errors: MISMATCH data or supernet of another run;
 * INTERRUPTED what was measured is kept. */
APQ_NODISCARD apq_status apq_remeasure(apq_search_job *self,
                                       const char *run_dir);

/* The most different of the best: the first is the best, each next one
 * differs from all before in the most genes, of those whose predicted
 * accuracy is at most a point below the best. Where these are fewer than k,
 * the next best follow. Writes at most k policies, all distinct; returns how
 * many. Deterministic. */
size_t apq_remeasure_choose(const apq_space *space,
                            const apq_search_result *search, size_t k,
                            apq_policy *chosen);

#endif
