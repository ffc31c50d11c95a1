#ifndef APQ_APP_JUDGE_H
#define APQ_APP_JUDGE_H

#include "app/parts.h"
#include "app/recipe.h"

#include <jansson.h>

/* What a predictor says of measured networks against what was measured. */
typedef struct apq_judgement {
    apq_quality quality;
    bool has_noise; /* every sample has its number of images, and there are
                       two or more */
    apq_label_noise noise;
    apq_gap gaps[APQ_N_GAPS]; /* by the noise; where there is none, unset */
} apq_judgement;

/* n >= 1 samples; repeat_error as of apq_label_noise_of(). `plot` NULL: none;
 * else predicted over measured accuracy as SVG, PNG and PDF, see
 * apq_judge_plot_stem. Errors: ARG no samples; NUMERIC a prediction that is not
 * finite; NOMEM, IO. */
APQ_NODISCARD apq_status apq_judge(const apq_predictor *predictor,
                                   const apq_predictor_sample *samples,
                                   size_t n, bool with_bits,
                                   double repeat_error, uint64_t seed,
                                   const char *plot, apq_judgement *out);

typedef struct apq_judge_request {
    const char *run_dir;
    const char *predictor; /* file; NULL: the run's */
    const char *plot;      /* see apq_judge */
    bool with_bits;        /* quantised records, else float ones */
    uint64_t seed;         /* of the intervals */
} apq_judge_request;

/* A predictor on those records of a run that were held out from its fit;
 * `recipe` is the run's. Errors: those of apq_judge; ARG nothing was held out;
 * MISMATCH another space, supernet or recipe, or other records than those of
 * the fit; IO, FORMAT. */
APQ_NODISCARD apq_status apq_judge_run(const apq_recipe *recipe,
                                       const apq_judge_request *request,
                                       apq_judgement *out);

/* {"count", "pairwise_accuracy", "kendall_tau", "rmse", "interval_95": {each:
 * [low, high]}, "label_noise": {"noise", "spread", "pairwise_ceiling"} or
 * null, "by_difference": [{"above", "up_to" or null, "pairs",
 * "pairwise_accuracy"}] or null}. NULL when memory is out. */
json_t *apq_judgement_json(const apq_judgement *judgement);
/* The same parts for other documents. */
json_t *apq_interval_json(apq_interval interval);
json_t *apq_label_noise_json(const apq_label_noise *noise_or_null);

/* `plot` without an ending .svg, .png or .pdf, then `tail`, e.g. "-tau".
 * Errors: ARG too long. */
APQ_NODISCARD apq_status apq_judge_plot_stem(const char *plot, const char *tail,
                                             char out[APQ_PATH_MAX]);

#endif
