/* A loaded target: a hardware model with its constants and a cache of layer
 * prices; networks are priced as the sum of their layers. */
#include "cost/cost.h"

#include "base/datapath.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/words.h"
#include "base/yaml.h"
#include "cost/cache.h"
#include "cost/lut/table.h"
#include "cost/macs/macs.h"
#include "cost/target_ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 64 };

struct apq_target {
    char name[NAME_MAX_BYTES];
    char hash[APQ_HASH_MAX];
    char source[APQ_PATH_MAX]; /* as the user named it */
    apq_capability capability;
    const apq_target_ops *ops;
    void *state;
    apq_cost_cache cache;
};

const char *apq_cost_field_name(apq_cost_field field) {
    static const char *const names[APQ_COST_N_FIELDS] = {
        [APQ_COST_LATENCY_MS] = "latency_ms",
        [APQ_COST_ENERGY_MJ] = "energy_mj",
        [APQ_COST_BITOPS] = "bitops",
        [APQ_COST_SEARCHABLE_BITOPS] = "searchable_bitops",
        [APQ_COST_MACS] = "macs",
        [APQ_COST_PARAMS] = "params",
        [APQ_COST_WEIGHT_BYTES] = "weight_bytes",
        [APQ_COST_PEAK_ACTIVATION_BYTES] = "peak_activation_bytes",
    };
    APQ_ASSERT((unsigned)field < APQ_COST_N_FIELDS);
    return names[field];
}

double apq_cost_get(const apq_cost *cost, apq_cost_field field) {
    switch (field) {
    case APQ_COST_LATENCY_MS:
        return cost->latency_ms;
    case APQ_COST_ENERGY_MJ:
        return cost->energy_mj;
    case APQ_COST_BITOPS:
        return cost->bitops;
    case APQ_COST_SEARCHABLE_BITOPS:
        return cost->searchable_bitops;
    case APQ_COST_MACS:
        return cost->macs;
    case APQ_COST_PARAMS:
        return cost->params;
    case APQ_COST_WEIGHT_BYTES:
        return cost->weight_bytes;
    case APQ_COST_PEAK_ACTIVATION_BYTES:
        return cost->peak_activation_bytes;
    case APQ_COST_N_FIELDS:
        break;
    }
    APQ_ASSERT(field < APQ_COST_N_FIELDS);
    return 0.0;
}

static bool ends_in(const char *text, const char *ending) {
    size_t n = strlen(text), m = strlen(ending);
    return n > m && strcmp(text + n - m, ending) == 0;
}

/* File of a built-in name, or the text itself when it is a path. */
static apq_status find_file(const char *name_or_path, char path[APQ_PATH_MAX]) {
    size_t n = strlen(name_or_path);
    bool is_path = strchr(name_or_path, '/') != NULL ||
                   ends_in(name_or_path, ".yaml") ||
                   ends_in(name_or_path, ".jsonl");
    if (is_path) {
        if (n >= APQ_PATH_MAX) {
            APQ_FAIL(APQ_ERR_ARG, "target path of %zu bytes, at most %d", n,
                     APQ_PATH_MAX - 1);
        }
        memcpy(path, name_or_path, n + 1);
        return APQ_OK;
    }
    for (const char *const *known = apq_target_names(); *known != NULL;
         known++) {
        if (strcmp(*known, name_or_path) == 0) {
            char relative[NAME_MAX_BYTES + 32];
            (void)snprintf(relative, sizeof relative,
                           "configs/targets/%.60s.yaml", *known);
            return apq_data_path(relative, path);
        }
    }
    const char *near = apq_nearest_word(name_or_path, apq_target_names());
    APQ_FAIL(APQ_ERR_ARG,
             "unknown target '%s'%s%s%s; a file needs '/', .yaml or .jsonl",
             name_or_path, near != NULL ? ", did you mean '" : "",
             near != NULL ? near : "", near != NULL ? "'?" : "");
}

static apq_status find_model(const apq_yaml *yaml, const apq_target_ops **out) {
    apq_yaml_node root = apq_yaml_root(yaml);
    const char *model = NULL;
    APQ_TRY(apq_yaml_string(yaml, root, "model", false, &model));
    for (const apq_target_ops *const *ops = apq_target_registry(); *ops != NULL;
         ops++) {
        if (strcmp((*ops)->model, model) == 0) {
            *out = *ops;
            return APQ_OK;
        }
    }
    char legal[256] = "";
    for (const apq_target_ops *const *ops = apq_target_registry(); *ops != NULL;
         ops++) {
        size_t used = strlen(legal);
        (void)snprintf(legal + used, sizeof legal - used, " %s", (*ops)->model);
    }
    APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: unknown model '%s', legal:%s",
             apq_yaml_path(yaml),
             apq_yaml_line(yaml, apq_yaml_find(yaml, root, "model")), model,
             legal);
}

static apq_status init_model(apq_target *target, const apq_yaml *yaml) {
    apq_yaml_node root = apq_yaml_root(yaml);
    const char *name = NULL;
    APQ_TRY(apq_yaml_string(yaml, root, "name", false, &name));
    if (strlen(name) >= sizeof target->name || name[0] == '\0') {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: name '%s' must have 1..%d bytes",
                 apq_yaml_path(yaml),
                 apq_yaml_line(yaml, apq_yaml_find(yaml, root, "name")), name,
                 NAME_MAX_BYTES - 1);
    }
    memcpy(target->name, name, strlen(name) + 1);
    const apq_target_ops *ops = NULL;
    APQ_TRY(find_model(yaml, &ops));
    APQ_TRY(
        apq_capability_read(yaml, ops->measured == NULL, &target->capability));
    target->state = apq_calloc(1, ops->state_bytes);
    if (target->state == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", apq_yaml_path(yaml));
    }
    APQ_TRY(ops->init(target->state, yaml));
    target->ops = ops; /* only now is there something to fini */
    return APQ_OK;
}

static apq_status load_model(apq_target *target, const char *path) {
    apq_yaml *yaml = NULL;
    APQ_TRY(apq_yaml_load(path, &yaml));
    apq_status st = init_model(target, yaml);
    apq_yaml_destroy(yaml);
    return st;
}

static apq_status load_table(apq_target *target, const char *path) {
    target->state = apq_calloc(1, apq_target_table.state_bytes);
    if (target->state == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", path);
    }
    APQ_TRY(
        apq_table_open(target->state, path, target->name, sizeof target->name));
    target->ops = &apq_target_table;
    return APQ_OK;
}

apq_status apq_target_load(const char *name_or_path, apq_target **out) {
    char path[APQ_PATH_MAX];
    APQ_TRY(find_file(name_or_path, path));
    apq_target *target = apq_calloc(1, sizeof *target);
    if (target == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", path);
    }
    (void)snprintf(target->source, sizeof target->source, "%s", name_or_path);
    apq_status st = apq_file_hash(path, target->hash);
    if (st == APQ_OK) {
        st = ends_in(path, ".jsonl") ? load_table(target, path)
                                     : load_model(target, path);
    }
    if (st == APQ_OK) {
        *out = target; /* success: ownership moves to the caller */
        target = NULL;
    }
    apq_target_destroy(target);
    return st;
}

void apq_target_destroy(apq_target *target) {
    if (target == NULL) {
        return;
    }
    if (target->ops != NULL && target->ops->fini != NULL) {
        target->ops->fini(target->state);
    }
    apq_cost_cache_fini(&target->cache);
    free(target->state);
    free(target);
}

const char *apq_target_name(const apq_target *target) {
    return target->name;
}

const char *apq_target_hash(const apq_target *target) {
    return target->hash;
}

apq_status apq_target_check_space(const apq_target *target, const char *space,
                                  const char *space_hash) {
    return target->ops->check_space == NULL
               ? APQ_OK
               : target->ops->check_space(target->state, space, space_hash);
}

apq_status apq_target_set_batch(apq_target *target, int batch) {
    if (batch < 1 || batch > APQ_MAX_BATCH) {
        APQ_FAIL(APQ_ERR_ARG, "batch %d not in 1..%d", batch, APQ_MAX_BATCH);
    }
    if (batch == apq_target_batch(target)) {
        return APQ_OK;
    }
    if (target->ops->set_batch == NULL) {
        APQ_FAIL(APQ_ERR_ARG, "target %s always runs %d image%s, not %d",
                 target->name, apq_target_batch(target),
                 apq_target_batch(target) == 1 ? "" : "s", batch);
    }
    APQ_TRY(target->ops->set_batch(target->state, batch));
    apq_cost_cache_fini(&target->cache);
    return APQ_OK;
}

int apq_target_batch(const apq_target *target) {
    return target->ops->batch == NULL ? 1 : target->ops->batch(target->state);
}

const apq_capability *apq_target_capability(const apq_target *target) {
    return &target->capability;
}

const struct apq_measured_config *
apq_target_measured(const apq_target *target) {
    return target->ops->measured != NULL ? target->ops->measured(target->state)
                                         : NULL;
}

const struct apq_lut *apq_target_table_of(const apq_target *target) {
    return target->ops == &apq_target_table ? apq_table_of(target->state)
                                            : NULL;
}

apq_status apq_target_explain(apq_target *target, const apq_ir_layer *layer,
                              apq_layer_cost *out) {
    if (target->ops->layer == NULL) {
        APQ_FAIL(APQ_ERR_ARG,
                 "target %s is measured and needs a table first: apq lut build "
                 "--space S --target %s -o %s.jsonl, then --target %s.jsonl",
                 target->name, target->source, target->name, target->name);
    }
    APQ_TRY(apq_capability_check(&target->capability, layer));
    return target->ops->layer(target->state, layer, out);
}

apq_status apq_target_layer(apq_target *target, const apq_ir_layer *layer,
                            double *latency_ms, double *energy_mj) {
    apq_cost_price price = {0.0, 0.0};
    if (layer->is_priced &&
        !apq_cost_cache_find(&target->cache, layer, &price)) {
        apq_layer_cost cost;
        APQ_TRY(apq_target_explain(target, layer, &cost));
        price = (apq_cost_price){cost.latency_ms, cost.energy_mj};
        APQ_TRY(apq_cost_cache_add(&target->cache, layer, price));
    }
    *latency_ms = price.latency_ms;
    *energy_mj = price.energy_mj;
    return APQ_OK;
}

apq_status apq_cost_layer(apq_target *target, const apq_ir_layer *layer,
                          apq_cost *out) {
    apq_cost cost = {.latency_ms = (double)NAN,
                     .energy_mj = (double)NAN,
                     .peak_activation_bytes = (double)NAN};
    if (target != NULL) {
        APQ_TRY(
            apq_target_layer(target, layer, &cost.latency_ms, &cost.energy_mj));
    }
    apq_macs_layer(layer, &cost);
    *out = cost;
    return APQ_OK;
}

apq_status apq_cost_network(apq_target *target, const apq_ir_network *network,
                            apq_cost *out) {
    apq_cost sum = {0};
    for (size_t i = 0; i < network->n_layers; i++) {
        apq_cost one;
        APQ_TRY(apq_cost_layer(target, &network->layers[i], &one));
        sum.latency_ms += one.latency_ms;
        sum.energy_mj += one.energy_mj;
        sum.bitops += one.bitops;
        sum.searchable_bitops += one.searchable_bitops;
        sum.macs += one.macs;
        sum.params += one.params;
        sum.weight_bytes += one.weight_bytes;
        sum.peak_activation_bytes = fmax(sum.peak_activation_bytes,
                                         apq_cost_activation_bytes(network, i));
    }
    *out = sum;
    return APQ_OK;
}
