/* Matrix product by the definition: one dot product in double per element. */
#include "backend/ref/ref.h"

#include "backend/check.h"

apq_status apq_ref_gemm(const apq_gemm_args *args) {
    APQ_TRY(apq_check_gemm(args));
    /* op(a)[i,l] = a[i * a_row + l * a_col], likewise b. */
    int64_t a_row = args->is_a_transposed ? 1 : args->lda;
    int64_t a_col = args->is_a_transposed ? args->lda : 1;
    int64_t b_row = args->is_b_transposed ? 1 : args->ldb;
    int64_t b_col = args->is_b_transposed ? args->ldb : 1;
    for (int64_t i = 0; i < args->m; i++) {
        for (int64_t j = 0; j < args->n; j++) {
            float *c = args->c + i * args->ldc + j;
            /* beta 0 must not read c, which may hold NaN. */
            double sum = args->beta > 0.0F ? (double)*c : 0.0;
            for (int64_t l = 0; l < args->k; l++) {
                sum += (double)args->a[i * a_row + l * a_col] *
                       (double)args->b[l * b_row + j * b_col];
            }
            *c = (float)sum;
        }
    }
    return APQ_OK;
}
