#ifndef APQ_APP_RESULTS_H
#define APQ_APP_RESULTS_H

#include "app/recipe.h"
#include "app/search.h"

/* What steps came to, in sentences: the program prints them as its result,
 * where notes of the progress are asides. Called on the caller's thread; the
 * text lives for the call only. NULL `tell`: silence. */
typedef struct apq_results {
    void *ctx;
    void (*tell)(void *ctx, const char *line);
} apq_results;

/* From the files of a finished step, so that a step that was done before tells
 * the same. Errors: FORMAT, IO, NOMEM. */
APQ_NODISCARD apq_status apq_results_predictor(const char *run_dir,
                                               const apq_results *results);
APQ_NODISCARD apq_status apq_results_finetune(const apq_recipe *recipe,
                                              const char *run_dir,
                                              const apq_results *results);
void apq_results_search(const apq_candidate *best, const apq_results *results);

#endif
