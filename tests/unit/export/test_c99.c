/* C99 exports: the requantisation against float32; whole networks, compiled,
 * against the reference; and what must be refused. */
#include "export/c99.h"

#include "base/file.h"
#include "base/rng.h"
#include "deploy/int_reference.h"
#include "export/c99/arith.h"
#include "export/verify_c.h"
#include "model_builder.h"
#include "unit/asserts.h"
#include "unit/deploy/subnets.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_IMAGES = 24 };

static const apq_int_codes ranges[] = {
    {1.0F, 0, 15}, {1.0F, 0, 63}, {1.0F, 0, 255}, {1.0F, -128, 127}};

/* A positive float32 number as requantise reads it. */
static uint32_t split(float scale) {
    int exponent;
    float m = ldexpf(frexpf(scale, &exponent), 24);
    return (uint32_t)(24 - exponent) << 24 | (uint32_t)m;
}

static void check_one(int32_t sum, float scale, const apq_int_codes *to) {
    int wanted = apq_int_round((float)sum * scale, to);
    int got = requantise(sum, split(scale), to->low, to->high);
    if (got != wanted) {
        fail_msg("requantise(%d, %a) to %d..%d is %d, not %d", (int)sum,
                 (double)scale, to->low, to->high, got, wanted);
    }
}

static void check_both_signs(int32_t sum, float scale) {
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        check_one(sum, scale, &ranges[i]);
        check_one(-sum, scale, &ranges[i]);
    }
}

/* Of any size, magnitudes spread evenly over the exponents. */
static int32_t any_sum(apq_rng *rng) {
    return (int32_t)(apq_rng_u32(rng) >> (1 + apq_rng_below(rng, 31)));
}

static void requantises_as_float32(void **state) {
    (void)state;
    const char *count = getenv("APQ_TEST_REQUANTISE");
    long n = count != NULL ? strtol(count, NULL, 10) : 25000;
    apq_rng rng = apq_rng_make(1, APQ_RNG_TEST, 2);
    for (long i = 0; i < n; i++) {
        int32_t sum = any_sum(&rng);
        /* A product of 0 to 300, so that few are clamped. */
        float product = 300.0F * (float)apq_rng_uniform(&rng);
        float scale = sum > 0 && product > 0.0F ? product / (float)sum : 1e-3F;
        check_both_signs(sum, fminf(fmaxf(scale, 1e-9F), 900.0F));
    }
    /* Products next to n + 1/2: the nearest float scale and its neighbours. */
    for (long i = 0; i < n; i++) {
        int32_t sum = any_sum(&rng) + 1;
        float tie = (float)apq_rng_below(&rng, 257) + 0.5F;
        float scale = tie / (float)sum;
        float up = nextafterf(scale, INFINITY);
        float down = nextafterf(scale, 0.0F);
        check_both_signs(sum, scale);
        check_both_signs(sum, up);
        check_both_signs(sum, nextafterf(up, INFINITY));
        check_both_signs(sum, down);
        check_both_signs(sum, nextafterf(down, 0.0F));
    }
    check_both_signs(0, 0.5F);
    check_both_signs(INT32_MAX, 0x1p-24F);
    check_one(INT32_MIN, 0x1p-24F, &ranges[3]);
    check_one(INT32_MIN, 0x1p-25F, &ranges[3]);
}

/* All the sums at which a scale passes ties exactly. */
static void exact_ties_go_to_even(void **state) {
    (void)state;
    for (int shift = 1; shift <= 20; shift++) {
        for (int32_t n = 0; n <= 256; n++) {
            int32_t tie = (2 * n + 1) << (shift - 1);
            for (int32_t sum = tie - 2; sum <= tie + 2; sum++) {
                check_both_signs(sum, ldexpf(1.0F, -shift));
            }
        }
    }
}

static void unpacks(void **state) {
    (void)state;
    static const uint8_t four[] = {0x9f, 0x07},
                         six[] = {0x5f, 0x18, 0x82, 0x21, 0x00, 0x00};
    int8_t codes[5];
    unpack4(four, 3, codes);
    assert_int_equal(codes[0], -1);
    assert_int_equal(codes[1], -7);
    assert_int_equal(codes[2], 7);
    /* 0x82185f: 011111, 100001, 100001, 100000; then 100001 */
    unpack6(six, 5, codes);
    assert_int_equal(codes[0], 31);
    assert_int_equal(codes[1], -31);
    assert_int_equal(codes[2], -31);
    assert_int_equal(codes[3], -32);
    assert_int_equal(codes[4], -31);
}

/* Whole networks ---------------------------------------------------------- */

typedef struct fixture {
    char dir[64];
    apq_int_model *model;
    uint8_t *images;
    apq_c99_options format;
    apq_verify_c_options verify;
} fixture;

static void open_fixture(fixture *f, const model_shape *shape, uint64_t seed) {
    *f = (fixture){.dir = "/tmp/apq-test-c99-XXXXXX",
                   .model = build_model(shape, seed),
                   .format = APQ_C99_OPTIONS_INIT,
                   .verify = APQ_VERIFY_C_OPTIONS_INIT};
    assert_non_null(mkdtemp(f->dir));
    f->images = draw_pixels(f->model, N_IMAGES, seed);
    static const float mean[3] = {0.49F, 0.48F, 0.45F};
    static const float std[3] = {0.25F, 0.24F, 0.26F};
    memcpy(f->format.mean, mean, sizeof mean);
    memcpy(f->format.std, std, sizeof std);
    memcpy(f->verify.mean, mean, sizeof mean);
    memcpy(f->verify.std, std, sizeof std);
    f->format.images = f->verify.images = f->images;
    f->format.n_images = 2;
    f->verify.n_images = N_IMAGES;
}

static void close_fixture(fixture *f) {
    static const char *const names[] = {"network.h", "network.c", "weights.h",
                                        "weights.c", "arith.h",   "main_test.c",
                                        "Makefile",  "README.md"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[APQ_PATH_MAX];
        assert_int_equal(apq_path_join(path, f->dir, names[i]), APQ_OK);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(f->dir), 0); /* nothing else was written */
    free(f->images);
    apq_int_model_destroy(f->model);
}

static void count_update(void *ctx, const char *what, uint64_t done,
                         uint64_t total, const char *detail) {
    uint64_t *expected = ctx;
    assert_string_equal(what, "verify");
    assert_int_equal(done, (*expected)++);
    assert_int_equal(total, N_IMAGES);
    (void)detail;
}

/* In more than one run of the program, each image of which is told. */
static void verify_equal(fixture *f) {
    apq_verify_c_result result;
    uint64_t n_told = 0;
    const apq_progress progress = {.ctx = &n_told, .update = count_update};
    f->verify.progress = &progress;
    assert_status(apq_verify_c(f->model, f->dir, &f->verify, &result), APQ_OK);
    assert_string_equal(result.difference, "");
    assert_int_equal(result.n_equal, N_IMAGES);
    assert_int_equal(n_told, N_IMAGES + 1);
    f->verify.progress = NULL;
}

/* Most bytes of two tensors that a layer reads and writes. */
static size_t largest_pair(const apq_int_model *m) {
    size_t most = 0;
    for (int i = 0; i < m->n_convs; i++) {
        const apq_ir_layer *ir = &m->convs[i].ir;
        int pair = ir->in_size * ir->in_size * ir->in_channels +
                   ir->out_size * ir->out_size * ir->out_channels;
        most = (size_t)pair > most ? (size_t)pair : most;
    }
    return most;
}

static void network_is_the_reference(void **state) {
    (void)state;
    fixture f;
    apq_c99_sizes sizes;
    open_fixture(&f, &mixed_shape, 1);
    assert_int_equal(apq_export_c(f.model, &f.format, f.dir, &sizes), APQ_OK);
    assert_true(sizes.arena_bytes < largest_pair(f.model));
    verify_equal(&f);
    close_fixture(&f);
}

static void class_steps_and_odd_sizes(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, &odd_shape, 2);
    f.format.prefix = "odd_one";
    f.format.images = NULL; /* test vectors of noise */
    f.format.n_images = 0;
    f.verify.compiler = "gcc";
    f.verify.is_sanitized = false;
    assert_int_equal(apq_export_c(f.model, &f.format, f.dir, NULL), APQ_OK);
    verify_equal(&f);
    close_fixture(&f);
}

/* A network of a space with learned steps, and gains that are 0 or nearly. */
static void network_of_a_space(void **state) {
    (void)state;
    subnets s;
    apq_subnet subnet;
    apq_policy policy;
    fixture f;
    subnets_open(&s, "tiny");
    apq_rng rng = apq_rng_make(3, APQ_RNG_TEST, 0);
    apq_policy_random(&s.space, &rng, &policy);
    subnets_calibrate(&s, &policy, APQ_QUANTISER_LSQ, &subnet);
    open_fixture(&f, &odd_shape, 1);
    apq_int_model_destroy(f.model);
    free(f.images);
    assert_int_equal(apq_int_model_create(&subnet.net, &f.model), APQ_OK);
    f.images = draw_pixels(f.model, N_IMAGES, 5);
    f.format.images = f.verify.images = f.images;
    f.verify.is_sanitized = false;
    assert_int_equal(apq_export_c(f.model, &f.format, f.dir, NULL), APQ_OK);
    verify_equal(&f);
    close_fixture(&f);
    apq_subnet_fini(&subnet);
    subnets_close(&s);
}

/* Another bias in one layer, or in the classifier, is found and named. */
static void difference_is_named(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, &odd_shape, 3);
    assert_int_equal(apq_export_c(f.model, &f.format, f.dir, NULL), APQ_OK);
    f.verify.is_sanitized = false;
    apq_int_conv *l = &f.model->convs[7];
    const int32_t *bias = l->bias;
    int32_t other[64];
    memcpy(other, bias, (size_t)l->ir.out_channels * sizeof *other);
    for (int k = 0; k < l->ir.out_channels; k++) {
        other[k] += 1000;
    }
    l->bias = other;
    apq_verify_c_result result;
    assert_int_equal(apq_verify_c(f.model, f.dir, &f.verify, &result), APQ_OK);
    assert_true(result.n_equal < N_IMAGES);
    assert_non_null(strstr(result.difference, l->ir.name));
    l->bias = bias;

    bias = f.model->bias;
    memcpy(other, bias, (size_t)f.model->n_classes * sizeof *other);
    other[1]++;
    f.model->bias = other;
    assert_int_equal(apq_verify_c(f.model, f.dir, &f.verify, &result), APQ_OK);
    assert_int_equal(result.n_equal, 0);
    assert_non_null(strstr(result.difference, "image 0: sum of class 1 is"));
    assert_non_null(strstr(result.difference, "classifier"));
    f.model->bias = bias;
    close_fixture(&f);
}

/* Errors ------------------------------------------------------------------ */

static void export_fails(fixture *f, apq_status wanted, const char *part) {
    assert_int_equal(apq_export_c(f->model, &f->format, f->dir, NULL), wanted);
    assert_non_null(strstr(apq_error_message(), part));
}

static void illegal_options_are_refused(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, &odd_shape, 4);
    static const char *const prefixes[] = {
        "",    "2nd",  "Upper",
        "a-b", "end_", "a_name_that_is_longer_than_31_chars"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        f.format.prefix = prefixes[i];
        export_fails(&f, APQ_ERR_ARG, "prefix");
    }
    f.format.prefix = "network";
    f.format.n_images = APQ_C99_MAX_VECTORS + 1;
    export_fails(&f, APQ_ERR_ARG, "17 test vectors, legal 0..16");
    f.format.n_images = 1;
    f.format.std[2] = 0.0F;
    export_fails(&f, APQ_ERR_ARG, "normalisation of channel 2");
    f.format.std[2] = NAN;
    export_fails(&f, APQ_ERR_ARG, "normalisation of channel 2");
    f.format.std[2] = 1.0F;

    float zero = 0.0F;
    const float *rescale = f.model->convs[3].rescale;
    f.model->convs[3].rescale = &zero;
    export_fails(&f, APQ_ERR_NUMERIC, f.model->convs[3].ir.name);
    f.model->convs[3].rescale = rescale;
    f.model->convs[4].ir.kind = APQ_IR_POINTWISE;
    export_fails(&f, APQ_ERR_UNSUPPORTED, "inverted residual");
    f.model->convs[4].ir.kind = APQ_IR_DEPTHWISE;
    /* Nothing was written so far. */
    assert_int_equal(rmdir(f.dir), 0);
    export_fails(
        &(fixture){.dir = "/dev/null/x", .model = f.model, .format = f.format},
        APQ_ERR_IO, "/dev/null/x");
    free(f.images);
    apq_int_model_destroy(f.model);
}

static void verify_says_what_is_wrong(void **state) {
    (void)state;
    fixture f;
    apq_verify_c_result result;
    open_fixture(&f, &odd_shape, 5);
    assert_int_equal(apq_export_c(f.model, &f.format, f.dir, NULL), APQ_OK);
    f.verify.compiler = "no-such-compiler";
    assert_int_equal(apq_verify_c(f.model, f.dir, &f.verify, &result),
                     APQ_ERR_IO);
    assert_non_null(strstr(apq_error_message(), "no-such-compiler"));
    f.verify.compiler = "cc";
    f.verify.n_images = 0;
    assert_int_equal(apq_verify_c(f.model, f.dir, &f.verify, &result),
                     APQ_ERR_ARG);
    f.verify.n_images = 1;
    assert_int_equal(apq_verify_c(f.model, "/nowhere", &f.verify, &result),
                     APQ_ERR_IO);
    char path[APQ_PATH_MAX];
    assert_int_equal(apq_path_join(path, f.dir, "arith.h"), APQ_OK);
    assert_int_equal(apq_file_write(path, "nonsense;\n", 10), APQ_OK);
    assert_int_equal(apq_verify_c(f.model, f.dir, &f.verify, &result),
                     APQ_ERR_EXTERNAL);
    assert_non_null(strstr(apq_error_message(), "error"));
    assert_null(strchr(apq_error_message(), '\n'));
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requantises_as_float32),
        cmocka_unit_test(exact_ties_go_to_even),
        cmocka_unit_test(unpacks),
        cmocka_unit_test(network_is_the_reference),
        cmocka_unit_test(class_steps_and_odd_sizes),
        cmocka_unit_test(network_of_a_space),
        cmocka_unit_test(difference_is_named),
        cmocka_unit_test(illegal_options_are_refused),
        cmocka_unit_test(verify_says_what_is_wrong),
    };
    return cmocka_run_group_tests_name("c99", tests, NULL, NULL);
}
