/* Every layout gives the same images and labels; splits; resizing. */
#include "unit/data/make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 32, N_BYTES = SIDE * SIDE * 3 };
static const char source_uri[] = "builtin:shapes?train=60&test=20";

/* Reference and every image of `dataset`: how far apart on average, after
 * `green` replaced all channels of the reference by the second. */
static void assert_same(const apq_dataset *reference,
                        const apq_dataset *dataset, bool is_green,
                        double tolerance) {
    assert_int_equal(apq_dataset_resolution(dataset), SIDE);
    assert_int_equal(apq_dataset_channels(dataset), 3);
    for (int s = 0; s < APQ_N_SPLITS; s++) {
        apq_split split = (apq_split)s;
        size_t n = apq_dataset_length(reference, split);
        assert_int_equal(apq_dataset_length(dataset, split), n);
        for (size_t i = 0; i < n; i++) {
            uint8_t a[N_BYTES], b[N_BYTES];
            assert_int_equal(apq_dataset_label(dataset, split, i),
                             apq_dataset_label(reference, split, i));
            assert_int_equal(apq_dataset_image(reference, split, i, a), 0);
            assert_int_equal(apq_dataset_image(dataset, split, i, b), 0);
            double sum = 0.0;
            for (size_t k = 0; k < N_BYTES; k++) {
                sum += abs(a[is_green ? k / 3 * 3 + 1 : k] - b[k]);
            }
            if (!(sum / N_BYTES <= tolerance)) {
                fail_msg("split %d image %zu differs by %g", s, i,
                         sum / N_BYTES);
            }
        }
    }
}

static void assert_same_names(const apq_dataset *a, const apq_dataset *b) {
    assert_int_equal(apq_dataset_classes(a), apq_dataset_classes(b));
    for (int c = 0; c < apq_dataset_classes(a); c++) {
        assert_string_equal(apq_dataset_class_name(a, c),
                            apq_dataset_class_name(b, c));
    }
}

static void test_folders_and_archives(void **state) {
    (void)state;
    static const char *const filters[] = {NULL, "gzip", "zstd"};
    apq_dataset *source = must_open(source_uri, NULL);
    char root[PATH_BYTES], folder[PATH_BYTES], path[PATH_BYTES];
    make_temporary(root);
    path_in(folder, root, "set");
    for (int is_png = 0; is_png < 2; is_png++) {
        write_folder(folder, source, is_png);
        apq_dataset *dataset = must_open(folder, NULL);
        assert_same(source, dataset, false, is_png ? 0.0 : 4.0);
        assert_same_names(source, dataset);
        for (int f = 0; f < 3; f++) {
            path_in(path, root, "set.tar");
            write_archive(path, filters[f], folder, f == 1 ? "wrapped" : ".");
            apq_dataset *archived = must_open(path, NULL);
            assert_same(dataset, archived, false, 0.0);
            assert_same_names(source, archived);
            assert_string_equal(apq_dataset_hash(dataset),
                                apq_dataset_hash(archived));
            apq_dataset_destroy(archived);
        }
        apq_dataset_destroy(dataset);
        remove_tree(folder);
    }
    remove_tree(root);
    apq_dataset_destroy(source);
}

static void test_binary_layouts(void **state) {
    (void)state;
    apq_dataset *source = must_open(source_uri, NULL);
    for (int kind = 0; kind < 4; kind++) {
        char root[PATH_BYTES];
        make_temporary(root);
        if (kind < 2) {
            write_cifar(root, source, kind == 1);
        } else {
            write_idx(root, source, kind == 3);
        }
        apq_dataset *dataset = must_open(root, NULL);
        assert_same(source, dataset, kind >= 2, 0.0);
        assert_int_equal(apq_dataset_classes(dataset), kind == 1 ? 100 : 10);
        if (kind == 0) {
            assert_same_names(source, dataset);
        }
        apq_dataset_destroy(dataset);
        remove_tree(root);
    }
    apq_dataset_destroy(source);
}

static void rename_in(const char *root, const char *from, const char *to) {
    char a[PATH_BYTES], b[PATH_BYTES];
    path_in(a, root, "%s", from);
    path_in(b, root, "%s", to);
    assert_int_equal(rename(a, b), 0);
}

static size_t length_of(const char *uri, apq_split split) {
    apq_dataset *dataset = must_open(uri, NULL);
    size_t n = apq_dataset_length(dataset, split);
    apq_dataset_destroy(dataset);
    return n;
}

static void test_folder_names(void **state) {
    (void)state;
    char root[PATH_BYTES], path[PATH_BYTES];
    make_temporary(root);
    apq_dataset *source = must_open(source_uri, NULL);
    write_folder(root, source, true);
    path_in(path, root, "README.txt"); /* beside the splits: ignored */
    write_bytes(path, "hello", 5);
    rename_in(root, "test", "val"); /* val/ alone is the test split */
    assert_int_equal(length_of(root, APQ_SPLIT_TEST), 20);
    assert_int_equal(length_of(root, APQ_SPLIT_TRAIN), 60);
    path_in(path, root, "val");
    remove_tree(path); /* nothing else: a tenth is carved */
    assert_int_equal(length_of(root, APQ_SPLIT_TEST), 6);
    assert_int_equal(length_of(root, APQ_SPLIT_TRAIN), 54);
    path_in(path, root, "train"); /* class folders at the top */
    assert_int_equal(length_of(path, APQ_SPLIT_TEST), 6);
    write_folder(root, source, true);
    rename_in(root, "test", "val");
    write_folder(root, source, true); /* all three: val/ is validation */
    assert_int_equal(length_of(root, APQ_SPLIT_VAL), 20);
    assert_int_equal(length_of(root, APQ_SPLIT_TRAIN), 60);
    apq_dataset_destroy(source);
    remove_tree(root);
}

/* Marks the training images of `all` that are in `split` of `dataset`. */
static void mark(const apq_dataset *all, const apq_dataset *dataset,
                 apq_split split, int *marks) {
    for (size_t i = 0; i < apq_dataset_length(dataset, split); i++) {
        uint8_t a[N_BYTES], b[N_BYTES];
        assert_int_equal(apq_dataset_image(dataset, split, i, a), 0);
        size_t n = apq_dataset_length(all, APQ_SPLIT_TRAIN), at = 0;
        for (; at < n; at++) {
            assert_int_equal(apq_dataset_image(all, APQ_SPLIT_TRAIN, at, b), 0);
            if (memcmp(a, b, N_BYTES) == 0) {
                break;
            }
        }
        assert_true(at < n);
        marks[at] += 1 + (int)split * 100;
    }
}

static void test_split(void **state) {
    (void)state;
    apq_dataset *all = must_open(source_uri, NULL);
    int marks[3][60] = {{0}};
    static const uint64_t seeds[3] = {1, 1, 2};
    for (int k = 0; k < 3; k++) {
        apq_data_options options = APQ_DATA_OPTIONS_INIT;
        options.n_val = 12;
        options.split_seed = seeds[k];
        options.n_threads = k + 1;
        apq_dataset *dataset = must_open(source_uri, &options);
        assert_int_equal(apq_dataset_length(dataset, APQ_SPLIT_VAL), 12);
        mark(all, dataset, APQ_SPLIT_TRAIN, marks[k]);
        mark(all, dataset, APQ_SPLIT_VAL, marks[k]);
        for (int i = 0; i < 60; i++) { /* each image once, in one split */
            assert_true(marks[k][i] == 1 || marks[k][i] == 101);
        }
        assert_string_equal(apq_dataset_hash(dataset), apq_dataset_hash(all));
        apq_dataset_destroy(dataset);
    }
    assert_memory_equal(marks[0], marks[1], sizeof marks[0]);
    assert_memory_not_equal(marks[0], marks[2], sizeof marks[0]);
    apq_dataset *defaults =
        must_open(source_uri, &(apq_data_options)APQ_DATA_OPTIONS_INIT);
    assert_int_equal(apq_dataset_length(defaults, APQ_SPLIT_VAL), 6);
    apq_dataset_destroy(defaults);
    apq_dataset_destroy(all);
}

/* Left half red, right half blue; the shapes' ramp in green from top. */
static void paint(uint8_t *rgb, int width, int height) {
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            rgb[0] = x < width / 2 ? 200 : 0;
            rgb[1] = (uint8_t)(y * 255 / height);
            rgb[2] = x < width / 2 ? 0 : 200;
            rgb += 3;
        }
    }
}

static void test_resize(void **state) {
    (void)state;
    char root[PATH_BYTES], path[PATH_BYTES];
    make_temporary(root);
    static uint8_t rgb[300 * 200 * 3];
    static const int sizes[4][2] = {{300, 200}, {120, 240}, {10, 8}, {17, 18}};
    for (int k = 0; k < 4; k++) {
        paint(rgb, sizes[k][0], sizes[k][1]);
        for (int c = 0; c < 2; c++) {
            path_in(path, root, "train/%c/%d.x", 'a' + c, k);
            (c == 0 ? write_png : write_jpeg)(path, rgb, sizes[k][0],
                                              sizes[k][1]);
            path_in(path, root, "test/%c/%d.x", 'a' + c, k);
            (c == 0 ? write_png : write_jpeg)(path, rgb, sizes[k][0],
                                              sizes[k][1]);
        }
    }
    apq_dataset *dataset = NULL;
    assert_int_equal(apq_dataset_open(root, NULL, &dataset), APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(), "300 x 200"));
    apq_data_options options = APQ_DATA_OPTIONS_INIT;
    options.n_val = 0;
    options.resolution = 16;
    dataset = must_open(root, &options);
    for (size_t i = 0; i < 8; i++) {
        uint8_t out[16 * 16 * 3];
        assert_int_equal(apq_dataset_image(dataset, APQ_SPLIT_TRAIN, i, out),
                         APQ_OK);
        for (int y = 0; y < 16; y++) {
            const uint8_t *line = out + y * 48;
            if (!(abs(line[3 * 3] - 200) <= 6 && line[3 * 3 + 2] <= 6 &&
                  line[12 * 3] <= 6 && abs(line[12 * 3 + 2] - 200) <= 6)) {
                fail_msg("image %zu line %d: red %d blue %d", i, y, line[9],
                         line[38]);
            }
            int height = sizes[i % 4][1], width = sizes[i % 4][0];
            int shorter = width < height ? width : height;
            int side = shorter == 8 ? 16 : shorter == 17 ? 17 : 18;
            double scale = (double)shorter / side;
            double at = (y + 0.5 - 8.0) * scale + height / 2.0 - 0.5;
            /* Half an output pixel may be lost in centring. */
            double slack = 0.5 * scale * 255.0 / height + 6.0;
            if (!(abs(line[9 + 1] - (int)(at * 255.0 / height)) <= slack)) {
                fail_msg("image %zu line %d: green %d not %g", i, y, line[10],
                         at * 255.0 / height);
            }
        }
    }
    apq_dataset_destroy(dataset);
    remove_tree(root);
}

static void test_shapes_options(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "builtin:circles",       "builtin:shapes?train=5",
        "builtin:shapes?side=3", "builtin:shapes?size=32x",
        "builtin:shapes?size=",  "builtin:shapes?test=-20"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        apq_dataset *dataset = NULL;
        assert_int_equal(apq_dataset_open(wrong[i], NULL, &dataset),
                         APQ_ERR_ARG);
    }
    apq_dataset *a = must_open("builtin:shapes?train=20&test=10&seed=1", NULL);
    apq_dataset *b = must_open("builtin:shapes?train=20&test=10&seed=2", NULL);
    apq_dataset *c = must_open("builtin:shapes?train=30&test=10", NULL);
    assert_string_not_equal(apq_dataset_hash(a), apq_dataset_hash(b));
    uint8_t first[N_BYTES], other[N_BYTES];
    assert_int_equal(apq_dataset_image(a, APQ_SPLIT_TRAIN, 0, first), APQ_OK);
    assert_int_equal(apq_dataset_image(b, APQ_SPLIT_TRAIN, 0, other), APQ_OK);
    assert_memory_not_equal(first, other, N_BYTES);
    assert_int_equal(apq_dataset_image(c, APQ_SPLIT_TRAIN, 0, other), APQ_OK);
    assert_memory_equal(first, other, N_BYTES); /* the count is no seed */
    apq_dataset_destroy(a);
    apq_dataset_destroy(b);
    apq_dataset_destroy(c);
}

/* An archive's filter is never a program to run, nor one of the exotic. */
static void test_archive_filters(void **state) {
    (void)state;
    char root[PATH_BYTES], folder[PATH_BYTES], path[PATH_BYTES];
    make_temporary(root);
    path_in(folder, root, "images");
    path_in(path, root, "archive");
    apq_dataset *source = must_open(source_uri, NULL), *archived = NULL;
    write_folder(folder, source, true);
    write_archive(path, "uuencode", folder, ".");
    assert_int_equal(apq_dataset_open(path, NULL, &archived), APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(), "archive"));
    write_archive(path, "xz", folder, ".");
    archived = must_open(path, NULL);
    apq_dataset_destroy(archived);
    apq_dataset_destroy(source);
    remove_tree(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folders_and_archives),
        cmocka_unit_test(test_archive_filters),
        cmocka_unit_test(test_binary_layouts),
        cmocka_unit_test(test_folder_names),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_shapes_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
