/* Exports that are moved to their place: all of their files, or none. */
#include "app/export_stage.h"

#include "unit/asserts.h"
#include "unit/store/scratch.h"

#include <string.h>

static void put(const char *dir, const char *name, const char *text) {
    char path[APQ_PATH_MAX];
    assert_int_equal(apq_path_join(path, dir, name), APQ_OK);
    assert_int_equal(apq_file_write(path, text, strlen(text)), APQ_OK);
}

static void put_folder(const char *dir, const char *name) {
    char path[APQ_PATH_MAX];
    assert_int_equal(apq_path_join(path, dir, name), APQ_OK);
    assert_int_equal(apq_dir_make(path), APQ_OK);
}

static void remove_folder(const char *dir, const char *name) {
    char path[APQ_PATH_MAX];
    assert_int_equal(apq_path_join(path, dir, name), APQ_OK);
    assert_int_equal(rmdir(path), 0);
}

/* text NULL: there is no such file. */
static void expect_text(const char *dir, const char *name, const char *text) {
    char path[APQ_PATH_MAX], *bytes;
    size_t n;
    assert_int_equal(apq_path_join(path, dir, name), APQ_OK);
    if (text == NULL) {
        assert_false(apq_file_exists(path));
        return;
    }
    assert_int_equal(apq_file_read(path, &bytes, &n), APQ_OK);
    assert_string_equal(bytes, text);
    free(bytes);
}

static void open_with(apq_export_stage *stage, const char *dir) {
    assert_int_equal(apq_export_stage_open(stage, dir), APQ_OK);
    put(stage->path, "a", "new");
    put(stage->path, "b", "new");
    put(stage->path, "manifest.json", "new");
}

static void all_files_are_the_new_ones(void **state) {
    const char *dir = *state;
    apq_export_stage stage;
    open_with(&stage, dir);
    expect_text(dir, "a", NULL);
    assert_int_equal(apq_export_stage_commit(&stage), APQ_OK);
    apq_export_stage_close(&stage);
    put(dir, "a", "old");
    put(dir, "other", "kept");
    open_with(&stage, dir);
    expect_text(dir, "a", "old");
    assert_int_equal(apq_export_stage_commit(&stage), APQ_OK);
    char staged[APQ_PATH_MAX];
    memcpy(staged, stage.path, sizeof staged);
    apq_export_stage_close(&stage);
    assert_false(apq_dir_exists(staged));
    expect_text(dir, "a", "new");
    expect_text(dir, "b", "new");
    expect_text(dir, "manifest.json", "new");
    expect_text(dir, "other", "kept");
}

/* A folder where the second old file would be kept: the first is put back. */
static void all_files_are_the_old_ones(void **state) {
    const char *dir = *state;
    apq_export_stage stage;
    put(dir, "a", "old");
    put(dir, "b", "old");
    put(dir, "manifest.json", "old");
    static const char *const kept[] = {"a.old", "b.old", "manifest.json.old"};
    for (size_t i = 0; i < 3; i++) {
        open_with(&stage, dir);
        put_folder(stage.path, kept[i]);
        assert_int_equal(apq_export_stage_commit(&stage), APQ_ERR_WRITE);
        assert_message(dir);
        remove_folder(stage.path, kept[i]);
        apq_export_stage_close(&stage);
        expect_text(dir, "a", "old");
        expect_text(dir, "b", "old");
        expect_text(dir, "manifest.json", "old");
    }
}

static void a_folder_in_the_way_is_refused(void **state) {
    const char *dir = *state;
    apq_export_stage stage;
    put(dir, "a", "old");
    put_folder(dir, "b");
    open_with(&stage, dir);
    assert_int_equal(apq_export_stage_commit(&stage), APQ_ERR_IO);
    assert_message("/b: in the way");
    remove_folder(dir, "b");
    apq_export_stage_close(&stage);
    expect_text(dir, "a", "old");
    expect_text(dir, "manifest.json", NULL);
    assert_true(apq_dir_exists(dir));
}

#define WITH_SCRATCH(test)                                                     \
    cmocka_unit_test_setup_teardown(test, scratch_make, scratch_remove)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(all_files_are_the_new_ones),
        WITH_SCRATCH(all_files_are_the_old_ones),
        WITH_SCRATCH(a_folder_in_the_way_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
