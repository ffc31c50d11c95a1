/* Targets as sources of samples: what a model computes has no spread and is
 * known after one answer. */
#include "app/lut.h"

#include <stdio.h>

static apq_status computed_layer(void *ctx, const apq_ir_layer *layer,
                                 apq_lut_sample *out) {
    apq_layer_cost cost;
    APQ_TRY(apq_target_explain(ctx, layer, &cost));
    *out = (apq_lut_sample){.latency_ms = cost.latency_ms,
                            .energy_mj = cost.energy_mj,
                            .count = 1,
                            .weight_container_bits = layer->weight_bits,
                            .act_container_bits = layer->act_bits};
    return APQ_OK;
}

apq_status apq_app_source_open(const char *target, apq_app_source *out) {
    *out = (apq_app_source){.target = NULL};
    APQ_TRY(apq_target_load(target, &out->target));
    (void)snprintf(out->name, sizeof out->name, "%s",
                   apq_target_name(out->target));
    (void)snprintf(out->hash, sizeof out->hash, "%s",
                   apq_target_hash(out->target));
    out->source = (apq_lut_source){.layer = computed_layer, .ctx = out->target};
    return APQ_OK;
}

void apq_app_source_close(apq_app_source *source) {
    apq_target_destroy(source->target);
    source->target = NULL;
}

apq_status apq_app_check_target(const apq_space *space,
                                const apq_target *target) {
    char hash[APQ_HASH_MAX];
    apq_space_hash(space, hash);
    return apq_target_check_space(target, space->name, hash);
}
