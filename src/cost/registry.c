/* The complete list of hardware models and of built-in targets. A target is a
 * file of constants in configs/targets for one of the models. */
#include "cost/target_ops.h"

#include "cost/bitfusion/bitfusion.h"
#include "cost/measured/measured.h"

const apq_target_ops *const *apq_target_registry(void) {
    static const apq_target_ops *const models[] = {
        &apq_target_bitfusion,
        &apq_target_cpu,
        &apq_target_exec,
        NULL,
    };
    return models;
}

const char *const *apq_target_names(void) {
    static const char *const names[] = {"bitfusion", "cpu", "cpu-float32",
                                        NULL};
    return names;
}
