/* All kernels of one instruction set. A kernels_<isa>.c file defines
 * KERNELS_SYMBOL and KERNELS_NAME and includes this once. */
#include "backend/cpu/kernels.h"

#include "backend/cpu/vec.h"
#include "backend/cpu/vec_bf16.h"

#include <stddef.h>
#include <string.h>

#include "backend/cpu/depthwise_impl.h"
#include "backend/cpu/batchnorm_impl.h"
#include "backend/cpu/tiles_impl.h"
#include "backend/cpu/product_impl.h"

/* Rows of a micro-tile: GEMM_M * 2 accumulators fit the registers. */
enum {
    GEMM_M = VL == 16 ? 8 : 4,
    GEMM_N = 2 * VL,
};

static void gemm_tile(int64_t depth, const float *a, const float *b,
                      float *tile) {
    vec acc[GEMM_M][2];
#pragma GCC unroll 8
    for (int i = 0; i < GEMM_M; i++) {
        acc[i][0] = v_zero();
        acc[i][1] = v_zero();
    }
    for (int64_t l = 0; l < depth; l++) {
        vec b0 = v_load(b);
        vec b1 = v_load(b + VL);
#pragma GCC unroll 8
        for (int i = 0; i < GEMM_M; i++) {
            vec ai = v_set(a[i]);
            acc[i][0] = v_fma(ai, b0, acc[i][0]);
            acc[i][1] = v_fma(ai, b1, acc[i][1]);
        }
        a += GEMM_M;
        b += GEMM_N;
    }
#pragma GCC unroll 8
    for (int i = 0; i < GEMM_M; i++) {
        v_store(tile + i * GEMM_N, acc[i][0]);
        v_store(tile + i * GEMM_N + VL, acc[i][1]);
    }
}

const apq_cpu_kernels KERNELS_SYMBOL = {
    .name = KERNELS_NAME,
    .lanes = VL,
    .row =
        {
            {NULL, row_1_1, row_2_1, row_3_1, row_4_1, row_5_1, NULL, row_7_1},
            {NULL, NULL, NULL, row_3_2, NULL, row_5_2, NULL, row_7_2},
        },
    .wgrad =
        {
            {NULL, NULL, NULL, wgrad_3_1, NULL, wgrad_5_1, NULL, wgrad_7_1},
            {NULL, NULL, NULL, wgrad_3_2, NULL, wgrad_5_2, NULL, wgrad_7_2},
        },
    .norm_rows = norm_rows,
    .slope_rows = slope_rows,
    .column_sums = column_sums,
    .mask_reduce = mask_reduce,
    .norm_slots = norm_slots,
    .slope_slots = slope_slots,
    .round_rows = round_rows,
    .product =
        {
            {PRODUCT_TABLE(0, 0), PRODUCT_TABLE(1, 0)},
            {PRODUCT_TABLE(0, 1), PRODUCT_TABLE(1, 1)},
        },
    .product_rows = {ROWS_1, ROWS_2, ROWS_3},
    .bn_apply = bn_apply,
    .bn_reduce = bn_reduce,
    .bn_backward = bn_backward,
    .gemm_m = GEMM_M,
    .gemm_n = GEMM_N,
    .gemm_tile = gemm_tile,
};
