/* Loss of a batch and its gradient, by hand. One thread: a step
 * is too short to share, and every sum keeps its order. */
#include "predictor/predictor_private.h"

#include "base/memory.h"
#include "predictor/gemm.h"
#include "predictor/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

apq_status apq_predictor_step_create(const apq_predictor *p, int batch,
                                     apq_predictor_step *out) {
    size_t n = (size_t)batch * (size_t)p->hidden;
    int larger = batch > p->hidden ? batch : p->hidden;
    float **arrays[] = {&out->relu0, &out->h1, &out->h2, &out->h3,
                        &out->d3,    &out->d2, &out->d1, &out->d0};
    bool ok = true;
    out->batch = batch;
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        *arrays[i] = apq_calloc(n, sizeof(float));
        ok = ok && *arrays[i] != NULL;
    }
    out->output = apq_calloc((size_t)batch, sizeof(float));
    out->slope = apq_calloc((size_t)batch, sizeof(float));
    out->packed =
        apq_calloc(apq_gemm_packed_size(larger, p->hidden), sizeof(float));
    if (!ok || out->output == NULL || out->slope == NULL ||
        out->packed == NULL) {
        apq_predictor_step_release(out);
        APQ_FAIL(APQ_ERR_NOMEM, "predictor: no memory for batches of %d",
                 batch);
    }
    return APQ_OK;
}

void apq_predictor_step_release(apq_predictor_step *step) {
    float *arrays[] = {step->relu0,  step->h1,    step->h2,    step->h3,
                       step->d3,     step->d2,    step->d1,    step->d0,
                       step->output, step->slope, step->packed};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        free(arrays[i]);
    }
    *step = (apq_predictor_step){0};
}

/* y (m, H) = relu(x w^T + b). */
static void layer_forward(const apq_predictor *p, int m, const float *x,
                          apq_predictor_part weight, apq_predictor_part bias,
                          float *packed, float *y) {
    size_t h = (size_t)p->hidden;
    apq_gemm_pack(p->hidden, p->hidden, apq_part(p, p->params, weight), 1, h,
                  packed);
    const apq_gemm_job job = {.m = m,
                              .n = p->hidden,
                              .k = p->hidden,
                              .a = x,
                              .a_row = h,
                              .a_col = 1,
                              .packed = packed,
                              .bias = apq_part(p, p->params, bias),
                              .relu = true,
                              .c = y,
                              .c_row = h};
    apq_gemm(p->kernels, &job);
}

/* From dy (m, H), already masked by the relu of y: dw = dy^T x, db = column
 * sums, dx = dy w. */
static void layer_backward(const apq_predictor *p, int m, const float *x,
                           const float *dy, apq_predictor_part weight,
                           float *packed, float *dw, float *db, float *dx) {
    size_t h = (size_t)p->hidden;
    apq_gemm_pack(m, p->hidden, x, h, 1, packed);
    apq_gemm_job job = {.m = p->hidden,
                        .n = p->hidden,
                        .k = m,
                        .a = dy,
                        .a_row = 1,
                        .a_col = h,
                        .packed = packed,
                        .c = dw,
                        .c_row = h};
    apq_gemm(p->kernels, &job);
    memset(db, 0, h * sizeof *db);
    for (int i = 0; i < m; i++) {
        for (size_t j = 0; j < h; j++) {
            db[j] += dy[(size_t)i * h + j];
        }
    }
    apq_gemm_pack(p->hidden, p->hidden, apq_part(p, p->params, weight), h, 1,
                  packed);
    job.m = m;
    job.k = p->hidden;
    job.a_row = h;
    job.a_col = 1;
    job.c = dx;
    apq_gemm(p->kernels, &job);
}

static void mask(const float *activation, float *gradient, size_t n) {
    for (size_t i = 0; i < n; i++) {
        gradient[i] = activation[i] > 0.0f ? gradient[i] : 0.0f;
    }
}

/* Gradient of the one-hot layers, added to zeros. */
static void scatter(const apq_predictor *p, const apq_encoded *encoded,
                    const uint32_t *rows, int m, bool with_bits,
                    const apq_predictor_step *step, float *gradient) {
    size_t h = (size_t)p->hidden;
    float *w0 = apq_part(p, gradient, APQ_PART_W0);
    float *wq = apq_part(p, gradient, APQ_PART_WQ);
    float *b0 = apq_part(p, gradient, APQ_PART_B0);
    float *bq = apq_part(p, gradient, APQ_PART_BQ);
    for (int i = 0; i < m; i++) {
        const float *d0 = step->d0 + (size_t)i * h;
        const float *d1 = step->d1 + (size_t)i * h;
        const int *active = encoded->active + rows[i] * encoded->stride;
        for (int k = 0; k < encoded->count[rows[i]]; k++) {
            bool is_bit = active[k] >= p->n_arch;
            const float *from = is_bit ? d1 : d0;
            float *to = is_bit ? wq + (size_t)(active[k] - p->n_arch) * h
                               : w0 + (size_t)active[k] * h;
            for (size_t j = 0; j < h; j++) {
                to[j] += from[j];
            }
        }
        for (size_t j = 0; j < h; j++) {
            b0[j] += d0[j];
            bq[j] += with_bits ? d1[j] : 0.0f;
        }
    }
}

void apq_predictor_forward(const apq_predictor *predictor,
                           const apq_encoded *encoded, const uint32_t *rows,
                           int m, bool with_bits, apq_predictor_step *step) {
    const apq_predictor *p = predictor;
    size_t h = (size_t)p->hidden;
    for (int i = 0; i < m; i++) {
        apq_predictor_first(p, encoded->active + rows[i] * encoded->stride,
                            encoded->count[rows[i]], with_bits,
                            step->relu0 + (size_t)i * h,
                            step->h1 + (size_t)i * h);
    }
    layer_forward(p, m, step->h1, APQ_PART_W1, APQ_PART_B1, step->packed,
                  step->h2);
    layer_forward(p, m, step->h2, APQ_PART_W2, APQ_PART_B2, step->packed,
                  step->h3);
    for (int i = 0; i < m; i++) {
        step->output[i] = (float)p->kernels->dot(
            (double)*apq_part(p, p->params, APQ_PART_B),
            apq_part(p, p->params, APQ_PART_W), step->h3 + (size_t)i * h, h);
    }
}

/* Adds to slope (m); returns the loss. */
static double squared_loss(const uint32_t *rows, int m, const double *targets,
                           apq_predictor_step *step) {
    double loss = 0.0;
    for (int i = 0; i < m; i++) {
        double error = (double)step->output[i] - targets[rows[i]];
        loss += error * error / m;
        step->slope[i] += (float)(2.0 * error / m);
    }
    return loss;
}

/* The same; pairs of equal targets have no order and are left out. */
static double pairwise_loss(const uint32_t *rows, int m, const double *targets,
                            apq_predictor_step *step) {
    double loss = 0.0, share = 2.0 / ((double)m * (m - 1));
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < i; j++) {
            double wanted = targets[rows[i]] - targets[rows[j]];
            double z = (double)step->output[i] - (double)step->output[j];
            double sign = wanted > 0.0 ? 1.0 : -1.0;
            if (wanted != 0.0) {
                double e = exp(-fabs(z));
                double wrong = z * sign > 0.0 ? e / (1.0 + e) : 1.0 / (1.0 + e);
                loss += share * (log1p(e) + fmax(-z * sign, 0.0));
                step->slope[i] -= (float)(share * sign * wrong);
                step->slope[j] += (float)(share * sign * wrong);
            }
        }
    }
    return loss;
}

static double loss_slope(const uint32_t *rows, int m, const double *targets,
                         apq_predictor_step *step) {
    memset(step->slope, 0, (size_t)m * sizeof *step->slope);
    return step->loss == APQ_LOSS_PAIRWISE
               ? pairwise_loss(rows, m, targets, step)
               : squared_loss(rows, m, targets, step);
}

/* Regressor: its gradient and d3, from the slope of the loss. */
static void regressor_backward(const apq_predictor *p, int m,
                               apq_predictor_step *step, float *gradient) {
    size_t h = (size_t)p->hidden;
    const float *w = apq_part(p, p->params, APQ_PART_W);
    float *dw = apq_part(p, gradient, APQ_PART_W);
    float *db = apq_part(p, gradient, APQ_PART_B);
    memset(dw, 0, h * sizeof *dw);
    *db = 0.0f;
    for (int i = 0; i < m; i++) {
        float d = step->slope[i];
        *db += d;
        for (size_t j = 0; j < h; j++) {
            dw[j] += d * step->h3[(size_t)i * h + j];
            step->d3[(size_t)i * h + j] = d * w[j];
        }
    }
}

double apq_predictor_gradient(const apq_predictor *predictor,
                              const apq_encoded *encoded, const uint32_t *rows,
                              int m, const double *targets, bool with_bits,
                              apq_predictor_step *step, float *gradient) {
    const apq_predictor *p = predictor;
    size_t h = (size_t)p->hidden, n = (size_t)m * h;
    apq_predictor_forward(p, encoded, rows, m, with_bits, step);
    double loss = loss_slope(rows, m, targets, step);
    regressor_backward(p, m, step, gradient);
    mask(step->h3, step->d3, n);
    layer_backward(p, m, step->h2, step->d3, APQ_PART_W2, step->packed,
                   apq_part(p, gradient, APQ_PART_W2),
                   apq_part(p, gradient, APQ_PART_B2), step->d2);
    mask(step->h2, step->d2, n);
    layer_backward(p, m, step->h1, step->d2, APQ_PART_W1, step->packed,
                   apq_part(p, gradient, APQ_PART_W1),
                   apq_part(p, gradient, APQ_PART_B1), step->d1);
    memcpy(step->d0, step->d1, n * sizeof *step->d0);
    mask(step->relu0, step->d0, n);
    memset(gradient, 0, p->begin[APQ_PART_W1] * sizeof *gradient);
    scatter(p, encoded, rows, m, with_bits, step, gradient);
    return loss;
}
