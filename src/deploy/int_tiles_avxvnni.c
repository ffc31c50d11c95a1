/* Kernels of the fused integer evaluation, compiled for AVX-VNNI; reached only
 * after a run-time check. */
#define INT_SYMBOL apq_int_tiles_avxvnni
#define INT_NAME   "AVX-VNNI"
#include "deploy/int_tiles_impl.h"
