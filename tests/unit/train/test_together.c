/* What processes that train together share, with a mirror image as the other
 * one; tests/cli/mpi.bats has real ones. */
#include "train/together.h"

#include "train/supernet_train.h"
#include "unit/comm/mirror.h"
#include "unit/train/trainee.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_VALUES = 4 };

static apq_params make_params(void) {
    apq_params params = {0};
    size_t index;
    const int64_t shape[] = {N_VALUES};
    assert_int_equal(apq_params_add(&params, "w", 1, shape, true, &index),
                     APQ_OK);
    assert_int_equal(apq_params_allocate(&params), APQ_OK);
    for (int i = 0; i < N_VALUES; i++) {
        params.value[i] = params.momentum[i] = params.grad[i] = (float)i + 1;
    }
    return params;
}

static apq_comm *must_open(const apq_comm_ops *ops) {
    apq_comm *comm = NULL;
    assert_int_equal(apq_comm_open_ops(ops, &comm), APQ_OK);
    return comm;
}

static void gradients_are_averaged_and_sums_added(void **state) {
    (void)state;
    apq_params params = make_params();
    apq_comm *comm = must_open(&mirror_ops);
    const uint64_t digest = 0xfedcba9876543210;
    apq_train_outcome outcome = {
        .is_stopping = true,
        .is_save_due = true,
        .sums = {.largest = {.loss = 1.5, .correct = 3},
                 .others = {.loss = 0.25, .correct = 7},
                 .n_largest = 10,
                 .n_others = 20,
                 .decisions = digest},
    };
    assert_int_equal(apq_train_together(comm, &params, &outcome), APQ_OK);
    for (int i = 0; i < N_VALUES; i++) {
        assert_true(params.grad[i] == (float)i + 1);
    }
    assert_true(outcome.is_stopping);
    assert_false(outcome.is_save_due); /* process 0's clock decides */
    assert_true(outcome.sums.largest.loss == 3);
    assert_int_equal(outcome.sums.largest.correct, 6);
    assert_true(outcome.sums.others.loss == 0.5);
    assert_int_equal(outcome.sums.others.correct, 14);
    assert_int_equal(outcome.sums.n_largest, 20);
    assert_int_equal(outcome.sums.n_others, 40);
    assert_true(outcome.sums.decisions == 2 * digest);
    apq_comm_close(comm);
    apq_params_fini(&params);
}

static void a_failed_step_fails_everywhere(void **state) {
    (void)state;
    apq_params params = make_params();
    apq_comm *comm = must_open(&mirror_ops);
    apq_train_outcome outcome = {
        .status = APQ_ERROR(APQ_ERR_IO, "image gone"),
    };
    assert_int_equal(apq_train_together(comm, &params, &outcome), APQ_ERR_IO);
    assert_true(apq_comm_has_agreed(comm));
    apq_comm_close(comm);
    apq_params_fini(&params);
}

/* Hashes are short, reports of failures are not. */
static void other_hashes(int root, void *bytes, int n) {
    if (root == 0 && n <= 24) {
        *(unsigned char *)bytes ^= 1;
    }
}

static void other_weights_are_noticed(void **state) {
    (void)state;
    apq_params params = make_params();
    apq_comm_ops ops = mirror_ops;
    apq_comm *comm = must_open(&ops);
    assert_int_equal(apq_train_check_same(comm, &params), APQ_OK);
    assert_int_equal(apq_train_check_same(NULL, &params), APQ_OK);
    ops.broadcast = other_hashes;
    assert_int_equal(apq_train_check_same(comm, &params), APQ_ERR_EXTERNAL);
    apq_comm_close(comm);
    apq_params_fini(&params);
}

/* What process 0 has: a file of the three bytes "abc". */
static void from_process_0(int root, void *bytes, int n) {
    static const bool has_file = true;
    static const size_t n_bytes = 3;
    (void)root;
    memcpy(bytes,
           n == 1                     ? (const void *)&has_file
           : n == (int)sizeof n_bytes ? (const void *)&n_bytes
                                      : "abc",
           (size_t)n);
}

static void the_file_of_process_0_is_taken(void **state) {
    (void)state;
    apq_comm_ops ops = mirror_ops;
    ops.broadcast = from_process_0;
    apq_comm *comm = must_open(&ops);
    char *bytes = NULL;
    size_t n_bytes = 0;
    assert_int_equal(apq_train_share_file(comm, NULL, &bytes, &n_bytes),
                     APQ_OK);
    assert_int_equal(n_bytes, 3);
    assert_memory_equal(bytes, "abc", 3);
    free(bytes);
    apq_comm_close(comm);
    assert_int_equal(
        apq_train_share_file(NULL, "/dev/null/none", &bytes, &n_bytes), APQ_OK);
    assert_null(bytes);
}

static void a_batch_must_divide(void **state) {
    const trainee *t = *state;
    apq_comm *comm = must_open(&mirror_ops);
    apq_supernet *supernet = NULL;
    assert_int_equal(apq_supernet_create(&t->space, 11, &supernet), APQ_OK);
    apq_train_options o = {
        .backend = t->backend,
        .comm = comm,
        .checkpoint_s = 1e9,
        .epochs = 1,
        .batch = TRAINEE_BATCH | 1,
        .learning_rate = 0.05,
        .loader_threads = 1,
    };
    assert_int_equal(apq_train_supernet(supernet, t->dataset, &o), APQ_ERR_ARG);
    assert_non_null(strstr(apq_error_message(), "multiple of the 2"));
    o.batch = TRAINEE_BATCH & ~1;
    assert_int_equal(apq_train_supernet(supernet, t->dataset, &o), APQ_OK);
    apq_supernet_destroy(supernet);
    apq_comm_close(comm);
}

/* All have the paths, process 0 writes: this is process 1. */
static void files_are_those_of_process_0(void **state) {
    const trainee *t = *state;
    static const char told[] = "as process 0 left it";
    char path[APQ_PATH_MAX], *bytes = NULL;
    size_t n_bytes = 0;
    void *folder = trainee_open_checkpoint(path);
    apq_comm *comm = must_open(&mirror_ops);
    apq_train_options o = trainee_options(t);
    o.epochs = 1;
    o.comm = comm;
    o.checkpoint_path = o.log_path = o.events_path = path;
    o.checkpoint_s = 0;
    assert_int_equal(apq_file_write(path, told, sizeof told), APQ_OK);
    apq_supernet_destroy(trainee_train(t, &o));
    assert_int_equal(apq_file_read(path, &bytes, &n_bytes), APQ_OK);
    assert_int_equal(n_bytes, sizeof told);
    assert_memory_equal(bytes, told, n_bytes);
    free(bytes);
    apq_comm_close(comm);
    trainee_close_checkpoint(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_averaged_and_sums_added),
        cmocka_unit_test(a_failed_step_fails_everywhere),
        cmocka_unit_test(other_weights_are_noticed),
        cmocka_unit_test(the_file_of_process_0_is_taken),
        cmocka_unit_test_setup_teardown(a_batch_must_divide, trainee_open,
                                        trainee_close),
        cmocka_unit_test_setup_teardown(files_are_those_of_process_0,
                                        trainee_open, trainee_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
