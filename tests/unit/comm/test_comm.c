/* Groups: a process alone, what is agreed on, and refusals to join. */
#include "comm/comm.h"

#include "unit/comm/mirror.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void forget_launcher(void) {
    assert_int_equal(unsetenv("OMPI_COMM_WORLD_SIZE"), 0);
    assert_int_equal(unsetenv("PMI_SIZE"), 0);
    assert_int_equal(unsetenv("PMIX_RANK"), 0);
}

static void a_process_alone_changes_nothing(void **state) {
    (void)state;
    forget_launcher();
    apq_comm *comm;
    assert_int_equal(apq_comm_open(&comm), APQ_OK);
    assert_null(comm);
    assert_int_equal(setenv("PMI_SIZE", "1", 1), 0);
    assert_int_equal(apq_comm_open(&comm), APQ_OK);
    assert_null(comm);
    forget_launcher();
    assert_int_equal(apq_comm_rank(comm), 0);
    assert_int_equal(apq_comm_size(comm), 1);
    assert_int_equal(apq_comm_local_size(comm), 1);
    float x = 3;
    double y = 4;
    apq_comm_sum_floats(comm, &x, 1);
    apq_comm_sum_doubles(comm, &y, 1);
    apq_comm_broadcast(comm, 0, &x, sizeof x);
    assert_true(x == 3 && y == 4);
    assert_int_equal(apq_comm_agree(comm, APQ_OK), APQ_OK);
    assert_int_equal(apq_comm_agree(comm, APQ_ERR_IO), APQ_ERR_IO);
    assert_false(apq_comm_has_agreed(comm));
    apq_comm_close(comm);
}

/* The plug-in is not beside this program. */
static void mpirun_without_mpi_is_refused(void **state) {
    (void)state;
    forget_launcher();
    assert_int_equal(setenv("OMPI_COMM_WORLD_SIZE", "2", 1), 0);
    apq_comm *comm;
    assert_int_equal(apq_comm_open(&comm), APQ_ERR_UNSUPPORTED);
    assert_non_null(strstr(apq_error_message(), "no MPI"));
    forget_launcher();
}

static _Bool cannot_join(int *rank, int *size, int *n_local) {
    *rank = *size = *n_local = 0;
    return 0;
}

static void a_failure_to_join_is_an_error(void **state) {
    (void)state;
    apq_comm_ops ops = mirror_ops;
    ops.join = cannot_join;
    apq_comm *comm;
    assert_int_equal(apq_comm_open_ops(&ops, &comm), APQ_ERR_EXTERNAL);
}

static void values_are_summed(void **state) {
    (void)state;
    apq_comm *comm;
    assert_int_equal(apq_comm_open_ops(&mirror_ops, &comm), APQ_OK);
    assert_int_equal(apq_comm_rank(comm), 1);
    assert_int_equal(apq_comm_size(comm), 2);
    float x[] = {1, 2, 3};
    double y[] = {4, 5};
    apq_comm_sum_floats(comm, x, 3);
    apq_comm_sum_doubles(comm, y, 2);
    assert_true(x[0] == 2 && x[1] == 4 && x[2] == 6);
    assert_true(y[0] == 8 && y[1] == 10);
    apq_comm_close(comm);
}

/* Process 0 is fine: it broadcasts a report of APQ_OK, which is all zeros. */
static void first_is_fine(int root, void *bytes, int n) {
    if (root == 0) {
        memset(bytes, 0, (size_t)n);
    }
}

static void failures_are_agreed_on(void **state) {
    (void)state;
    apq_comm_ops ops = mirror_ops;
    ops.broadcast = first_is_fine;
    apq_comm *comm;
    assert_int_equal(apq_comm_open_ops(&ops, &comm), APQ_OK);
    assert_int_equal(apq_comm_agree(comm, APQ_OK), APQ_OK);
    assert_false(apq_comm_has_agreed(comm));
    apq_status st = APQ_ERROR(APQ_ERR_FORMAT, "bad page");
    assert_int_equal(apq_comm_agree(comm, st), APQ_ERR_FORMAT);
    assert_string_equal(apq_error_message(), "process 1: bad page");
    assert_true(apq_comm_has_agreed(comm));
    ops.broadcast = mirror_ops.broadcast; /* process 0 failed likewise */
    st = APQ_ERROR(APQ_ERR_IO, "no disk");
    assert_int_equal(apq_comm_agree(comm, st), APQ_ERR_IO);
    assert_string_equal(apq_error_message(), "no disk");
    assert_int_equal(apq_comm_agree(comm, APQ_OK), APQ_OK);
    assert_false(apq_comm_has_agreed(comm));
    apq_comm_close(comm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_alone_changes_nothing),
        cmocka_unit_test(mpirun_without_mpi_is_refused),
        cmocka_unit_test(a_failure_to_join_is_an_error),
        cmocka_unit_test(values_are_summed),
        cmocka_unit_test(failures_are_agreed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
