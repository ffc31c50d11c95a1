#ifndef APQ_PREDICTOR_STATISTICS_H
#define APQ_PREDICTOR_STATISTICS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* What a predictor is worth on measured records, with what chance does to
 * it. Accuracies are fractions. */

/* The measures of metrics.h. */
typedef struct apq_scores {
    double pairwise_accuracy, kendall_tau, rmse;
} apq_scores;

/* Records sorted once, so that the scores of a resample cost n log n. One
 * thread per handle. */
typedef struct apq_ranking apq_ranking;

/* n >= 1 finite values each, copied. Errors: NOMEM. */
APQ_NODISCARD apq_status apq_ranking_create(const double *predicted,
                                            const double *actual, size_t n,
                                            apq_ranking **out);
void apq_ranking_destroy(apq_ranking *ranking);
/* Of record i taken weights[i] times; a record and its copy are a tie.
 * weights (n), of sum >= 1; NULL: each record once. */
apq_scores apq_ranking_scores(apq_ranking *ranking, const uint32_t *weights);

enum { APQ_BOOTSTRAP_REPLICATES = 1000 };

/* How often each of n records is drawn in n draws with replacement. */
void apq_bootstrap_weights(uint64_t seed, uint64_t replicate, size_t n,
                           uint32_t *weights);

typedef struct apq_interval {
    double value, low, high; /* of 95 % */
} apq_interval;

/* From the 2.5th to the 97.5th percentile of n >= 1 replicates, which are
 * sorted; NaN ones are left out, without others, or where the value is NaN,
 * the ends are. Source: Efron and Tibshirani 1993, chapter 13. */
apq_interval apq_bootstrap_interval(double value, double *replicates, size_t n);

typedef struct apq_quality {
    size_t n;
    apq_interval pairwise_accuracy, kendall_tau, rmse;
} apq_quality;

/* Scores of n >= 1 records, the intervals by resampling records. The same
 * seed gives the same intervals. Where no two records differ no order is known
 * (NaN), nor is an interval of one record. Errors: NOMEM. */
APQ_NODISCARD apq_status apq_quality_measure(const double *predicted,
                                             const double *actual, size_t n,
                                             uint64_t seed, apq_quality *out);

/* Of labels that are shares of so many images each. */
typedef struct apq_label_noise {
    double noise;   /* E, standard error of a label */
    double spread;  /* S, standard deviation of the noiseless accuracies */
    double ceiling; /* 1/2 + atan(S/E)/pi: the pairwise accuracy on these
                       labels of a predictor that knows the truth */
} apq_label_noise;

/* counts (n) images, each >= 1; n >= 2. E^2 is the mean of p (1 - p) / count,
 * plus repeat_error^2, what other random numbers add (0: not known), S^2 the
 * labels' variance beyond it. Normal truth and independent errors are
 * assumed; networks measured on the same images share part of theirs, which
 * leaves the order alone, so the ceiling is then too low. */
apq_label_noise apq_label_noise_of(const double *actual, const int64_t *counts,
                                   size_t n, double repeat_error);

enum { APQ_N_GAPS = 3 };

/* Pairs whose labels are so far apart: how often they are in order. */
typedef struct apq_gap {
    double low, high; /* of the difference; low < d <= high */
    uint64_t n_pairs;
    double accuracy; /* as pairwise_accuracy; NaN: no pairs */
} apq_gap;

/* By differences up to `noise` > 0, twice that, and beyond: what noise alone
 * may order, and what it hardly does. Quadratic in n. */
void apq_pairwise_by_gap(const double *predicted, const double *actual,
                         size_t n, double noise, apq_gap out[APQ_N_GAPS]);

#endif
