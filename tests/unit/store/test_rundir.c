/* The run directory: bound values, finished steps, and the lock that keeps a
 * second process out. */
#include "store/rundir.h"

#include "unit/store/scratch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <cmocka.h>

static apq_rundir *open_new(const char *path) {
    apq_rundir *dir = NULL;
    assert_int_equal(apq_rundir_open(path, true, &dir), APQ_OK);
    assert_non_null(dir);
    return dir;
}

static void write_manifest(const char *path, const char *text) {
    char file[APQ_PATH_MAX];
    assert_int_equal(apq_path_join(file, path, "manifest.json"), APQ_OK);
    assert_int_equal(apq_file_write(file, text, strlen(text)), APQ_OK);
}

static void mismatch_names_both_values(void **state) {
    apq_rundir *dir = open_new(*state);
    assert_int_equal(apq_rundir_check(dir, "seed", "3"), APQ_OK);
    assert_null(apq_rundir_bound(dir, "seed"));
    assert_int_equal(apq_rundir_bind(dir, "seed", "1"), APQ_OK);
    assert_int_equal(apq_rundir_check(dir, "seed", "1"), APQ_OK);
    assert_int_equal(apq_rundir_check(dir, "seed", "3"), APQ_ERR_MISMATCH);
    assert_int_equal(apq_rundir_bind(dir, "space hash", "aa"), APQ_OK);
    assert_int_equal(apq_rundir_bind(dir, "seed", "1"), APQ_OK);
    apq_rundir_close(dir);

    dir = NULL;
    assert_int_equal(apq_rundir_open(*state, false, &dir), APQ_OK);
    assert_string_equal(apq_rundir_bound(dir, "seed"), "1");
    assert_int_equal(apq_rundir_bind(dir, "seed", "2"), APQ_ERR_MISMATCH);
    char expected[APQ_PATH_MAX];
    (void)snprintf(expected, sizeof expected,
                   "run directory %s was made with seed 1, now 2",
                   (const char *)*state);
    assert_non_null(strstr(apq_error_message(), expected));
    /* The refusal changed nothing. */
    assert_string_equal(apq_rundir_bound(dir, "seed"), "1");
    assert_int_equal(apq_rundir_bind(dir, "seed", "1"), APQ_OK);
    assert_string_equal(apq_rundir_bound(dir, "space hash"), "aa");
    apq_rundir_close(dir);
}

static void what_made_nothing_may_be_bound_anew(void **state) {
    apq_rundir *dir = open_new(*state);
    assert_int_equal(apq_rundir_rebind(dir, "seed", "1"), APQ_OK);
    assert_int_equal(apq_rundir_rebind(dir, "seed", "2"), APQ_OK);
    apq_rundir_close(dir);
    dir = open_new(*state);
    assert_int_equal(apq_rundir_bind(dir, "seed", "2"), APQ_OK);
    assert_int_equal(apq_rundir_bind(dir, "seed", "1"), APQ_ERR_MISMATCH);
    apq_rundir_close(dir);
}

static void steps_depend_on_their_input(void **state) {
    apq_rundir *dir = open_new(*state);
    assert_false(apq_rundir_step_done(dir, "train", "in1"));
    assert_null(apq_rundir_step_artefact(dir, "train"));
    assert_int_equal(apq_rundir_step_mark(dir, "train", "in1", "out1"), APQ_OK);
    assert_int_equal(apq_rundir_step_mark(dir, "collect", "out1", "db"),
                     APQ_OK);
    apq_rundir_close(dir);

    dir = open_new(*state); /* create on an existing run keeps it */
    assert_true(apq_rundir_step_done(dir, "train", "in1"));
    assert_false(apq_rundir_step_done(dir, "train", "in2"));
    assert_true(apq_rundir_step_done(dir, "collect", "out1"));
    assert_false(apq_rundir_step_done(dir, "search", "out1"));
    assert_string_equal(apq_rundir_step_artefact(dir, "train"), "out1");
    assert_int_equal(apq_rundir_step_mark(dir, "train", "in2", "out2"), APQ_OK);
    assert_false(apq_rundir_step_done(dir, "train", "in1"));
    assert_true(apq_rundir_step_done(dir, "train", "in2"));
    assert_string_equal(apq_rundir_step_artefact(dir, "train"), "out2");
    apq_rundir_close(dir);
}

static void artefacts_are_known_by_their_hash(void **state) {
    apq_rundir *dir = open_new(*state);
    char path[APQ_PATH_MAX], hash[APQ_HASH_MAX];
    assert_int_equal(apq_rundir_file(dir, "weights", path), APQ_OK);
    assert_int_equal(apq_file_write(path, "first", 5), APQ_OK);
    assert_int_equal(apq_file_hash(path, hash), APQ_OK);
    assert_false(apq_rundir_step_made(dir, "train", path));
    assert_int_equal(apq_rundir_step_mark(dir, "train", "in", hash), APQ_OK);
    assert_true(apq_rundir_step_made(dir, "train", path));
    assert_int_equal(apq_file_write(path, "other", 5), APQ_OK);
    assert_false(apq_rundir_step_made(dir, "train", path));
    assert_int_equal(unlink(path), 0);
    assert_false(apq_rundir_step_made(dir, "train", path));
    apq_rundir_close(dir);
}

/* Status of opening the run from another process, or -1. */
static int open_elsewhere(const char *path, bool read_only, bool *is_named) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t owner = getpid();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        apq_rundir *dir = NULL;
        apq_status st = read_only ? apq_rundir_open_read(path, &dir)
                                  : apq_rundir_open(path, true, &dir);
        char number[32];
        (void)snprintf(number, sizeof number, "(%ld)", (long)owner);
        char report[2] = {(char)st, 0};
        report[1] = st != APQ_OK &&
                    strstr(apq_error_message(), "in use") != NULL &&
                    strstr(apq_error_message(), number) != NULL;
        apq_rundir_close(dir);
        _exit(write(ends[1], report, 2) == 2 ? 0 : 1);
    }
    (void)close(ends[1]);
    char report[2] = {-1, 0};
    (void)!read(ends[0], report, 2);
    (void)close(ends[0]);
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    *is_named = report[1] != 0;
    return report[0];
}

static void second_process_is_refused(void **state) {
    bool is_named = false;
    apq_rundir *dir = open_new(*state);
    assert_int_equal(open_elsewhere(*state, false, &is_named), APQ_ERR_IO);
    assert_true(is_named);
    assert_int_equal(open_elsewhere(*state, true, &is_named), APQ_OK);
    /* The refused process did not release the owner's lock. */
    assert_int_equal(open_elsewhere(*state, false, &is_named), APQ_ERR_IO);
    apq_rundir_close(dir);
    assert_int_equal(open_elsewhere(*state, false, &is_named), APQ_OK);
}

static void reader_changes_nothing(void **state) {
    apq_rundir *dir = open_new(*state);
    assert_int_equal(apq_rundir_bind(dir, "seed", "1"), APQ_OK);
    apq_rundir_close(dir);

    assert_int_equal(apq_rundir_open_read(*state, &dir), APQ_OK);
    assert_int_equal(apq_rundir_bind(dir, "data hash", "b"), APQ_OK);
    assert_int_equal(apq_rundir_bind(dir, "seed", "2"), APQ_ERR_MISMATCH);
    assert_int_equal(apq_rundir_step_mark(dir, "train", "a", "b"), APQ_ERR_ARG);
    apq_rundir_close(dir);

    dir = open_new(*state);
    assert_null(apq_rundir_bound(dir, "data hash"));
    assert_false(apq_rundir_step_done(dir, "train", "a"));
    apq_rundir_close(dir);
}

static void no_run_is_an_error(void **state) {
    char path[APQ_PATH_MAX];
    apq_rundir *dir = NULL;
    assert_int_equal(apq_path_join(path, *state, "gone"), APQ_OK);
    assert_int_equal(apq_rundir_open(path, false, &dir), APQ_ERR_IO);
    assert_int_equal(apq_rundir_open(*state, false, &dir), APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(), "no manifest.json"));
    assert_null(dir);
}

static void broken_manifests_are_refused(void **state) {
    static const char *const broken[] = {
        "",
        "[]",
        "{\"version\": 1,\n \"bound\": {\n",
        "{\"version\": 2, \"bound\": {}, \"steps\": {}}",
        "{\"version\": 1, \"bound\": {\"seed\": 1}, \"steps\": {}}",
        "{\"version\": 1, \"bound\": {}}",
        ("{\"version\": 1, \"bound\": {}, \"steps\": {\"t\": {\"input\": "
         "\"a\"}}}"),
        "{\"version\": 1, \"bound\": {}, \"steps\": {\"t\": 3}}",
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        write_manifest(*state, broken[i]);
        apq_rundir *dir = NULL;
        assert_int_equal(apq_rundir_open(*state, true, &dir), APQ_ERR_FORMAT);
        assert_null(dir);
        assert_non_null(strstr(apq_error_message(), "manifest.json"));
    }
}

static void a_later_version_is_told(void **state) {
    apq_rundir *dir = NULL;
    write_manifest(*state, "{\"version\": 2, \"bound\": {}, \"steps\": {}}");
    assert_int_equal(apq_rundir_open(*state, true, &dir), APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(),
                           "manifest.json: run directory of a newer apq, "
                           "version 2, this one reads 1"));
    write_manifest(*state, "{\"version\": 0, \"bound\": {}, \"steps\": {}}");
    assert_int_equal(apq_rundir_open(*state, true, &dir), APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(), "version is not 1"));
}

static void what_is_missing_names_its_step(void **state) {
    char gone[APQ_PATH_MAX], path[APQ_PATH_MAX];
    assert_int_equal(apq_path_join(gone, *state, "gone"), APQ_OK);
    assert_int_equal(apq_rundir_check_folder(*state), APQ_OK);
    assert_int_equal(apq_rundir_check_folder(gone), APQ_ERR_IO);
    assert_non_null(strstr(apq_error_message(), "gone: no such run directory"));
    assert_int_equal(apq_rundir_need(*state, "predictor.safetensors", path),
                     APQ_ERR_IO);
    assert_non_null(strstr(apq_error_message(),
                           "predictor.safetensors is missing: run 'apq "
                           "predictor fit' first"));
    assert_int_equal(apq_path_join(gone, *state, "run.db"), APQ_OK);
    assert_int_equal(apq_file_write(gone, "x", 1), APQ_OK);
    assert_int_equal(apq_rundir_need(*state, "run.db", path), APQ_OK);
    assert_string_equal(path, gone);
}

static void files_lie_in_the_directory(void **state) {
    apq_rundir *dir = open_new(*state);
    char file[APQ_PATH_MAX], expected[APQ_PATH_MAX];
    assert_string_equal(apq_rundir_path(dir), *state);
    assert_int_equal(apq_rundir_file(dir, "run.db", file), APQ_OK);
    assert_int_equal(apq_path_join(expected, *state, "run.db"), APQ_OK);
    assert_string_equal(file, expected);
    apq_rundir_close(dir);
}

static void make_file(const char *folder, const char *name) {
    char path[APQ_PATH_MAX];
    assert_int_equal(apq_path_join(path, folder, name), APQ_OK);
    assert_int_equal(apq_file_write(path, "x", 1), APQ_OK);
}

static int open_file(const char *folder, const char *name) {
    char path[APQ_PATH_MAX];
    assert_int_equal(apq_path_join(path, folder, name), APQ_OK);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    return fd;
}

static bool has_file(const char *folder, const char *name) {
    char path[APQ_PATH_MAX];
    assert_int_equal(apq_path_join(path, folder, name), APQ_OK);
    return apq_file_exists(path);
}

static void leftovers_of_a_kill_are_removed(void **state) {
    apq_rundir *dir = open_new(*state);
    apq_rundir_close(dir);
    make_file(*state, "manifest.json.1234.tmp");
    make_file(*state, "best.json.99.tmp"); /* being written */
    int fd = open_file(*state, "best.json.99.tmp");
    assert_int_equal(flock(fd, LOCK_EX), 0);
    make_file(*state, "notes.tmp"); /* a user's */
    make_file(*state, "run.123");
    assert_int_equal(apq_rundir_open_read(*state, &dir), APQ_OK);
    apq_rundir_close(dir);
    /* A reader holds no lock: the file may be in use. */
    assert_true(has_file(*state, "manifest.json.1234.tmp"));
    dir = open_new(*state);
    assert_false(has_file(*state, "manifest.json.1234.tmp"));
    assert_true(has_file(*state, "best.json.99.tmp"));
    assert_int_equal(close(fd), 0);
    assert_true(has_file(*state, "notes.tmp"));
    assert_true(has_file(*state, "run.123"));
    assert_true(has_file(*state, "manifest.json"));
    apq_rundir_close(dir);
}

/* Each sees what the other binds and marks, and none is lost. */
static void sharing_processes_see_each_other(void **state) {
    bool is_named = false;
    apq_rundir *a = NULL, *b = NULL;
    assert_int_equal(apq_rundir_open_shared(*state, true, &a), APQ_OK);
    assert_int_equal(apq_rundir_open_shared(*state, true, &b), APQ_OK);
    assert_int_equal(open_elsewhere(*state, false, &is_named), APQ_ERR_IO);
    assert_int_equal(apq_rundir_bind(a, "seed", "1"), APQ_OK);
    assert_int_equal(apq_rundir_bind(b, "space", "tiny"), APQ_OK);
    assert_int_equal(apq_rundir_bind(b, "seed", "2"), APQ_ERR_MISMATCH);
    assert_int_equal(apq_rundir_step_mark(a, "collect", "x", "y"), APQ_OK);
    assert_string_equal(apq_rundir_bound(a, "space"), "tiny");
    apq_rundir_close(a);
    assert_int_equal(open_elsewhere(*state, false, &is_named), APQ_ERR_IO);
    apq_rundir_close(b);
    a = open_new(*state);
    assert_string_equal(apq_rundir_bound(a, "seed"), "1");
    assert_string_equal(apq_rundir_bound(a, "space"), "tiny");
    assert_true(apq_rundir_step_done(a, "collect", "x"));
    apq_rundir_close(a);
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, scratch_make, scratch_remove)
    const struct CMUnitTest tests[] = {
        CASE(mismatch_names_both_values),
        CASE(what_made_nothing_may_be_bound_anew),
        CASE(steps_depend_on_their_input),
        CASE(artefacts_are_known_by_their_hash),
        CASE(second_process_is_refused),
        CASE(reader_changes_nothing),
        CASE(no_run_is_an_error),
        CASE(broken_manifests_are_refused),
        CASE(a_later_version_is_told),
        CASE(what_is_missing_names_its_step),
        CASE(files_lie_in_the_directory),
        CASE(leftovers_of_a_kill_are_removed),
        CASE(sharing_processes_see_each_other),
    };
#undef CASE
    return cmocka_run_group_tests(tests, NULL, NULL);
}
