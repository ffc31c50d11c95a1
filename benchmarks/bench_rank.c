/* How well one measurement orders what another did: Kendall's tau and pairwise
 * accuracy with bootstrap intervals, as of `apq predictor eval`.
 * Usage: bench_rank <PAIRS, two numbers a line, estimated and measured */
#include "predictor/statistics.h"

#include <stdio.h>

enum { MAX_PAIRS = 100000, SEED = 1 };

static double estimated[MAX_PAIRS], measured[MAX_PAIRS];

int main(void) {
    size_t n = 0;
    while (n < MAX_PAIRS &&
           scanf("%lf %lf", &estimated[n], &measured[n]) == 2) {
        n++;
    }
    if (n == 0 || (n < MAX_PAIRS && !feof(stdin))) {
        (void)fprintf(stderr, "bench_rank: line %zu is no pair of numbers\n",
                      n + 1);
        return 3;
    }
    apq_quality q;
    if (apq_quality_measure(estimated, measured, n, SEED, &q) != APQ_OK) {
        (void)fprintf(stderr, "bench_rank: %s\n", apq_error_message());
        return 1;
    }
    printf("%zu networks (95 %% intervals in brackets)\n"
           "Kendall tau %.4f [%.4f, %.4f]\n"
           "pairwise accuracy %.2f %% [%.2f, %.2f]\n",
           q.n, q.kendall_tau.value, q.kendall_tau.low, q.kendall_tau.high,
           100 * q.pairwise_accuracy.value, 100 * q.pairwise_accuracy.low,
           100 * q.pairwise_accuracy.high);
    return 0;
}
