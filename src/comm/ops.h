#ifndef APQ_COMM_OPS_H
#define APQ_COMM_OPS_H

#include <stddef.h>

/* What joins processes, implemented by the plug-in libapq_mpi and by tests.
 * All slots are required. The collectives are called by every process in the
 * same order and with the same counts, and give every process the same bits.
 * One that fails ends the whole job with a message of its own. */
typedef struct apq_comm_ops {
    int version; /* APQ_COMM_VERSION, so that a stale plug-in is refused */
    /* Joins the group; false when that is impossible. n_local counts its
     * processes on this machine, this one included. */
    _Bool (*join)(int *rank, int *size, int *n_local);
    /* Waits for all the others. */
    void (*leave)(void);
    void (*sum_floats)(float *values, int n);
    void (*sum_doubles)(double *values, int n);
    void (*broadcast)(int root, void *bytes, int n);
    void (*abort)(int code); /* does not return */
} apq_comm_ops;

enum { APQ_COMM_VERSION = 1 };

/* The one symbol of the plug-in: const apq_comm_ops apq_comm_mpi. */
#define APQ_COMM_SYMBOL "apq_comm_mpi"

#endif
