/* cost.jsonl: lines come back as they were, torn ones are left out and
 * overwritten, corrupt ones named. */
#include "store/effort.h"

#include "scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void path_in(void *const *state, char out[APQ_PATH_MAX]) {
    assert_int_equal(apq_path_join(out, *state, "cost.jsonl"), APQ_OK);
}

static void add_text(const char *path, const char *text) {
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
}

static const apq_effort sample = {
    .step = "train",
    .input = "0123456789abcdef",
    .wall_s = 12.5,
    .core_s = 24.25,
    .energy_j = (double)NAN,
    .flop = 3e15,
    .threads = 2,
    .version = "0.1.0",
    .cpu = "a \"quoted\" processor",
};

static void round_trip(void **state) {
    char path[APQ_PATH_MAX];
    path_in(state, path);
    apq_effort *lines;
    size_t n;
    assert_int_equal(apq_effort_read(path, &lines, &n), APQ_OK);
    assert_int_equal(n, 0);
    free(lines);
    apq_effort second = sample;
    second.energy_j = 77.5;
    second.flop = 0;
    (void)strcpy(second.step, "search");
    (void)strcpy(second.ended, "2024-01-31T12:00:00Z");
    assert_int_equal(apq_effort_append(path, &sample), APQ_OK);
    assert_int_equal(apq_effort_append(path, &second), APQ_OK);
    assert_int_equal(apq_effort_read(path, &lines, &n), APQ_OK);
    assert_int_equal(n, 2);
    assert_string_equal(lines[0].step, "train");
    assert_string_equal(lines[0].input, sample.input);
    assert_string_equal(lines[0].cpu, sample.cpu);
    assert_int_equal(strlen(lines[0].ended), 20); /* the present, filled in */
    assert_true(lines[0].wall_s == 12.5 && lines[0].core_s == 24.25);
    assert_true(lines[0].gpu_s == 0 && lines[0].flop == 3e15);
    assert_true(isnan(lines[0].energy_j));
    assert_int_equal(lines[0].threads, 2);
    assert_true(lines[1].energy_j == 77.5 && lines[1].flop == 0);
    assert_string_equal(lines[1].ended, second.ended);
    free(lines);
}

static void torn_line(void **state) {
    char path[APQ_PATH_MAX];
    path_in(state, path);
    apq_effort *lines;
    size_t n;
    assert_int_equal(apq_effort_append(path, &sample), APQ_OK);
    add_text(path, "{\"step\":\"train\",\"wall");
    assert_int_equal(apq_effort_read(path, &lines, &n), APQ_OK);
    assert_int_equal(n, 1);
    free(lines);
    assert_int_equal(apq_effort_append(path, &sample), APQ_OK);
    assert_int_equal(apq_effort_read(path, &lines, &n), APQ_OK);
    assert_int_equal(n, 2);
    free(lines);
}

static void corrupt_line(void **state) {
    static const char *const bad[] = {
        "no json\n",
        "{\"step\":\"train\"}\n",
        "{\"step\":\"train\",\"input\":\"\",\"wall_s\":-1,\"core_s\":1,"
        "\"gpu_s\":0,\"energy_j\":null,\"flop\":null,\"threads\":1,"
        "\"version\":\"1\",\"cpu\":\"x\",\"ended\":\"\"}\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char path[APQ_PATH_MAX];
        path_in(state, path);
        (void)unlink(path);
        assert_int_equal(apq_effort_append(path, &sample), APQ_OK);
        add_text(path, bad[i]);
        apq_effort *lines;
        size_t n;
        assert_int_equal(apq_effort_read(path, &lines, &n), APQ_ERR_FORMAT);
        assert_non_null(strstr(apq_error_message(), "cost.jsonl:2: "));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trip, scratch_make,
                                        scratch_remove),
        cmocka_unit_test_setup_teardown(torn_line, scratch_make,
                                        scratch_remove),
        cmocka_unit_test_setup_teardown(corrupt_line, scratch_make,
                                        scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
