/* The hash of a step's inputs: what changes it, and what must not. */
#include "app/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

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

/* Files that are no supernet of this version, each with one wrong word. */
static void other_supernets_are_refused(void **state) {
    (void)state;
    static const char *const rows[][2] = {{"format", "apq network 2"},
                                          {"format", "apq supernet 2"},
                                          {"classes", "0"},
                                          {"classes", "ten"},
                                          {"classes", "10"}}; /* no tensors */
    char path[] = "/tmp/apq_session_XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    (void)close(descriptor);
    apq_recipe recipe;
    apq_recipe_default(&recipe);
    (void)strcpy(recipe.space, "tiny");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        apq_session session;
        apq_tensor_file *file;
        assert_int_equal(apq_session_open(&session, &recipe, NULL), APQ_OK);
        const char *const sound[][2] = {{"format", "apq supernet 1"},
                                        {"space", "tiny"},
                                        {"space_hash", session.space_hash},
                                        {"classes", "10"},
                                        {rows[i][0], rows[i][1]}};
        assert_int_equal(apq_tensor_file_create(&file), APQ_OK);
        for (size_t k = 0; k < sizeof sound / sizeof sound[0]; k++) {
            assert_int_equal(
                apq_tensor_file_put_meta(file, sound[k][0], sound[k][1]),
                APQ_OK);
        }
        assert_int_equal(apq_tensor_file_save(file, path), APQ_OK);
        apq_tensor_file_destroy(file);
        assert_int_equal(apq_session_load_supernet(&session, path),
                         APQ_ERR_FORMAT);
        assert_ptr_equal(strstr(apq_error_message(), path),
                         apq_error_message());
        apq_session_fini(&session);
    }
    (void)unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_left_out),
        cmocka_unit_test(other_sections_do_not_count),
        cmocka_unit_test(other_supernets_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
