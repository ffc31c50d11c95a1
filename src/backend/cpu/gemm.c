/* Matrix product through oneDNN's dnnl_sgemm (row-major, OpenMP threads), or
 * through the blocked product where oneDNN is left out. */
#include "backend/cpu/cpu.h"

#include "backend/check.h"
#include "backend/cpu/kernels.h"

#ifdef APQ_BACKEND_ONEDNN
#include <dnnl.h>
#endif

#include <string.h>

#ifdef APQ_BACKEND_ONEDNN
static apq_status gemm_onednn(const apq_gemm_args *args) {
    dnnl_status_t status = dnnl_sgemm(
        args->is_a_transposed ? 'T' : 'N', args->is_b_transposed ? 'T' : 'N',
        args->m, args->n, args->k, 1.0F, args->a, args->lda, args->b, args->ldb,
        args->beta, args->c, args->ldc);
    if (status != dnnl_success) {
        APQ_FAIL(APQ_ERR_EXTERNAL, "gemm: oneDNN returned status %d",
                 (int)status);
    }
    return APQ_OK;
}
#endif

apq_status apq_cpu_gemm(const apq_gemm_args *args) {
    APQ_TRY(apq_check_gemm(args));
    if (args->m == 0 || args->n == 0) {
        return APQ_OK;
    }
    if (args->k == 0) {
        for (int64_t i = 0; i < args->m && !(args->beta > 0.0F); i++) {
            memset(args->c + i * args->ldc, 0,
                   (size_t)args->n * sizeof(*args->c));
        }
        return APQ_OK;
    }
#ifdef APQ_BACKEND_ONEDNN
    if (!apq_cpu_isa_is_limited()) {
        return gemm_onednn(args);
    }
#endif
    return apq_cpu_gemm_blocked(args);
}
