#ifndef APQ_COST_MEASURED_MEASURED_H
#define APQ_COST_MEASURED_MEASURED_H

#include "base/file.h"
#include "cost/target_ops.h"

#include <stddef.h>

/* Targets whose layers only a measurement can price: what their files say.
 * The module measure does the measuring; prices come from the table that is
 * made of it. */
typedef enum apq_measured_kind {
    APQ_MEASURED_CPU,  /* our own kernels on this machine */
    APQ_MEASURED_EXEC, /* a command that answers for a device */
} apq_measured_kind;

typedef enum apq_measured_arithmetic {
    APQ_MEASURED_INT8,    /* the integer engine */
    APQ_MEASURED_FLOAT32, /* the network in floating point */
} apq_measured_arithmetic;

enum { APQ_MEASURED_MAX_WORDS = 64 };

typedef struct apq_measured_config {
    apq_measured_kind kind;

    /* cpu */
    apq_measured_arithmetic arithmetic;
    int threads;
    double layer_seconds;      /* time that one layer may take */
    double max_drift;          /* relative change of the clock allowed */
    int64_t other_cache_bytes; /* read before each run of a layer: what the
                                  rest of a network leaves in the caches */

    /* exec */
    char **command;            /* owned, NULL-terminated */
    char folder[APQ_PATH_MAX]; /* where it is started: that of the file */
    double timeout_s;          /* for one answer */
} apq_measured_config;

extern const apq_target_ops apq_target_cpu, apq_target_exec;

#endif
