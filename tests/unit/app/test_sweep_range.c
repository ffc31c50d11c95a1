/* Ranges of budgets: what is read, what is refused, where points lie. */
#include "app/sweep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

static void test_points(void **state) {
    (void)state;
    apq_sweep_range range = {.field = APQ_BUDGET_SIZE_KB};
    assert_int_equal(apq_sweep_parse("size-kb", "6:20:15", &range), APQ_OK);
    assert_int_equal(range.n_points, 15);
    assert_int_equal(range.field, APQ_BUDGET_SIZE_KB);
    for (int i = 0; i < 15; i++) {
        assert_false(!(fabs(apq_sweep_budget(&range, i) - (6 + i)) <= 1e-12));
    }
    /* The ends are the numbers given, not nearly so. */
    assert_int_equal(apq_sweep_parse("size-kb", "0.1:0.7:4", &range), APQ_OK);
    assert_true(apq_sweep_budget(&range, 0) == 0.1);
    assert_true(apq_sweep_budget(&range, 3) == 0.7);
}

static void test_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",        "6",       "6:20",    "6:20:",   ":20:15",  "20:6:15",
        "6:6:3",   "0:6:3",   "-1:6:3",  "6:7:1",   "6:7:0",   "6:7:-2",
        "6:7:x",   "x:7:3",   "6:x:3",   "6:7:3 ",  "6:7:3:4", "6:7:2.5",
        "6:7:201", "nan:7:3", "6:nan:3", "6:inf:3", "6:7:nan", "6:2e12:3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        apq_sweep_range range = {.n_points = 0};
        assert_int_equal(apq_sweep_parse("energy-mj", bad[i], &range),
                         APQ_ERR_ARG);
        assert_non_null(strstr(apq_error_message(), "--energy-mj"));
        assert_int_equal(range.n_points, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_points),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
