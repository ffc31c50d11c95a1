/* Argument checks shared by the backends, so that every one refuses the same
 * calls with the same words. */
#include "backend/check.h"

#include <inttypes.h>

apq_status apq_check_gemm(const apq_gemm_args *args) {
    if (args->m < 0 || args->n < 0 || args->k < 0) {
        APQ_FAIL(APQ_ERR_ARG,
                 "gemm: negative size (m %" PRId64 ", n %" PRId64 ", k %" PRId64
                 ")",
                 args->m, args->n, args->k);
    }
    int64_t min_lda = args->is_a_transposed ? args->m : args->k;
    int64_t min_ldb = args->is_b_transposed ? args->k : args->n;
    if (args->lda < min_lda || args->ldb < min_ldb || args->ldc < args->n) {
        APQ_FAIL(APQ_ERR_ARG,
                 "gemm: leading dimensions %" PRId64 ", %" PRId64 ", %" PRId64
                 " below the minimum %" PRId64 ", %" PRId64 ", %" PRId64,
                 args->lda, args->ldb, args->ldc, min_lda, min_ldb, args->n);
    }
    if (!(args->beta >= 0.0F && args->beta <= 0.0F) &&
        !(args->beta >= 1.0F && args->beta <= 1.0F)) {
        APQ_FAIL(APQ_ERR_ARG, "gemm: beta %g is neither 0 nor 1",
                 (double)args->beta);
    }
    return APQ_OK;
}

static apq_status check_sizes(const apq_depthwise_shape *shape,
                              const char *operator_name) {
    if (shape->n < 0 || shape->in_height < 1 || shape->in_width < 1 ||
        shape->channels < 1) {
        APQ_FAIL(APQ_ERR_ARG,
                 "%s: input (%d,%d,%d,%d) has a side below 1 (n below 0)",
                 operator_name, shape->n, shape->in_height, shape->in_width,
                 shape->channels);
    }
    if (shape->stride != 1 && shape->stride != 2) {
        APQ_FAIL(APQ_ERR_ARG, "%s: stride %d is neither 1 nor 2", operator_name,
                 shape->stride);
    }
    return APQ_OK;
}

apq_status apq_check_depthwise(const apq_depthwise_shape *shape) {
    APQ_TRY(check_sizes(shape, "depthwise"));
    if (shape->kernel != 3 && shape->kernel != 5 && shape->kernel != 7) {
        APQ_FAIL(APQ_ERR_ARG, "depthwise: kernel %d is not 3, 5 or 7",
                 shape->kernel);
    }
    if (shape->ldw < shape->channels) {
        APQ_FAIL(APQ_ERR_ARG,
                 "depthwise: leading dimension %" PRId64
                 " of the weights is below the %d channels",
                 shape->ldw, shape->channels);
    }
    return APQ_OK;
}

apq_status apq_check_pointwise(const apq_pointwise_shape *shape) {
    if (shape->rows < 0 || shape->in_channels < 1 || shape->out_channels < 1) {
        APQ_FAIL(APQ_ERR_ARG,
                 "pointwise: %" PRId64 " rows of %d to %d channels, need "
                 "rows >= 0 and channels >= 1",
                 shape->rows, shape->in_channels, shape->out_channels);
    }
    if (shape->ldw < shape->in_channels) {
        APQ_FAIL(APQ_ERR_ARG,
                 "pointwise: leading dimension %" PRId64
                 " of the weights is below the %d channels",
                 shape->ldw, shape->in_channels);
    }
    return APQ_OK;
}

apq_status apq_check_im2col(const apq_depthwise_shape *shape) {
    APQ_TRY(check_sizes(shape, "im2col"));
    if (shape->kernel < 1 || shape->kernel > 7 || shape->kernel % 2 == 0) {
        APQ_FAIL(APQ_ERR_ARG, "im2col: kernel %d is not 1, 3, 5 or 7",
                 shape->kernel);
    }
    return APQ_OK;
}

apq_status apq_check_format(const apq_format *format) {
    if (format->precision == APQ_FLOAT32 &&
        (format->is_x_bf16 || format->is_z_bf16)) {
        APQ_FAIL(APQ_ERR_ARG, "convolution: bfloat16 tensors need arithmetic "
                              "in bfloat16, not float32");
    }
    return APQ_OK;
}

apq_status apq_check_rows(int64_t rows, int channels) {
    if (rows < 1 || channels < 1) {
        APQ_FAIL(APQ_ERR_ARG,
                 "batch norm: %" PRId64 " rows of %d channels, need both >= 1",
                 rows, channels);
    }
    return APQ_OK;
}
