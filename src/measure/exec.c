/* Requests to a measuring command, as JSON lines, and its answers. */
#include "measure/exec.h"

#include "measure/answer.h"
#include "measure/child.h"

#include <stdlib.h>

#include <jansson.h>

enum { SCHEMA_VERSION = 1 };

struct apq_exec {
    const apq_measured_config *config;
    const char *name; /* of the target */
    const apq_progress *progress;
    apq_child *child;
};

apq_status apq_exec_open(const apq_measured_config *config, const char *name,
                         const apq_progress *progress, apq_exec **out) {
    apq_exec *exec = calloc(1, sizeof *exec);
    if (exec == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "target %s: out of memory", name);
    }
    exec->config = config;
    exec->name = name;
    exec->progress = progress;
    apq_status st =
        apq_child_open(config->command, config->folder, &exec->child);
    if (st != APQ_OK) {
        free(exec);
        return st;
    }
    *out = exec;
    return APQ_OK;
}

void apq_exec_close(apq_exec *exec) {
    if (exec != NULL) {
        apq_child_close(exec->child);
        free(exec);
    }
}

static const char *role_name(apq_ir_role role) {
    static const char *const names[] = {
        [APQ_ROLE_STEM] = "stem",
        [APQ_ROLE_FIRST_DEPTHWISE] = "first_depthwise",
        [APQ_ROLE_FIRST_POINTWISE] = "first_pointwise",
        [APQ_ROLE_EXPAND] = "expand",
        [APQ_ROLE_DEPTHWISE] = "depthwise",
        [APQ_ROLE_PROJECT] = "project",
        [APQ_ROLE_FEATURE_MIX] = "feature_mix",
        [APQ_ROLE_CLASSIFIER] = "classifier",
    };
    APQ_ASSERT((unsigned)role < sizeof names / sizeof names[0]);
    return names[role];
}

/* NULL when memory is exhausted. */
static json_t *describe(const apq_ir_layer *l, int weight_container_bits,
                        int act_container_bits) {
    return json_pack(
        "{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, "
        "s:b, s:b, s:b, s:I}",
        "name", l->name, "kind", apq_ir_kind_name(l->kind), "role",
        role_name(l->role), "in_channels", l->in_channels, "out_channels",
        l->out_channels, "in_size", l->in_size, "out_size", l->out_size,
        "kernel", l->kernel, "stride", l->stride, "weight_bits", l->weight_bits,
        "act_bits", l->act_bits, "weight_container_bits", weight_container_bits,
        "act_container_bits", act_container_bits, "is_act_signed",
        l->is_act_signed, "has_relu6", l->has_relu6, "has_residual",
        l->residual_from >= 0, "macs", (json_int_t)apq_ir_layer_macs(l));
}

/* Takes the request; asks and reads. */
static apq_status ask(apq_exec *exec, const char *what, json_t *request,
                      apq_lut_sample *out) {
    apq_status st = APQ_OK;
    char *line = NULL;
    if (request == NULL ||
        json_object_set_new(request, "schema_version",
                            json_integer(SCHEMA_VERSION)) != 0 ||
        (line = json_dumps(request, JSON_COMPACT)) == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "target %s: out of memory", exec->name);
        goto done;
    }
    const char *text;
    st = apq_child_ask(exec->child, line, exec->config->timeout_s,
                       exec->progress, &text);
    if (st != APQ_OK) {
        goto done;
    }
    st = apq_answer_read(
        text, &(apq_answer_source){exec->config->command[0], exec->name, what},
        out);
done:
    json_decref(request);
    free(line);
    return st;
}

apq_status apq_exec_layer(apq_exec *exec, const apq_ir_layer *layer,
                          int weight_container_bits, int act_container_bits,
                          apq_lut_sample *out) {
    return ask(exec, layer->name,
               describe(layer, weight_container_bits, act_container_bits), out);
}

apq_status apq_exec_network(apq_exec *exec, const apq_ir_network *network,
                            const apq_capability *capability,
                            apq_lut_sample *out) {
    json_t *layers = json_array();
    for (size_t i = 0; i < network->n_layers; i++) {
        const apq_ir_layer *l = &network->layers[i];
        int weight_container, act_container;
        (void)apq_capability_find(capability, l->kind, l->weight_bits,
                                  l->act_bits, &weight_container,
                                  &act_container);
        if (json_array_append_new(
                layers, describe(l, weight_container, act_container)) != 0) {
            json_decref(layers);
            layers = NULL;
        }
    }
    /* With layers NULL the packing fails, which ask() reports. */
    return ask(exec, "network", json_pack("{s:o}", "network", layers), out);
}
