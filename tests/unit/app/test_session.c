/* The hash of a step's inputs: what changes it, and what must not. */
#include "app/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void hash_of(const apq_recipe *recipe, char out[APQ_HASH_MAX]) {
    apq_session session = {.recipe = recipe, .space_hash = "0123456789abcdef"};
    assert_int_equal(apq_session_input_hash(&session, "train", "data", out),
                     APQ_OK);
}

/* A key that a later version adds is at its default in the recipes of today:
 * only keys with other values may count. */
static void defaults_are_left_out(void **state) {
    (void)state;
    apq_recipe recipe;
    char hash[APQ_HASH_MAX], expected[APQ_HASH_MAX];
    static const char none[] = "{}|0123456789abcdef|1|data";
    static const char one[] = "{\"epochs\":7}|0123456789abcdef|1|data";
    apq_recipe_default(&recipe);
    recipe.seed = 1;
    hash_of(&recipe, hash);
    apq_hash_hex(none, strlen(none), expected);
    assert_string_equal(hash, expected);
    recipe.train.epochs = 7;
    hash_of(&recipe, hash);
    apq_hash_hex(one, strlen(one), expected);
    assert_string_equal(hash, expected);
}

static void other_sections_do_not_count(void **state) {
    (void)state;
    apq_recipe recipe;
    char before[APQ_HASH_MAX], after[APQ_HASH_MAX];
    apq_recipe_default(&recipe);
    hash_of(&recipe, before);
    recipe.search.iterations++;
    hash_of(&recipe, after);
    assert_string_equal(before, after);
    recipe.seed++;
    hash_of(&recipe, after);
    assert_string_not_equal(before, after);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_left_out),
        cmocka_unit_test(other_sections_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
