/* Kernels compiled for portable (16-byte vectors of the compiler),
 * for any processor. */
#define KERNELS_SYMBOL apq_kernels_portable
#define KERNELS_NAME   "portable"
#include "backend/cpu/kernels_impl.h"
