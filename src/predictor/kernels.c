/* Chooses the kernels for this machine at run time. */
#include "predictor/kernels.h"

#include <string.h>

static bool is_runnable(const apq_mlp_kernels *kernels) {
#ifdef APQ_PREDICTOR_X86
    bool has_avx2 =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (kernels == &apq_mlp_avx512) {
        return has_avx2 && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    }
    if (kernels == &apq_mlp_avx2) {
        return has_avx2;
    }
#endif
    return kernels == &apq_mlp_portable;
}

const apq_mlp_kernels *apq_mlp_kernels_find(const char *isa) {
    static const apq_mlp_kernels *const best_first[] = {
#ifdef APQ_PREDICTOR_X86
        &apq_mlp_avx512,
        &apq_mlp_avx2,
#endif
        &apq_mlp_portable,
    };
    for (size_t i = 0; i < sizeof best_first / sizeof best_first[0]; i++) {
        const apq_mlp_kernels *kernels = best_first[i];
        if ((isa == NULL || strcmp(isa, kernels->isa) == 0) &&
            is_runnable(kernels)) {
            return kernels;
        }
    }
    return NULL;
}
