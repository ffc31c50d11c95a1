/* The predictor's kernels for portable; kernels.c checks the processor. */
#define KERNELS_SYMBOL apq_mlp_portable
#define KERNELS_ISA    "portable"
#include "predictor/kernels_impl.h"
