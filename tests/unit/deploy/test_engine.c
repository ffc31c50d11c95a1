/* The integer engine against the fake-quantised network in evaluation mode,
 * and the nets that it must refuse. */
#include "deploy/int_engine.h"

#include "supernet/supernet.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_IMAGES = 12 };

typedef struct fixture {
    apq_space space;
    apq_supernet *supernet;
    apq_arena *arena;
    const apq_backend *backend;
    apq_quantiser quantiser;
    float *images;
} fixture;

static void open_fixture(fixture *f, const char *space) {
    *f = (fixture){0};
    assert_int_equal(apq_space_load(space, &f->space), APQ_OK);
    assert_int_equal(apq_supernet_create(&f->space, 3, &f->supernet), APQ_OK);
    assert_int_equal(apq_arena_create(&f->arena), APQ_OK);
    assert_int_equal(apq_backend_find("auto", &f->backend), APQ_OK);
    apq_rng rng = apq_rng_make(5, APQ_RNG_TEST, 0);
    size_t n = (size_t)N_IMAGES * (size_t)f->space.resolution *
               (size_t)f->space.resolution * (size_t)f->space.image_channels;
    f->images = malloc(n * sizeof *f->images);
    assert_non_null(f->images);
    for (size_t i = 0; i < n; i++) {
        f->images[i] = (float)apq_rng_normal(&rng);
    }
    /* Away from gamma 1, beta 0 and identity matrices. */
    apq_params *p = apq_supernet_params(f->supernet);
    for (size_t i = 0; i < p->n_values; i++) {
        p->value[i] += 0.05F * (float)apq_rng_normal(&rng);
    }
}

static void close_fixture(fixture *f) {
    free(f->images);
    apq_supernet_destroy(f->supernet);
    apq_arena_destroy(f->arena);
}

/* A calibrated net with statistics; apq_subnet_fini it. */
static void prepare(fixture *f, const apq_policy *policy, apq_subnet *subnet) {
    apq_arena_reset(f->arena);
    assert_int_equal(
        apq_subnet_bind(f->supernet, policy, f->backend, f->arena, subnet),
        APQ_OK);
    subnet->net.quantiser = f->quantiser;
    assert_int_equal(apq_nn_calibrate(&subnet->net, f->images, N_IMAGES),
                     APQ_OK);
    float *logits;
    apq_nn_recalibrate_reset(&subnet->net);
    assert_int_equal(apq_nn_forward(&subnet->net, APQ_NN_RECALIBRATE, f->images,
                                    N_IMAGES, &logits),
                     APQ_OK);
}

/* In a random net one code that rounds the other way at a tie, of some 250,000
 * a net of cifar10 makes, can move logits by a few percent of their range. A
 * wrong scale or code would move those of every image. */
typedef struct limits {
    double worst; /* of every logit, in ranges */
    int n_far;    /* images with a logit off by more than 2 % */
} limits;

static double range_of(const float *logits, size_t n) {
    double low = (double)INFINITY, high = (double)-INFINITY;
    for (size_t i = 0; i < n; i++) {
        low = fmin(low, (double)logits[i]);
        high = fmax(high, (double)logits[i]);
    }
    return high - low;
}

/* Logits within 0.4 % of their range on average, and within the limits. */
static void compare(const fixture *f, apq_subnet *subnet, limits limit) {
    float *expected, *actual;
    assert_int_equal(apq_nn_forward(&subnet->net, APQ_NN_EVAL, f->images,
                                    N_IMAGES, &expected),
                     APQ_OK);
    apq_int_engine *engine;
    assert_int_equal(apq_int_engine_create(&subnet->net, &engine), APQ_OK);
    int classes = f->space.n_classes;
    size_t n = (size_t)N_IMAGES * (size_t)classes;
    actual = malloc(n * sizeof *actual);
    assert_non_null(actual);
    assert_int_equal(apq_int_engine_run(engine, f->images, N_IMAGES, actual),
                     APQ_OK);
    double range = range_of(expected, n), sum = 0;
    assert_true(range > 0.05);
    int n_far = 0;
    for (int i = 0; i < N_IMAGES; i++) {
        double worst = 0;
        for (int k = 0; k < classes; k++) {
            double difference = fabs((double)expected[i * classes + k] -
                                     (double)actual[i * classes + k]);
            sum += difference / range;
            if (!(difference <= limit.worst * range)) {
                fail_msg("image %d, class %d: %g instead of %g", i, k,
                         (double)actual[i * classes + k],
                         (double)expected[i * classes + k]);
            }
            worst = fmax(worst, difference / range);
        }
        n_far += worst > 0.02;
    }
    assert_true(n_far <= limit.n_far);
    if (!(sum / (double)n <= 0.004)) {
        fail_msg("logits are off by %g ranges on average", sum / (double)n);
    }
    free(actual);
    apq_int_engine_destroy(engine);
}

/* Mixed policies, then the corners at 4, 6 and 8 bits. */
static void compare_policies(const char *space, apq_quantiser quantiser,
                             int n_random, limits limit) {
    fixture f;
    open_fixture(&f, space);
    f.quantiser = quantiser;
    for (int i = 0; i < n_random + 3; i++) {
        apq_policy policy;
        apq_rng rng = apq_rng_make(7, APQ_RNG_TEST, (uint64_t)i);
        apq_policy_random(&f.space, &rng, &policy);
        if (i == n_random) {
            apq_policy_smallest(&f.space, 4, &policy);
        } else if (i == n_random + 1) {
            apq_policy_largest(&f.space, 6, &policy);
        } else if (i == n_random + 2) {
            apq_policy_largest(&f.space, 8, &policy);
        }
        apq_subnet subnet;
        prepare(&f, &policy, &subnet);
        compare(&f, &subnet, limit);
        apq_subnet_fini(&subnet);
    }
    close_fixture(&f);
}

static void tiny_nets_agree(void **state) {
    (void)state;
    limits limit = {.worst = 0.02};
    compare_policies("tiny", APQ_QUANTISER_APQ, 8, limit);
    compare_policies("tiny", APQ_QUANTISER_LSQ, 8, limit);
}

static void cifar10_nets_agree(void **state) {
    (void)state;
    limits limit = {.worst = 0.1, .n_far = 2};
    compare_policies("cifar10", APQ_QUANTISER_APQ, 3, limit);
    compare_policies("cifar10", APQ_QUANTISER_LSQ, 3, limit);
}

/* A batch is its images one by one, whatever the number of threads. */
static void batches_do_not_matter(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, "tiny");
    apq_policy policy;
    apq_policy_largest(&f.space, 8, &policy);
    apq_subnet subnet;
    prepare(&f, &policy, &subnet);
    apq_int_engine *engine;
    assert_int_equal(apq_int_engine_create(&subnet.net, &engine), APQ_OK);
    /* The engine has its own copy of everything. */
    apq_subnet_fini(&subnet);
    apq_arena_reset(f.arena);
    int classes = f.space.n_classes;
    size_t pixels = (size_t)f.space.resolution * (size_t)f.space.resolution *
                    (size_t)f.space.image_channels;
    size_t n = (size_t)N_IMAGES * (size_t)classes;
    float *together = malloc(n * sizeof *together);
    float *alone = malloc((size_t)classes * sizeof *alone);
    assert_non_null(together);
    assert_non_null(alone);
    assert_int_equal(apq_int_engine_run(engine, f.images, N_IMAGES, together),
                     APQ_OK);
    for (int i = 0; i < N_IMAGES; i++) {
        assert_int_equal(
            apq_int_engine_run(engine, f.images + (size_t)i * pixels, 1, alone),
            APQ_OK);
        for (int k = 0; k < classes; k++) {
            assert_true(alone[k] == together[i * classes + k]);
        }
    }
    assert_int_equal(apq_int_engine_run(engine, f.images, 0, together), APQ_OK);
    free(together);
    free(alone);
    apq_int_engine_destroy(engine);
    close_fixture(&f);
}

static void refuse(const apq_nn_net *net, apq_status expected,
                   const char *word) {
    apq_int_engine *engine = NULL;
    assert_int_equal(apq_int_engine_create(net, &engine), expected);
    assert_null(engine);
    assert_non_null(strstr(apq_error_message(), word));
}

static void illegal_nets_are_refused(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, "tiny");
    apq_policy policy;
    apq_policy_largest(&f.space, 8, &policy);
    apq_subnet subnet;
    prepare(&f, &policy, &subnet);
    apq_nn_net net = subnet.net;
    net.is_quantised = false;
    refuse(&net, APQ_ERR_UNSUPPORTED, "not quantised");
    net = subnet.net;
    net.layers[1].act_range = NAN;
    refuse(&net, APQ_ERR_NUMERIC, "activation range");
    net = subnet.net;
    net.layers[2].weight_clip = -1.0F;
    refuse(&net, APQ_ERR_NUMERIC, "weight step");
    net = subnet.net;
    net.quantiser = APQ_QUANTISER_LSQ;
    net.layers[2].weight_step[3] = NAN;
    refuse(&net, APQ_ERR_NUMERIC, "weight step");
    net = subnet.net;
    net.layers[1].ir.is_act_signed = true;
    refuse(&net, APQ_ERR_UNSUPPORTED, "signed after ReLU6");
    /* 65,793 is the deepest sum: 65,793 * 255 * 128 < 2^31. */
    net = subnet.net;
    net.layers[2].ir.in_channels = 65794;
    refuse(&net, APQ_ERR_UNSUPPORTED, "legal 1..65793");
    apq_subnet_fini(&subnet);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_nets_agree),
        cmocka_unit_test(cifar10_nets_agree),
        cmocka_unit_test(batches_do_not_matter),
        cmocka_unit_test(illegal_nets_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
