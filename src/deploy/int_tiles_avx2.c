/* Kernels of the fused integer evaluation, compiled for AVX2; reached only
 * after a run-time check. */
#define INT_SYMBOL apq_int_tiles_avx2
#define INT_NAME   "AVX2"
#include "deploy/int_tiles_impl.h"
