/* Words that are nearly others. */
#include "base/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void nearest_word_is_within_three_edits(void **state) {
    (void)state;
    static const char *const words[] = {"latency", "energy", "bitops", NULL};
    assert_string_equal(apq_nearest_word("latncy", words), "latency");
    assert_string_equal(apq_nearest_word("enregy", words), "energy");
    assert_string_equal(apq_nearest_word("bitops", words), "bitops");
    assert_string_equal(apq_nearest_word("bit", words), "bitops");
    assert_null(apq_nearest_word("bi", words));
    assert_null(apq_nearest_word("", words));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_word_is_within_three_edits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
