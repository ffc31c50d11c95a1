/* Whole-file reading and atomic replacing: what a failed write leaves, lines
 * added to logs, folder making, path limits and content hashes. */
#include "base/file.h"

#include "unit/store/scratch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

static void path_in(const char *folder, const char *name,
                    char out[APQ_PATH_MAX]) {
    assert_int_equal(apq_path_join(out, folder, name), APQ_OK);
}

static int count_entries(const char *folder) {
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    int n = 0;
    while (readdir(dir) != NULL) {
        n++;
    }
    (void)closedir(dir);
    return n - 2; /* "." and ".." */
}

static void assert_content(const char *path, const void *bytes,
                           size_t n_bytes) {
    char *text = NULL;
    size_t n = 0;
    assert_int_equal(apq_file_read(path, &text, &n), APQ_OK);
    assert_int_equal(n, n_bytes);
    assert_memory_equal(text, bytes, n_bytes);
    assert_int_equal(text[n], '\0');
    free(text);
}

static void content_survives_the_round_trip(void **state) {
    char path[APQ_PATH_MAX];
    path_in(*state, "data", path);
    assert_int_equal(apq_file_write(path, "a\0b\n", 4), APQ_OK);
    assert_content(path, "a\0b\n", 4);
    assert_int_equal(apq_file_write(path, "", 0), APQ_OK);
    assert_content(path, "", 0);
    /* Larger than the reader's first buffer, and just as large. */
    const size_t lengths[] = {65534, 65535, 65536, 300001};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char *bytes = malloc(lengths[i]);
        assert_non_null(bytes);
        for (size_t k = 0; k < lengths[i]; k++) {
            bytes[k] = (char)(k * k % 251);
        }
        assert_int_equal(apq_file_write(path, bytes, lengths[i]), APQ_OK);
        assert_content(path, bytes, lengths[i]);
        free(bytes);
    }
    assert_int_equal(count_entries(*state), 1);
}

static void a_text_ends_with_one_line_feed(void **state) {
    char path[APQ_PATH_MAX];
    path_in(*state, "text", path);
    assert_int_equal(apq_file_write_text(path, "a\nb"), APQ_OK);
    assert_content(path, "a\nb\n", 4);
    assert_int_equal(apq_file_write_text(path, "a\n"), APQ_OK);
    assert_content(path, "a\n", 2);
    assert_int_equal(apq_file_write_text(path, ""), APQ_OK);
    assert_content(path, "\n", 1);
}

/* The file system refuses after the first bytes, as a full disk does. */
static apq_status write_limited(const char *path, size_t n_bytes) {
    static const char bytes[8192];
    struct rlimit old;
    assert_true(n_bytes <= sizeof bytes);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct rlimit small = {.rlim_cur = 1000, .rlim_max = old.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    apq_status st = apq_file_write(path, bytes, n_bytes);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    (void)signal(SIGXFSZ, handler);
    return st;
}

static void failed_write_leaves_the_old_file(void **state) {
    char path[APQ_PATH_MAX];
    path_in(*state, "kept", path);
    assert_int_equal(apq_file_write(path, "old", 3), APQ_OK);
    assert_int_equal(write_limited(path, 8192), APQ_ERR_WRITE);
    assert_non_null(strstr(apq_error_message(), path));
    assert_non_null(strstr(apq_error_message(), "cannot write"));
    assert_content(path, "old", 3);
    assert_int_equal(count_entries(*state), 1);
    assert_int_equal(write_limited(path, 1000), APQ_OK);
}

static void failed_rename_leaves_no_temporary(void **state) {
    char path[APQ_PATH_MAX];
    path_in(*state, "folder", path);
    assert_int_equal(apq_dir_make(path), APQ_OK);
    assert_int_equal(apq_file_write(path, "x", 1), APQ_ERR_WRITE);
    assert_true(apq_dir_exists(path));
    assert_int_equal(count_entries(*state), 1);
    assert_int_equal(rmdir(path), 0);
}

static void what_cannot_be_written_is_told_before(void **state) {
    char path[APQ_PATH_MAX];
    path_in(*state, "new", path);
    assert_int_equal(apq_file_check_write(NULL), APQ_OK);
    assert_int_equal(apq_file_check_write(path), APQ_OK);
    assert_int_equal(apq_file_check_write("/dev/null"), APQ_OK);
    assert_int_equal(apq_file_check_write("file-in-the-current-folder"),
                     APQ_OK);
    assert_int_equal(count_entries(*state), 0);
    path_in(*state, "gone/new", path);
    assert_int_equal(apq_file_check_write(path), APQ_ERR_IO);
    assert_non_null(strstr(apq_error_message(), "gone/new: cannot create: "));
}

/* Root could otherwise replace /dev/full by a file. */
static void devices_are_written_not_replaced(void **state) {
    char path[APQ_PATH_MAX], bytes[4] = "";
    struct stat info;
    path_in(*state, "pipe", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    int fd = open(path, O_RDWR | O_NONBLOCK);
    assert_true(fd >= 0);
    assert_int_equal(apq_file_write(path, "abc", 3), APQ_OK);
    assert_int_equal(read(fd, bytes, 3), 3);
    assert_string_equal(bytes, "abc");
    assert_int_equal(stat(path, &info), 0);
    assert_true(S_ISFIFO(info.st_mode));
    assert_int_equal(count_entries(*state), 1);
    (void)close(fd);
    assert_int_equal(unlink(path), 0);
}

static void unusable_paths_are_refused(void **state) {
    char path[APQ_PATH_MAX];
    char *bytes = NULL;
    size_t n = 0;
    path_in(*state, "absent/file", path);
    assert_int_equal(apq_file_write(path, "x", 1), APQ_ERR_IO);
    assert_int_equal(apq_file_read(path, &bytes, &n), APQ_ERR_IO);
    assert_non_null(strstr(apq_error_message(), path));
    assert_int_equal(apq_file_read(*state, &bytes, &n), APQ_ERR_IO);
    assert_null(bytes);
    assert_int_equal(count_entries(*state), 0);

    char name[APQ_PATH_MAX];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(apq_file_write(name, "x", 1), APQ_ERR_ARG);
    assert_int_equal(apq_path_join(path, "a", name), APQ_ERR_ARG);
    name[sizeof name - 3] = '\0'; /* "a/" and this just fit */
    assert_int_equal(apq_path_join(path, "a", name), APQ_OK);
    assert_int_equal(strlen(path), APQ_PATH_MAX - 1);
}

static void folders_are_made_with_parents(void **state) {
    char path[APQ_PATH_MAX], file[APQ_PATH_MAX], below[APQ_PATH_MAX];
    path_in(*state, "a/b", path);
    assert_int_equal(apq_dir_make(path), APQ_OK);
    assert_int_equal(apq_dir_make(path), APQ_OK);
    assert_true(apq_dir_exists(path));
    assert_false(apq_file_exists(path));
    path_in(path, "file", file);
    assert_int_equal(apq_file_write(file, "x", 1), APQ_OK);
    assert_true(apq_file_exists(file));
    assert_false(apq_dir_exists(file));
    assert_int_equal(apq_dir_make(file), APQ_ERR_IO);
    path_in(file, "below", below);
    assert_int_equal(apq_dir_make(below), APQ_ERR_IO);
    assert_int_equal(apq_dir_make(""), APQ_ERR_ARG);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(path), 0);
    path_in(*state, "a", path);
    assert_int_equal(rmdir(path), 0);
}

/* A kill in the middle of a write leaves half a line: the next one is not
 * glued to it. */
static void lines_are_appended_whole(void **state) {
    char path[APQ_PATH_MAX];
    path_in(*state, "log", path);
    assert_int_equal(apq_file_append_line(path, "one"), APQ_OK);
    assert_int_equal(apq_file_append_line(path, "two"), APQ_OK);
    assert_content(path, "one\ntwo\n", 8);
    assert_int_equal(apq_file_write(path, "one\ntw", 6), APQ_OK);
    assert_int_equal(apq_file_append_line(path, "three"), APQ_OK);
    assert_content(path, "one\nthree\n", 10);
    assert_int_equal(apq_file_write(path, "on", 2), APQ_OK);
    assert_int_equal(apq_file_append_line(path, ""), APQ_OK);
    assert_content(path, "\n", 1);
    /* A rest that is longer than any line goes as well. */
    static char rest[9000];
    memset(rest, 'x', sizeof rest);
    assert_int_equal(apq_file_write(path, rest, sizeof rest), APQ_OK);
    assert_int_equal(apq_file_append_line(path, "four"), APQ_OK);
    assert_content(path, "four\n", 5);
    assert_int_equal(apq_file_append_line(*state, "x"), APQ_ERR_WRITE);
}

/* The published XXH3-64 value of no input. */
static void hashes_follow_content(void **state) {
    char path[APQ_PATH_MAX], a[APQ_HASH_MAX], b[APQ_HASH_MAX];
    apq_hash_hex("", 0, a);
    assert_string_equal(a, "2d06800538d394c2");
    path_in(*state, "data", path);
    assert_int_equal(apq_file_write(path, "abc", 3), APQ_OK);
    apq_hash_hex("abc", 3, a);
    assert_int_equal(apq_file_hash(path, b), APQ_OK);
    assert_string_equal(a, b);
    assert_int_equal(apq_file_write(path, "abd", 3), APQ_OK);
    assert_int_equal(apq_file_hash(path, b), APQ_OK);
    assert_string_not_equal(a, b);
}

#define IN_SCRATCH(test)                                                       \
    cmocka_unit_test_setup_teardown(test, scratch_make, scratch_remove)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_SCRATCH(content_survives_the_round_trip),
        IN_SCRATCH(a_text_ends_with_one_line_feed),
        IN_SCRATCH(failed_write_leaves_the_old_file),
        IN_SCRATCH(failed_rename_leaves_no_temporary),
        IN_SCRATCH(what_cannot_be_written_is_told_before),
        IN_SCRATCH(devices_are_written_not_replaced),
        IN_SCRATCH(unusable_paths_are_refused),
        IN_SCRATCH(folders_are_made_with_parents),
        IN_SCRATCH(lines_are_appended_whole),
        IN_SCRATCH(hashes_follow_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
