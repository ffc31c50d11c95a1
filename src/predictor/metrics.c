/* Rank and distance measures by counting pairs. Source: Kendall, "The
 * treatment of ties in ranking problems", Biometrika 1945. */
#include "predictor/metrics.h"

#include <math.h>
#include <stdint.h>

typedef struct pair_counts {
    uint64_t concordant, discordant;
    uint64_t differ_predicted, differ_actual; /* pairs without a tie there */
} pair_counts;

static pair_counts count_pairs(const double *predicted, const double *actual,
                               size_t n) {
    pair_counts counts = {0};
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            int p =
                (predicted[i] > predicted[j]) - (predicted[i] < predicted[j]);
            int a = (actual[i] > actual[j]) - (actual[i] < actual[j]);
            counts.differ_predicted += p != 0;
            counts.differ_actual += a != 0;
            counts.concordant += p * a > 0;
            counts.discordant += p * a < 0;
        }
    }
    return counts;
}

double apq_kendall_tau_b(const double *predicted, const double *actual,
                         size_t n) {
    pair_counts c = count_pairs(predicted, actual, n);
    if (c.differ_actual == 0) {
        return (double)NAN;
    }
    if (c.differ_predicted == 0) {
        return 0.0;
    }
    double difference = (double)c.concordant - (double)c.discordant;
    return difference /
           sqrt((double)c.differ_predicted * (double)c.differ_actual);
}

double apq_pairwise_accuracy(const double *predicted, const double *actual,
                             size_t n) {
    pair_counts c = count_pairs(predicted, actual, n);
    uint64_t tied = c.differ_actual - c.concordant - c.discordant;
    double right = (double)c.concordant + 0.5 * (double)tied;
    return c.differ_actual == 0 ? (double)NAN : right / (double)c.differ_actual;
}

double apq_rmse(const double *predicted, const double *actual, size_t n) {
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        double d = predicted[i] - actual[i];
        sum += d * d;
    }
    return n == 0 ? 0.0 : sqrt(sum / (double)n);
}
