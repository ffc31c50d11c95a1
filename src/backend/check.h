#ifndef APQ_BACKEND_CHECK_H
#define APQ_BACKEND_CHECK_H

#include "backend/backend.h"

/* Argument checks shared by every backend: each returns APQ_ERR_ARG with the
 * value and its legal range. */
APQ_NODISCARD apq_status apq_check_gemm(const apq_gemm_args *args);
APQ_NODISCARD apq_status apq_check_depthwise(const apq_depthwise_shape *shape);
APQ_NODISCARD apq_status apq_check_pointwise(const apq_pointwise_shape *shape);
/* Like depthwise, but ldw is not read and kernel 1 is allowed. */
APQ_NODISCARD apq_status apq_check_im2col(const apq_depthwise_shape *shape);
APQ_NODISCARD apq_status apq_check_format(const apq_format *format);
APQ_NODISCARD apq_status apq_check_rows(int64_t rows, int channels);

/* Output side of a padded convolution: ceil(in / stride). */
static inline int apq_conv_out(int in, int stride) {
    return (in + stride - 1) / stride;
}

#endif
