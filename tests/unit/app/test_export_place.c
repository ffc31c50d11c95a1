/* Folders of exports: made, held by one at a time, and removed again. */
#include "app/export_place.h"

#include "unit/asserts.h"
#include "unit/store/scratch.h"

#include <string.h>

static void one_at_a_time_holds_a_folder(void **state) {
    const char *dir = *state;
    apq_export_place first, second;
    assert_int_equal(apq_export_place_make(&first, dir), APQ_OK);
    assert_int_equal(apq_export_place_make(&second, dir), APQ_ERR_IO);
    assert_message("in use by another export or verification");
    assert_int_equal(apq_export_place_take(&second, dir), APQ_ERR_IO);
    assert_message(dir);
    apq_export_place_close(&first);
    assert_int_equal(apq_export_place_take(&second, dir), APQ_OK);
    assert_int_equal(apq_export_place_take(&first, dir), APQ_ERR_IO);
    apq_export_place_abandon(&second);
    assert_int_equal(apq_export_place_make(&first, dir), APQ_OK);
    apq_export_place_close(&first);
}

static void folders_that_were_made_go_again(void **state) {
    char dir[APQ_PATH_MAX], above[APQ_PATH_MAX];
    apq_export_place place, other;
    assert_int_equal(apq_path_join(above, *state, "made"), APQ_OK);
    assert_int_equal(apq_path_join(dir, above, "for//it"), APQ_OK);
    assert_int_equal(apq_export_place_make(&place, dir), APQ_OK);
    assert_int_equal(apq_export_place_make(&other, dir), APQ_ERR_IO);
    assert_true(apq_dir_exists(dir));
    apq_export_place_abandon(&place);
    assert_false(apq_dir_exists(above));
    assert_true(apq_dir_exists(*state));
}

static void folders_with_something_in_them_stay(void **state) {
    char dir[APQ_PATH_MAX], file[APQ_PATH_MAX];
    apq_export_place place;
    assert_int_equal(apq_path_join(dir, *state, "made/for/it"), APQ_OK);
    assert_int_equal(apq_path_join(file, *state, "made/users"), APQ_OK);
    assert_int_equal(apq_export_place_make(&place, dir), APQ_OK);
    assert_int_equal(apq_file_write(file, "own", 3), APQ_OK);
    apq_export_place_abandon(&place);
    assert_false(apq_dir_exists(dir));
    assert_int_equal(unlink(file), 0);
    assert_int_equal(apq_path_join(dir, *state, "made"), APQ_OK);
    assert_int_equal(rmdir(dir), 0);
}

static void nothing_is_left_of_what_cannot_be_made(void **state) {
    char dir[APQ_PATH_MAX], above[APQ_PATH_MAX], name[301];
    apq_export_place place;
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(apq_path_join(above, *state, "made"), APQ_OK);
    assert_int_equal(apq_path_join(dir, above, name), APQ_OK);
    assert_int_equal(apq_export_place_make(&place, dir), APQ_ERR_IO);
    assert_false(apq_dir_exists(above));
}

#define WITH_SCRATCH(test)                                                     \
    cmocka_unit_test_setup_teardown(test, scratch_make, scratch_remove)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(one_at_a_time_holds_a_folder),
        WITH_SCRATCH(folders_that_were_made_go_again),
        WITH_SCRATCH(folders_with_something_in_them_stay),
        WITH_SCRATCH(nothing_is_left_of_what_cannot_be_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
