/* The predictor's kernels for avx512; kernels.c checks the processor. */
#define KERNELS_SYMBOL apq_mlp_avx512
#define KERNELS_ISA    "avx512"
#include "predictor/kernels_impl.h"
