/* Register-blocked product: six rows times one 16-column panel stay in
 * registers over the whole inner dimension; a panel (k x 16) stays in the
 * first-level cache while the rows pass. Source: Goto and van de Geijn 2008. */
#include "predictor/gemm.h"

#include "base/simd.h"

enum { ROWS = 6 };

typedef float lanes __attribute__((vector_size(APQ_GEMM_WIDTH * 4)));

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

/* Six rows of sums of one panel; a[r] are the rows' first elements. */
APQ_SIMD_CLONES
static void tile(int k, const float *const a[ROWS], size_t a_col,
                 const float *panel, float *sums) {
    lanes s0 = {0.0f}, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0;
    const float *a0 = a[0], *a1 = a[1], *a2 = a[2];
    const float *a3 = a[3], *a4 = a[4], *a5 = a[5];
    const lanes *b = (const lanes *)(const void *)panel;
    size_t at = 0;
    for (int l = 0; l < k; l++) {
        lanes v = b[l];
        s0 += a0[at] * v;
        s1 += a1[at] * v;
        s2 += a2[at] * v;
        s3 += a3[at] * v;
        s4 += a4[at] * v;
        s5 += a5[at] * v;
        at += a_col;
    }
    lanes *out = (lanes *)(void *)sums;
    out[0] = s0;
    out[1] = s1;
    out[2] = s2;
    out[3] = s3;
    out[4] = s4;
    out[5] = s5;
}

static void run_panel(const apq_gemm_job *job, int panel) {
    _Alignas(64) float sums[ROWS * APQ_GEMM_WIDTH];
    const float *packed =
        job->packed + (size_t)panel * (size_t)job->k * APQ_GEMM_WIDTH;
    int first = panel * APQ_GEMM_WIDTH;
    int width =
        job->n - first < APQ_GEMM_WIDTH ? job->n - first : APQ_GEMM_WIDTH;
    for (int i = 0; i < job->m; i += ROWS) {
        const float *rows[ROWS];
        int height = job->m - i < ROWS ? job->m - i : ROWS;
        for (int r = 0; r < ROWS; r++) {
            /* Beyond the end the last row is computed again and dropped. */
            int row = r < height ? i + r : i + height - 1;
            rows[r] = job->a + (size_t)row * job->a_row;
        }
        tile(job->k, rows, job->a_col, packed, sums);
        for (int r = 0; r < height; r++) {
            float *c = job->c + (size_t)(i + r) * job->c_row + first;
            for (int w = 0; w < width; w++) {
                float v = sums[r * APQ_GEMM_WIDTH + w];
                v += job->bias == NULL ? 0.0f : job->bias[first + w];
                c[w] = job->relu && v < 0.0f ? 0.0f : v;
            }
        }
    }
}

void apq_gemm(const apq_gemm_job *job) {
    for (int panel = 0; panel < n_panels(job->n); panel++) {
        run_panel(job, panel);
    }
}
