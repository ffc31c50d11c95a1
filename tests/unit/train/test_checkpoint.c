/* The learning rate over a run, and the position that a checkpoint keeps. */
#include "train/checkpoint.h"
#include "train/schedule.h"

#include "unit/asserts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Steps are taken at their middle: step 0 of 4 warm-up steps at 0.5 of 4. */
static void rate_warms_up_then_falls(void **state) {
    (void)state;
    assert_near(apq_schedule_cosine(0.4, 0, 24, 4), 0.05, 1e-12);
    assert_near(apq_schedule_cosine(0.4, 3, 24, 4), 0.35, 1e-12);
    /* 20 steps of cosine: symmetrical about half the peak. */
    double before = apq_schedule_cosine(0.4, 13, 24, 4);
    double after = apq_schedule_cosine(0.4, 14, 24, 4);
    assert_near((before + after) / 2, 0.2, 1e-12);
    assert_near(apq_schedule_cosine(0.4, 4, 24, 4),
                0.2 * (1 + cos(3.14159265358979 / 40)), 1e-12);
    assert_near(apq_schedule_cosine(0.4, 23, 24, 4),
                0.2 * (1 - cos(3.14159265358979 / 40)), 1e-12);
    /* Without warm-up the middle of an odd number of steps is half. */
    assert_near(apq_schedule_cosine(0.4, 3, 7, 0), 0.2, 1e-12);
    assert_near(apq_schedule_cosine(0.4, 0, 1, 0), 0.2, 1e-12);
}

/* The line from 0.4 over 20 steps loses 0.02 a step; down to 0.1 of it, 0.018;
 * the warm-up is the same. */
static void rate_falls_along_a_line_or_to_more_than_zero(void **state) {
    (void)state;
    apq_rate_plan plan = {
        .shape = APQ_RATE_LINEAR, .peak = 0.4, .warmup_steps = 4};
    assert_near(apq_schedule_rate(&plan, 3, 24), 0.35, 1e-12);
    assert_near(apq_schedule_rate(&plan, 4, 24), 0.39, 1e-12);
    assert_near(apq_schedule_rate(&plan, 23, 24), 0.01, 1e-12);
    plan.final_fraction = 0.1;
    assert_near(apq_schedule_rate(&plan, 3, 24), 0.35, 1e-12);
    assert_near(apq_schedule_rate(&plan, 4, 24), 0.391, 1e-12);
    assert_near(apq_schedule_rate(&plan, 23, 24), 0.049, 1e-12);
    plan.shape = APQ_RATE_COSINE;
    assert_near(apq_schedule_rate(&plan, 23, 24),
                0.04 + 0.18 * (1 - cos(3.14159265358979 / 40)), 1e-12);
    plan.final_fraction = 1; /* stays at the peak */
    assert_near(apq_schedule_rate(&plan, 23, 24), 0.4, 1e-12);
}

/* Bit for bit what training used before there was a choice. */
static void the_usual_rate_is_unchanged(void **state) {
    (void)state;
    for (int64_t step = 3; step < 391; step++) {
        double phase = ((double)step + 0.5 - 3.25) / (391 - 3.25);
        assert_true(apq_schedule_cosine(0.15, step, 391, 3.25) ==
                    0.5 * 0.15 * (1.0 + cos(3.14159265358979323846 * phase)));
    }
}

static void rate_stays_positive_and_below_the_peak(void **state) {
    (void)state;
    static const double warmups[] = {0, 0.5, 3, 9.5, 40};
    for (size_t k = 0; k < sizeof warmups / sizeof warmups[0]; k++) {
        double last = 0;
        bool is_falling = false;
        for (int64_t step = 0; step < 40; step++) {
            double rate = apq_schedule_cosine(2.0, step, 40, warmups[k]);
            assert_true(rate > 0.0 && rate <= 2.0);
            is_falling = is_falling || rate < last;
            assert_true(!is_falling || rate < last); /* rises only at first */
            last = rate;
        }
    }
}

static apq_tensor_file *put(const apq_train_position *position) {
    apq_tensor_file *file = NULL;
    assert_int_equal(apq_tensor_file_create(&file), APQ_OK);
    if (position != NULL) {
        assert_int_equal(apq_checkpoint_put_position(file, position), APQ_OK);
    }
    return file;
}

static void positions_come_back(void **state) {
    (void)state;
    const apq_train_position at = {NULL, UINT64_MAX, 5000000000, 9000000000};
    apq_tensor_file *file = put(&at);
    int64_t step = -1;
    assert_int_equal(apq_checkpoint_get_position(file, "c", &at, &step),
                     APQ_OK);
    assert_int_equal(step, 5000000000);
    apq_tensor_file_destroy(file);
}

static void other_runs_are_a_mismatch(void **state) {
    (void)state;
    const apq_train_position at = {NULL, 7, 3, 10};
    apq_tensor_file *file = put(&at);
    int64_t step = -1;
    apq_train_position other = {NULL, 8, 0, 10};
    assert_int_equal(apq_checkpoint_get_position(file, "c", &other, &step),
                     APQ_ERR_MISMATCH);
    assert_string_equal(apq_error_message(), "c: made with seed 7, now 8");
    other = (apq_train_position){NULL, 7, 0, 12};
    assert_int_equal(apq_checkpoint_get_position(file, "c", &other, &step),
                     APQ_ERR_MISMATCH);
    assert_string_equal(apq_error_message(), "c: made for 10 steps, now 12");
    assert_int_equal(step, -1);
    apq_tensor_file_destroy(file);
    const apq_train_position beyond = {NULL, 7, 11, 10};
    file = put(&beyond);
    assert_int_equal(apq_checkpoint_get_position(file, "c", &at, &step),
                     APQ_ERR_MISMATCH);
    apq_tensor_file_destroy(file);
}

static void damaged_positions_are_refused(void **state) {
    (void)state;
    const apq_train_position at = {NULL, 7, 3, 10};
    int64_t step = -1;
    apq_tensor_file *file = put(NULL);
    assert_int_equal(apq_checkpoint_get_position(file, "c", &at, &step),
                     APQ_ERR_FORMAT);
    assert_string_equal(apq_error_message(),
                        "c: checkpoint without a valid 'seed'");
    assert_int_equal(apq_tensor_file_put_meta(file, "seed", "7"), APQ_OK);
    assert_int_equal(apq_tensor_file_put_meta(file, "step", "3x"), APQ_OK);
    assert_int_equal(apq_tensor_file_put_meta(file, "n_steps", "10"), APQ_OK);
    assert_int_equal(apq_checkpoint_get_position(file, "c", &at, &step),
                     APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(), "'step'"));
    assert_int_equal(step, -1);
    apq_tensor_file_destroy(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rate_warms_up_then_falls),
        cmocka_unit_test(rate_falls_along_a_line_or_to_more_than_zero),
        cmocka_unit_test(the_usual_rate_is_unchanged),
        cmocka_unit_test(rate_stays_positive_and_below_the_peak),
        cmocka_unit_test(positions_come_back),
        cmocka_unit_test(other_runs_are_a_mismatch),
        cmocka_unit_test(damaged_positions_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
