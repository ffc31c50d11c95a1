/* Kernels of the fused integer evaluation, compiled for AVX512-VNNI; reached
 * only after a run-time check. */
#define INT_SYMBOL apq_int_tiles_avx512vnni
#define INT_NAME   "AVX512-VNNI"
#include "deploy/int_tiles_impl.h"
