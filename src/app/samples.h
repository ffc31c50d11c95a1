#ifndef APQ_APP_SAMPLES_H
#define APQ_APP_SAMPLES_H

#include "app/recipe.h"
#include "predictor/predictor.h"
#include "store/records.h"

/* Records of a run as a predictor learns them. Zeros are an empty set. */
typedef struct apq_sample_set {
    apq_predictor_sample *samples; /* (n) */
    size_t n;
} apq_sample_set;

/* Adds what a fit with or without bits learns from: float records, or the
 * quantised ones of both kinds, with seq below n_seq, by rising seq. Errors:
 * those of the records; FORMAT a policy of another space. */
APQ_NODISCARD apq_status apq_samples_add_all(const apq_space *space,
                                             apq_records *records,
                                             bool with_bits, int64_t n_seq,
                                             apq_sample_set *set);
/* The same of quantised records without those that a search has chosen, which
 * may be among the first where more were planned later. */
APQ_NODISCARD apq_status apq_samples_add_planned(const apq_space *space,
                                                 apq_records *records,
                                                 int64_t n_seq,
                                                 apq_sample_set *set);
void apq_samples_release(apq_sample_set *set);

/* The recipe's, without progress. */
apq_predictor_fit_options apq_recipe_fit_options(const apq_recipe *recipe,
                                                 bool with_bits);

#endif
