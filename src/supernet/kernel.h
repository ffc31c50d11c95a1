#ifndef APQ_SUPERNET_KERNEL_H
#define APQ_SUPERNET_KERNEL_H

#include <stdint.h>

/* Elastic kernels, tap-major. `large` is (L*L, C) with leading dimension ldl,
 * `matrix` (S*S, S*S), small (S*S, C) dense, S = L - 2:
 *   small[t, c] = sum_u matrix[t, u] * centre(large)[u, c].
 * Source: Once-for-All (ICLR 2020). */
void apq_kernel_shrink(const float *large, int64_t ldl, int large_side,
                       int channels, const float *matrix, float *small);

/* Gradients of the above: accumulates dmatrix (S*S, S*S) and dlarge
 * (L*L, lddl) from dsmall (S*S, C). */
void apq_kernel_shrink_backward(const float *large, int64_t ldl, int large_side,
                                int channels, const float *matrix,
                                const float *dsmall, float *dmatrix,
                                float *dlarge, int64_t lddl);

#endif
