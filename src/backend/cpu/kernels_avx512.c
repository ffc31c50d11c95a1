/* Kernels compiled for AVX-512; reached only after a run-time check. */
#define KERNELS_SYMBOL apq_kernels_avx512
#define KERNELS_NAME   "AVX-512"
#include "backend/cpu/kernels_impl.h"
