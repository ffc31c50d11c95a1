/* Ensembles: mean and deviation, files, fits that leave no trace on failure;
 * and widths trained as steps. */
#include "predictor/predictor.h"

#include "base/file.h"
#include "predictor/predictor_private.h"
#include "tensor/safetensors.h"

#include "unit/asserts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_MEMBERS = 3, N = 60 };

static apq_space load_space(const char *name) {
    apq_space space;
    assert_status(apq_space_load(name, &space), APQ_OK);
    return space;
}

static apq_predictor *make(const apq_space *space) {
    apq_predictor *p = NULL;
    assert_status(apq_predictor_create_ensemble(space, 16, N_MEMBERS, 5, &p),
                  APQ_OK);
    return p;
}

static void draw(const apq_space *space, apq_policy policies[N]) {
    apq_rng rng = apq_rng_make(4, APQ_RNG_TEST, 0);
    for (int i = 0; i < N; i++) {
        apq_policy_random(space, &rng, &policies[i]);
    }
}

static void test_mean(void **state) {
    (void)state;
    apq_space space = load_space("tiny");
    apq_predictor *p = make(&space);
    apq_policy policies[N];
    double mean[N], deviation[N], plain[N], single[N_MEMBERS][N];
    draw(&space, policies);
    for (int m = 0; m < N_MEMBERS; m++) {
        assert_status(apq_predictor_predict_member(apq_predictor_member(p, m),
                                                   policies, N, true,
                                                   single[m]),
                      APQ_OK);
    }
    /* The first is the predictor that there is without others. */
    apq_predictor *one = NULL;
    assert_status(apq_predictor_create_random(&space, 16, 5, &one), APQ_OK);
    assert_status(apq_predictor_spread(one, policies, N, true, mean, deviation),
                  APQ_OK);
    assert_memory_equal(mean, single[0], sizeof mean);
    assert_near(deviation[3], 0.0, 0.0);
    apq_predictor_destroy(one);
    assert_int_equal(apq_predictor_members(p), N_MEMBERS);
    assert_status(apq_predictor_spread(p, policies, N, true, mean, deviation),
                  APQ_OK);
    assert_status(apq_predictor_predict(p, policies, N, true, plain), APQ_OK);
    for (int i = 0; i < N; i++) {
        double a = single[0][i], b = single[1][i], c = single[2][i];
        double m = (a + b + c) / 3.0;
        double v = (a - m) * (a - m) + (b - m) * (b - m) + (c - m) * (c - m);
        assert_near(mean[i], m, 1e-12);
        assert_near(deviation[i], sqrt(v / 2.0), 1e-9);
        assert_true(plain[i] == mean[i]);
    }
    assert_true(deviation[0] > 0.0);
    apq_predictor_destroy(p);
    assert_status(apq_predictor_create_ensemble(&space, 16, 65, 5, &p),
                  APQ_ERR_ARG);
}

/* Otherwise experiments that are repeated with the next seed would not be
 * independent. */
static void test_no_two_members_start_alike(void **state) {
    (void)state;
    enum { N_SEEDS = 3 };
    apq_space space = load_space("tiny");
    apq_predictor *p[N_SEEDS];
    const apq_predictor *members[N_SEEDS * N_MEMBERS];
    for (uint64_t s = 0; s < N_SEEDS; s++) {
        assert_status(
            apq_predictor_create_ensemble(&space, 16, N_MEMBERS, 5 + s, &p[s]),
            APQ_OK);
        for (int m = 0; m < N_MEMBERS; m++) {
            members[s * N_MEMBERS + (size_t)m] = apq_predictor_member(p[s], m);
        }
    }
    size_t w0 = members[0]->begin[APQ_PART_W0];
    for (size_t i = 0; i < N_SEEDS * N_MEMBERS; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(members[i]->params + w0,
                                    members[j]->params + w0, sizeof(float));
        }
    }
    for (size_t s = 0; s < N_SEEDS; s++) {
        apq_predictor_destroy(p[s]);
    }
}

static void test_files(void **state) {
    (void)state;
    char path[] = "/tmp/apq_ensemble_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    apq_space space = load_space("tiny");
    apq_predictor *p = make(&space), *q = NULL;
    apq_policy policies[N];
    double before[N], after[N];
    draw(&space, policies);
    assert_status(apq_predictor_predict(p, policies, N, true, before), APQ_OK);
    const apq_predictor_meta metas[] = {{"supernet_hash", "0123456789abcdef"}};
    assert_status(apq_predictor_save(p, path, metas, 1), APQ_OK);
    assert_status(apq_predictor_load(path, NULL, &q), APQ_OK);
    assert_int_equal(apq_predictor_members(q), N_MEMBERS);
    assert_string_equal(apq_predictor_supernet_hash(q), "0123456789abcdef");
    assert_string_equal(apq_predictor_records_hash(q), "");
    assert_status(apq_predictor_predict(q, policies, N, true, after), APQ_OK);
    assert_memory_equal(before, after, sizeof before);

    /* Without the names of further members it is the first member's file. */
    apq_tensor_file *file = NULL;
    assert_status(apq_tensor_file_load(path, &file), APQ_OK);
    assert_string_equal(apq_tensor_file_meta(file, "ensemble"), "3");
    assert_int_equal(apq_tensor_file_length(file), N_MEMBERS * APQ_N_PARTS);
    const void *data = NULL;
    const int64_t shape[1] = {16};
    assert_status(apq_tensor_file_get(file, "members.2.layers.1.0.bias",
                                      APQ_F32, 1, shape, &data),
                  APQ_OK);
    apq_tensor_file_destroy(file);

    /* More members promised than there are. */
    const apq_predictor_meta wrong[] = {{"ensemble", "2"}};
    apq_predictor *one = NULL;
    assert_status(apq_predictor_create_random(&space, 16, 5, &one), APQ_OK);
    assert_status(apq_predictor_save(one, path, wrong, 1), APQ_OK);
    assert_status(apq_predictor_load(path, NULL, &p), APQ_ERR_FORMAT);
    const apq_predictor_meta absurd[] = {{"ensemble", "99999"}};
    assert_status(apq_predictor_save(one, path, absurd, 1), APQ_OK);
    assert_status(apq_predictor_load(path, NULL, &p), APQ_ERR_FORMAT);
    apq_predictor_destroy(one);
    apq_predictor_destroy(p);
    apq_predictor_destroy(q);
    (void)unlink(path);
}

/* A small file that promises 64 members of 2,048 hidden units, 4 GB. */
static void test_promised_members(void **state) {
    (void)state;
    char path[] = "/tmp/apq_promised_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    apq_space space = load_space("tiny");
    const int64_t shape[2] = {2048, apq_encode_float_dim(&space)};
    float *values = calloc((size_t)(shape[0] * shape[1]), sizeof *values);
    assert_non_null(values);
    apq_tensor_file *file = NULL;
    assert_status(apq_tensor_file_create(&file), APQ_OK);
    assert_status(apq_tensor_file_put(file, "layers.0.0.weight", APQ_F32, 2,
                                      shape, values),
                  APQ_OK);
    assert_status(apq_tensor_file_put_meta(file, "ensemble", "64"), APQ_OK);
    assert_status(apq_tensor_file_save(file, path), APQ_OK);
    apq_tensor_file_destroy(file);
    free(values);
    apq_predictor *p = NULL;
    assert_status(apq_predictor_load(path, &space, &p), APQ_ERR_FORMAT);
    assert_null(p);
    assert_non_null(strstr(apq_error_message(),
                           "'layers.1.0.weight' is no matrix of 2048 x 2048"));
    (void)unlink(path);
}

static void make_samples(const apq_space *space,
                         apq_predictor_sample samples[N]) {
    apq_policy policies[N];
    draw(space, policies);
    for (int i = 0; i < N; i++) {
        samples[i] = (apq_predictor_sample){.policy = policies[i]};
        samples[i].accuracy = 0.5 + 0.001 * policies[i].channels[0] +
                              0.01 * policies[i].kernel[1];
    }
}

static bool stop(void *ctx) {
    int *left = ctx;
    return (*left)-- == 0;
}

/* Members divide the samples alike, learn in different orders, and a fit that
 * is stopped in the second one changes none. */
static void test_fit(void **state) {
    (void)state;
    apq_space space = load_space("tiny");
    apq_predictor *p = make(&space), *copy = NULL;
    assert_status(apq_predictor_copy(p, &copy), APQ_OK);
    size_t n_bytes = p->begin[APQ_N_PARTS] * sizeof(float);
    apq_predictor_sample samples[N];
    make_samples(&space, samples);
    int left = 5;
    const apq_progress progress = {.ctx = &left, .stop_requested = stop};
    apq_predictor_fit_options options = apq_predictor_fit_defaults();
    options.epochs = 4;
    options.with_bits = true;
    options.progress = &progress;
    apq_predictor_report report;
    assert_status(apq_predictor_fit(p, samples, N, &options, &report),
                  APQ_ERR_INTERRUPTED);
    for (int m = 0; m < N_MEMBERS; m++) {
        assert_memory_equal(apq_predictor_member(p, m)->params,
                            apq_predictor_member(copy, m)->params, n_bytes);
    }
    options.progress = NULL;
    options.epochs = 30;
    assert_status(apq_predictor_fit(p, samples, N, &options, &report), APQ_OK);
    assert_int_equal(report.n_test, 6);
    for (int m = 0; m < N_MEMBERS; m++) {
        apq_predictor *member = apq_predictor_member(p, m);
        assert_true(member->is_fitted);
        assert_int_not_equal(memcmp(member->params,
                                    apq_predictor_member(copy, m)->params,
                                    n_bytes),
                             0);
    }
    /* The report is of the mean. */
    uint32_t rows[N];
    apq_predictor_parts parts;
    assert_status(
        apq_predictor_split(&options, &space, samples, N, rows, &parts),
        APQ_OK);
    double squares = 0.0;
    for (size_t i = N - parts.n_test; i < N; i++) {
        double predicted;
        assert_status(apq_predictor_predict(p, &samples[rows[i]].policy, 1,
                                            true, &predicted),
                      APQ_OK);
        double d = predicted - samples[rows[i]].accuracy;
        squares += d * d;
    }
    assert_near(report.rmse, sqrt(squares / (double)parts.n_test), 1e-9);
    apq_predictor_destroy(p);
    apq_predictor_destroy(copy);
}

/* Steps and sums are inverse, and a product with the gradient of the sums is
 * one of the steps with theirs. */
static void test_width_steps(void **state) {
    (void)state;
    apq_space space = load_space("cifar10-small");
    apq_predictor *p = NULL;
    assert_status(apq_predictor_create_random(&space, 8, 3, &p), APQ_OK);
    size_t n = p->begin[APQ_N_PARTS];
    float *sums = calloc(n, sizeof *sums), *gradient = calloc(n, sizeof *sums);
    apq_rng rng = apq_rng_make(6, APQ_RNG_TEST, 0);
    double by_sums = 0.0, by_steps = 0.0;
    for (size_t i = 0; i < n; i++) {
        gradient[i] = (float)apq_rng_normal(&rng);
        sums[i] = p->params[i];
        by_sums += (double)gradient[i] * (double)sums[i];
    }
    apq_width_steps(p, p->params);
    apq_width_gradient(p, gradient);
    assert_int_not_equal(memcmp(sums, p->params, n * sizeof *sums), 0);
    for (size_t i = 0; i < n; i++) {
        by_steps += (double)gradient[i] * (double)p->params[i];
    }
    assert_near(by_steps, by_sums, 1e-3);
    apq_width_sums(p, p->params);
    for (size_t i = 0; i < n; i++) {
        assert_near((double)p->params[i], (double)sums[i], 1e-5);
    }
    free(sums);
    free(gradient);
    apq_predictor_destroy(p);
}

/* A width that no sample has is predicted from its neighbours. */
static void test_unseen_width(void **state) {
    (void)state;
    enum { MANY = 600 };
    apq_space space = load_space("cifar10-small");
    int block = space.stages[1].first_block; /* never skipped */
    const apq_space_block *b = &space.blocks[block];
    int hidden_from = b->min_channels + (b->max_channels - b->min_channels) / 2;
    apq_predictor_sample *samples = calloc(MANY, sizeof *samples);
    assert_non_null(samples);
    apq_rng rng = apq_rng_make(8, APQ_RNG_TEST, 0);
    for (int i = 0; i < MANY; i++) {
        apq_policy *policy = &samples[i].policy;
        apq_policy_random(&space, &rng, policy);
        if (abs(policy->channels[block] - hidden_from) <= space.channel_step) {
            policy->channels[block] = (int16_t)b->max_channels;
        }
        samples[i].accuracy =
            0.5 + 0.2 * (policy->channels[block] - b->min_channels) /
                      (b->max_channels - b->min_channels);
    }
    double errors[2];
    for (int has_steps = 0; has_steps < 2; has_steps++) {
        apq_predictor *p = NULL;
        assert_status(apq_predictor_create_random(&space, 32, 3, &p), APQ_OK);
        apq_predictor_fit_options options = apq_predictor_fit_defaults();
        options.has_width_steps = has_steps == 1;
        options.epochs = 40;
        apq_predictor_report report;
        assert_status(apq_predictor_fit(p, samples, MANY, &options, &report),
                      APQ_OK);
        apq_policy policy = samples[0].policy;
        policy.channels[block] = (int16_t)(b->min_channels);
        while (policy.channels[block] + space.channel_step <= hidden_from) {
            policy.channels[block] =
                (int16_t)(policy.channels[block] + space.channel_step);
        }
        double wanted = 0.5 + 0.2 * (policy.channels[block] - b->min_channels) /
                                  (b->max_channels - b->min_channels);
        double predicted;
        assert_status(apq_predictor_predict(p, &policy, 1, false, &predicted),
                      APQ_OK);
        errors[has_steps] = fabs(predicted - wanted);
        apq_predictor_destroy(p);
    }
    print_message("error at an unseen width: %.4f one-hot, %.4f steps\n",
                  errors[0], errors[1]);
    assert_true(errors[1] < 0.015 && errors[1] < errors[0]);
    free(samples);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mean),
        cmocka_unit_test(test_promised_members),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_no_two_members_start_alike),
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_width_steps),
        cmocka_unit_test(test_unseen_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
