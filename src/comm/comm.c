/* Groups of processes over a small table of operations. MPI sits in a plug-in
 * that is loaded when mpirun started the process: linked, it would add 2 ms to
 * the start of every command. */
#include "comm/comm.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static const char plugin_name[] = "libapq_mpi.so";

struct apq_comm {
    const apq_comm_ops *ops;
    int rank, size, n_local;
    bool has_agreed;
};

/* Processes that the launcher says it started; 1 when there was none, 0 when
 * it does not say. */
static int launched_size(void) {
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *text = getenv(names[i]);
        if (text != NULL) {
            return atoi(text);
        }
    }
    return getenv("PMIX_RANK") != NULL ? 0 : 1;
}

apq_status apq_comm_open_ops(const apq_comm_ops *ops, apq_comm **out) {
    apq_comm *comm = calloc(1, sizeof *comm);
    if (comm == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "processes: out of memory");
    }
    comm->ops = ops;
    if (!ops->join(&comm->rank, &comm->size, &comm->n_local)) {
        free(comm);
        APQ_FAIL(APQ_ERR_EXTERNAL, "cannot join the other processes");
    }
    *out = comm;
    return APQ_OK;
}

static apq_status open_plugin(void *plugin, int size, apq_comm **out) {
    const apq_comm_ops *ops = dlsym(plugin, APQ_COMM_SYMBOL);
    if (ops == NULL || ops->version != APQ_COMM_VERSION) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED, "%s: of another version of apq",
                 plugin_name);
    }
    apq_comm *comm = NULL;
    APQ_TRY(apq_comm_open_ops(ops, &comm));
    if (size > 0 && comm->size != size) {
        int joined = comm->size;
        apq_comm_close(comm);
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "started as one of %d processes, but MPI joined %d: mpirun is "
                 "of another MPI than the one apq was built with",
                 size, joined);
    }
    *out = comm;
    return APQ_OK;
}

apq_status apq_comm_open(apq_comm **out) {
    *out = NULL;
    int size = launched_size();
    if (size == 1) {
        return APQ_OK;
    }
    /* MPI loads parts of its own, which need its symbols. */
    void *plugin = dlopen(plugin_name, RTLD_NOW | RTLD_GLOBAL);
    if (plugin == NULL) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "started by mpirun, but this build has no MPI: %s", dlerror());
    }
    /* It stays: MPI cannot be unloaded once it has been started. */
    return open_plugin(plugin, size, out);
}

void apq_comm_close(apq_comm *comm) {
    if (comm == NULL) {
        return;
    }
    comm->ops->leave();
    free(comm);
}

int apq_comm_rank(const apq_comm *comm) {
    return comm == NULL ? 0 : comm->rank;
}

int apq_comm_size(const apq_comm *comm) {
    return comm == NULL ? 1 : comm->size;
}

int apq_comm_local_size(const apq_comm *comm) {
    return comm == NULL ? 1 : comm->n_local;
}

/* The counts of MPI are of type int. */
static int next_count(size_t left) {
    return left < INT_MAX / 2 ? (int)left : INT_MAX / 2;
}

void apq_comm_sum_floats(apq_comm *comm, float *values, size_t n) {
    while (comm != NULL && n > 0) {
        int count = next_count(n);
        comm->ops->sum_floats(values, count);
        values += count;
        n -= (size_t)count;
    }
}

void apq_comm_sum_doubles(apq_comm *comm, double *values, size_t n) {
    while (comm != NULL && n > 0) {
        int count = next_count(n);
        comm->ops->sum_doubles(values, count);
        values += count;
        n -= (size_t)count;
    }
}

void apq_comm_broadcast(apq_comm *comm, int root, void *bytes, size_t n) {
    char *at = bytes;
    while (comm != NULL && n > 0) {
        int count = next_count(n);
        comm->ops->broadcast(root, at, count);
        at += count;
        n -= (size_t)count;
    }
}

apq_status apq_comm_agree(apq_comm *comm, apq_status st) {
    if (comm == NULL) {
        return st;
    }
    double n_failed = st == APQ_OK ? 0 : 1;
    apq_comm_sum_doubles(comm, &n_failed, 1);
    comm->has_agreed = n_failed > 0;
    if (!comm->has_agreed) {
        return APQ_OK;
    }
    struct {
        apq_status status;
        char message[1024];
    } failure = {.status = APQ_OK};
    int root = 0;
    for (; failure.status == APQ_OK; root++) {
        APQ_ASSERT(root < comm->size);
        failure.status = st;
        (void)snprintf(failure.message, sizeof failure.message, "%s",
                       apq_error_message());
        apq_comm_broadcast(comm, root, &failure, sizeof failure);
    }
    if (root == 1) {
        APQ_FAIL(failure.status, "%s", failure.message);
    }
    APQ_FAIL(failure.status, "process %d: %s", root - 1, failure.message);
}

bool apq_comm_has_agreed(const apq_comm *comm) {
    return comm != NULL && comm->has_agreed;
}

void apq_comm_abort(apq_comm *comm, int code) {
    if (comm != NULL) {
        comm->ops->abort(code);
    }
    _Exit(code);
}
