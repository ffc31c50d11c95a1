#ifndef APQ_PREDICTOR_KERNELS_H
#define APQ_PREDICTOR_KERNELS_H

#include "predictor/gemm.h"

#include <stdbool.h>
#include <stddef.h>

/* Sums of table rows picked by index, the product of a one-hot input:
 *   s[j] = start[j] + sum over k of table[(rows[k] - first_row) * stride + j]
 * out[j] = s, relu(s), or out[j] + s, for j < n. A value depends on its
 * column and on stride, never on neighbouring calls. */
typedef struct apq_gather_job {
    const float *table;
    size_t stride; /* floats between rows */
    const int *rows;
    int n_rows;
    int first_row;
    const float *start; /* (n) */
    size_t n;
    bool relu, is_added;
    float *out; /* (n) */
} apq_gather_job;

/* The inner loops of the predictor, compiled once per instruction set. */
typedef struct apq_mlp_kernels {
    const char *isa; /* "portable", "avx2", "avx512" */
    /* One panel of columns of an apq_gemm, all rows. */
    void (*panel)(const apq_gemm_job *job, int panel);
    void (*gather)(const apq_gather_job *job);
    /* start + a b, (n) each, in double; the same on every instruction set. */
    double (*dot)(double start, const float *a, const float *b, size_t n);
} apq_mlp_kernels;

extern const apq_mlp_kernels apq_mlp_portable;
extern const apq_mlp_kernels apq_mlp_avx2;
extern const apq_mlp_kernels apq_mlp_avx512;

/* The kernels of an instruction set, NULL where this processor or build has
 * none. isa NULL: the best. Static. */
const apq_mlp_kernels *apq_mlp_kernels_find(const char *isa);

#endif
