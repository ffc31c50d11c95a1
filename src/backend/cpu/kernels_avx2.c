/* Kernels compiled for AVX2; reached only after a run-time check. */
#define KERNELS_SYMBOL apq_kernels_avx2
#define KERNELS_NAME   "AVX2"
#include "backend/cpu/kernels_impl.h"
