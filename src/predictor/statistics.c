/* Kendall's counts of resampled records by a Fenwick tree over the ranks of
 * the predictions, percentile bootstrap, and the ceiling that label noise
 * sets. Sources: Fenwick 1994; Efron and Tibshirani 1993. */
#include "predictor/statistics.h"

#include "base/memory.h"
#include "base/rng.h"
#include "base/sort.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

typedef struct ranked {
    double predicted, actual;
    size_t index; /* of the record */
    size_t rank;  /* of the prediction, from 1; equal ones share it */
} ranked;

struct apq_ranking {
    size_t n, n_ranks;
    ranked *rows;   /* (n) by rising actual value */
    uint64_t *tree; /* (n_ranks + 1) weights by rank */
};

static int by_predicted(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return (x->predicted > y->predicted) - (x->predicted < y->predicted);
}

static int by_actual(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return (x->actual > y->actual) - (x->actual < y->actual);
}

apq_status apq_ranking_create(const double *predicted, const double *actual,
                              size_t n, apq_ranking **out) {
    apq_ranking *r = apq_calloc(1, sizeof *r);
    if (r != NULL) {
        r->n = n;
        r->rows = apq_calloc(n, sizeof *r->rows);
        r->tree = apq_calloc(n + 1, sizeof *r->tree);
    }
    if (r == NULL || r->rows == NULL || r->tree == NULL) {
        apq_ranking_destroy(r);
        APQ_FAIL(APQ_ERR_NOMEM, "no memory to rank %zu records", n);
    }
    for (size_t i = 0; i < n; i++) {
        r->rows[i] = (ranked){predicted[i], actual[i], i, 0};
    }
    qsort(r->rows, n, sizeof *r->rows, by_predicted);
    for (size_t i = 0; i < n; i++) {
        bool is_new = i == 0 || r->rows[i].predicted > r->rows[i - 1].predicted;
        r->n_ranks += is_new;
        r->rows[i].rank = r->n_ranks;
    }
    qsort(r->rows, n, sizeof *r->rows, by_actual);
    *out = r;
    return APQ_OK;
}

void apq_ranking_destroy(apq_ranking *ranking) {
    if (ranking != NULL) {
        free(ranking->rows);
        free(ranking->tree);
        free(ranking);
    }
}

static void tree_add(apq_ranking *r, size_t rank, uint64_t weight) {
    for (; rank <= r->n_ranks; rank += rank & (~rank + 1)) {
        r->tree[rank] += weight;
    }
}

/* Weight at ranks 1..rank. */
static uint64_t tree_sum(const apq_ranking *r, size_t rank) {
    uint64_t sum = 0;
    for (; rank > 0; rank &= rank - 1) {
        sum += r->tree[rank];
    }
    return sum;
}

static uint64_t weight_of(const apq_ranking *r, const uint32_t *weights,
                          size_t row) {
    return weights == NULL ? 1 : weights[r->rows[row].index];
}

/* Pairs in and against order; returns how many differ in the actual value.
 * Rows of one actual value are counted against all before, then added. */
static double count_order(apq_ranking *r, const uint32_t *weights,
                          double *concordant, double *discordant) {
    uint64_t before = 0;
    double differ = 0.0;
    memset(r->tree, 0, (r->n_ranks + 1) * sizeof *r->tree);
    for (size_t begin = 0, end; begin < r->n; begin = end) {
        uint64_t group = 0;
        for (end = begin;
             end < r->n && !(r->rows[end].actual > r->rows[begin].actual);
             end++) {
            uint64_t w = weight_of(r, weights, end);
            uint64_t below = tree_sum(r, r->rows[end].rank - 1);
            uint64_t above = before - tree_sum(r, r->rows[end].rank);
            *concordant += (double)(w * below);
            *discordant += (double)(w * above);
            group += w;
        }
        differ += (double)(group * before);
        before += group;
        for (size_t i = begin; i < end; i++) {
            tree_add(r, r->rows[i].rank, weight_of(r, weights, i));
        }
    }
    return differ;
}

/* Pairs whose predictions differ; the tree holds all weights. */
static double count_predicted(const apq_ranking *r) {
    uint64_t before = 0;
    double differ = 0.0;
    for (size_t rank = 1; rank <= r->n_ranks; rank++) {
        uint64_t up_to = tree_sum(r, rank);
        differ += (double)((up_to - before) * before);
        before = up_to;
    }
    return differ;
}

apq_scores apq_ranking_scores(apq_ranking *ranking, const uint32_t *weights) {
    double concordant = 0.0, discordant = 0.0, squares = 0.0, total = 0.0;
    double actual = count_order(ranking, weights, &concordant, &discordant);
    double predicted = count_predicted(ranking);
    for (size_t i = 0; i < ranking->n; i++) {
        const ranked *row = &ranking->rows[i];
        double w = (double)weight_of(ranking, weights, i);
        double d = row->predicted - row->actual;
        squares += w * d * d;
        total += w;
    }
    double tied = actual - concordant - discordant;
    double both = actual * predicted;
    double unless_alike = actual > 0.0 ? 0.0 : (double)NAN;
    return (apq_scores){
        .pairwise_accuracy = (concordant + 0.5 * tied) / actual,
        .kendall_tau =
            both > 0.0 ? (concordant - discordant) / sqrt(both) : unless_alike,
        .rmse = sqrt(squares / total),
    };
}

void apq_bootstrap_weights(uint64_t seed, uint64_t replicate, size_t n,
                           uint32_t *weights) {
    apq_rng rng = apq_rng_make(seed, APQ_RNG_BOOTSTRAP, replicate);
    memset(weights, 0, n * sizeof *weights);
    for (size_t i = 0; i < n; i++) {
        weights[apq_rng_below(&rng, (uint32_t)n)]++;
    }
}

/* Of sorted values, between neighbours in proportion. */
static double quantile(const double *sorted, size_t n, double share) {
    double at = share * (double)(n - 1);
    size_t i = (size_t)at;
    double next = i + 1 < n ? sorted[i + 1] : sorted[i];
    return sorted[i] + (at - (double)i) * (next - sorted[i]);
}

apq_interval apq_bootstrap_interval(double value, double *replicates,
                                    size_t n) {
    size_t n_known = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isnan(replicates[i])) {
            replicates[n_known++] = replicates[i];
        }
    }
    if (isnan(value) || n_known == 0) {
        return (apq_interval){value, (double)NAN, (double)NAN};
    }
    apq_sort_doubles(replicates, n_known);
    return (apq_interval){value, quantile(replicates, n_known, 0.025),
                          quantile(replicates, n_known, 0.975)};
}

apq_status apq_quality_measure(const double *predicted, const double *actual,
                               size_t n, uint64_t seed, apq_quality *out) {
    enum { B = APQ_BOOTSTRAP_REPLICATES };
    apq_ranking *ranking = NULL;
    double *values = apq_calloc(3 * (size_t)B, sizeof *values);
    uint32_t *weights = apq_calloc(n, sizeof *weights);
    apq_status st = APQ_OK;
    if (values == NULL || weights == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "no memory to resample %zu records", n);
        goto done;
    }
    st = apq_ranking_create(predicted, actual, n, &ranking);
    if (st != APQ_OK) {
        goto done;
    }
    for (size_t b = 0; b < B; b++) {
        apq_bootstrap_weights(seed, b, n, weights);
        apq_scores s = apq_ranking_scores(ranking, weights);
        values[b] = s.pairwise_accuracy;
        values[B + b] = s.kendall_tau;
        values[2 * (size_t)B + b] = s.rmse;
    }
    apq_scores s = apq_ranking_scores(ranking, NULL);
    *out = (apq_quality){
        .n = n,
        .pairwise_accuracy =
            apq_bootstrap_interval(s.pairwise_accuracy, values, B),
        .kendall_tau = apq_bootstrap_interval(s.kendall_tau, values + B, B),
        .rmse = apq_bootstrap_interval(s.rmse, values + 2 * (size_t)B, B),
    };
    if (n == 1) {
        out->rmse.low = out->rmse.high = (double)NAN;
    }
done:
    apq_ranking_destroy(ranking);
    free(values);
    free(weights);
    return st;
}

apq_label_noise apq_label_noise_of(const double *actual, const int64_t *counts,
                                   size_t n, double repeat_error) {
    double sum = 0.0, squares = 0.0, errors = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += actual[i];
        errors += actual[i] * (1.0 - actual[i]) / (double)counts[i];
    }
    for (size_t i = 0; i < n; i++) {
        double d = actual[i] - sum / (double)n;
        squares += d * d;
    }
    double error = fmax(errors / (double)n, 0.0) + repeat_error * repeat_error;
    double variance = fmax(squares / (double)(n - 1) - error, 0.0);
    return (apq_label_noise){
        .noise = sqrt(error),
        .spread = sqrt(variance),
        .ceiling = 0.5 + atan2(sqrt(variance), sqrt(error)) / pi,
    };
}

static double sign(double x) {
    return (x > 0.0) - (x < 0.0);
}

void apq_pairwise_by_gap(const double *predicted, const double *actual,
                         size_t n, double noise, apq_gap out[APQ_N_GAPS]) {
    double right[APQ_N_GAPS] = {0};
    for (int g = 0; g < APQ_N_GAPS; g++) {
        out[g] = (apq_gap){.low = g * noise, .high = (g + 1) * noise};
    }
    out[APQ_N_GAPS - 1].high = (double)INFINITY;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            double d = actual[i] - actual[j], p = predicted[i] - predicted[j];
            if (d > 0.0 || d < 0.0) {
                int g = (fabs(d) > noise) + (fabs(d) > 2.0 * noise);
                out[g].n_pairs++;
                right[g] += 0.5 + 0.5 * sign(p) * sign(d);
            }
        }
    }
    for (int g = 0; g < APQ_N_GAPS; g++) {
        out[g].accuracy = right[g] / (double)out[g].n_pairs;
    }
}
