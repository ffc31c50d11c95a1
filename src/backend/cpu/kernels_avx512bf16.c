/* Kernels compiled for AVX-512 with AVX512_BF16; reached only after a run-time
 * check. */
#define KERNELS_SYMBOL apq_kernels_avx512bf16
#define KERNELS_NAME   "AVX-512 BF16"
#include "backend/cpu/kernels_impl.h"
