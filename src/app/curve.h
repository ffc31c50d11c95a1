#ifndef APQ_APP_CURVE_H
#define APQ_APP_CURVE_H

#include "app/parts.h"
#include "app/recipe.h"
#include "base/log.h"

#include <jansson.h>

/* What transfer from float records is worth: scores on the same test records
 * of predictors fitted to N quantised records, with and without it. Source:
 * APQ, CVPR 2020, section 5.3, figure 7. */
enum { APQ_CURVE_MAX_SIZES = 16, APQ_CURVE_MAX_SEEDS = 100 };

typedef enum apq_curve_arm {
    APQ_CURVE_SCRATCH,
    APQ_CURVE_TRANSFER,
    APQ_CURVE_DIFFERENCE, /* transfer less scratch */
    APQ_CURVE_N_ARMS,
} apq_curve_arm;

typedef struct apq_curve_request {
    int sizes[APQ_CURVE_MAX_SIZES]; /* of N, rising */
    int n_sizes; /* 0: all records to draw from, their half, ..., an eighth */
    int n_seeds; /* 1..APQ_CURVE_MAX_SEEDS */
} apq_curve_request;

/* Means over the seeds. The intervals are of both the test records and the
 * seeds, resampled together. */
typedef struct apq_curve_scores {
    apq_interval pairwise_accuracy, kendall_tau, rmse;
} apq_curve_scores;

typedef struct apq_curve {
    size_t n_float, n_pool, n_test; /* records */
    int n_sizes, n_seeds;
    int sizes[APQ_CURVE_MAX_SIZES];
    apq_curve_scores scores[APQ_CURVE_MAX_SIZES][APQ_CURVE_N_ARMS];
    apq_label_noise noise; /* of the test records */
} apq_curve;

/* Of a run's records. Those that search chose (collect.active_records) are
 * left out: a predictor with transfer has chosen them. The test records are
 * the recipe's predictor.held_out of the others; seed s draws N of the rest
 * and fits both arms from the same random weights. The fits run beside each
 * other, one thread each; the result does not depend on how many. Errors: ARG
 * too few records, a size out of range; IO no run.db; those of a fit;
 * INTERRUPTED. */
APQ_NODISCARD apq_status apq_app_curve(const apq_recipe *recipe,
                                       const char *run_dir,
                                       const apq_curve_request *request,
                                       const apq_progress *progress,
                                       apq_curve *out);

/* The curve as a document; NULL when memory is out. */
json_t *apq_curve_json(const apq_curve *curve);
/* Three pictures, SVG, PNG and PDF each: FILE, FILE-tau and FILE-rmse. */
APQ_NODISCARD apq_status apq_curve_plot(const apq_curve *curve,
                                        const char *file);

#endif
