/* Spaces from YAML: the built-in ones have the published dimensions, and
 * wrong files are refused with line and legal values. */
#include "base/datapath.h"
#include "base/file.h"
#include "space/space.h"

#include "unit/asserts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_imagenet(void **state) {
    (void)state;
    apq_space space;
    assert_int_equal(apq_space_load("imagenet-apq", &space), APQ_OK);
    assert_string_equal(space.name, "imagenet-apq");
    assert_int_equal(space.n_blocks, 21);
    assert_int_equal(apq_encode_float_dim(&space), 520);
    assert_int_equal(apq_encode_dim(&space), 772);
    assert_false(space.prices_all_layers);
    assert_true(space.forbids_k7_dw_act4);
    static const int in[] = {16, 24, 24, 24, 24, 40, 40,  40,  40,  80, 80,
                             80, 80, 96, 96, 96, 96, 192, 192, 192, 192};
    for (int i = 0; i < 21; i++) {
        const apq_space_block *b = &space.blocks[i];
        assert_int_equal(b->in_channels, in[i]);
        assert_int_equal(b->min_channels, 4 * in[i]);
        assert_int_equal(b->max_channels, 6 * in[i]);
        assert_int_equal(b->has_residual, i < 20 && i % 4 != 0);
    }
    /* Per block 3 kernels x 81 bits less 27 forbidden, times widths. */
    static const double widths[] = {7, 11, 21, 25, 49};
    double expected = log10(216.0 * 49);
    for (int s = 0; s < 5; s++) {
        double n = 216.0 * widths[s];
        double first = 216.0 * (s == 0 ? 5.0 : widths[s - 1]);
        expected += log10(first * n * (1.0 + n + n * n));
    }
    assert_true(fabs(apq_space_log10_size(&space) - expected) <= 1e-9);
}

static void test_size(void **state) {
    (void)state;
    apq_space space;
    assert_int_equal(apq_space_load("tiny", &space), APQ_OK);
    /* Blocks: 2 kernels x 81 bits x {3, 5, 5, 7} widths; depths 1..2. */
    double a = 162.0 * 3, b = 162.0 * 5, c = 162.0 * 5, d = 162.0 * 7;
    double expected = (a + a * b) * (c + c * d);
    assert_true(fabs(apq_space_log10_size(&space) - log10(expected)) <= 1e-9);
    /* A shorter stage: depth 2 only, so its d = 1 term goes. */
    space.stages[0].min_depth = 2;
    expected = a * b * (c + c * d);
    assert_true(fabs(apq_space_log10_size(&space) - log10(expected)) <= 1e-9);
}

static void test_unknown_name(void **state) {
    (void)state;
    apq_space space;
    assert_int_equal(apq_space_load("cifar", &space), APQ_ERR_ARG);
    assert_message("did you mean 'cifar10'");
    assert_message("imagenet-apq, cifar10, cifar10-small, tiny");
    assert_int_equal(apq_space_load("./absent.yaml", &space), APQ_ERR_IO);
    assert_message("absent.yaml");
}

/* tiny.yaml with `from` replaced by `to`, loaded from a temporary file. */
static apq_status load_changed(const char *from, const char *to,
                               apq_space *space) {
    char *text;
    size_t n;
    assert_int_equal(apq_file_read("configs/spaces/tiny.yaml", &text, &n),
                     APQ_OK);
    const char *at = strstr(text, from);
    assert_non_null(at);
    char changed[4096];
    (void)snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text,
                   to, at + strlen(from));
    free(text);
    char path[] = "/tmp/apq-space-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(apq_file_write(path, changed, strlen(changed)), APQ_OK);
    apq_status st = apq_space_load(path, space);
    (void)unlink(path);
    return st;
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *message;
    } cases[] = {
        {"resolution:", "resolutoin:",
         ":4: unknown key 'resolutoin', did you "
         "mean 'resolution'?"},
        {"{channels: 8, stride: 2}", "{chanels: 8, stride: 2}",
         "unknown key 'chanels', did you mean 'channels'?"},
        {"width: 24", "widht: 24", "did you mean 'width'?"},
        {"kernels: [3, 5]", "kernels: [3, 4]", "4 not in 3, 5, 7"},
        {"kernels: [3, 5]", "kernels: [5, 3]", "must ascend"},
        {"bits: [4, 6, 8]", "bits: [4, 6, 9]", "2..8"},
        {"bits: [4, 6, 8]", "bits: [2, 3, 4, 6, 8]", "1 to 4"},
        {"{min: 2, max: 4}", "{min: 2, max: 1}", "max"},
        {"{min: 2, max: 4}", "{min: 1.1, max: 1.2}", "no multiple of 8"},
        {"depth: [1, 2]", "depth: [2, 1]", "depth"},
        {"depth: [1, 2]", "depth: [0, 2]", "1..32"},
        {"depth: [1, 2]", "depth: [1, 32]", "at most 32"},
        {"accounting: all", "accounting: some", "not in all, authors"},
        {"head_channels: 32\n", "", "'head_channels' is missing"},
        {"stem: {channels: 8, stride: 2}\n", "", "'stem' is missing"},
        {"name: tiny", "name: ''", "1..63"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        apq_space space;
        memset(&space, 7, sizeof space);
        apq_space before = space;
        assert_int_equal(load_changed(cases[i].from, cases[i].to, &space),
                         APQ_ERR_FORMAT);
        assert_message(cases[i].message);
        assert_memory_equal(&space, &before, sizeof space);
    }
}

static void test_hash(void **state) {
    (void)state;
    apq_space a, b;
    char first[17], second[17];
    assert_int_equal(apq_space_load("tiny", &a), APQ_OK);
    apq_space_hash(&a, first);
    assert_int_equal(strlen(first), 16);
    assert_int_equal(load_changed("name: tiny", "name: other", &b), APQ_OK);
    apq_space_hash(&b, second);
    assert_string_equal(first, second);
    assert_int_equal(load_changed("max: 4", "max: 5", &b), APQ_OK);
    apq_space_hash(&b, second);
    assert_string_not_equal(first, second);
    /* Those of the file are part of the space, those of the data are not. */
    apq_space_set_classes(&a, 7);
    assert_int_equal(a.n_classes, 7);
    apq_space_hash(&a, second);
    assert_string_equal(first, second);
    assert_int_equal(load_changed("classes: 10", "classes: 7", &b), APQ_OK);
    assert_int_equal(b.n_classes, 7);
    apq_space_hash(&b, second);
    assert_string_not_equal(first, second);
}

static void test_data_path(void **state) {
    (void)state;
    char path[APQ_PATH_MAX];
    assert_int_equal(apq_data_path("configs/spaces/tiny.yaml", path), APQ_OK);
    assert_true(apq_file_exists(path));
    assert_int_equal(apq_data_path("configs/absent", path), APQ_ERR_IO);
    assert_message("APQ_DATA_DIR");
    /* The override comes first, yet an incomplete one falls through. */
    char folder[] = "/tmp/apq-data-XXXXXX", file[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(file, sizeof file, "%s/LICENSE", folder);
    assert_int_equal(apq_file_write(file, "x", 1), APQ_OK);
    assert_int_equal(setenv("APQ_DATA_DIR", folder, 1), 0);
    assert_int_equal(apq_data_path("LICENSE", path), APQ_OK);
    assert_string_equal(path, file);
    assert_int_equal(apq_data_path("configs/spaces/tiny.yaml", path), APQ_OK);
    assert_int_equal(unsetenv("APQ_DATA_DIR"), 0);
    (void)unlink(file);
    (void)rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_imagenet),     cmocka_unit_test(test_size),
        cmocka_unit_test(test_unknown_name), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_hash),         cmocka_unit_test(test_data_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
