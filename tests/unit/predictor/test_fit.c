/* Gradient by finite differences; learning, transfer and determinism on a
 * synthetic score of policies. */
#include "predictor/predictor.h"

#include "predictor/metrics.h"
#include "predictor/predictor_private.h"

#include "unit/asserts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static apq_space load_space(const char *name) {
    apq_space space;
    assert_status(apq_space_load(name, &space), APQ_OK);
    return space;
}

/* A score like an accuracy: a sum over active blocks, bits cost a little. */
static double score(const apq_space *space, const apq_policy *policy,
                    bool with_bits) {
    double sum = 0.0;
    for (int i = 0; i < space->n_blocks; i++) {
        if (!apq_space_block_active(space, policy, i)) {
            continue;
        }
        const apq_space_block *b = &space->blocks[i];
        sum += 0.004 * (1.0 + 0.3 * i) * (policy->kernel[i] - 2);
        sum += 0.02 * (policy->channels[i] - b->min_channels) /
               (b->max_channels - b->min_channels + 1);
        for (int g = 0; with_bits && g < APQ_N_BIT_GENES; g++) {
            sum -= 0.002 * (g + 1) * (8 - policy->bits[g][i]);
        }
    }
    return 0.6 + sum;
}

static apq_predictor_sample *make_samples(const apq_space *space, size_t n,
                                          uint64_t index, bool with_bits) {
    apq_predictor_sample *samples = calloc(n, sizeof *samples);
    assert_non_null(samples);
    apq_rng rng = apq_rng_make(11, APQ_RNG_TEST, index);
    for (size_t i = 0; i < n; i++) {
        apq_policy_random(space, &rng, &samples[i].policy);
        samples[i].accuracy = score(space, &samples[i].policy, with_bits);
    }
    return samples;
}

/* Kendall tau of the predictor on fresh samples. */
static double fresh_tau(const apq_predictor *p, bool with_bits) {
    enum { N = 400 };
    const apq_space *space = apq_predictor_space(p);
    apq_predictor_sample *samples = make_samples(space, N, 99, with_bits);
    double predicted[N], actual[N];
    for (int i = 0; i < N; i++) {
        assert_status(apq_predictor_predict(p, &samples[i].policy, 1, with_bits,
                                            &predicted[i]),
                      APQ_OK);
        actual[i] = samples[i].accuracy;
    }
    free(samples);
    return apq_kendall_tau_b(predicted, actual, N);
}

typedef struct gradient_case {
    apq_predictor *p;
    apq_encoded encoded;
    apq_predictor_step step;
    uint32_t rows[10];
    double targets[10];
    float *gradient;
} gradient_case;

static gradient_case make_gradient_case(bool with_bits) {
    gradient_case c = {0};
    apq_space space = load_space("tiny");
    assert_status(apq_predictor_create_random(&space, 21, 1, &c.p), APQ_OK);
    apq_rng rng = apq_rng_make(1, APQ_RNG_TEST, 50);
    for (size_t i = 0; i < c.p->begin[APQ_N_PARTS]; i++) {
        /* Nothing zero, the bit branch and the biases included. */
        c.p->params[i] += (float)(0.1 * apq_rng_normal(&rng));
    }
    assert_status(apq_encoded_create(&space, 10, &c.encoded), APQ_OK);
    assert_status(apq_predictor_step_create(c.p, 10, &c.step), APQ_OK);
    for (uint32_t i = 0; i < 10; i++) {
        apq_policy policy;
        apq_policy_random(&space, &rng, &policy);
        apq_encoded_set(&c.encoded, &space, i, &policy, with_bits);
        c.rows[i] = 9 - i;
        c.targets[i] = apq_rng_normal(&rng);
    }
    c.gradient = calloc(c.p->begin[APQ_N_PARTS], sizeof *c.gradient);
    assert_non_null(c.gradient);
    return c;
}

static double loss_at(gradient_case *c, bool with_bits, float *scratch) {
    return apq_predictor_gradient(c->p, &c->encoded, c->rows, 10, c->targets,
                                  with_bits, &c->step, scratch);
}

static void check_gradient(bool with_bits, apq_predictor_loss loss) {
    gradient_case c = make_gradient_case(with_bits);
    c.step.loss = loss;
    size_t n = c.p->begin[APQ_N_PARTS];
    float *scratch = calloc(n, sizeof *scratch);
    (void)loss_at(&c, with_bits, c.gradient);
    int outliers = 0, checked = 0;
    for (int part = 0; part < APQ_N_PARTS; part++) {
        bool any = false;
        size_t begin = c.p->begin[part], end = c.p->begin[part + 1];
        size_t stride = (end - begin) / 60 + 1;
        for (size_t i = begin; i < end; i += stride) {
            const float saved = c.p->params[i], h = 2e-3f;
            c.p->params[i] = saved + h;
            double above = loss_at(&c, with_bits, scratch);
            c.p->params[i] = saved - h;
            double below = loss_at(&c, with_bits, scratch);
            c.p->params[i] = saved;
            double expected = (above - below) / (2.0 * (double)h);
            double error = fabs((double)c.gradient[i] - expected);
            /* A step may cross a kink of a relu: rare, not everywhere. */
            outliers += !(error <= 2e-3 + 0.01 * fabs(expected));
            any = any || c.gradient[i] != 0.0f;
            checked++;
        }
        bool is_bit = part == APQ_PART_WQ || part == APQ_PART_BQ;
        /* Only differences of outputs count for the order of pairs, so the
         * last bias is free. */
        bool is_free = part == APQ_PART_B && loss == APQ_LOSS_PAIRWISE;
        assert_true(is_free || any == (with_bits || !is_bit));
    }
    if (outliers * 50 > checked) {
        fail_msg("%d of %d gradients are wrong", outliers, checked);
    }
    free(scratch);
    free(c.gradient);
    apq_encoded_release(&c.encoded);
    apq_predictor_step_release(&c.step);
    apq_predictor_destroy(c.p);
}

static void test_gradient(void **state) {
    (void)state;
    const apq_predictor_loss losses[] = {APQ_LOSS_SQUARED, APQ_LOSS_PAIRWISE};
    for (int i = 0; i < 2; i++) {
        check_gradient(true, losses[i]);
        check_gradient(false, losses[i]);
    }
}

static void test_learns(void **state) {
    (void)state;
    enum { N = 1500 };
    apq_space space = load_space("cifar10-small");
    apq_predictor_sample *samples = make_samples(&space, N, 1, true);
    apq_predictor *p = NULL;
    assert_status(apq_predictor_create_random(&space, 64, 2, &p), APQ_OK);
    apq_predictor_fit_options options = apq_predictor_fit_defaults();
    options.with_bits = true;
    options.epochs = 60;
    apq_predictor_report report;
    assert_status(apq_predictor_fit(p, samples, N, &options, &report), APQ_OK);
    assert_int_equal(report.n_validation, 150);
    assert_int_equal(report.n_test, 150);
    assert_int_equal(report.n_train, 1200);
    assert_true(report.kendall_tau > 0.9);
    assert_true(report.pairwise_accuracy > 0.95);
    /* The standardisation is folded in: the scale is an accuracy's. */
    assert_true(report.rmse < 0.02);
    double tau = fresh_tau(p, true);
    if (!(tau > 0.9)) {
        fail_msg("kendall tau %g on fresh samples", tau);
    }
    double predicted = 0.0;
    assert_status(
        apq_predictor_predict(p, &samples[0].policy, 1, true, &predicted),
        APQ_OK);
    assert_true(fabs(predicted - samples[0].accuracy) < 0.05);

    /* No epochs: the same weights, only the report. */
    apq_predictor_report again;
    options.epochs = 0;
    assert_status(apq_predictor_fit(p, samples, N, &options, &again), APQ_OK);
    assert_true(fabs(again.kendall_tau - report.kendall_tau) < 1e-3);
    assert_int_equal(again.epochs, 0);
    double same = 0.0;
    assert_status(apq_predictor_predict(p, &samples[0].policy, 1, true, &same),
                  APQ_OK);
    assert_true(same == predicted);
    free(samples);
    apq_predictor_destroy(p);
}

/* The new losses and the steps learn the same score; a ranking alone is put
 * back on the scale of accuracies. */
static void test_options_learn(void **state) {
    (void)state;
    enum { N = 800 };
    apq_space space = load_space("cifar10-small");
    apq_predictor_sample *samples = make_samples(&space, N, 1, true);
    for (int i = 1; i < 4; i++) {
        apq_predictor *p = NULL;
        assert_status(apq_predictor_create_random(&space, 48, 2, &p), APQ_OK);
        apq_predictor_fit_options options = apq_predictor_fit_defaults();
        options.with_bits = true;
        options.epochs = 40;
        options.loss = (apq_predictor_loss)(i % 2);
        options.has_width_steps = i >= 2;
        apq_predictor_report report;
        assert_status(apq_predictor_fit(p, samples, N, &options, &report),
                      APQ_OK);
        double tau = fresh_tau(p, true);
        if (!(tau > 0.85 && report.rmse < 0.03)) {
            fail_msg("options %d: tau %g, rmse %g", i, tau, report.rmse);
        }
        apq_predictor_destroy(p);
    }
    free(samples);
}

/* A float fit leaves the bit branch at zero: the quantised fit begins with the
 * float predictor, whatever the bits. */
static void test_transfer_starts_there(void **state) {
    (void)state;
    enum { N = 120 };
    apq_space space = load_space("tiny");
    apq_predictor_sample *samples = make_samples(&space, N, 3, false);
    apq_predictor *p = NULL;
    assert_status(apq_predictor_create_random(&space, 24, 2, &p), APQ_OK);
    apq_predictor_fit_options options = apq_predictor_fit_defaults();
    options.epochs = 5;
    apq_predictor_report report;
    assert_status(apq_predictor_fit(p, samples, N, &options, &report), APQ_OK);
    for (size_t i = p->begin[APQ_PART_WQ]; i < p->begin[APQ_PART_W1]; i++) {
        assert_true(p->params[i] == 0.0f);
    }
    for (int i = 0; i < N; i++) {
        double with, without;
        assert_status(
            apq_predictor_predict(p, &samples[i].policy, 1, true, &with),
            APQ_OK);
        assert_status(
            apq_predictor_predict(p, &samples[i].policy, 1, false, &without),
            APQ_OK);
        assert_true(with == without);
    }
    free(samples);
    apq_predictor_destroy(p);
}

static double quantised_tau(const apq_space *space, uint64_t seed,
                            bool transfer) {
    enum { N_FLOAT = 1200, N_QUANTISED = 100 };
    apq_predictor *p = NULL;
    apq_predictor_report report;
    assert_status(apq_predictor_create_random(space, 64, seed, &p), APQ_OK);
    apq_predictor_fit_options options = apq_predictor_fit_defaults();
    options.seed = seed;
    options.epochs = 40;
    if (transfer) {
        apq_predictor_sample *samples =
            make_samples(space, N_FLOAT, 10 + seed, false);
        assert_status(apq_predictor_fit(p, samples, N_FLOAT, &options, &report),
                      APQ_OK);
        free(samples);
        /* The quantised fit starts exactly at the float predictor. */
        assert_true(fresh_tau(p, false) > 0.8);
    }
    apq_predictor_sample *samples =
        make_samples(space, N_QUANTISED, 20 + seed, true);
    options.with_bits = true;
    options.batch = 16;
    options.epochs = 100;
    options.test_fraction = 0.0;
    assert_status(apq_predictor_fit(p, samples, N_QUANTISED, &options, &report),
                  APQ_OK);
    assert_int_equal(report.n_test, 0);
    free(samples);
    double tau = fresh_tau(p, true);
    apq_predictor_destroy(p);
    return tau;
}

static void test_transfer(void **state) {
    (void)state;
    apq_space space = load_space("cifar10-small");
    double with = 0.0, without = 0.0;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        with += quantised_tau(&space, seed, true) / 3.0;
        without += quantised_tau(&space, seed, false) / 3.0;
    }
    print_message("kendall tau %.3f with transfer, %.3f without\n", with,
                  without);
    assert_true(with > without + 0.02);
}

/* What ranks the validation samples well may still be far off: a start that is
 * in order is not kept for it. */
static void test_order_is_not_enough(void **state) {
    (void)state;
    enum { N_FLOAT = 1200, N = 240 };
    apq_space space = load_space("cifar10-small");
    apq_predictor *p = NULL;
    apq_predictor_report report;
    assert_status(apq_predictor_create_random(&space, 48, 2, &p), APQ_OK);
    apq_predictor_fit_options options = apq_predictor_fit_defaults();
    options.epochs = 60;
    apq_predictor_sample *samples = make_samples(&space, N_FLOAT, 50, false);
    assert_status(apq_predictor_fit(p, samples, N_FLOAT, &options, &report),
                  APQ_OK);
    free(samples);
    samples = make_samples(&space, N, 51, false);
    for (int i = 0; i < N; i++) {
        samples[i].accuracy -= 0.2;
    }
    options.with_bits = true;
    options.epochs = 4;
    options.learning_rate = 1e-3;
    assert_status(apq_predictor_fit(p, samples, N, &options, &report), APQ_OK);
    assert_true(report.n_validation > 0);
    if (!(report.rmse < 0.1)) {
        fail_msg("rmse %g", report.rmse);
    }
    free(samples);
    apq_predictor_destroy(p);
}

/* A predictor of 200 float samples and then, with these options, 60 quantised
 * ones. */
static apq_predictor *fit_both(const apq_space *space, uint64_t seed,
                               apq_bit_code code, bool is_frozen,
                               float **after_float) {
    enum { N_FLOAT = 200, N_QUANTISED = 60 };
    apq_predictor *p = NULL;
    apq_predictor_report report;
    assert_status(apq_predictor_create_random(space, 32, seed, &p), APQ_OK);
    apq_predictor_fit_options options = apq_predictor_fit_defaults();
    options.seed = seed;
    options.epochs = 60;
    apq_predictor_sample *samples =
        make_samples(space, N_FLOAT, 30 + seed, false);
    assert_status(apq_predictor_fit(p, samples, N_FLOAT, &options, &report),
                  APQ_OK);
    free(samples);
    if (after_float != NULL) {
        size_t n_bytes = p->begin[APQ_N_PARTS] * sizeof(float);
        *after_float = malloc(n_bytes);
        assert_non_null(*after_float);
        memcpy(*after_float, p->params, n_bytes);
    }
    samples = make_samples(space, N_QUANTISED, 40 + seed, true);
    options.with_bits = true;
    options.bit_code = code;
    options.is_frozen = is_frozen;
    options.epochs = 150;
    assert_status(apq_predictor_fit(p, samples, N_QUANTISED, &options, &report),
                  APQ_OK);
    free(samples);
    return p;
}

/* Only the last layer's scale was changed and changed back. */
static void test_frozen_keeps_float(void **state) {
    (void)state;
    apq_space space = load_space("tiny");
    float *before;
    apq_predictor *p = fit_both(&space, 1, APQ_BITS_ONEHOT, true, &before);
    for (int part = 0; part < APQ_N_PARTS; part++) {
        size_t i = p->begin[part], n = p->begin[part + 1] - i;
        bool is_bits = part == APQ_PART_WQ || part == APQ_PART_BQ;
        bool is_last = part == APQ_PART_W || part == APQ_PART_B;
        if (is_bits) {
            assert_memory_not_equal(p->params + i, before + i,
                                    n * sizeof(float));
        }
        for (size_t j = i; j < i + n && !is_bits; j++) {
            float most = is_last ? 1e-5F : 0.0F;
            assert_true(fabsf(p->params[j] - before[j]) <= most);
        }
    }
    free(before);
    apq_predictor_destroy(p);
}

/* Weights of the inputs of one bit-width: (gene and block). */
static void test_bits_share_weights(void **state) {
    (void)state;
    apq_space space = load_space("tiny");
    size_t h = 32, n_values = (size_t)space.n_bits;
    size_t n_layers = (size_t)space.n_blocks * APQ_N_BIT_GENES;
    for (int code = APQ_BITS_ONEHOT; code <= APQ_BITS_SHARED; code++) {
        apq_predictor *p = fit_both(&space, 2, (apq_bit_code)code, false, NULL);
        const float *rows = p->params + p->begin[APQ_PART_WQ];
        bool is_all_equal = true;
        for (size_t layer = 0; layer < n_layers; layer++) {
            is_all_equal &= memcmp(rows + layer * n_values * h, rows,
                                   n_values * h * sizeof(float)) == 0;
        }
        assert_int_equal(is_all_equal, code == APQ_BITS_SHARED);
        assert_true(rows[0] < 0.0F || rows[0] > 0.0F);
        apq_predictor_destroy(p);
    }
}

/* Keeps the last word of a fit. */
static void keep_detail(void *ctx, const char *what, uint64_t done,
                        uint64_t total, const char *detail) {
    (void)what;
    (void)done;
    (void)total;
    (void)snprintf(ctx, 64, "%s", detail);
}

/* Few samples are all trained on, none chooses an epoch: the bits are learnt
 * even where one epoch ranks a handful of samples no better than another. */
static void test_few_samples_learn_bits(void **state) {
    (void)state;
    enum { N_FLOAT = 600, N_QUANTISED = 45 };
    apq_space space = load_space("cifar10-small");
    apq_predictor *p = NULL;
    apq_predictor_report report;
    assert_status(apq_predictor_create_random(&space, 48, 2, &p), APQ_OK);
    apq_predictor_fit_options options = apq_predictor_fit_defaults();
    char detail[64] = "";
    const apq_progress progress = {.ctx = detail, .update = keep_detail};
    options.progress = &progress;
    apq_predictor_sample *samples = make_samples(&space, N_FLOAT, 6, false);
    assert_status(apq_predictor_fit(p, samples, N_FLOAT, &options, &report),
                  APQ_OK);
    assert_int_equal(report.n_validation, 60);
    assert_memory_equal(detail, "kendall tau 0.", 14);
    free(samples);
    options.with_bits = true;
    options.batch = 16;
    samples = make_samples(&space, N_QUANTISED, 7, true);
    assert_status(apq_predictor_fit(p, samples, N_QUANTISED, &options, &report),
                  APQ_OK);
    assert_int_equal(report.n_validation, 0);
    assert_string_equal(detail, ""); /* none ranks any */
    assert_int_equal(report.n_train, N_QUANTISED - report.n_test);
    assert_int_equal(report.best_epoch, options.epochs);
    for (int i = 0; i < N_QUANTISED; i++) {
        apq_policy *policy = &samples[i].policy;
        double accuracy[2];
        for (int k = 0; k < 2; k++) {
            memset(policy->bits, k == 0 ? 4 : 8, sizeof policy->bits);
            assert_status(
                apq_predictor_predict(p, policy, 1, true, &accuracy[k]),
                APQ_OK);
        }
        assert_true(accuracy[1] > accuracy[0]);
    }
    free(samples);
    apq_predictor_destroy(p);
}

static bool stop_at_once(void *ctx) {
    (void)ctx;
    return true;
}

static void test_determinism_and_errors(void **state) {
    (void)state;
    enum { N = 200 };
    apq_space space = load_space("tiny");
    apq_predictor_sample *samples = make_samples(&space, N, 5, true);
    apq_predictor_fit_options options = apq_predictor_fit_defaults();
    options.with_bits = true;
    options.epochs = 5;
    apq_predictor *p[3] = {NULL};
    apq_predictor_report report[3];
    for (uint64_t i = 0; i < 3; i++) {
        options.seed = i == 2 ? 8 : 7;
        assert_status(apq_predictor_create_random(&space, 32, 4, &p[i]),
                      APQ_OK);
        assert_status(apq_predictor_fit(p[i], samples, N, &options, &report[i]),
                      APQ_OK);
    }
    size_t n_bytes = p[0]->begin[APQ_N_PARTS] * sizeof(float);
    assert_memory_equal(p[0]->params, p[1]->params, n_bytes);
    assert_true(report[0].kendall_tau == report[1].kendall_tau);
    assert_int_not_equal(memcmp(p[0]->params, p[2]->params, n_bytes), 0);

    const apq_progress progress = {.stop_requested = stop_at_once};
    options.progress = &progress;
    assert_status(apq_predictor_fit(p[0], samples, N, &options, report),
                  APQ_ERR_INTERRUPTED);
    assert_memory_equal(p[0]->params, p[1]->params, n_bytes);
    options.progress = NULL;
    samples[3].accuracy = (double)NAN;
    assert_status(apq_predictor_fit(p[0], samples, N, &options, report),
                  APQ_ERR_ARG);
    assert_memory_equal(p[0]->params, p[1]->params, n_bytes);
    assert_status(apq_predictor_fit(p[0], samples, 0, &options, report),
                  APQ_ERR_ARG);
    options.validation_fraction = 0.95;
    assert_status(apq_predictor_fit(p[0], samples, 3, &options, report),
                  APQ_ERR_ARG);
    for (int i = 0; i < 3; i++) {
        apq_predictor_destroy(p[i]);
    }
    free(samples);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_options_learn),
        cmocka_unit_test(test_transfer_starts_there),
        cmocka_unit_test(test_transfer),
        cmocka_unit_test(test_order_is_not_enough),
        cmocka_unit_test(test_few_samples_learn_bits),
        cmocka_unit_test(test_frozen_keeps_float),
        cmocka_unit_test(test_bits_share_weights),
        cmocka_unit_test(test_determinism_and_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
