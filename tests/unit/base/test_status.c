/* The texts of codes, and the message of the last failure, which belongs to
 * the thread that failed. */
#include "base/status.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static apq_status fail_with(int value) {
    APQ_FAIL(APQ_ERR_ARG, "value %d is not in 1..3", value);
}

static apq_status forward(int value, bool *went_on) {
    APQ_TRY(value > 3 ? fail_with(value) : APQ_OK);
    *went_on = true;
    return APQ_OK;
}

static void every_code_has_a_text(void **state) {
    (void)state;
    assert_string_equal(apq_status_text(APQ_OK), "success");
    for (int a = APQ_OK; a <= (int)APQ_ERR_INTERRUPTED; a++) {
        const char *text = apq_status_text((apq_status)a);
        assert_true(strlen(text) > 0);
        for (int b = APQ_OK; b < a; b++) {
            assert_string_not_equal(text, apq_status_text((apq_status)b));
        }
    }
    const char *unknown = "unknown status";
    assert_string_equal(apq_status_text((apq_status)(APQ_ERR_WRITE + 1)),
                        unknown);
    assert_string_equal(apq_status_text((apq_status)1000), unknown);
}

static void failures_leave_early_with_their_message(void **state) {
    (void)state;
    bool went_on = false;
    assert_int_equal(forward(7, &went_on), APQ_ERR_ARG);
    assert_false(went_on);
    assert_string_equal(apq_error_message(), "value 7 is not in 1..3");
    assert_int_equal(forward(2, &went_on), APQ_OK);
    assert_true(went_on);
    /* A message may quote the one before it. */
    assert_int_equal(
        APQ_ERROR(APQ_ERR_FORMAT, "line 4: %s", apq_error_message()),
        APQ_ERR_FORMAT);
    assert_string_equal(apq_error_message(), "line 4: value 7 is not in 1..3");
}

static void messages_are_one_line(void **state) {
    (void)state;
    assert_int_equal(
        APQ_ERROR(APQ_ERR_IO, "%s: gone", "a\nb\033[31m\177\303\274"),
        APQ_ERR_IO);
    assert_string_equal(apq_error_message(), "a?b?[31m?\303\274: gone");
}

static void long_messages_are_cut(void **state) {
    (void)state;
    char text[4096];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(APQ_ERROR(APQ_ERR_IO, "%s", text), APQ_ERR_IO);
    size_t n = strlen(apq_error_message());
    assert_true(n >= 255 && n < sizeof text - 1);
    assert_memory_equal(apq_error_message(), text, n);
}

typedef struct seen {
    char at_start[64], after_failure[64];
} seen;

static void *fail_elsewhere(void *ctx) {
    seen *s = ctx;
    (void)strncpy(s->at_start, apq_error_message(), sizeof s->at_start - 1);
    if (fail_with(9) != APQ_ERR_ARG) {
        return NULL;
    }
    (void)strncpy(s->after_failure, apq_error_message(),
                  sizeof s->after_failure - 1);
    return NULL;
}

static void messages_belong_to_threads(void **state) {
    (void)state;
    assert_int_equal(fail_with(5), APQ_ERR_ARG);
    seen s = {0};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, &s), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(s.at_start, "");
    assert_string_equal(s.after_failure, "value 9 is not in 1..3");
    assert_string_equal(apq_error_message(), "value 5 is not in 1..3");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_text),
        cmocka_unit_test(failures_leave_early_with_their_message),
        cmocka_unit_test(messages_are_one_line),
        cmocka_unit_test(long_messages_are_cut),
        cmocka_unit_test(messages_belong_to_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
