/* Clip thresholds by a KL-style distance of cumulative distributions: the
 * prefix of the CDF is resampled to the number of levels and back. Source:
 * the released code of HAQ and APQ. */
#include "quant/quant.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The search is quadratic in the bins: those of 65,536 values are enough. */
enum { MAX_BINS_OF = 65536, MAX_BINS = 2048 };

typedef struct histogram {
    double *cdf;       /* (n_bins) */
    double *levels;    /* (n_levels) scratch of resample */
    double *resampled; /* (n_bins) */
    int n_bins;
    double bin_width;
} histogram;

/* y = x (n_x points on [0,1]) linearly interpolated at n_y points. */
static void resample(const double *x, int n_x, double *y, int n_y) {
    for (int i = 0; i < n_y; i++) {
        double at = (double)i * (n_x - 1) / (n_y - 1);
        int k = (int)at;
        if (k >= n_x - 1) {
            y[i] = x[n_x - 1];
        } else {
            y[i] = x[k] + (at - k) * (x[k + 1] - x[k]);
        }
    }
}

/* Distance when the values beyond the first n bins are clipped. Empty bins
 * on both sides agree; one empty side is a large, finite penalty. */
static double distance(const histogram *h, int n, int n_levels) {
    const double floor_value = 1e-12;
    double *q = h->resampled;
    memcpy(q, h->cdf, (size_t)n * sizeof *q);
    q[n - 1] = 1.0;
    resample(q, n, h->levels, n_levels);
    resample(h->levels, n_levels, q, n);
    double sum = 0.0;
    for (int i = 0; i < h->n_bins; i++) {
        double f = fmax(h->cdf[i], floor_value);
        double g = i < n ? fmax(q[i], floor_value) : 1.0;
        sum += (f - g) * log2(f / g);
    }
    return sum;
}

static void accumulate(histogram *h, const float *x, size_t n, double max) {
    double scale = h->n_bins / max;
    for (size_t i = 0; i < n; i++) {
        int bin = (int)(fabs((double)x[i]) * scale);
        h->cdf[bin < h->n_bins ? bin : h->n_bins - 1] += 1.0;
    }
    double sum = 0.0;
    for (int i = 0; i < h->n_bins; i++) {
        sum += h->cdf[i] / (double)n;
        h->cdf[i] = sum;
    }
}

static double best_threshold(const histogram *h, int n_levels, double max) {
    double best = (double)INFINITY, threshold = max;
    for (int n = n_levels + 1; n <= h->n_bins; n++) {
        double d = distance(h, n, n_levels);
        if (d < best) {
            best = d;
            threshold = (n + 0.5) * h->bin_width;
        }
    }
    return threshold;
}

/* Bins by numpy's "sqrt" rule over [0, max], as the authors'. */
static int count_bins(double min, double max, size_t n) {
    n = n < MAX_BINS_OF ? n : MAX_BINS_OF;
    double bins = max > min ? ceil(max * sqrt((double)n) / (max - min)) : 1.0;
    return bins > MAX_BINS ? MAX_BINS : (int)bins;
}

apq_status apq_quant_kl_threshold(const float *x, size_t n, int bits,
                                  float *threshold) {
    if (bits < 2 || bits > 8) {
        APQ_FAIL(APQ_ERR_ARG, "threshold: %d bits are not within 2..8", bits);
    }
    double min = (double)INFINITY, max = 0.0;
    for (size_t i = 0; i < n; i++) {
        double magnitude = fabs((double)x[i]);
        if (!isfinite(magnitude)) {
            APQ_FAIL(APQ_ERR_NUMERIC, "threshold: value %zu is not finite", i);
        }
        min = fmin(min, magnitude);
        max = fmax(max, magnitude);
    }
    int n_levels = 1 << (bits - 1);
    histogram h = {.n_bins = count_bins(min, max, n)};
    if (h.n_bins <= n_levels) {
        *threshold = (float)max;
        return APQ_OK;
    }
    h.bin_width = max / h.n_bins;
    size_t n_bins = (size_t)h.n_bins;
    double *memory = apq_calloc(2 * n_bins + (size_t)n_levels, sizeof(double));
    if (memory == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "threshold: no memory for %zu bins", n_bins);
    }
    h.cdf = memory;
    h.resampled = memory + n_bins;
    h.levels = memory + 2 * n_bins;
    accumulate(&h, x, n, max);
    *threshold = (float)best_threshold(&h, n_levels, max);
    free(memory);
    return APQ_OK;
}
