#ifndef APQ_TESTS_UNIT_ASSERTS_H
#define APQ_TESTS_UNIT_ASSERTS_H

/* Assertions that cmocka lacks. A failure shows the line of the caller. */

#include <apq/status.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The status is the expected one; if not, the library's message shows why. */
#define assert_status(actual, expected)                                        \
    assert_status_at((actual), (expected), __FILE__, __LINE__)

/* |actual - expected| <= tolerance, which no NaN is. */
#define assert_near(actual, expected, tolerance)                               \
    assert_near_at((actual), (expected), (tolerance), __FILE__, __LINE__)

/* The library's message is one line and has `part` in it. */
#define assert_message(part) assert_message_at((part), __FILE__, __LINE__)

static inline void assert_status_at(apq_status actual, apq_status expected,
                                    const char *file, int line) {
    if (actual != expected) {
        print_error("ERROR: status %d, not %d: %s\n", (int)actual,
                    (int)expected, apq_error_message());
        _fail(file, line);
    }
}

static inline void assert_near_at(double actual, double expected,
                                  double tolerance, const char *file,
                                  int line) {
    if (!(fabs(actual - expected) <= tolerance)) {
        print_error("ERROR: %.12g is not %.12g within %g\n", actual, expected,
                    tolerance);
        _fail(file, line);
    }
}

static inline void assert_message_at(const char *part, const char *file,
                                     int line) {
    const char *message = apq_error_message();
    if (strstr(message, part) == NULL || strchr(message, '\n') != NULL) {
        print_error("ERROR: '%s' lacks '%s', or is more than one line\n",
                    message, part);
        _fail(file, line);
    }
}

#endif
