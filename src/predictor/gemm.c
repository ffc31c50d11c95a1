/* Packing, and the walk over panels; the arithmetic is in kernels_impl.h. A
 * panel (k x 32 floats) is read once from far caches while all rows pass. */
#include "predictor/gemm.h"

#include "predictor/kernels.h"

static int n_panels(int n) {
    return (n + APQ_GEMM_WIDTH - 1) / APQ_GEMM_WIDTH;
}

size_t apq_gemm_packed_size(int k, int n) {
    return (size_t)k * (size_t)n_panels(n) * APQ_GEMM_WIDTH;
}

void apq_gemm_pack(int k, int n, const float *b, size_t row_stride,
                   size_t col_stride, float *packed) {
    for (int panel = 0; panel < n_panels(n); panel++) {
        for (int i = 0; i < k; i++) {
            for (int w = 0; w < APQ_GEMM_WIDTH; w++) {
                int j = panel * APQ_GEMM_WIDTH + w;
                *packed++ =
                    j < n ? b[(size_t)i * row_stride + (size_t)j * col_stride]
                          : 0.0f;
            }
        }
    }
}

void apq_gemm(const apq_mlp_kernels *kernels, const apq_gemm_job *job) {
    for (int panel = 0; panel < n_panels(job->n); panel++) {
        kernels->panel(job, panel);
    }
}
