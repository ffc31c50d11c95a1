/* The CPU backend: oneDNN matrix products and vector code chosen at run time
 * for the instruction set of this machine. */
#include "backend/cpu/cpu.h"

#include "backend/cpu/infer_plan.h"

static bool is_available(void) {
    return true;
}

static const apq_infer_ops infer = {
    .has_bfloat16 = apq_cpu_infer_has_bfloat16,
    .bfloat16_peak = apq_cpu_infer_bfloat16_peak,
    .create = apq_cpu_infer_create,
    .destroy = apq_cpu_infer_destroy,
    .run = apq_cpu_infer_run,
};

const apq_backend apq_backend_cpu = {
    .name = "cpu",
    .summary = "threads and vector instructions, products through oneDNN",
    .is_available = is_available,
    .has_bfloat16 = true,
    .gemm = apq_cpu_gemm,
    .pointwise_forward = apq_cpu_pointwise_forward,
    .pointwise_backward = apq_cpu_pointwise_backward,
    .expand_statistics = apq_cpu_expand_statistics,
    .depthwise_forward = apq_cpu_depthwise_forward,
    .depthwise_backward = apq_cpu_depthwise_backward,
    .im2col = apq_cpu_im2col,
    .bn_apply = apq_cpu_bn_apply,
    .bn_backward_reduce = apq_cpu_bn_backward_reduce,
    .bn_backward_apply = apq_cpu_bn_backward_apply,
    .infer = &infer,
};
