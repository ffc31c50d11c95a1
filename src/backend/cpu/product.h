#ifndef APQ_BACKEND_CPU_PRODUCT_H
#define APQ_BACKEND_CPU_PRODUCT_H

#include "backend/cpu/kernels.h"

/* Matrix products of one thread on data that lie in cache.
 *   c (m, n) = op(a) b, or c + op(a) b when is_added
 * op(a) is (m, depth): rows a_step apart, or the transpose of (depth, m).
 * b is packed by apq_product_pack(), or (depth, n) with rows b_step apart that
 * may be read up to the next multiple of the lanes. */
typedef struct apq_product {
    bool is_bf16; /* a, b are slots; depth and steps count slots, too */
    bool is_a_transposed, is_b_packed, is_added;
    int64_t m, n, depth;
    const float *a;
    int64_t a_step;
    const float *b;
    int64_t b_step; /* read where b is not packed */
    float *c;
    int64_t c_step;
} apq_product;

void apq_product_run(const apq_cpu_kernels *kernels, const apq_product *p);

/* n rounded up to whole vectors. */
static inline int64_t apq_whole(const apq_cpu_kernels *kernels, int64_t n) {
    return (n + kernels->lanes - 1) / kernels->lanes * kernels->lanes;
}

/* dst (depth * apq_whole(n)) = b[l,j] = src[l*step_l + j*step_j] in panels of
 * up to three vectors, zero beyond n; in bfloat16 half as many, rounded up. */
void apq_product_pack(const apq_cpu_kernels *kernels, bool is_bf16,
                      int64_t depth, int64_t n, const float *src,
                      int64_t step_l, int64_t step_j, float *dst);

/* Steps of the depth: pairs in bfloat16. */
static inline int64_t apq_steps(bool is_bf16, int64_t depth) {
    return is_bf16 ? (depth + 1) / 2 : depth;
}

#endif
