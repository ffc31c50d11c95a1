/* Targets as sources of samples: what a model computes has no spread and is
 * known after one answer; measured targets answer for themselves. */
#include "app/lut.h"

#include <stdio.h>

static apq_status computed_layer(void *ctx, const apq_ir_layer *layer,
                                 apq_lut_sample *out) {
    apq_layer_cost cost;
    APQ_TRY(apq_target_explain(ctx, layer, &cost));
    apq_lut_sample sample = {
        .latency_ms = cost.latency_ms, .energy_mj = cost.energy_mj, .count = 1};
    (void)apq_capability_find(apq_target_capability(ctx), layer->kind,
                              layer->weight_bits, layer->act_bits,
                              &sample.weight_container_bits,
                              &sample.act_container_bits);
    *out = sample;
    return APQ_OK;
}

apq_status apq_app_source_open(const char *target, const apq_progress *progress,
                               apq_app_source *out) {
    *out = (apq_app_source){.target = NULL};
    APQ_TRY(apq_target_load(target, &out->target));
    (void)snprintf(out->name, sizeof out->name, "%s",
                   apq_target_name(out->target));
    (void)snprintf(out->hash, sizeof out->hash, "%s",
                   apq_target_hash(out->target));
    out->is_measured = apq_target_measured(out->target) != NULL;
    if (!out->is_measured) {
        out->source =
            (apq_lut_source){.layer = computed_layer, .ctx = out->target};
        return APQ_OK;
    }
    APQ_TRY(apq_measure_open(out->target, progress, &out->measure));
    out->source = apq_measure_source(out->measure);
    return APQ_OK;
}

void apq_app_source_close(apq_app_source *source) {
    apq_measure_close(source->measure);
    source->measure = NULL;
    apq_target_destroy(source->target);
    source->target = NULL;
}

void apq_app_source_note(const apq_app_source *source,
                         const apq_progress *progress) {
    if (source->measure == NULL) {
        return;
    }
    apq_measure_drift drift = apq_measure_get_drift(source->measure);
    if (drift.n_unsettled > 0 || drift.n_stale > 0) {
        apq_note(progress,
                 "the machine was not steady: %zu results kept drifting, and "
                 "%zu times it became faster than before; measure again on a "
                 "quiet machine",
                 drift.n_unsettled, drift.n_stale);
    }
}

apq_status apq_app_check_target(const apq_space *space,
                                const apq_target *target) {
    char hash[APQ_HASH_MAX];
    apq_space_layers_hash(space, hash);
    return apq_target_check_space(target, space->name, hash);
}
