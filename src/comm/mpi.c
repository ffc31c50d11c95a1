/* The operations of a group over MPI, a plug-in of its own. Errors are left to
 * MPI, which by default names the failing call and ends the job. */
#include "comm/ops.h"

#include <mpi.h>

#include <stdlib.h>
#include <time.h>

static _Bool join(int *rank, int *size, int *n_local) {
    /* What waits within a call, spinning otherwise, lets others run; a choice
     * of the user stays. Read by Open MPI, unknown to others. */
    (void)setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    /* Only the main thread communicates. */
    int provided;
    MPI_Comm local;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) !=
        MPI_SUCCESS) {
        return 0;
    }
    (void)MPI_Comm_rank(MPI_COMM_WORLD, rank);
    (void)MPI_Comm_size(MPI_COMM_WORLD, size);
    (void)MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0,
                              MPI_INFO_NULL, &local);
    (void)MPI_Comm_size(local, n_local);
    (void)MPI_Comm_free(&local);
    return 1;
}

static void leave(void) {
    (void)MPI_Barrier(MPI_COMM_WORLD);
    (void)MPI_Finalize();
}

static void sum_floats(float *values, int n) {
    (void)MPI_Allreduce(MPI_IN_PLACE, values, n, MPI_FLOAT, MPI_SUM,
                        MPI_COMM_WORLD);
}

/* Sleeps until all have come here: MPI would spin, at the cost of those that
 * the others wait for where processors are shared. */
static void wait_for_all(void) {
    const struct timespec nap = {.tv_nsec = 50000};
    MPI_Request request;
    int is_done = 0;
    (void)MPI_Ibarrier(MPI_COMM_WORLD, &request);
    (void)MPI_Test(&request, &is_done, MPI_STATUS_IGNORE);
    while (!is_done) {
        (void)nanosleep(&nap, NULL);
        (void)MPI_Test(&request, &is_done, MPI_STATUS_IGNORE);
    }
}

/* The first words of each step: the sums after it find all processes there. */
static void sum_doubles(double *values, int n) {
    wait_for_all();
    (void)MPI_Allreduce(MPI_IN_PLACE, values, n, MPI_DOUBLE, MPI_SUM,
                        MPI_COMM_WORLD);
}

static void broadcast(int root, void *bytes, int n) {
    (void)MPI_Bcast(bytes, n, MPI_BYTE, root, MPI_COMM_WORLD);
}

static void end_job(int code) {
    (void)MPI_Abort(MPI_COMM_WORLD, code);
}

__attribute__((visibility("default"))) extern const apq_comm_ops apq_comm_mpi;
const apq_comm_ops apq_comm_mpi = {
    .version = APQ_COMM_VERSION,
    .join = join,
    .leave = leave,
    .sum_floats = sum_floats,
    .sum_doubles = sum_doubles,
    .broadcast = broadcast,
    .abort = end_job,
};
