/* The order of numbers, the infinite ones among them. */
#include "base/sort.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void numbers_are_sorted_ascending(void **state) {
    (void)state;
    double values[] = {2,   -1e300, INFINITY, 0.5, -INFINITY,
                       0.5, 1e-300, -3,       0,   1e300};
    size_t n = sizeof values / sizeof values[0];
    apq_sort_doubles(values, n);
    for (size_t i = 1; i < n; i++) {
        assert_true(values[i - 1] <= values[i]);
    }
    assert_true(isinf(values[0]) && isinf(values[n - 1]));
    apq_sort_doubles(values, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_sorted_ascending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
