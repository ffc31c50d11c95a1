#ifndef APQ_EXPORT_WEIGHTS_H
#define APQ_EXPORT_WEIGHTS_H

#include "base/status.h"
#include "deploy/int_model.h"

#include <jansson.h>

/* An integer network as tensors and a description, for programs that rebuild
 * it; docs/formats/integer-weights.md has the names and
 * examples/load_pytorch.py such a program. */
typedef struct apq_weights_options {
    const char *policy;       /* a JSON object, or NULL: not known */
    float mean[3], std[3];    /* of pixels in units of 0 .. 1 */
    char *const *class_names; /* (n_classes), UTF-8; NULL: not known */
} apq_weights_options;

#define APQ_WEIGHTS_OPTIONS_INIT                                               \
    {                                                                          \
        .std = { 1.0F, 1.0F, 1.0F }                                            \
    }

/* Makes the folder `dir` where there is none, and writes or replaces
 * network.safetensors and network.json in it; the former has the description in
 * its metadata, too. Errors: ARG for a policy that is no JSON object; IO;
 * NOMEM.
 */
APQ_NODISCARD apq_status apq_export_weights(const apq_int_model *model,
                                            const apq_weights_options *options,
                                            const char *dir);

/* What the description says of the layers; NULL without memory. */
json_t *apq_weights_layers(const apq_int_model *model);

#endif
