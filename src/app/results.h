#ifndef APQ_APP_RESULTS_H
#define APQ_APP_RESULTS_H

#include "app/recipe.h"
#include "app/search.h"

/* What steps came to, in sentences: notes of `results`, which the program
 * prints as its result, where those of the progress are asides; NULL: silence.
 * They are read from the files of a finished step, so that a step that was done
 * before tells the same. Errors: FORMAT, IO, NOMEM. */
APQ_NODISCARD apq_status apq_results_predictor(const char *run_dir,
                                               const apq_progress *results);
APQ_NODISCARD apq_status apq_results_finetune(const apq_recipe *recipe,
                                              const char *run_dir,
                                              const apq_progress *results);
void apq_results_search(const apq_candidate *best, const apq_progress *results);

#endif
