/* The reference backend: plain loops with double accumulation. It defines
 * what every operator means; no threads, no vector code. */
#include "backend/ref/ref.h"

static bool is_available(void) {
    return true;
}

const apq_backend apq_backend_ref = {
    .name = "ref",
    .summary = "plain loops, one thread; the definition of every operator",
    .is_available = is_available,
    .gemm = apq_ref_gemm,
    .pointwise_forward = apq_ref_pointwise_forward,
    .pointwise_backward = apq_ref_pointwise_backward,
    .expand_statistics = apq_ref_expand_statistics,
    .depthwise_forward = apq_ref_depthwise_forward,
    .depthwise_backward = apq_ref_depthwise_backward,
    .im2col = apq_ref_im2col,
    .bn_apply = apq_ref_bn_apply,
    .bn_backward_reduce = apq_ref_bn_backward_reduce,
    .bn_backward_apply = apq_ref_bn_backward_apply,
};
