#ifndef APQ_BACKEND_CPU_CPU_H
#define APQ_BACKEND_CPU_CPU_H

#include "backend/backend.h"

/* The operators of the fast CPU backend; contracts in backend.h. */
apq_status apq_cpu_gemm(const apq_gemm_args *args);
/* Without oneDNN; arguments already checked, all sizes >= 1. */
apq_status apq_cpu_gemm_blocked(const apq_gemm_args *args);
apq_status apq_cpu_pointwise_forward(const apq_pointwise_shape *shape,
                                     const apq_conv_forward *args);
apq_status apq_cpu_pointwise_backward(const apq_pointwise_shape *shape,
                                      const apq_conv_backward *args);
apq_status apq_cpu_expand_statistics(const apq_pointwise_shape *shape,
                                     const float *x, const float *w,
                                     float *mean, float *variance,
                                     float *moments, apq_arena *arena);
apq_status apq_cpu_depthwise_forward(const apq_depthwise_shape *shape,
                                     const apq_conv_forward *args);
apq_status apq_cpu_depthwise_backward(const apq_depthwise_shape *shape,
                                      const apq_conv_backward *args);
apq_status apq_cpu_im2col(const apq_depthwise_shape *shape, const float *x,
                          float *col);
/* Rows [first, first + rows) of it, `step` floats apart, zero in between; dst
 * has APQ_PATCH_ROOM floats more, which are overwritten. */
enum { APQ_PATCH_ROOM = 16 };
void apq_cpu_patches(const apq_depthwise_shape *shape, const float *x,
                     int64_t first, int64_t rows, float *dst, int64_t step);
apq_status apq_cpu_bn_apply(const apq_bn_apply_args *args);
apq_status apq_cpu_bn_backward_reduce(const apq_bn_backward_args *args);
apq_status apq_cpu_bn_backward_apply(const apq_bn_backward_args *args);

extern const apq_backend apq_backend_cpu;

#endif
