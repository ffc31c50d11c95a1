#ifndef APQ_MEASURE_MEASURE_H
#define APQ_MEASURE_MEASURE_H

#include "base/log.h"
#include "base/status.h"
#include "cost/cost.h"
#include "cost/lut/sample.h"
#include "ir/network.h"

#include <stddef.h>

/* Measures layers and networks of a measured target (`model: cpu` or `exec`):
 * one image, latency in ms. One thread per handle, which must be the one that
 * opened it. */
typedef struct apq_measure apq_measure;

/* The target is borrowed and must outlive the handle, as `progress`, which
 * ends the wait for a command (INTERRUPTED) and may be NULL. `cpu` pins the
 * calling thread until the handle is closed; `exec` starts its command. Errors:
 * ARG for a target that is computed; FORMAT for containers that our kernels do
 * not have; IO when the command cannot be started; NOMEM. */
APQ_NODISCARD apq_status apq_measure_open(const apq_target *target,
                                          const apq_progress *progress,
                                          apq_measure **out);
/* Ends the command, if any. NULL is fine. */
void apq_measure_close(apq_measure *measure);

/* For `apq lut build`. Containers of a sample are those of the capabilities;
 * energy is NaN where it is not known. `cpu` measures each shape once and
 * answers the same for all bit pairs. Errors of a layer: UNSUPPORTED outside
 * the capabilities or when the command says so; FORMAT for an answer that is
 * none; EXTERNAL when the command died or was late, as is any call after. */
apq_lut_source apq_measure_source(apq_measure *measure);

/* A whole network at once; containers are 0. Errors: as above. */
APQ_NODISCARD apq_status apq_measure_network(apq_measure *measure,
                                             const apq_ir_network *network,
                                             apq_lut_sample *out);

/* How steady the machine was; zero for `exec`, whose device is its own
 * business. */
typedef struct apq_measure_drift {
    size_t n_repeated;  /* batches of repetitions done again */
    size_t n_unsettled; /* results that kept drifting: treat as doubtful */
    size_t n_stale; /* times that the machine became faster than before: what
                       was measured earlier is too slow */
} apq_measure_drift;
apq_measure_drift apq_measure_get_drift(const apq_measure *measure);

/* Whole networks against predictions, such as sums of a table's layers. */
typedef struct apq_measure_agreement {
    double median_error, max_error; /* |predicted - measured| / measured; NaN
                                       where one was measured as 0 */
    double kendall_tau;             /* tau-b */
} apq_measure_agreement;

/* Measures n networks; predicted_ms (n) -> measured_ms (n) and the agreement,
 * for n >= 1. Errors: those of apq_measure_network, measured_ms then partly
 * written. */
APQ_NODISCARD apq_status apq_measure_compare(apq_measure *measure,
                                             const apq_ir_network *networks,
                                             size_t n,
                                             const double *predicted_ms,
                                             double *measured_ms,
                                             apq_measure_agreement *out);

#endif
