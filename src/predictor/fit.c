/* Training of the predictor: Adam with decoupled weight decay and a cosine
 * step size on standardised targets, keeping the epoch that predicts the
 * validation samples best where there are enough of them. Sources: Kingma and
 * Ba 2015; Loshchilov and Hutter 2019; transfer from float to quantised as in
 * APQ, CVPR 2020, section 3.2. */
#include "predictor/predictor.h"

#include "base/memory.h"
#include "base/rng.h"
#include "base/simd.h"
#include "predictor/metrics.h"
#include "predictor/predictor_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double pi = 3.14159265358979323846;
static const double beta1 = 0.9, beta2 = 0.999; /* Adam's usual */

typedef struct fit_run {
    apq_predictor *p;
    const apq_predictor_fit_options *options;
    int member; /* of an ensemble: another order of the samples */
    apq_encoded encoded;
    apq_predictor_step step;
    double *actual, *targets;   /* (n) raw and standardised accuracies */
    double *predicted, *wanted; /* (n) scratch of evaluate */
    uint32_t *rows; /* (n) train, then validation, then test samples */
    size_t n;
    apq_predictor_parts parts;
    double mean, deviation;
    size_t n_params;
    float *memory; /* of the four arrays below, (n_params) each */
    float *best, *gradient, *moment1, *moment2;
    long n_updates;
} fit_run;

typedef struct scores {
    double pairwise, tau, rmse;
} scores;

apq_predictor_fit_options apq_predictor_fit_defaults(void) {
    return (apq_predictor_fit_options){.epochs = 150,
                                       .batch = 32,
                                       .patience = 40,
                                       .learning_rate = 2e-3,
                                       .weight_decay = 0.5,
                                       .validation_fraction = 0.1,
                                       .test_fraction = 0.1};
}

static apq_status check_options(const apq_predictor_fit_options *o) {
    if (o->epochs < 0 || o->batch < 1 || o->patience < 0) {
        APQ_FAIL(APQ_ERR_ARG,
                 "fit: epochs %d, batch %d, patience %d; least are 0, 1, 0",
                 o->epochs, o->batch, o->patience);
    }
    if (!(o->learning_rate > 0.0 && o->weight_decay >= 0.0 &&
          o->learning_rate * (1.0 + o->weight_decay) < 1.0)) {
        APQ_FAIL(APQ_ERR_ARG,
                 "fit: learning rate %g, weight decay %g; legal are a rate "
                 "above 0, a decay from 0, rate * (1 + decay) below 1",
                 o->learning_rate, o->weight_decay);
    }
    if (!(o->validation_fraction >= 0.0 && o->test_fraction >= 0.0 &&
          o->validation_fraction + o->test_fraction < 1.0)) {
        APQ_FAIL(APQ_ERR_ARG,
                 "fit: validation share %g and test share %g leave no samples",
                 o->validation_fraction, o->test_fraction);
    }
    return APQ_OK;
}

static apq_status take_samples(fit_run *run,
                               const apq_predictor_sample *samples) {
    const apq_space *space = &run->p->space;
    for (size_t i = 0; i < run->n; i++) {
        if (!isfinite(samples[i].accuracy)) {
            APQ_FAIL(APQ_ERR_ARG, "fit: accuracy of sample %zu is not finite",
                     i);
        }
        APQ_TRY(apq_policy_check(space, &samples[i].policy));
        apq_encoded_set(&run->encoded, space, i, &samples[i].policy,
                        run->options->with_bits);
        run->actual[i] = samples[i].accuracy;
    }
    return APQ_OK;
}

static apq_status prepare(fit_run *run, const apq_predictor_sample *samples) {
    size_t n = run->n;
    APQ_TRY(apq_encoded_create(&run->p->space, n, &run->encoded));
    APQ_TRY(apq_predictor_step_create(run->p, run->options->batch, &run->step));
    run->step.loss = run->options->loss;
    run->n_params = run->p->begin[APQ_N_PARTS];
    run->actual = apq_calloc(n, sizeof(double));
    run->targets = apq_calloc(n, sizeof(double));
    run->predicted = apq_calloc(n, sizeof(double));
    run->wanted = apq_calloc(n, sizeof(double));
    run->rows = apq_calloc(n, sizeof(uint32_t));
    run->memory = apq_calloc(4 * run->n_params, sizeof(float));
    if (run->actual == NULL || run->targets == NULL || run->predicted == NULL ||
        run->wanted == NULL || run->rows == NULL || run->memory == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "fit: no memory for %zu samples", n);
    }
    float **arrays[] = {&run->best, &run->gradient, &run->moment1,
                        &run->moment2};
    for (size_t i = 0; i < 4; i++) {
        *arrays[i] = run->memory + i * run->n_params;
    }
    APQ_TRY(take_samples(run, samples));
    return apq_predictor_split(run->options, &run->p->space, samples, n,
                               run->rows, &run->parts);
}

static void release(fit_run *run) {
    apq_encoded_release(&run->encoded);
    apq_predictor_step_release(&run->step);
    free(run->actual);
    free(run->targets);
    free(run->predicted);
    free(run->wanted);
    free(run->rows);
    free(run->memory);
}

/* accuracy = scale * output + shift, folded into the last layer. */
static void rescale_output(apq_predictor *p, double scale, double shift) {
    float *w = apq_part(p, p->params, APQ_PART_W);
    float *b = apq_part(p, p->params, APQ_PART_B);
    for (int j = 0; j < p->hidden; j++) {
        w[j] = (float)((double)w[j] * scale);
    }
    *b = (float)((double)*b * scale + shift);
}

static void standardise(fit_run *run) {
    run->mean = 0.0;
    run->deviation = 1.0;
    if (run->options->epochs > 0) {
        double sum = 0.0, squares = 0.0, n = (double)run->parts.n_train;
        for (size_t i = 0; i < run->parts.n_train; i++) {
            sum += run->actual[run->rows[i]];
        }
        run->mean = sum / n;
        for (size_t i = 0; i < run->parts.n_train; i++) {
            double d = run->actual[run->rows[i]] - run->mean;
            squares += d * d;
        }
        double deviation = sqrt(squares / n);
        run->deviation = deviation > 1e-9 ? deviation : 1.0;
    }
    for (size_t i = 0; i < run->n; i++) {
        run->targets[i] = (run->actual[i] - run->mean) / run->deviation;
    }
    if (run->p->is_fitted) {
        rescale_output(run->p, 1.0 / run->deviation,
                       -run->mean / run->deviation);
    }
}

/* Scores on rows [first, first + n), in accuracy. */
static scores evaluate(fit_run *run, size_t first, size_t n) {
    for (size_t i = 0; i < n; i += (size_t)run->step.batch) {
        size_t left = n - i, batch = (size_t)run->step.batch;
        int m = (int)(left < batch ? left : batch);
        const uint32_t *rows = run->rows + first + i;
        apq_predictor_forward(run->p, &run->encoded, rows, m,
                              run->options->with_bits, &run->step);
        for (int k = 0; k < m; k++) {
            run->predicted[i + (size_t)k] =
                (double)run->step.output[k] * run->deviation + run->mean;
            run->wanted[i + (size_t)k] = run->actual[rows[k]];
        }
    }
    return (scores){apq_pairwise_accuracy(run->predicted, run->wanted, n),
                    apq_kendall_tau_b(run->predicted, run->wanted, n),
                    apq_rmse(run->predicted, run->wanted, n)};
}

APQ_SIMD_CLONES
static void adam(float *w, const float *g, float *moment1, float *moment2,
                 size_t n, float rate, float correction2, float decay) {
    const float b1 = (float)beta1, b2 = (float)beta2;
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float m = b1 * moment1[i] + (1.0f - b1) * g[i];
        float v = b2 * moment2[i] + (1.0f - b2) * g[i] * g[i];
        moment1[i] = m;
        moment2[i] = v;
        w[i] -= decay * w[i] + rate * m / (sqrtf(v * correction2) + 1e-8f);
    }
}

static bool is_weight(int part) {
    return part == APQ_PART_W0 || part == APQ_PART_WQ || part == APQ_PART_W1 ||
           part == APQ_PART_W2 || part == APQ_PART_W;
}

static bool is_trained(const fit_run *run, int part) {
    const apq_predictor_fit_options *o = run->options;
    bool is_frozen = o->is_frozen && o->with_bits && run->p->is_fitted;
    return !is_frozen || part == APQ_PART_WQ || part == APQ_PART_BQ;
}

static void update(fit_run *run, double learning_rate) {
    apq_predictor *p = run->p;
    /* To steps and back are roundings: not of weights that stay. */
    bool has_steps =
        run->options->has_width_steps && is_trained(run, APQ_PART_W0);
    run->n_updates++;
    apq_bit_share(p, run->options->bit_code, run->gradient);
    if (has_steps) {
        apq_width_gradient(p, run->gradient);
        apq_width_steps(p, p->params);
    }
    double rate = learning_rate / (1.0 - pow(beta1, (double)run->n_updates));
    double correction2 = 1.0 / (1.0 - pow(beta2, (double)run->n_updates));
    for (int part = 0; part < APQ_N_PARTS; part++) {
        if (!is_trained(run, part)) {
            continue;
        }
        double decay =
            is_weight(part) ? learning_rate * run->options->weight_decay : 0.0;
        size_t i = p->begin[part], n = p->begin[part + 1] - i;
        adam(p->params + i, run->gradient + i, run->moment1 + i,
             run->moment2 + i, n, (float)rate, (float)correction2,
             (float)decay);
    }
    if (has_steps) {
        apq_width_sums(p, p->params);
    }
}

static apq_status run_epoch(fit_run *run, int epoch) {
    const apq_predictor_fit_options *o = run->options;
    uint64_t index = ((uint64_t)run->member << 32) + (uint64_t)epoch;
    apq_rng rng = apq_rng_make(o->seed, APQ_RNG_PREDICTOR, index);
    apq_rng_shuffle(&rng, run->rows, run->parts.n_train);
    double rate = 0.5 * o->learning_rate * (1.0 + cos(pi * epoch / o->epochs));
    for (size_t i = 0; i < run->parts.n_train; i += (size_t)o->batch) {
        size_t left = run->parts.n_train - i;
        int m = left < (size_t)o->batch ? (int)left : o->batch;
        double loss = apq_predictor_gradient(
            run->p, &run->encoded, run->rows + i, m, run->targets, o->with_bits,
            &run->step, run->gradient);
        if (!isfinite(loss)) {
            APQ_FAIL(APQ_ERR_NUMERIC,
                     "fit: diverged in epoch %d, lower the learning rate %g",
                     epoch + 1, o->learning_rate);
        }
        update(run, rate);
    }
    return APQ_OK;
}

/* Where no samples choose the epoch there is no tau to tell. */
static void report_progress(const fit_run *run, int done, double best_tau) {
    char detail[64] = "";
    if (run->parts.n_validation > 0) {
        (void)snprintf(detail, sizeof detail, "kendall tau %.4f", best_tau);
    }
    apq_progress_update(run->options->progress,
                        run->options->with_bits ? "predictor, quantised"
                                                : "predictor, float",
                        (uint64_t)done, (uint64_t)run->options->epochs, detail);
}

/* A ranking loss leaves the scale open until the end, others do not, and the
 * error is less noisy than the order of few samples (docs/predictor.md). */
static bool is_better(apq_predictor_loss loss, const scores *now,
                      const scores *best) {
    return loss != APQ_LOSS_PAIRWISE
               ? now->rmse < best->rmse
               : !(now->tau <= best->tau) ||
                     (now->tau >= best->tau && now->rmse < best->rmse);
}

/* Leaves the best parameters in place, on the standardised scale. */
static apq_status train(fit_run *run, apq_predictor_report *report) {
    const apq_predictor_fit_options *o = run->options;
    size_t n_bytes = run->n_params * sizeof(float);
    bool selects = run->parts.n_validation > 0;
    scores best = {.tau = -2.0, .rmse = (double)INFINITY};
    if (selects && run->p->is_fitted) {
        best = evaluate(run, run->parts.n_train, run->parts.n_validation);
    }
    memcpy(run->best, run->p->params, n_bytes);
    for (int epoch = 0; epoch < o->epochs; epoch++) {
        if (apq_stop_requested(o->progress)) {
            APQ_FAIL(APQ_ERR_INTERRUPTED, "fit: stopped after %d epochs",
                     epoch);
        }
        APQ_TRY(run_epoch(run, epoch));
        report->epochs = epoch + 1;
        scores now = {0};
        if (selects) {
            now = evaluate(run, run->parts.n_train, run->parts.n_validation);
        }
        if (!selects || is_better(o->loss, &now, &best)) {
            best = now;
            report->best_epoch = epoch + 1;
            memcpy(run->best, run->p->params, n_bytes);
        }
        report_progress(run, epoch + 1, best.tau);
        if (o->patience > 0 && epoch + 1 - report->best_epoch >= o->patience) {
            break;
        }
    }
    memcpy(run->p->params, run->best, n_bytes);
    return APQ_OK;
}

apq_predictor_rows apq_predictor_judged(const apq_predictor_parts *parts) {
    if (parts->n_test > 0) {
        return (apq_predictor_rows){parts->n_train + parts->n_validation,
                                    parts->n_test};
    }
    return parts->n_validation > 0
               ? (apq_predictor_rows){parts->n_train, parts->n_validation}
               : (apq_predictor_rows){0, parts->n_train};
}

static void fill_report(fit_run *run, apq_predictor_report *report) {
    apq_predictor_rows judged = apq_predictor_judged(&run->parts);
    scores s = evaluate(run, judged.first, judged.n);
    report->n_train = run->parts.n_train;
    report->n_validation = run->parts.n_validation;
    report->n_test = run->parts.n_test;
    report->pairwise_accuracy = s.pairwise;
    report->kendall_tau = s.tau;
    report->rmse = s.rmse;
}

/* A ranking loss leaves the scale open: least squares of the targets on the
 * outputs, of samples that were not trained on where there are enough. */
static void set_scale(fit_run *run) {
    bool is_held_out = run->parts.n_validation > 0;
    size_t first = is_held_out ? run->parts.n_train : 0;
    size_t n = is_held_out ? run->parts.n_validation : run->parts.n_train;
    (void)evaluate(run, first, n);
    double x = 0.0, y = 0.0, xx = 0.0, xy = 0.0;
    for (size_t i = 0; i < n; i++) {
        x += (run->predicted[i] - run->mean) / run->deviation / (double)n;
        y += (run->wanted[i] - run->mean) / run->deviation / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        double dx = (run->predicted[i] - run->mean) / run->deviation - x;
        double dy = (run->wanted[i] - run->mean) / run->deviation - y;
        xx += dx * dx;
        xy += dx * dy;
    }
    if (xx > 0.0 && xy > 0.0) {
        rescale_output(run->p, xy / xx, y - xy / xx * x);
    }
}

static apq_status fit(fit_run *run, const apq_predictor_sample *samples,
                      apq_predictor_report *report) {
    APQ_TRY(prepare(run, samples));
    bool trains = run->options->epochs > 0;
    if (trains && run->options->has_width_steps && !run->p->is_fitted) {
        apq_width_scale(run->p, run->p->params);
        apq_width_sums(run->p, run->p->params);
    }
    standardise(run);
    APQ_TRY(train(run, report));
    if (trains && run->options->loss == APQ_LOSS_PAIRWISE) {
        set_scale(run);
    }
    fill_report(run, report);
    if (trains) {
        rescale_output(run->p, run->deviation, run->mean);
        run->p->is_fitted = true;
    }
    return APQ_OK;
}

apq_status apq_predictor_fit_member(apq_predictor *member, int index,
                                    const apq_predictor_sample *samples,
                                    size_t n,
                                    const apq_predictor_fit_options *options,
                                    apq_predictor_report *report) {
    APQ_TRY(check_options(options));
    if (n == 0 || n > UINT32_MAX) {
        APQ_FAIL(APQ_ERR_ARG, "fit: %zu samples, at least 1 is needed", n);
    }
    fit_run run = {.p = member, .options = options, .member = index, .n = n};
    apq_predictor_report result = {0};
    apq_status st = fit(&run, samples, &result);
    if (st == APQ_OK) {
        *report = result;
    }
    apq_predictor_repack(member);
    release(&run);
    return st;
}
