/* The complete list of hardware models and of built-in targets. A target is a
 * file of constants in configs/targets for one of the models. */
#include "cost/target_ops.h"

#include "cost/bitfusion/bitfusion.h"

const apq_target_ops *const *apq_target_registry(void) {
    static const apq_target_ops *const models[] = {
        &apq_target_bitfusion,
        NULL,
    };
    return models;
}

const char *const *apq_target_names(void) {
    static const char *const names[] = {"bitfusion", NULL};
    return names;
}
