/* What a reader of a hand-written file is told: the line, the value, what
 * would be legal, and the nearest known key. */
#include "base/yaml.h"

#include "base/file.h"
#include "unit/store/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static apq_status load(const char *folder, const char *text, apq_yaml **yaml) {
    char path[APQ_PATH_MAX];
    assert_int_equal(apq_path_join(path, folder, "x.yaml"), APQ_OK);
    assert_int_equal(apq_file_write(path, text, strlen(text)), APQ_OK);
    return apq_yaml_load(path, yaml);
}

static apq_yaml *loaded(const char *folder, const char *text) {
    apq_yaml *yaml = NULL;
    assert_int_equal(load(folder, text, &yaml), APQ_OK);
    return yaml;
}

/* The last message after the file's folder. */
static void assert_message(const char *expected) {
    const char *at = strstr(apq_error_message(), "x.yaml:");
    assert_non_null(at);
    assert_string_equal(at, expected);
}

static const char example[] = "name: tiny\n"
                              "# a comment\n"
                              "count: -12\n"
                              "rate: 2.5e-1\n"
                              "on: true\n"
                              "kernels: [3, 5]\n"
                              "part:\n"
                              "  depth: 4\n";

static void values_are_read(void **state) {
    apq_yaml *y = loaded(*state, example);
    apq_yaml_node root = apq_yaml_root(y);
    int64_t count = 0;
    double rate = 0;
    bool on = false;
    const char *name = NULL;
    int kernels[3] = {0};
    size_t n = 0;
    assert_int_equal(apq_yaml_int(y, root, "count", false, -12, 0, &count),
                     APQ_OK);
    assert_int_equal(count, -12);
    assert_int_equal(apq_yaml_double(y, root, "rate", false, 0, 1, &rate),
                     APQ_OK);
    assert_true(rate == 0.25);
    assert_int_equal(apq_yaml_bool(y, root, "on", false, &on), APQ_OK);
    assert_true(on);
    assert_int_equal(apq_yaml_string(y, root, "name", false, &name), APQ_OK);
    assert_string_equal(name, "tiny");
    assert_int_equal(
        apq_yaml_int_list(y, root, "kernels", false, 3, 7, 3, kernels, &n),
        APQ_OK);
    assert_int_equal(n, 2);
    assert_int_equal(kernels[1], 5);
    apq_yaml_node part = apq_yaml_find(y, root, "part");
    assert_true(apq_yaml_is_mapping(y, part));
    assert_int_equal(apq_yaml_line(y, apq_yaml_find(y, part, "depth")), 8);
    assert_int_equal(apq_yaml_int(y, part, "depth", false, 0, 9, &count),
                     APQ_OK);
    assert_int_equal(count, 4);
    apq_yaml_destroy(y);
}

static void absent_optional_keys_keep_the_default(void **state) {
    apq_yaml *y = loaded(*state, example);
    apq_yaml_node root = apq_yaml_root(y);
    int64_t i = 11;
    double d = 12;
    bool b = true;
    const char *s = "default";
    int list[2] = {13, 14};
    size_t n = 1;
    assert_int_equal(apq_yaml_int(y, root, "no", true, 0, 1, &i), APQ_OK);
    assert_int_equal(apq_yaml_double(y, root, "no", true, 0, 1, &d), APQ_OK);
    assert_int_equal(apq_yaml_bool(y, root, "no", true, &b), APQ_OK);
    assert_int_equal(apq_yaml_string(y, root, "no", true, &s), APQ_OK);
    assert_int_equal(apq_yaml_int_list(y, root, "no", true, 0, 1, 2, list, &n),
                     APQ_OK);
    assert_true(i == 11 && d == 12 && b && list[0] == 13 && n == 1);
    assert_string_equal(s, "default");
    assert_int_equal(apq_yaml_int(y, root, "no", false, 0, 1, &i),
                     APQ_ERR_FORMAT);
    assert_message("x.yaml:1: key 'no' is missing");
    assert_int_equal(apq_yaml_int_list(y, root, "no", false, 0, 1, 2, list, &n),
                     APQ_ERR_FORMAT);
    apq_yaml_destroy(y);
}

static void unknown_keys_name_the_nearest(void **state) {
    static const char *const legal[] = {"name", "kernels", "epochs", NULL};
    apq_yaml *y = loaded(*state, "name: a\n\nkernel: 3\n");
    apq_yaml_node root = apq_yaml_root(y);
    assert_int_equal(apq_yaml_check_keys(y, root, legal), APQ_ERR_FORMAT);
    assert_message("x.yaml:3: unknown key 'kernel', did you mean 'kernels'?");
    apq_yaml_destroy(y);
    y = loaded(*state, "name: a\nsomething_else: 3\n");
    root = apq_yaml_root(y);
    assert_int_equal(apq_yaml_check_keys(y, root, legal), APQ_ERR_FORMAT);
    assert_message("x.yaml:2: unknown key 'something_else'");
    apq_yaml_destroy(y);
    y = loaded(*state, "kernels: []\nname: a\n");
    root = apq_yaml_root(y);
    assert_int_equal(apq_yaml_check_keys(y, root, legal), APQ_OK);
    assert_int_equal(
        apq_yaml_check_keys(y, apq_yaml_find(y, root, "name"), legal),
        APQ_ERR_FORMAT);
    assert_message("x.yaml:2: expected 'key: value' lines");
    apq_yaml_destroy(y);
}

/* One value of each kind that is wrong for its reader; `v` is on line 2. */
typedef struct wrong_value {
    char reader; /* i d b s l */
    const char *text, *message;
} wrong_value;

static const wrong_value wrong_values[] = {
    {'i', "three", "x.yaml:2: v: 'three' is not an integer in 1..8"},
    {'i', "3.5", "x.yaml:2: v: '3.5' is not an integer in 1..8"},
    {'i', "9", "x.yaml:2: v: '9' is not an integer in 1..8"},
    {'i', "0", "x.yaml:2: v: '0' is not an integer in 1..8"},
    {'i', "99999999999999999999",
     "x.yaml:2: v: '99999999999999999999' is not an integer in 1..8"},
    {'i', "", "x.yaml:2: v: '' is not an integer in 1..8"},
    {'i', "[1]", "x.yaml:2: 'v' must be a single value"},
    {'d', "fast", "x.yaml:2: v: 'fast' is not a number in 1..8"},
    {'d', "8.5", "x.yaml:2: v: '8.5' is not a number in 1..8"},
    {'d', "nan", "x.yaml:2: v: 'nan' is not a number in 1..8"},
    {'d', "1 2", "x.yaml:2: v: '1 2' is not a number in 1..8"},
    {'b', "yes", "x.yaml:2: v: 'yes' is not true or false"},
    {'s', "{a: b}", "x.yaml:2: 'v' must be a single value"},
    {'l', "3", "x.yaml:2: v: expected a list of 1 to 2 integers"},
    {'l', "[]", "x.yaml:2: v: expected a list of 1 to 2 integers"},
    {'l', "[1, 2, 3]", "x.yaml:2: v: expected a list of 1 to 2 integers"},
    {'l', "[1, 9]", "x.yaml:2: v: '9' is not an integer in 1..8"},
    {'l', "[1, [2]]", "x.yaml:2: v: '(nested)' is not an integer in 1..8"},
};

static apq_status read_wrong(const apq_yaml *y, char reader) {
    apq_yaml_node root = apq_yaml_root(y);
    int64_t i;
    double d;
    bool b;
    const char *s;
    int list[2];
    size_t n;
    switch (reader) {
    case 'i':
        return apq_yaml_int(y, root, "v", true, 1, 8, &i);
    case 'd':
        return apq_yaml_double(y, root, "v", true, 1, 8, &d);
    case 'b':
        return apq_yaml_bool(y, root, "v", true, &b);
    case 's':
        return apq_yaml_string(y, root, "v", true, &s);
    default:
        return apq_yaml_int_list(y, root, "v", true, 1, 8, 2, list, &n);
    }
}

static void wrong_values_are_refused(void **state) {
    for (size_t i = 0; i < sizeof wrong_values / sizeof wrong_values[0]; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "name: a\nv: %s\n",
                       wrong_values[i].text);
        apq_yaml *y = loaded(*state, text);
        assert_int_equal(read_wrong(y, wrong_values[i].reader), APQ_ERR_FORMAT);
        assert_message(wrong_values[i].message);
        apq_yaml_destroy(y);
    }
}

/* Too large for 64 bits is refused even where every integer is legal. */
static void integers_do_not_saturate(void **state) {
    apq_yaml *y = loaded(*state, "a: 9223372036854775807\n"
                                 "b: 9223372036854775808\n");
    apq_yaml_node root = apq_yaml_root(y);
    int64_t i = 0;
    assert_int_equal(
        apq_yaml_int(y, root, "a", false, INT64_MIN, INT64_MAX, &i), APQ_OK);
    assert_true(i == INT64_MAX);
    assert_int_equal(
        apq_yaml_int(y, root, "b", false, INT64_MIN, INT64_MAX, &i),
        APQ_ERR_FORMAT);
    apq_yaml_destroy(y);
}

static void malformed_files_are_refused(void **state) {
    apq_yaml *y = NULL;
    assert_int_equal(load(*state, "a: 1\nb: 2\na: 3\n", &y), APQ_ERR_FORMAT);
    assert_message("x.yaml:3: key 'a' given twice");
    assert_int_equal(load(*state, "a: 1\n? [b]\n: 2\n", &y), APQ_ERR_FORMAT);
    assert_message("x.yaml:2: keys must be plain words");
    assert_int_equal(load(*state, "- a\n", &y), APQ_ERR_FORMAT);
    assert_int_equal(load(*state, "", &y), APQ_ERR_FORMAT);
    assert_int_equal(load(*state, "a: [1\nb: 2\n", &y), APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(), "x.yaml:2: not valid YAML"));
    char path[APQ_PATH_MAX];
    assert_int_equal(apq_path_join(path, *state, "absent.yaml"), APQ_OK);
    assert_int_equal(apq_yaml_load(path, &y), APQ_ERR_IO);
    assert_null(y);
}

#define IN_SCRATCH(test)                                                       \
    cmocka_unit_test_setup_teardown(test, scratch_make, scratch_remove)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_SCRATCH(values_are_read),
        IN_SCRATCH(absent_optional_keys_keep_the_default),
        IN_SCRATCH(unknown_keys_name_the_nearest),
        IN_SCRATCH(wrong_values_are_refused),
        IN_SCRATCH(integers_do_not_saturate),
        IN_SCRATCH(malformed_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
