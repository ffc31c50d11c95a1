/* Noise of labels, against numbers worked out by hand. */
#include "app/noise.h"

#include "unit/asserts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

static void expect_near(double a, double b) {
    if (!(fabs(a - b) <= 1e-12)) {
        fail_msg("%.17g is not %.17g", a, b);
    }
}

static apq_record example(int64_t seq, double accuracy, double loss,
                          double loss_sd) {
    return (apq_record){.policy = "{}",
                        .kind = APQ_RECORD_QAT,
                        .seq = seq,
                        .accuracy = accuracy,
                        .loss = loss,
                        .loss_sd = loss_sd,
                        .count = 100,
                        .seconds = 2};
}

static int open_scratch(void **state) {
    apq_records *records;
    if (apq_records_open(":memory:", &records) != APQ_OK) {
        return -1;
    }
    *state = records;
    return 0;
}

static int close_scratch(void **state) {
    apq_records_close(*state);
    return 0;
}

static void test_by_hand(void **state) {
    apq_records *records = *state;
    const double accuracies[] = {0.5, 0.8, 0.2};
    apq_noise noise;
    for (int i = 0; i < 3; i++) {
        apq_record record = example(i, accuracies[i], 1 + 0.1 * i, 0.5);
        assert_status(apq_records_add(records, &record), APQ_OK);
    }
    assert_status(apq_noise_of(records, APQ_RECORD_QAT, &noise), APQ_OK);
    assert_int_equal(noise.n_records, 3);
    assert_int_equal(noise.n_repeats, 0);
    expect_near(noise.images, 100);
    expect_near(noise.seconds, 2);
    expect_near(noise.accuracy.mean, 0.5);
    expect_near(noise.accuracy.sd, 0.3);
    double image = sqrt((0.25 + 0.16 + 0.16) / 300);
    expect_near(noise.accuracy.image_error, image);
    assert_true(isnan(noise.accuracy.repeat_error));
    expect_near(noise.accuracy.noise, image);
    expect_near(noise.accuracy.ceiling,
                0.5 + atan(sqrt(0.09 - image * image) / image) / acos(-1));
    expect_near(noise.loss.mean, 1.1);
    expect_near(noise.loss.sd, 0.1);
    expect_near(noise.loss.image_error, 0.05);

    /* Differences of 0.1 and 0.02: sd = sqrt((0.01 + 0.0004) / 4). */
    apq_record repeat = example(0, 0.6, 1, 0.5);
    assert_status(apq_records_add_repeat(records, &repeat), APQ_OK);
    repeat = example(1, 0.78, 1.1, 0.5);
    assert_status(apq_records_add_repeat(records, &repeat), APQ_OK);
    assert_status(apq_noise_of(records, APQ_RECORD_QAT, &noise), APQ_OK);
    assert_int_equal(noise.n_repeats, 2);
    expect_near(noise.accuracy.repeat_error, sqrt(0.0104 / 4));
    expect_near(noise.accuracy.noise, sqrt(image * image + 0.0104 / 4));
    expect_near(noise.loss.repeat_error, 0);
    double error;
    assert_status(apq_noise_repeat_error(records, true, &error), APQ_OK);
    expect_near(error, sqrt(0.0104 / 4));
    assert_status(apq_noise_repeat_error(records, false, &error), APQ_OK);
    expect_near(error, 0);
}

/* Without noise in the deviation, S = 1 and E = 0.42 give 87 %. */
static void test_ceiling(void **state) {
    apq_records *records = *state;
    apq_noise noise;
    double s = 0.01, e = 0.0042, half = sqrt(s * s + e * e) / sqrt(2);
    for (int i = 0; i < 2; i++) {
        apq_record record =
            example(i, 0.5, i == 0 ? 1 - half : 1 + half, 10 * e);
        assert_status(apq_records_add(records, &record), APQ_OK);
    }
    assert_status(apq_noise_of(records, APQ_RECORD_QAT, &noise), APQ_OK);
    expect_near(noise.loss.noise, e);
    expect_near(noise.loss.ceiling, 0.5 + atan(s / e) / acos(-1));
    assert_true(noise.loss.ceiling > 0.87 && noise.loss.ceiling < 0.88);
    /* Equal labels: all is noise. */
    expect_near(noise.accuracy.ceiling, 0.5);
}

static void test_unknown(void **state) {
    apq_records *records = *state;
    apq_noise noise;
    char text[512];
    assert_status(apq_noise_of(records, APQ_RECORD_QAT, &noise), APQ_OK);
    assert_int_equal(noise.n_records, 0);
    apq_record record = example(0, 0.5, 1, (double)NAN);
    assert_status(apq_records_add(records, &record), APQ_OK);
    assert_status(apq_noise_of(records, APQ_RECORD_QAT, &noise), APQ_OK);
    apq_noise_text(&noise, text, sizeof text);
    assert_non_null(strstr(text, "one record"));
    record = example(1, 0.6, 1.1, 0.1);
    assert_status(apq_records_add(records, &record), APQ_OK);
    assert_status(apq_noise_of(records, APQ_RECORD_QAT, &noise), APQ_OK);
    assert_true(isnan(noise.loss.noise) && isnan(noise.loss.ceiling));
    apq_noise_text(&noise, text, sizeof text);
    assert_non_null(strstr(text, "noise not known"));
    assert_null(strstr(text, "nan"));
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, open_scratch, close_scratch)
    const struct CMUnitTest tests[] = {CASE(test_by_hand), CASE(test_ceiling),
                                       CASE(test_unknown)};
#undef CASE
    return cmocka_run_group_tests(tests, NULL, NULL);
}
