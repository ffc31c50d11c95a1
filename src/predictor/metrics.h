#ifndef APQ_PREDICTOR_METRICS_H
#define APQ_PREDICTOR_METRICS_H

#include <stddef.h>

/* How well `predicted` orders and meets `actual`; n values each, finite.
 * Quadratic in n. */

/* Kendall's tau-b, -1..1; 0 when `predicted` is constant, NaN when no two
 * actual values differ. Source: Kendall, Biometrika 1945. */
double apq_kendall_tau_b(const double *predicted, const double *actual,
                         size_t n);
/* Share of the pairs that differ in the actual value which are in the right
 * order; where the predictions tie, half a pair. NaN when none differs. */
double apq_pairwise_accuracy(const double *predicted, const double *actual,
                             size_t n);
/* Root of the mean squared difference; 0 for n == 0. */
double apq_rmse(const double *predicted, const double *actual, size_t n);

#endif
