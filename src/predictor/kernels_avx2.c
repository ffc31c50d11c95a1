/* The predictor's kernels for avx2; kernels.c checks the processor. */
#define KERNELS_SYMBOL apq_mlp_avx2
#define KERNELS_ISA    "avx2"
#include "predictor/kernels_impl.h"
