#ifndef APQ_BACKEND_CPU_POINTWISE_H
#define APQ_BACKEND_CPU_POINTWISE_H

#include "backend/cpu/kernels.h"

/* Shared by the two pointwise files: how the rows are cut into blocks whose
 * tiles stay in the L2 cache. */
typedef struct apq_row_blocks {
    int64_t rows, block, n_blocks;
    int n_threads;
} apq_row_blocks;

apq_row_blocks apq_row_blocks_make(const apq_pointwise_shape *shape);
/* Blocks [*begin, *end) of a thread. */
static inline void apq_row_blocks_share(const apq_row_blocks *blocks,
                                        int thread, int n_threads,
                                        int64_t *begin, int64_t *end) {
    *begin = blocks->n_blocks * thread / n_threads;
    *end = blocks->n_blocks * (thread + 1) / n_threads;
}

#endif
