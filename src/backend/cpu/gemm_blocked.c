/* Matrix product without oneDNN: panels of b shared by the threads, panels of
 * a per thread, register tiles over blocks of the common dimension (the scheme
 * of Goto & van de Geijn 2008, doi:10.1145/1356052.1356053). */
#include "backend/cpu/cpu.h"

#include "backend/cpu/kernels.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEPTH = 256, /* of a block: a panel of b stays in L1 */
};

/* Rows [0, depth) of `count` of `width` columns, the rest zero:
 * dst[l*width + j] = src[l*step_l + j*step_j]. */
static void pack_panel(const float *src, int64_t step_l, int64_t step_j,
                       int64_t depth, int count, int width, float *dst) {
    for (int64_t l = 0; l < depth; l++) {
        for (int j = 0; j < width; j++) {
            dst[l * width + j] =
                j < count ? src[l * step_l + j * step_j] : 0.0F;
        }
    }
}

static void store_tile(const float *tile, int tile_n, int rows, int columns,
                       bool is_added, float *c, int64_t ldc) {
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < columns; j++) {
            float value = tile[i * tile_n + j];
            c[i * ldc + j] = is_added ? c[i * ldc + j] + value : value;
        }
    }
}

/* One block of the common dimension, from l0; run by all threads. */
static void run_depth(const apq_gemm_args *args, const apq_cpu_kernels *kernels,
                      int64_t l0, float *b_panels, float *a_panel) {
    int tile_m = kernels->gemm_m;
    int tile_n = kernels->gemm_n;
    int64_t depth = args->k - l0 < DEPTH ? args->k - l0 : DEPTH;
    int64_t n_panels = (args->n + tile_n - 1) / tile_n;
    int64_t m_panels = (args->m + tile_m - 1) / tile_m;
    int64_t b_row = args->is_b_transposed ? 1 : args->ldb;
    int64_t b_col = args->is_b_transposed ? args->ldb : 1;
    int64_t a_row = args->is_a_transposed ? 1 : args->lda;
    int64_t a_col = args->is_a_transposed ? args->lda : 1;
#pragma omp for schedule(static)
    for (int64_t p = 0; p < n_panels; p++) {
        int64_t rest = args->n - p * tile_n;
        pack_panel(args->b + l0 * b_row + p * tile_n * b_col, b_row, b_col,
                   depth, rest < tile_n ? (int)rest : tile_n, tile_n,
                   b_panels + p * tile_n * DEPTH);
    }
    bool is_added = l0 > 0 || args->beta > 0.0F;
#pragma omp for schedule(static)
    for (int64_t q = 0; q < m_panels; q++) {
        int64_t rest = args->m - q * tile_m;
        int rows = rest < tile_m ? (int)rest : tile_m;
        pack_panel(args->a + q * tile_m * a_row + l0 * a_col, a_col, a_row,
                   depth, rows, tile_m, a_panel);
        for (int64_t p = 0; p < n_panels; p++) {
            float tile[APQ_GEMM_MAX_TILE];
            int64_t columns = args->n - p * tile_n;
            kernels->gemm_tile(depth, a_panel, b_panels + p * tile_n * DEPTH,
                               tile);
            store_tile(tile, tile_n, rows,
                       columns < tile_n ? (int)columns : tile_n, is_added,
                       args->c + q * tile_m * args->ldc + p * tile_n,
                       args->ldc);
        }
    }
}

apq_status apq_cpu_gemm_blocked(const apq_gemm_args *args) {
    const apq_cpu_kernels *kernels = apq_cpu_kernels_get();
    int64_t tile_n = kernels->gemm_n;
    int64_t b_floats = (args->n + tile_n - 1) / tile_n * tile_n * DEPTH;
    int64_t a_floats = (int64_t)kernels->gemm_m * DEPTH;
    int n_threads =
        args->m * args->n * args->k < 200000 ? 1 : omp_get_max_threads();
    float *memory = apq_cpu_scratch(b_floats + n_threads * a_floats);
    if (memory == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "gemm: no memory for the packed operands");
    }
#pragma omp parallel num_threads(n_threads) if (n_threads > 1)
    {
        float *a_panel = memory + b_floats + omp_get_thread_num() * a_floats;
        for (int64_t l0 = 0; l0 < args->k; l0 += DEPTH) {
            run_depth(args, kernels, l0, memory, a_panel);
        }
    }
    free(memory);
    return APQ_OK;
}
