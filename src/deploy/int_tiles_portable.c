/* Kernels of the fused integer evaluation, for any processor. */
#define INT_SYMBOL apq_int_tiles_portable
#define INT_NAME   "portable"
#include "deploy/int_tiles_impl.h"
