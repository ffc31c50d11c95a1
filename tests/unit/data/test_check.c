/* Each kind of defect: reported by the check with its path and reason, and
 * refused by open with one line. */
#include "unit/data/make.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const char uri[] = "builtin:shapes?train=40&test=20";

static void fresh_folder(char root[PATH_BYTES], bool is_png) {
    make_temporary(root);
    apq_dataset *source = must_open(uri, NULL);
    write_folder(root, source, is_png);
    apq_dataset_destroy(source);
}

static apq_data_report *must_check(const char *path) {
    apq_data_report *report = NULL;
    if (apq_data_check(path, NULL, &report) != APQ_OK) {
        fail_msg("%s: %s", path, apq_error_message());
    }
    return report;
}

/* Exactly one defect, of this path and reason; open refuses it too. */
static void assert_defect(const char *root, const char *path,
                          const char *reason) {
    apq_data_report *report = must_check(root);
    assert_int_equal(report->n_defects, 1);
    assert_string_equal(report->defects[0].path, path);
    if (strstr(report->defects[0].reason, reason) == NULL) {
        fail_msg("%s, not %s", report->defects[0].reason, reason);
    }
    assert_string_equal(report->hash, "");
    apq_data_report_destroy(report);
    apq_dataset *dataset = NULL;
    assert_int_equal(apq_dataset_open(root, NULL, &dataset), APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(), path));
    assert_non_null(strstr(apq_error_message(), reason));
    assert_null(strchr(apq_error_message(), '\n'));
}

static void cut_file(const char *path, size_t n_missing) {
    char *bytes = NULL;
    size_t n_bytes = 0;
    assert_int_equal(apq_file_read(path, &bytes, &n_bytes), APQ_OK);
    assert_true(n_bytes > n_missing);
    write_bytes(path, bytes, n_bytes - n_missing);
    free(bytes);
}

static void test_sound(void **state) {
    (void)state;
    char root[PATH_BYTES];
    fresh_folder(root, false);
    apq_data_report *report = must_check(root);
    assert_int_equal(report->n_defects, 0);
    assert_int_equal(report->n_duplicates, 0);
    assert_null(report->duplicate_example);
    assert_string_equal(report->layout, "image folder");
    assert_int_equal(report->n_classes, 10);
    size_t n[APQ_N_SPLITS] = {0};
    for (int c = 0; c < 10; c++) {
        assert_int_equal(report->classes[c].n[APQ_SPLIT_TEST], 2);
        for (int s = 0; s < APQ_N_SPLITS; s++) {
            n[s] += report->classes[c].n[s];
        }
    }
    assert_string_equal(report->classes[9].name, "triangle");
    assert_int_equal(n[APQ_SPLIT_TRAIN], 36);
    assert_int_equal(n[APQ_SPLIT_VAL], 4);
    assert_int_equal(report->min_width, 32);
    assert_int_equal(report->max_height, 32);
    assert_false(report->test_carved);
    apq_dataset *dataset = must_open(root, NULL);
    assert_string_equal(report->hash, apq_dataset_hash(dataset));
    apq_dataset_destroy(dataset);
    apq_data_report_destroy(report);
    remove_tree(root);
}

static void test_damaged_images(void **state) {
    (void)state;
    char root[PATH_BYTES], path[PATH_BYTES];
    fresh_folder(root, false);
    static const char name[] = "train/ring/000021.jpg";
    path_in(path, root, "%s", name);
    cut_file(path, 40);
    assert_defect(root, name, "truncated or damaged JPEG");
    write_bytes(path, "\xff\xd8\xff\xe0 and no more", 16);
    assert_defect(root, name, "damaged JPEG header");
    write_bytes(path, "hello, this is text\n", 20);
    assert_defect(root, name, "not a JPEG or PNG image");
    write_bytes(path, "", 0);
    assert_defect(root, name, "zero bytes");
    remove_tree(root);
    fresh_folder(root, true);
    static const char png[] = "test/star/000015.png";
    path_in(path, root, "%s", png);
    cut_file(path, 200);
    assert_defect(root, png, "truncated or damaged PNG");
    write_bytes(path, "\x89PNG\r\n\x1a\nxx", 10);
    assert_defect(root, png, "damaged PNG header");
    remove_tree(root);
}

static void test_classes(void **state) {
    (void)state;
    char root[PATH_BYTES], path[PATH_BYTES];
    fresh_folder(root, true);
    path_in(path, root, "train/empty/x");
    assert_defect(root, "train/empty", "class with no images");
    path_in(path, root, "train/empty");
    remove_tree(path);
    path_in(path, root, "train/stray.png");
    write_bytes(path, "x", 1);
    assert_defect(root, "train/stray.png", "not in a class folder");
    remove_tree(path);
    path_in(path, root, "test/unknown/x.png");
    write_png(path, (const uint8_t *)"abcabcabcabc", 2, 2);
    assert_defect(root, "train/unknown", "class with no images");
    remove_tree(root);
}

static void test_all_at_once(void **state) {
    (void)state;
    char root[PATH_BYTES], path[PATH_BYTES];
    fresh_folder(root, true);
    static const char *const names[3] = {"test/dots/000006.png",
                                         "train/circle/000000.png",
                                         "train/cross/000008.png"};
    for (int i = 0; i < 3; i++) {
        path_in(path, root, "%s", names[i]);
        write_bytes(path, "", 0);
    }
    path_in(path, root, "train/zebra/x");
    apq_data_report *report = must_check(root);
    assert_int_equal(report->n_defects, 4);
    assert_string_equal(report->defects[0].path, "train/zebra");
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(report->defects[i + 1].path, names[i]);
    }
    assert_int_equal(report->classes[3].n[APQ_SPLIT_TEST], 1);
    apq_data_report_destroy(report);
    remove_tree(root);
}

static void test_duplicates(void **state) {
    (void)state;
    char root[PATH_BYTES], path[PATH_BYTES];
    fresh_folder(root, true);
    path_in(path, root, "train/ring/000021.png");
    char *bytes = NULL;
    size_t n_bytes = 0;
    assert_int_equal(apq_file_read(path, &bytes, &n_bytes), APQ_OK);
    path_in(path, root, "test/circle/copy.png");
    write_bytes(path, bytes, n_bytes);
    free(bytes);
    apq_data_report *report = must_check(root);
    assert_int_equal(report->n_defects, 0);
    assert_int_equal(report->n_duplicates, 1);
    assert_string_equal(report->duplicate_example,
                        "test/circle/copy.png = train/ring/000021.png");
    apq_data_report_destroy(report);
    path_in(path, root, "test");
    remove_tree(path);
    report = must_check(root);
    assert_true(report->test_carved);
    apq_data_report_destroy(report);
    remove_tree(root);
}

static void assert_refused(const char *path, apq_status status,
                           const char *part) {
    apq_dataset *dataset = NULL;
    apq_data_report *report = NULL;
    assert_int_equal(apq_dataset_open(path, NULL, &dataset), status);
    assert_non_null(strstr(apq_error_message(), path));
    assert_non_null(strstr(apq_error_message(), part));
    assert_int_equal(apq_data_check(path, NULL, &report), status);
    assert_null(dataset);
    assert_null(report);
}

static void test_missing(void **state) {
    (void)state;
    char root[PATH_BYTES], path[PATH_BYTES];
    make_temporary(root);
    assert_refused(root, APQ_ERR_FORMAT, "empty");
    path_in(path, root, "nothing");
    assert_refused(path, APQ_ERR_IO, "no such dataset");
    path_in(path, root, "text.tar");
    write_bytes(path, "certainly no archive", 20);
    assert_refused(path, APQ_ERR_FORMAT, "archive");
    remove_tree(root);
}

static void test_missing_batch(void **state) {
    (void)state;
    char root[PATH_BYTES], from[PATH_BYTES], to[PATH_BYTES];
    apq_dataset *source = must_open(uri, NULL);
    make_temporary(root);
    write_cifar(root, source, false);
    path_in(from, root, "test_batch.bin");
    path_in(to, root, "data_batch_4.bin");
    assert_int_equal(rename(from, to), 0);
    assert_defect(root, "data_batch_2.bin",
                  "missing, though data_batch_4.bin is there");
    remove_tree(root);
    apq_dataset_destroy(source);
}

static void test_binary_defects(void **state) {
    (void)state;
    char root[PATH_BYTES], path[PATH_BYTES];
    apq_dataset *source = must_open(uri, NULL);
    make_temporary(root);
    write_cifar(root, source, false);
    path_in(path, root, "test_batch.bin");
    cut_file(path, 1);
    assert_refused(root, APQ_ERR_FORMAT, "test_batch.bin: 61459 bytes");
    remove_tree(root);
    make_temporary(root);
    write_idx(root, source, true);
    path_in(path, root, "t10k-labels-idx1-ubyte.gz");
    FILE *file = fopen(path, "r+b"); /* the check sum of gzip */
    assert_non_null(file);
    assert_int_equal(fseek(file, -8, SEEK_END), 0);
    assert_true(fputs("what", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_refused(root, APQ_ERR_FORMAT, "ubyte.gz: damaged gzip data");
    path_in(path, root, "t10k-images-idx3-ubyte.gz");
    cut_file(path, 100);
    assert_refused(root, APQ_ERR_FORMAT,
                   "t10k-images-idx3-ubyte.gz: file ends early");
    path_in(path, root, "train-labels-idx1-ubyte.gz");
    write_bytes(path, "\0\0\x08\x01\0\0\0\x02\1\2", 10);
    assert_refused(root, APQ_ERR_FORMAT, "2 labels for 40 images");
    remove_tree(root);
    fresh_folder(root, true);
    path_in(path, root, "set.tgz");
    char folder[PATH_BYTES];
    path_in(folder, root, "train");
    write_archive(path, "gzip", folder, "train");
    cut_file(path, 5000);
    assert_refused(path, APQ_ERR_FORMAT, "set.tgz");
    remove_tree(root);
    apq_dataset_destroy(source);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),
        cmocka_unit_test(test_damaged_images),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_missing_batch),
        cmocka_unit_test(test_binary_defects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
