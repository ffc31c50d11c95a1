/* The chosen network for the report: its accuracies, its cost block by block,
 * and the uniform networks it is compared with. */
#include "app/report.h"

#include "app/json.h"
#include "app/search.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Is the fine-tuned network that of the present search? */
static bool is_tuned(const apq_report_source *source) {
    const json_t *network = json_object_get(source->finetune, "network");
    const json_t *policy = json_object_get(network, "policy");
    return policy != NULL &&
           json_equal(policy, json_object_get(source->best, "policy"));
}

/* Was another network fine-tuned because the user wanted it? */
static bool is_own_choice(const apq_report_source *source) {
    return source->finetune != NULL && !is_tuned(source) &&
           strcmp(source->recipe.finetune.policy, "found") != 0;
}

bool apq_report_is_stale(const apq_report_source *source) {
    return source->finetune != NULL && !is_tuned(source) &&
           !is_own_choice(source);
}

/* Every measured value of a fine-tuned network, with the standard error of the
 * test accuracy over the choice of test images. */
static json_t *measured_json(json_t *network) {
    json_t *out = json_object();
    const char *key;
    json_t *value;
    json_object_foreach(network, key, value) {
        if (json_is_number(value)) {
            (void)json_object_set(out, key, value);
        }
    }
    double p = json_number_value(json_object_get(network, "test_top1"));
    double n = json_number_value(json_object_get(network, "test_count"));
    if (n > 0 && p >= 0 && p <= 1) {
        (void)json_object_set_new(out, "test_standard_error",
                                  json_real(sqrt(p * (1 - p) / n)));
    }
    return out;
}

/* NULL: the network of the search was fine-tuned, or none. */
static json_t *own_choice_json(const apq_report_source *source) {
    json_t *network = json_object_get(source->finetune, "network");
    if (!is_own_choice(source)) {
        return json_null();
    }
    return json_pack("{s:O?, s:O?, s:o}", "policy",
                     json_object_get(network, "policy"), "cost",
                     json_object_get(network, "cost"), "measured",
                     measured_json(network));
}

static json_t *policy_row(const apq_report_source *source,
                          const apq_policy *policy, int block) {
    const apq_space_block *b = &source->space.blocks[block];
    if (!apq_space_block_active(&source->space, policy, block)) {
        return json_pack("{s:i, s:i, s:b}", "block", block, "stage", b->stage,
                         "is_skipped", 1);
    }
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}",
                     "block", block, "stage", b->stage, "stride", b->stride,
                     "kernel", policy->kernel[block], "channels",
                     policy->channels[block], "max_channels", b->max_channels,
                     "out_channels", b->out_channels, "pw_weight_bits",
                     policy->bits[APQ_PW_WEIGHT][block], "pw_act_bits",
                     policy->bits[APQ_PW_ACT][block], "dw_weight_bits",
                     policy->bits[APQ_DW_WEIGHT][block], "dw_act_bits",
                     policy->bits[APQ_DW_ACT][block]);
}

static json_t *fixed_row(const apq_ir_layer *layer) {
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i}", "layer", layer->name,
                     "stride", layer->stride, "kernel", layer->kernel,
                     "out_channels", layer->out_channels, "weight_bits",
                     layer->weight_bits, "act_bits", layer->act_bits);
}

static void put_cost(json_t *row, const apq_cost *cost, const apq_cost *whole) {
    static const apq_cost_field listed[] = {
        APQ_COST_MACS,         APQ_COST_BITOPS,     APQ_COST_PARAMS,
        APQ_COST_WEIGHT_BYTES, APQ_COST_LATENCY_MS, APQ_COST_ENERGY_MJ};
    for (size_t i = 0; i < sizeof listed / sizeof listed[0]; i++) {
        (void)json_object_set_new(
            row, apq_cost_field_name(listed[i]),
            apq_json_number(apq_cost_get(cost, listed[i])));
    }
    (void)json_object_set_new(
        row, "latency_share",
        apq_json_number(cost->latency_ms / whole->latency_ms));
    (void)json_object_set_new(
        row, "energy_share",
        apq_json_number(cost->energy_mj / whole->energy_mj));
}

static void add_cost(apq_cost *sum, const apq_cost *part) {
    sum->latency_ms += part->latency_ms;
    sum->energy_mj += part->energy_mj;
    sum->bitops += part->bitops;
    sum->macs += part->macs;
    sum->params += part->params;
    sum->weight_bytes += part->weight_bytes;
}

/* Rows in the order of the network; skipped blocks follow their stage. */
static apq_status rows_json(const apq_report_source *source, apq_target *target,
                            const apq_policy *policy, json_t *rows) {
    apq_ir_network network;
    apq_cost whole, blocks[APQ_MAX_BLOCKS] = {{0}};
    APQ_TRY(apq_policy_lower(&source->space, policy, &network));
    APQ_TRY(apq_cost_network(target, &network, &whole));
    int next = 0; /* block whose row is to be written */
    for (size_t i = 0; i < network.n_layers; i++) {
        const apq_ir_layer *layer = &network.layers[i];
        apq_cost cost;
        APQ_TRY(apq_cost_layer(target, layer, &cost));
        if (layer->block >= 0) {
            add_cost(&blocks[layer->block], &cost);
        }
        bool is_last = i + 1 == network.n_layers ||
                       network.layers[i + 1].block != layer->block;
        for (; layer->block >= 0 && is_last && next < source->space.n_blocks;
             next++) {
            if (next > layer->block &&
                apq_space_block_active(&source->space, policy, next)) {
                break;
            }
            json_t *row = policy_row(source, policy, next);
            if (next == layer->block) {
                put_cost(row, &blocks[next], &whole);
            }
            (void)json_array_append_new(rows, row);
        }
        if (layer->block < 0) {
            json_t *row = fixed_row(layer);
            put_cost(row, &cost, &whole);
            (void)json_array_append_new(rows, row);
        }
    }
    return APQ_OK;
}

static json_t *layer_json(const apq_report_source *source,
                          const apq_policy *policy, const apq_ir_layer *layer) {
    json_t *row = json_pack(
        "{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "name", layer->name,
        "kind", apq_ir_kind_name(layer->kind), "kernel", layer->kernel,
        "stride", layer->stride, "size", layer->in_size, "in_channels",
        layer->in_channels, "out_channels", layer->out_channels, "weight_bits",
        layer->weight_bits, "act_bits", layer->act_bits);
    int b = layer->block;
    if (b >= 0) {
        const apq_space_block *block = &source->space.blocks[b];
        (void)json_object_set_new(row, "block", json_integer(b));
        (void)json_object_set_new(row, "stage", json_integer(block->stage));
        (void)json_object_set_new(
            row, "kept",
            json_real((double)policy->channels[b] / block->max_channels));
    }
    return row;
}

/* What the layer waits for, where the target says. */
static json_t *bound_json(apq_target *target, const apq_ir_layer *layer) {
    apq_layer_cost cost;
    if (target == NULL || apq_target_explain(target, layer, &cost) != APQ_OK ||
        !isfinite(cost.compute_energy_mj)) { /* a table does not */
        return json_null();
    }
    return json_string(cost.is_dram_bound ? "memory" : "compute");
}

static apq_status layers_json(const apq_report_source *source,
                              apq_target *target, const apq_policy *policy,
                              json_t *rows) {
    apq_ir_network network;
    apq_cost whole;
    APQ_TRY(apq_policy_lower(&source->space, policy, &network));
    APQ_TRY(apq_cost_network(target, &network, &whole));
    for (size_t i = 0; i < network.n_layers; i++) {
        const apq_ir_layer *layer = &network.layers[i];
        apq_cost cost;
        APQ_TRY(apq_cost_layer(target, layer, &cost));
        json_t *row = layer_json(source, policy, layer);
        put_cost(row, &cost, &whole);
        (void)json_object_set_new(row, "bound", bound_json(target, layer));
        (void)json_array_append_new(rows, row);
    }
    return APQ_OK;
}

static apq_status add_rows(const apq_report_source *source, apq_target *target,
                           const apq_policy *policy, json_t *rows,
                           json_t *layers) {
    APQ_TRY(rows_json(source, target, policy, rows));
    return layers_json(source, target, policy, layers);
}

/* Where the target cannot price the network, as it was changed since, both
 * lists go without prices. */
static apq_status fill_rows(const apq_report_source *source,
                            const apq_policy *policy, json_t *rows,
                            json_t *layers) {
    apq_status st = add_rows(source, source->target, policy, rows, layers);
    if (st == APQ_OK || source->target == NULL) {
        return st;
    }
    APQ_TRY(apq_report_leave_out(source, st));
    (void)json_array_clear(rows);
    (void)json_array_clear(layers);
    return add_rows(source, NULL, policy, rows, layers);
}

/* rows, layers and weights of the result, empty or null where the space is not
 * known. */
static apq_status put_network(const apq_report_source *source,
                              const json_t *policy, const char *where,
                              json_t *result) {
    json_t *rows = json_array(), *layers = json_array();
    (void)json_object_set_new(result, "rows", rows);
    (void)json_object_set_new(result, "layers", layers);
    (void)json_object_set_new(result, "weights", json_null());
    if (!source->has_space) {
        return APQ_OK;
    }
    apq_policy parsed;
    APQ_TRY(apq_json_to_policy(&source->space, policy, where, &parsed));
    APQ_TRY(fill_rows(source, &parsed, rows, layers));
    json_t *weights;
    APQ_TRY(apq_report_add_sqnr(source, &parsed, layers, &weights));
    if (weights != NULL) {
        (void)json_object_set_new(result, "weights", weights);
    }
    return apq_report_add_sensitivity(source, &parsed, layers);
}

apq_status apq_report_result_json(const apq_report_source *source,
                                  json_t **out) {
    *out = json_null();
    if (source->best == NULL) {
        return APQ_OK;
    }
    char where[APQ_PATH_MAX + 16];
    (void)snprintf(where, sizeof where, "%s/best.json", source->dir);
    json_t *policy = json_object_get(source->best, "policy");
    json_t *predicted = json_object_get(source->best, "predicted_accuracy");
    json_t *cost = json_object_get(source->best, "cost");
    if (!json_is_object(policy) || !json_is_number(predicted) ||
        !json_is_object(cost)) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: no policy, predicted_accuracy or cost",
                 where);
    }
    json_t *network = json_object_get(source->finetune, "network");
    json_t *result =
        json_pack("{s:O, s:O, s:O, s:o, s:b, s:o}", "policy", policy,
                  "predicted_accuracy", predicted, "cost", cost, "measured",
                  is_tuned(source) ? measured_json(network) : json_null(),
                  "is_measurement_stale", apq_report_is_stale(source),
                  "own_choice", own_choice_json(source));
    apq_status st = put_network(source, policy, where, result);
    if (st != APQ_OK) {
        json_decref(result);
        return st;
    }
    *out = result;
    return APQ_OK;
}

json_t *apq_report_baselines_json(const apq_report_source *source) {
    const json_t *all = json_object_get(source->best, "baselines");
    if (!json_is_object(all)) {
        return json_null();
    }
    const char *tuned =
        json_string_value(json_object_get(source->finetune, "baseline_name"));
    json_t *network = json_object_get(source->finetune, "baseline");
    json_t *rows = json_array();
    for (int i = 0; i < APQ_N_BASELINES; i++) {
        const char *name = apq_baseline_name((apq_baseline)i);
        const json_t *b = json_object_get(all, name);
        if (b == NULL && i == APQ_BASELINE_SEQUENTIAL) {
            continue; /* was not asked for */
        }
        json_t *row = json_pack("{s:s, s:b}", "name", name, "is_found",
                                json_is_object(b));
        static const char *const keys[] = {"predicted_accuracy", "meets_budget",
                                           "cost", "policy"};
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
            json_t *value = json_object_get(b, keys[k]);
            (void)json_object_set_new(
                row, keys[k], value == NULL ? json_null() : json_incref(value));
        }
        bool is_same = tuned != NULL && strcmp(name, tuned) == 0 &&
                       json_equal(json_object_get(network, "policy"),
                                  json_object_get(b, "policy"));
        (void)json_object_set_new(
            row, "measured", is_same ? measured_json(network) : json_null());
        (void)json_array_append_new(rows, row);
    }
    return rows;
}
