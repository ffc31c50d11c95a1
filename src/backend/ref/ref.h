#ifndef APQ_BACKEND_REF_REF_H
#define APQ_BACKEND_REF_REF_H

#include "backend/backend.h"

/* The operators of the reference backend; contracts in backend.h. */
apq_status apq_ref_gemm(const apq_gemm_args *args);
apq_status apq_ref_pointwise_forward(const apq_pointwise_shape *shape,
                                     const apq_conv_forward *args);
apq_status apq_ref_pointwise_backward(const apq_pointwise_shape *shape,
                                      const apq_conv_backward *args);
apq_status apq_ref_expand_statistics(const apq_pointwise_shape *shape,
                                     const float *x, const float *w,
                                     float *mean, float *variance,
                                     float *moments, apq_arena *arena);
apq_status apq_ref_depthwise_forward(const apq_depthwise_shape *shape,
                                     const apq_conv_forward *args);
apq_status apq_ref_depthwise_backward(const apq_depthwise_shape *shape,
                                      const apq_conv_backward *args);

/* The plain convolutions that the operators above are made of; arguments
 * already checked. */
void apq_ref_depthwise_plain(const apq_depthwise_shape *shape, const float *x,
                             const float *w, float *y);
void apq_ref_depthwise_data(const apq_depthwise_shape *shape, const float *dy,
                            const float *w, float *dx);
/* dw (R*R, lddw) accumulated. */
void apq_ref_depthwise_weights(const apq_depthwise_shape *shape, const float *x,
                               const float *dy, float *dw, int64_t lddw);
apq_status apq_ref_im2col(const apq_depthwise_shape *shape, const float *x,
                          float *col);
apq_status apq_ref_bn_statistics(int64_t rows, int channels, const float *x,
                                 float *mean, float *variance);
/* Whether v = scale*x + shift lies strictly between 0 and the clip. */
bool apq_ref_is_inside_clip(const apq_norm *norm, float x, int64_t channel);
apq_status apq_ref_bn_apply(const apq_bn_apply_args *args);
apq_status apq_ref_bn_backward_reduce(const apq_bn_backward_args *args);
apq_status apq_ref_bn_backward_apply(const apq_bn_backward_args *args);

extern const apq_backend apq_backend_ref;

#endif
