/* Channel widths as steps: with input k on for every width from the k-th, the
 * one-hot row of a width is the sum of the steps up to it. So only the fit
 * needs the steps; a prediction uses the sums. */
#include "predictor/predictor_private.h"

#include "space/gene.h"

#include <math.h>

/* Calls for each block with its first row and number of rows, each of H. */
typedef void width_fn(float *rows, int n, size_t h);

static void each_block(const apq_predictor *p, float *base, width_fn *fn) {
    const apq_space *space = &p->space;
    size_t h = (size_t)p->hidden;
    float *rows = apq_part(p, base, APQ_PART_W0) +
                  (size_t)(space->n_blocks * space->n_kernels) * h;
    for (int i = 0; i < space->n_blocks; i++) {
        int n = apq_gene_count(space, APQ_GENE_CHANNELS, i);
        fn(rows, n, h);
        rows += (size_t)n * h;
    }
}

static void to_steps(float *rows, int n, size_t h) {
    for (int k = n - 1; k > 0; k--) {
        float *row = rows + (size_t)k * h;
        for (size_t j = 0; j < h; j++) {
            row[j] -= row[j - h];
        }
    }
}

static void to_sums(float *rows, int n, size_t h) {
    for (int k = 1; k < n; k++) {
        float *row = rows + (size_t)k * h;
        for (size_t j = 0; j < h; j++) {
            row[j] += row[j - h];
        }
    }
}

static void to_gradient(float *rows, int n, size_t h) {
    for (int k = n - 2; k >= 0; k--) {
        float *row = rows + (size_t)k * h;
        for (size_t j = 0; j < h; j++) {
            row[j] += row[j + h];
        }
    }
}

static void scale(float *rows, int n, size_t h) {
    float factor = (float)(1.0 / sqrt((double)n));
    for (size_t j = 0; j < (size_t)n * h; j++) {
        rows[j] *= factor;
    }
}

void apq_width_steps(const apq_predictor *p, float *params) {
    each_block(p, params, to_steps);
}

void apq_width_sums(const apq_predictor *p, float *params) {
    each_block(p, params, to_sums);
}

void apq_width_gradient(const apq_predictor *p, float *gradient) {
    each_block(p, gradient, to_gradient);
}

void apq_width_scale(const apq_predictor *p, float *params) {
    each_block(p, params, scale);
}
