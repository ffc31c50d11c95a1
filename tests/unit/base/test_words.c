/* Words that are nearly others. */
#include "base/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void nearest_word_is_a_likely_slip(void **state) {
    (void)state;
    static const char *const words[] = {"latency", "energy", "bitops", NULL};
    assert_string_equal(apq_nearest_word("latncy", words), "latency");
    assert_string_equal(apq_nearest_word("enregy", words), "energy");
    assert_string_equal(apq_nearest_word("bitops", words), "bitops");
    assert_string_equal(apq_nearest_word("bitp", words), "bitops");
    assert_string_equal(apq_nearest_word("late", words), "latency");
    assert_null(apq_nearest_word("bit", words));
    assert_null(apq_nearest_word("", words));
}

/* Three edits make any word of three letters of any other. */
static void other_short_words_are_not_near(void **state) {
    (void)state;
    static const char *const words[] = {"cpu", "lut", "auto", "train", NULL};
    assert_null(apq_nearest_word("nope", words));
    assert_null(apq_nearest_word("apq", words));
    assert_null(apq_nearest_word("foo", words));
    assert_string_equal(apq_nearest_word("cpus", words), "cpu");
    assert_string_equal(apq_nearest_word("gpu", words), "cpu");
    assert_string_equal(apq_nearest_word("atuo", words), "auto");
    assert_string_equal(apq_nearest_word("trian", words), "train");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_word_is_a_likely_slip),
        cmocka_unit_test(other_short_words_are_not_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
