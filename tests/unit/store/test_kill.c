/* A process killed while it adds records: the file opens again and holds
 * every record whose add had returned. The child reports each through a pipe
 * after the add, so what the parent has read is a lower bound. */
#include "store/records.h"

#include "base/file.h"
#include "unit/store/scratch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

enum { N_ROUNDS = 4, N_BEFORE_KILL = 25 };

static _Noreturn void add_until_killed(const char *path, int64_t start,
                                       int to_parent) {
    apq_records *records = NULL;
    if (apq_records_open(path, &records) != APQ_OK) {
        _exit(2);
    }
    for (int64_t seq = start;; seq++) {
        apq_record record = {
            .policy = "{\"space\":\"tiny\"}",
            .kind = APQ_RECORD_FLOAT,
            .seq = seq,
            .accuracy = 0.5,
            .loss = 1,
            .count = 1,
        };
        if (apq_records_add(records, &record) != APQ_OK ||
            write(to_parent, "x", 1) != 1) {
            _exit(3);
        }
    }
}

static size_t present(const char *path) {
    apq_records *records = NULL;
    assert_int_equal(apq_records_open(path, &records), APQ_OK);
    size_t n = 0;
    apq_record *all = NULL;
    assert_int_equal(apq_records_all(records, APQ_RECORD_FLOAT, &all, &n),
                     APQ_OK);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(all[i].seq, i); /* no gap */
        assert_string_equal(all[i].policy, "{\"space\":\"tiny\"}");
    }
    free(all);
    apq_records_close(records);
    return n;
}

static void kill_loses_nothing(void **state) {
    char path[APQ_PATH_MAX];
    assert_int_equal(apq_path_join(path, *state, "run.db"), APQ_OK);
    size_t before = 0;
    for (int round = 0; round < N_ROUNDS; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            (void)close(ends[0]);
            add_until_killed(path, (int64_t)before, ends[1]);
        }
        (void)close(ends[1]);
        size_t reported = 0;
        char byte;
        while (reported < N_BEFORE_KILL && read(ends[0], &byte, 1) == 1) {
            reported++;
        }
        assert_int_equal(kill(child, SIGKILL), 0);
        int how = 0;
        assert_int_equal(waitpid(child, &how, 0), child);
        assert_true(WIFSIGNALED(how));
        while (read(ends[0], &byte, 1) == 1) {
            reported++; /* added between the last look and the kill */
        }
        (void)close(ends[0]);
        assert_true(reported >= N_BEFORE_KILL);
        size_t after = present(path);
        assert_true(after >= before + reported);
        /* At most the one add that was under way. */
        assert_true(after <= before + reported + 1);
        before = after;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(kill_loses_nothing, scratch_make,
                                        scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
