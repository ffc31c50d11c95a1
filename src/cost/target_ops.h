#ifndef APQ_COST_TARGET_OPS_H
#define APQ_COST_TARGET_OPS_H

#include "base/yaml.h"
#include "cost/cost.h"

#include <stddef.h>

/* What a hardware model implements. Adding one = a folder, a line in
 * registry.c and a file in configs/targets. */
typedef struct apq_target_ops {
    const char *model;   /* value of the key `model` that selects it */
    const char *summary; /* one line */
    size_t state_bytes;  /* allocated and zeroed by the caller */

    /* REQUIRED, but for the table model, which is no YAML file. Reads the
     * constants; must refuse unknown keys (`name`, `model` and `capabilities`
     * belong to the caller and are legal). */
    apq_status (*init)(void *state, const apq_yaml *yaml);
    /* REQUIRED, but for measured targets. Pure: the same layer always costs
     * the same. Writes every field. APQ_ERR_UNSUPPORTED with a message when it
     * cannot run. */
    apq_status (*layer)(const void *state, const apq_ir_layer *layer,
                        apq_layer_cost *out);

    /* OPTIONAL. NULL: prices do not depend on the space.
     * APQ_ERR_MISMATCH when they were made for another one. */
    apq_status (*check_space)(const void *state, const char *space,
                              const char *space_hash);
    /* OPTIONAL. Images that run together; NULL: one, and a fixed number. */
    int (*batch)(const void *state);
    apq_status (*set_batch)(void *state, int batch);
    /* OPTIONAL. NULL: layers are computed. Else the target is measured: its
     * configuration, borrowed; `layer` is never called and `capabilities` must
     * be given. */
    const struct apq_measured_config *(*measured)(const void *state);
    /* OPTIONAL. NULL: nothing to release. */
    void (*fini)(void *state);
} apq_target_ops;

/* NULL-terminated list of all models. */
const apq_target_ops *const *apq_target_registry(void);

#endif
