/* Chooses the evaluation kernels for this machine at run time, within the
 * limit that holds for all kernels of the backend. */
#include "backend/cpu/infer_kernels.h"

#include "backend/cpu/kernels.h"

#include <stddef.h>

/* Vectors as wide as those of the other kernels: all follow one limit. */
const apq_infer_kernels *apq_infer_kernels_float(void) {
#ifdef APQ_BACKEND_X86
    int lanes = apq_cpu_kernels_get()->lanes;
    if (lanes == apq_infer_avx512.lanes) {
        return &apq_infer_avx512;
    }
    if (lanes == apq_infer_avx2.lanes) {
        return &apq_infer_avx2;
    }
#endif
    return &apq_infer_portable;
}

const apq_infer_kernels *apq_infer_kernels_bfloat16(void) {
#ifdef APQ_BACKEND_X86
    if (apq_infer_kernels_float() == &apq_infer_avx512 &&
        __builtin_cpu_supports("avx512bf16")) {
        return &apq_infer_bfloat16;
    }
#endif
    return NULL;
}
