#ifndef APQ_BACKEND_CPU_DEPTHWISE_H
#define APQ_BACKEND_CPU_DEPTHWISE_H

#include "backend/backend.h"
#include "backend/cpu/kernels.h"

/* Shared by the two depthwise files. */
enum {
    APQ_DEPTHWISE_BAND = 8,           /* output rows of a task, about */
    APQ_DEPTHWISE_SCRATCH = 64 * 1024 /* packed floats a thread, fits L2 */
};

/* Threads worth using for n_tasks tasks of this shape; 0 tasks give 0. */
int apq_depthwise_threads(const apq_depthwise_shape *shape, int64_t n_tasks);

#endif
