#ifndef APQ_COMM_COMM_H
#define APQ_COMM_COMM_H

#include "base/status.h"
#include "comm/ops.h"

#include <stdbool.h>
#include <stddef.h>

/* A group of processes that do one piece of work together, numbered 0 ...
 * size - 1. NULL is a process alone in every function below: the collectives
 * then change nothing.
 *
 * Collectives are called by all processes in the same order with the same
 * counts; a process that is lost ends the job. One thread at a time. */
typedef struct apq_comm apq_comm;

/* Joins the processes that mpirun started together with this one; *out is NULL
 * when it was started alone, which costs nothing: MPI is loaded only here.
 * Errors: APQ_ERR_UNSUPPORTED this build has no MPI, or another one than the
 * mpirun that started it; NOMEM. */
APQ_NODISCARD apq_status apq_comm_open(apq_comm **out);
/* The same with operations given, borrowed. */
APQ_NODISCARD apq_status apq_comm_open_ops(const apq_comm_ops *ops,
                                           apq_comm **out);
/* Waits for all others to close. */
void apq_comm_close(apq_comm *comm);

int apq_comm_rank(const apq_comm *comm);
int apq_comm_size(const apq_comm *comm);
/* Processes of the group on this machine. */
int apq_comm_local_size(const apq_comm *comm);

/* Sums over all processes, in place; the same bits in each. */
void apq_comm_sum_floats(apq_comm *comm, float *values, size_t n);
void apq_comm_sum_doubles(apq_comm *comm, double *values, size_t n);
/* Bytes of process `root` to all. */
void apq_comm_broadcast(apq_comm *comm, int root, void *bytes, size_t n);

/* Makes the outcome of a piece of work common: APQ_OK when it was that in every
 * process, else in all of them the status and message of the first process
 * that failed, which the message names unless it is process 0. */
APQ_NODISCARD apq_status apq_comm_agree(apq_comm *comm, apq_status st);
/* Whether the last failure was agreed on, so that process 0 can speak for all
 * and each may close. Without it the others do not know and only abort ends
 * them. */
bool apq_comm_has_agreed(const apq_comm *comm);

/* Ends all processes of the job; mpirun ends with `code`. */
_Noreturn void apq_comm_abort(apq_comm *comm, int code);

#endif
