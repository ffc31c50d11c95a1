/* Chooses the kernels for this machine at run time. */
#include "backend/cpu/kernels.h"

#include "backend/backend.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* The only state of the module: the limit that tests and benchmarks set.
 * Processor features are those of the process, so it is one per process. */
enum {
    ISA_PORTABLE,
    ISA_AVX2,
    ISA_AVX512,
    ISA_AVX512BF16,
    ISA_UNLIMITED,
};
static atomic_int isa_limit = ISA_UNLIMITED;

static int best_isa(void) {
#ifdef APQ_BACKEND_X86
    bool has_avx2 =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (has_avx2 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        return __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512bf16")
                   ? ISA_AVX512BF16
                   : ISA_AVX512;
    }
    return has_avx2 ? ISA_AVX2 : ISA_PORTABLE;
#else
    return ISA_PORTABLE;
#endif
}

const apq_cpu_kernels *apq_cpu_kernels_get(void) {
    int isa = best_isa();
    int limit = atomic_load_explicit(&isa_limit, memory_order_relaxed);
    isa = limit < isa ? limit : isa;
#ifdef APQ_BACKEND_X86
    if (isa == ISA_AVX512BF16) {
        return &apq_kernels_avx512bf16;
    }
    if (isa == ISA_AVX512) {
        return &apq_kernels_avx512;
    }
    if (isa == ISA_AVX2) {
        return &apq_kernels_avx2;
    }
#endif
    return &apq_kernels_portable;
}

int apq_cpu_isa_is_limited(void) {
    return atomic_load_explicit(&isa_limit, memory_order_relaxed) !=
           ISA_UNLIMITED;
}

apq_status apq_backend_limit_isa(const char *isa) {
    static const char *const k_names[] = {"portable", "avx2", "avx512",
                                          "avx512bf16"};
    if (isa == NULL) {
        atomic_store(&isa_limit, ISA_UNLIMITED);
        return APQ_OK;
    }
    for (int i = 0; i < ISA_UNLIMITED; i++) {
        if (strcmp(isa, k_names[i]) == 0) {
            if (i > best_isa()) {
                APQ_FAIL(APQ_ERR_UNSUPPORTED,
                         "this processor has no \"%s\" instructions", isa);
            }
            atomic_store(&isa_limit, i);
            return APQ_OK;
        }
    }
    APQ_FAIL(APQ_ERR_ARG,
             "unknown instruction set \"%s\" (legal: \"portable\", \"avx2\", "
             "\"avx512\", \"avx512bf16\")",
             isa);
}

const char *apq_backend_isa(void) {
    return apq_cpu_kernels_get()->name;
}

float *apq_cpu_scratch(int64_t n_floats) {
    size_t bytes = ((size_t)n_floats * sizeof(float) + 63) / 64 * 64;
    return aligned_alloc(64, bytes > 0 ? bytes : 64);
}

apq_status apq_cpu_take(apq_arena *arena, int64_t n_floats, float **out) {
    *out = apq_arena_alloc(arena, (size_t)n_floats, sizeof(**out));
    if (*out == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "convolution: no memory for %lld values",
                 (long long)n_floats);
    }
    return APQ_OK;
}

apq_norm apq_norm_from(const apq_norm *norm, int channel) {
    apq_norm from = *norm;
    if (norm->scale != NULL) {
        from.scale += channel;
        from.shift += channel;
    }
    /* Forward passes have no mean. */
    from.mean = norm->mean == NULL ? NULL : norm->mean + channel;
    from.inv_std = norm->inv_std == NULL ? NULL : norm->inv_std + channel;
    return from;
}

apq_bn_slopes apq_slopes_from(const apq_bn_slopes *slopes, int channel) {
    if (slopes->by_g == NULL) {
        return *slopes;
    }
    return (apq_bn_slopes){slopes->by_g + channel, slopes->by_z + channel,
                           slopes->constant + channel};
}
