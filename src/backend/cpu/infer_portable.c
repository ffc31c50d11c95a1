/* Evaluation kernels compiled for any processor. */
#define INFER_SYMBOL   apq_infer_portable
#define INFER_BFLOAT16 0
#include "backend/cpu/infer_impl.h"
