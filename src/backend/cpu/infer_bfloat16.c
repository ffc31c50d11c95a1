/* Evaluation kernels compiled for AVX-512 with bfloat16
 * products; reached only after a run-time check. */
#define INFER_SYMBOL   apq_infer_bfloat16
#define INFER_BFLOAT16 1
#include "backend/cpu/infer_impl.h"
