/* Claims: each piece of work to one process, and to another when that one is
 * gone; processes that are killed leave every record once. */
#include "store/claims.h"

#include "base/file.h"
#include "base/log.h"
#include "unit/store/scratch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <cmocka.h>

enum { N_PROCESSES = 3, N_KILLS = 8, N_RECORDS = 150 };

static apq_records *open_in(const char *folder) {
    char path[APQ_PATH_MAX];
    apq_records *records = NULL;
    if (apq_path_join(path, folder, "run.db") != APQ_OK ||
        apq_records_open(path, &records) != APQ_OK) {
        return NULL;
    }
    return records;
}

static apq_record example(int64_t seq) {
    return (apq_record){
        .policy = "{\"space\":\"tiny\"}",
        .kind = APQ_RECORD_QAT,
        .seq = seq,
        .accuracy = 0.001 * (double)seq,
        .loss = 1,
        .count = 1,
    };
}

static apq_claim_state take(apq_records *records, int64_t *begin, int64_t end,
                            double lease_s, apq_claim *claim) {
    apq_claim_state state;
    assert_int_equal(apq_claims_take(records, APQ_TASK_RECORD, APQ_RECORD_QAT,
                                     begin, end, lease_s, &state, claim),
                     APQ_OK);
    return state;
}

static void finish(apq_records *records, const apq_claim *claim) {
    apq_record record = example(claim->seq);
    assert_int_equal(apq_claims_finish(records, claim, &record), APQ_OK);
}

static void nap(double s) {
    const struct timespec t = {.tv_nsec = (long)(s * 1e9)};
    (void)nanosleep(&t, NULL);
}

static void each_is_claimed_once(void **state) {
    apq_records *records = open_in(*state);
    apq_claim first, second, other;
    int64_t begin = 5;
    assert_int_equal(take(records, &begin, 7, 60, &first), APQ_CLAIM_MINE);
    assert_int_equal(first.seq, 5);
    assert_int_equal(take(records, &begin, 7, 60, &second), APQ_CLAIM_MINE);
    assert_int_equal(second.seq, 6);
    assert_int_equal(take(records, &begin, 7, 60, &other), APQ_CLAIM_BUSY);
    assert_int_equal(begin, 5);
    finish(records, &first);
    assert_int_equal(take(records, &begin, 7, 60, &other), APQ_CLAIM_BUSY);
    assert_int_equal(begin, 6); /* what is there is not looked at again */
    assert_int_equal(apq_claims_drop(records, &second), APQ_OK);
    assert_int_equal(take(records, &begin, 7, 60, &second), APQ_CLAIM_MINE);
    assert_int_equal(second.seq, 6);
    finish(records, &second);
    assert_int_equal(take(records, &begin, 7, 60, &other), APQ_CLAIM_DONE);
    apq_records_close(records);
}

static void repeats_and_records_are_apart(void **state) {
    apq_records *records = open_in(*state);
    apq_claim claim, repeat;
    apq_claim_state got;
    int64_t begin = 0;
    assert_int_equal(take(records, &begin, 1, 60, &claim), APQ_CLAIM_MINE);
    assert_int_equal(apq_claims_take(records, APQ_TASK_REPEAT, APQ_RECORD_QAT,
                                     &begin, 1, 60, &got, &repeat),
                     APQ_OK);
    assert_int_equal(got, APQ_CLAIM_MINE);
    finish(records, &claim);
    finish(records, &repeat);
    size_t n = 0;
    assert_int_equal(apq_records_count(records, APQ_RECORD_QAT, &n), APQ_OK);
    assert_int_equal(n, 1);
    assert_int_equal(apq_claims_take(records, APQ_TASK_REPEAT, APQ_RECORD_QAT,
                                     &begin, 1, 60, &got, &repeat),
                     APQ_OK);
    assert_int_equal(got, APQ_CLAIM_DONE);
    apq_records_close(records);
}

static void a_claim_ends_unless_renewed(void **state) {
    apq_records *records = open_in(*state);
    apq_claim first, second;
    int64_t begin = 0;
    assert_int_equal(take(records, &begin, 1, 0.05, &first), APQ_CLAIM_MINE);
    assert_int_equal(apq_claims_renew(records, 60), APQ_OK);
    nap(0.1);
    assert_int_equal(take(records, &begin, 1, 60, &second), APQ_CLAIM_BUSY);
    assert_int_equal(apq_claims_renew(records, 0.05), APQ_OK);
    nap(0.1);
    assert_int_equal(take(records, &begin, 1, 60, &second), APQ_CLAIM_MINE);
    /* Both end: the record that came first stays. */
    finish(records, &second);
    apq_record late = example(0);
    late.accuracy = 0.9;
    assert_int_equal(apq_claims_finish(records, &first, &late), APQ_OK);
    apq_record *all;
    size_t n;
    assert_int_equal(apq_records_all(records, APQ_RECORD_QAT, &all, &n),
                     APQ_OK);
    assert_int_equal(n, 1);
    assert_true(all[0].accuracy < 0.5);
    free(all);
    apq_records_close(records);
}

/* Killed, and its parent has not waited for it yet. */
static void a_zombie_holds_no_claim(void **state) {
    apq_records_close(open_in(*state)); /* made before the fork */
    pid_t child = fork();
    assert_true(child >= 0);
    int64_t begin = 0;
    apq_claim claim;
    if (child == 0) {
        apq_claim_state got;
        apq_records *records = open_in(*state);
        if (records == NULL ||
            apq_claims_take(records, APQ_TASK_RECORD, APQ_RECORD_QAT, &begin, 1,
                            600, &got, &claim) != APQ_OK) {
            _exit(2);
        }
        (void)raise(SIGKILL);
    }
    siginfo_t how;
    assert_int_equal(waitid(P_PID, (id_t)child, &how, WEXITED | WNOWAIT), 0);
    assert_int_equal(how.si_code, CLD_KILLED);
    apq_records *records = open_in(*state);
    assert_int_equal(take(records, &begin, 1, 600, &claim), APQ_CLAIM_MINE);
    apq_records_close(records);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void choices_stay(void **state) {
    apq_records *records = open_in(*state);
    apq_claim claim, other;
    apq_claim_state got;
    int64_t begin = 8;
    char a[] = "{\"a\":1}", b[] = "{\"b\":1}", *text;
    char *policies[] = {a, b}, *swapped[] = {b, a};
    assert_int_equal(apq_choice_get(records, APQ_RECORD_QAT, 8, &text),
                     APQ_ERR_ARG);
    assert_int_equal(apq_claims_take(records, APQ_TASK_CHOICE, APQ_RECORD_QAT,
                                     &begin, 10, 60, &got, &claim),
                     APQ_OK);
    assert_int_equal(got, APQ_CLAIM_MINE);
    /* One chooses for all of the range. */
    assert_int_equal(apq_claims_take(records, APQ_TASK_CHOICE, APQ_RECORD_QAT,
                                     &begin, 10, 60, &got, &other),
                     APQ_OK);
    assert_int_equal(got, APQ_CLAIM_BUSY);
    assert_int_equal(apq_claims_finish_choice(records, &claim, 8, policies, 2),
                     APQ_OK);
    assert_int_equal(apq_claims_finish_choice(records, &claim, 8, swapped, 2),
                     APQ_OK);
    assert_int_equal(apq_choice_get(records, APQ_RECORD_QAT, 9, &text), APQ_OK);
    assert_string_equal(text, b);
    free(text);
    assert_int_equal(apq_claims_take(records, APQ_TASK_CHOICE, APQ_RECORD_QAT,
                                     &begin, 10, 60, &got, &other),
                     APQ_OK);
    assert_int_equal(got, APQ_CLAIM_DONE);
    apq_records_close(records);
}

/* In a process of its own: until nothing is missing. */
static _Noreturn void work(const char *folder) {
    (void)alarm(60); /* rather than to wait for a claim that never ends */
    apq_records *records = open_in(folder);
    int64_t begin = 0;
    for (;;) {
        apq_claim claim;
        apq_claim_state state;
        if (records == NULL ||
            apq_claims_take(records, APQ_TASK_RECORD, APQ_RECORD_QAT, &begin,
                            N_RECORDS, 600, &state, &claim) != APQ_OK) {
            _exit(2);
        }
        if (state == APQ_CLAIM_DONE) {
            _exit(0);
        }
        nap(0.002);
        if (state == APQ_CLAIM_MINE) {
            apq_record record = example(claim.seq);
            if (apq_claims_finish(records, &claim, &record) != APQ_OK) {
                _exit(3);
            }
        }
    }
}

static pid_t start(const char *folder) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        work(folder);
    }
    return child;
}

/* The lease is far longer than the test: that the owner is gone must do. */
static void killed_processes_leave_every_record_once(void **state) {
    apq_records_close(open_in(*state)); /* made before they race */
    pid_t children[N_PROCESSES];
    for (int i = 0; i < N_PROCESSES; i++) {
        children[i] = start(*state);
    }
    for (int i = 0; i < N_KILLS; i++) {
        pid_t *victim = &children[i % N_PROCESSES];
        nap(0.03 + 0.007 * i);
        (void)kill(*victim, SIGKILL);
        assert_int_equal(waitpid(*victim, NULL, 0), *victim);
        *victim = start(*state);
    }
    for (int i = 0; i < N_PROCESSES; i++) {
        int how;
        assert_int_equal(waitpid(children[i], &how, 0), children[i]);
        assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    }
    apq_records *records = open_in(*state);
    apq_record *all;
    size_t n;
    assert_int_equal(apq_records_all(records, APQ_RECORD_QAT, &all, &n),
                     APQ_OK);
    assert_int_equal(n, N_RECORDS);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(all[i].seq, i);
    }
    free(all);
    apq_records_close(records);
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, scratch_make, scratch_remove)
    const struct CMUnitTest tests[] = {
        CASE(each_is_claimed_once),
        CASE(repeats_and_records_are_apart),
        CASE(a_claim_ends_unless_renewed),
        CASE(a_zombie_holds_no_claim),
        CASE(choices_stay),
        CASE(killed_processes_leave_every_record_once),
    };
#undef CASE
    return cmocka_run_group_tests(tests, NULL, NULL);
}
