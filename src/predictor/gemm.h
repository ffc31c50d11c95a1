#ifndef APQ_PREDICTOR_GEMM_H
#define APQ_PREDICTOR_GEMM_H

#include <stdbool.h>
#include <stddef.h>

/* Matrix product of the predictor's small layers. B is packed once into
 * panels of APQ_GEMM_WIDTH columns, zero-padded, the same for every
 * instruction set. */
enum { APQ_GEMM_WIDTH = 32 };

/* Floats of a packed (k, n) matrix. */
size_t apq_gemm_packed_size(int k, int n);
/* Packs element (i, j) = b[i * row_stride + j * col_stride]. */
void apq_gemm_pack(int k, int n, const float *b, size_t row_stride,
                   size_t col_stride, float *packed);

typedef struct apq_gemm_job {
    int m, n, k;
    const float *a; /* element (i, l) = a[i * a_row + l * a_col] */
    size_t a_row, a_col;
    const float *packed; /* (k, n) packed */
    const float *bias;   /* (n), or NULL */
    bool relu;           /* on the result */
    float *c;            /* (m, n), leading dimension c_row */
    size_t c_row;
} apq_gemm_job;

struct apq_mlp_kernels;

/* c = a b + bias, then relu. A result element does not depend on m. */
void apq_gemm(const struct apq_mlp_kernels *kernels, const apq_gemm_job *job);

#endif
