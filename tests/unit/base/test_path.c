/* Folder and name of a path, at the places where there is no folder, and the
 * way from one path to another. */
#include "base/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void paths_fall_into_folder_and_name(void **state) {
    (void)state;
    static const struct {
        const char *path, *folder, *name;
    } cases[] = {
        {"a/b/c.json", "a/b", "c.json"},
        {"/a/b", "/a", "b"},
        {"/a", "/", "a"},
        {"a", ".", "a"},
        {"a/b/", "a/b", ""},
        {"", ".", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char folder[APQ_PATH_MAX];
        apq_path_folder(cases[i].path, folder);
        assert_string_equal(folder, cases[i].folder);
        assert_string_equal(apq_path_name(cases[i].path), cases[i].name);
    }
}

static void endings_have_something_before_them(void **state) {
    (void)state;
    assert_true(apq_path_has_ending("a/b.onnx", ".onnx"));
    assert_false(apq_path_has_ending(".onnx", ".onnx"));
    assert_false(apq_path_has_ending("nnx", ".onnx"));
    assert_false(apq_path_has_ending("b.onnx.old", ".onnx"));
}

static void a_path_too_long_is_cut(void **state) {
    (void)state;
    char path[APQ_PATH_MAX + 10], folder[APQ_PATH_MAX];
    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 3] = '/';
    path[sizeof path - 1] = '\0';
    apq_path_folder(path, folder);
    assert_int_equal(strlen(folder), APQ_PATH_MAX - 1);
}

static void one_path_is_seen_from_another(void **state) {
    (void)state;
    static const struct {
        const char *folder, *path, *way;
    } cases[] = {
        {".", "run", "run"},
        {".", "./run/", "run"},
        {"a", "run", "../run"},
        {"./a//b/", "run", "../../run"},
        {"run", "run/", ""},
        {"a/b", "a/./c/d", "../c/d"},
        {"run/a", "./run", ".."},
        {"a", "../run", "../../run"},
        {"../a", "../run", "../run"},
        {"/x/a", "/x/run", "../run"},
        {"/x", "/x/run", "run"},
        {"ab", "a", "../a"},
        {".", "/x/run", "/x/run"},
        {"a", ".", ".."},
        {"/", "/x", "x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char way[APQ_PATH_MAX];
        apq_path_from(cases[i].folder, cases[i].path, way);
        assert_string_equal(way, cases[i].way);
    }
    static const char *const far[] = {"..", "/x", "a/../b"};
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
        char way[APQ_PATH_MAX];
        apq_path_from(far[i], "run", way);
        assert_int_equal(way[0], '/');
        assert_string_equal(apq_path_name(way), "run");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_fall_into_folder_and_name),
        cmocka_unit_test(endings_have_something_before_them),
        cmocka_unit_test(a_path_too_long_is_cut),
        cmocka_unit_test(one_path_is_seen_from_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
