/* What is held out: shares of the samples at random, and where architectures
 * stay together, none that is known in other bits. */
#include "predictor/predictor.h"

#include "base/rng.h"

#include "unit/asserts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Every other group of P samples is one architecture in P bit settings. */
enum { N = 2000, P = 10 };

static apq_predictor_sample samples[N];

static apq_space make_samples(void) {
    apq_space space;
    assert_status(apq_space_load("cifar10", &space), APQ_OK);
    apq_rng rng = apq_rng_make(1, APQ_RNG_TEST, 0);
    for (int i = 0; i < N; i++) {
        if (i / P % 2 == 0 || i % P == 0) {
            apq_policy_random(&space, &rng, &samples[i].policy);
        } else {
            samples[i].policy = samples[i - 1].policy;
            apq_policy_random_bits(&space, &rng, &samples[i].policy);
        }
    }
    return space;
}

static bool is_sibling(uint32_t a, uint32_t b) {
    return a / P == b / P && a / P % 2 == 1;
}

static int part_of(const apq_predictor_parts *parts, size_t i) {
    return (i >= parts->n_train) + (i >= parts->n_train + parts->n_validation);
}

static void assert_permutation(const uint32_t *rows) {
    static bool is_there[N];
    memset(is_there, 0, sizeof is_there);
    for (size_t i = 0; i < N; i++) {
        assert_true(rows[i] < N && !is_there[rows[i]]);
        is_there[rows[i]] = true;
    }
}

/* Pairs of one architecture that are on two sides. */
static int count_torn(const uint32_t *rows, const apq_predictor_parts *parts) {
    int n = 0;
    for (size_t i = 0; i < N; i++) {
        for (size_t j = 0; j < i; j++) {
            n += is_sibling(rows[i], rows[j]) &&
                 part_of(parts, i) != part_of(parts, j);
        }
    }
    return n;
}

static void test_alone(void **state) {
    (void)state;
    apq_space space = make_samples();
    apq_predictor_fit_options options = apq_predictor_fit_defaults();
    options.seed = 3;
    uint32_t rows[N], plain[N];
    apq_predictor_parts parts;
    assert_status(
        apq_predictor_split(&options, &space, samples, N, rows, &parts),
        APQ_OK);
    assert_int_equal(parts.n_test, N / 10);
    assert_int_equal(parts.n_validation, N / 10);
    assert_int_equal(parts.n_train, N - 2 * N / 10);
    /* The plain shuffle, as files of earlier versions were made with. */
    for (uint32_t i = 0; i < N; i++) {
        plain[i] = i;
    }
    apq_rng rng = apq_rng_make(3, APQ_RNG_SPLIT, 0);
    apq_rng_shuffle(&rng, plain, N);
    assert_memory_equal(rows, plain, sizeof rows);
    assert_true(count_torn(rows, &parts) > 100);
}

static void test_together(void **state) {
    (void)state;
    apq_space space = make_samples();
    apq_predictor_fit_options options = apq_predictor_fit_defaults();
    options.keeps_architectures = true;
    uint32_t rows[N], first[N];
    apq_predictor_parts parts;
    for (options.seed = 1; options.seed <= 5; options.seed++) {
        assert_status(
            apq_predictor_split(&options, &space, samples, N, rows, &parts),
            APQ_OK);
        assert_permutation(rows);
        assert_int_equal(count_torn(rows, &parts), 0);
        assert_int_equal(parts.n_train + parts.n_validation + parts.n_test, N);
        assert_in_range(parts.n_test, N / 10, N / 10 + P - 1);
        assert_in_range(parts.n_validation, N / 10 - P + 1, N / 10 + P - 1);
        assert_true(options.seed == 1 || memcmp(rows, first, sizeof rows) != 0);
        memcpy(first, rows, sizeof rows);
    }
}

static void test_none_left(void **state) {
    (void)state;
    apq_space space = make_samples();
    apq_predictor_fit_options options = apq_predictor_fit_defaults();
    uint32_t rows[N];
    apq_predictor_parts parts;
    options.test_fraction = 0.9;
    assert_status(
        apq_predictor_split(&options, &space, samples, N, rows, &parts),
        APQ_ERR_ARG);
    /* All of one architecture: held out, they leave none. */
    options.test_fraction = 0.1;
    options.keeps_architectures = true;
    assert_status(
        apq_predictor_split(&options, &space, samples + P, P, rows, &parts),
        APQ_ERR_ARG);
    options.keeps_architectures = false;
    assert_status(
        apq_predictor_split(&options, &space, samples + P, P, rows, &parts),
        APQ_OK);
    assert_int_equal(parts.n_test, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_none_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
