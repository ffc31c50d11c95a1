/* Evaluation kernels compiled for AVX2; reached only after a run-time check. */
#define INFER_SYMBOL   apq_infer_avx2
#define INFER_BFLOAT16 0
#include "backend/cpu/infer_impl.h"
