#ifndef APQ_BASE_SIMD_H
#define APQ_BASE_SIMD_H

/* On a static leaf function of plain loops: the compiler emits it for several
 * instruction sets and the loader picks one, so one binary runs everywhere.
 * Sanitizers start after the loader has picked and are left out. Parallel
 * regions inside such a function are not cloned: keep them in the caller. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) &&      \
    !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define APQ_SIMD_CLONES                                                        \
    __attribute__((                                                            \
        target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define APQ_SIMD_CLONES
#endif

#endif
