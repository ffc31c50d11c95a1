/* What `apq cost` prints: costs, ranges, layers with what decides their
 * price, and pairs of bit-widths; as aligned tables and as JSON. */
#include "cli/cost_print.h"

#include "app/json.h"
#include "cli/command.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

json_t *apq_print_cost_json(const apq_cost *cost, int batch) {
    json_t *object = apq_json_cost(cost);
    if (batch > 1) {
        (void)json_object_set_new(object, "batch", json_integer(batch));
        (void)json_object_set_new(object, "batch_latency_ms",
                                  apq_json_number(cost->latency_ms * batch));
    }
    return object;
}

void apq_print_cost_row(const apq_cost *cost, size_t i) {
    if (i == 0) {
        printf("%6s %12s %12s %9s %11s %9s %9s %9s %9s\n", "policy",
               "latency_ms", "energy_mj", "GBitOps", "searchable", "M MACs",
               "K params", "weight KB", "peak KB");
    }
    printf("%6zu", i + 1);
    apq_cli_print_number(12, 6, cost->latency_ms);
    apq_cli_print_number(12, 6, cost->energy_mj);
    printf(" %9.4g %11.4g %9.4g %9.4g %9.4g %9.4g\n", cost->bitops / 1e9,
           cost->searchable_bitops / 1e9, cost->macs / 1e6, cost->params / 1e3,
           cost->weight_bytes / 1e3, cost->peak_activation_bytes / 1e3);
}

void apq_print_range(const apq_cost *low, const apq_cost *high,
                     const apq_excluded *excluded) {
    printf("%-24s %14s %14s\n", "", "smallest", "largest");
    for (int i = 0; i < APQ_COST_N_FIELDS; i++) {
        apq_cost_field field = (apq_cost_field)i;
        printf("%-24s", apq_cost_field_name(field));
        apq_cli_print_number(14, 6, apq_cost_get(low, field));
        apq_cli_print_number(14, 6, apq_cost_get(high, field));
        printf("\n");
    }
    printf("\nexcluded: %zu by the space and %zu by the target of %zu choices "
           "of a block%s%s\n",
           excluded->n_forbidden, excluded->n_unsupported, excluded->n_choices,
           excluded->text[0] != '\0' ? ": " : "", excluded->text);
}

json_t *apq_print_range_json(const apq_cost *low, const apq_cost *high,
                             const apq_excluded *excluded) {
    return json_pack(
        "{s:o, s:o, s:{s:I, s:I, s:I, s:s}}", "low",
        apq_print_cost_json(low, 1), "high", apq_print_cost_json(high, 1),
        "excluded", "choices", (json_int_t)excluded->n_choices, "by_space",
        (json_int_t)excluded->n_forbidden, "by_target",
        (json_int_t)excluded->n_unsupported, "text", excluded->text);
}

/* Nothing, for a layer that is not counted. */
static apq_status explain(apq_target *target, const apq_ir_layer *layer,
                          apq_layer_cost *out) {
    *out = (apq_layer_cost){0};
    return layer->is_priced ? apq_target_explain(target, layer, out) : APQ_OK;
}

static const char *bound_of(const apq_layer_cost *cost) {
    return cost->is_dram_bound ? "dram" : "compute";
}

/* What a target does not tell, as a table's energies by part, is a dash. */
static void print_value(int width, int decimals, double value) {
    if (isfinite(value)) {
        printf(" %*.*f", width, decimals, value);
    } else {
        printf(" %*s", width, "-");
    }
}

static void print_numbers(const apq_layer_cost *c, double share) {
    print_value(9, 6, c->latency_ms);
    print_value(6, 2, 100 * share);
    print_value(9, 6, c->energy_mj);
    print_value(9, 6, c->compute_energy_mj);
    print_value(9, 6, c->sram_energy_mj);
    print_value(9, 6, c->dram_energy_mj);
    print_value(9, 6, c->leakage_energy_mj);
    if (c->cycles > 0) {
        printf(" %10" PRId64, c->cycles);
    }
}

/* A table of prices has no schedules. */
static bool has_schedule(const apq_layer_cost *c) {
    return c->loop_order[0] != '\0';
}

static void print_layer(const apq_ir_layer *l, const apq_layer_cost *c,
                        double share, int batch) {
    char shape[48], tile[64];
    (void)snprintf(shape, sizeof shape, "%d>%d k%d s%d @%d", l->in_channels,
                   l->out_channels, l->kernel, l->stride, l->in_size);
    printf("%-20s %-22s W%dA%d", l->name, shape, l->weight_bits, l->act_bits);
    if (!l->is_priced) {
        printf(" %9s\n", "not counted");
        return;
    }
    print_numbers(c, share);
    if (has_schedule(c)) {
        int n =
            batch > 1 ? snprintf(tile, sizeof tile, "%dx", c->tile_images) : 0;
        (void)snprintf(tile + n, sizeof tile - (size_t)n, "%dx%dx%d>%d",
                       c->tile_side, c->tile_side, c->tile_in_channels,
                       c->tile_out_channels);
        printf(" %-7s %-16s %s", bound_of(c), tile, c->loop_order);
    }
    printf("\n");
}

static void add(apq_layer_cost *sum, const apq_layer_cost *one) {
    sum->latency_ms += one->latency_ms;
    sum->energy_mj += one->energy_mj;
    sum->compute_energy_mj += one->compute_energy_mj;
    sum->sram_energy_mj += one->sram_energy_mj;
    sum->dram_energy_mj += one->dram_energy_mj;
    sum->leakage_energy_mj += one->leakage_energy_mj;
    sum->cycles += one->cycles;
}

apq_status apq_print_explain(apq_target *target, const apq_ir_network *network,
                             size_t i) {
    apq_cost whole;
    APQ_TRY(apq_cost_network(target, network, &whole));
    int batch = apq_target_batch(target);
    printf("%spolicy %zu on %s", i > 0 ? "\n" : "", i + 1,
           apq_target_name(target));
    if (batch > 1) {
        printf(", batch %d: ms and mJ of an image, cycles of the batch", batch);
    }
    printf(
        "\n%-20s %-22s %-4s %9s %6s %9s %9s %9s %9s %9s %10s %-7s %-16s %s\n",
        "layer", "shape", "bits", "ms", "%", "mJ", "compute", "SRAM", "DRAM",
        "leakage", "cycles", "bound", "tile", "loops");
    apq_layer_cost sum = {0};
    for (size_t l = 0; l < network->n_layers; l++) {
        apq_layer_cost one;
        APQ_TRY(explain(target, &network->layers[l], &one));
        print_layer(&network->layers[l], &one,
                    one.latency_ms / whole.latency_ms, batch);
        add(&sum, &one);
    }
    printf("%-20s %-22s %-4s", "sum", "", "");
    print_numbers(&sum, sum.latency_ms / whole.latency_ms);
    printf("\n");
    return APQ_OK;
}

static json_t *layer_json(const apq_ir_network *network, size_t i,
                          const apq_layer_cost *c, double share) {
    const apq_ir_layer *l = &network->layers[i];
    json_t *object = json_pack(
        "{s:s, s:s, s:b, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b}", "name",
        l->name, "kind", apq_ir_kind_name(l->kind), "is_counted", l->is_priced,
        "in_channels", l->in_channels, "out_channels", l->out_channels,
        "kernel", l->kernel, "stride", l->stride, "in_size", l->in_size,
        "out_size", l->out_size, "weight_bits", l->weight_bits, "act_bits",
        l->act_bits, "has_relu6", l->has_relu6);
    (void)json_object_set_new(
        object, "residual_from",
        l->residual_from < 0
            ? json_null()
            : json_string(network->layers[l->residual_from].name));
    json_t *numbers =
        json_pack("{s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:I}", "latency_ms",
                  c->latency_ms, "latency_share", apq_json_number(share),
                  "energy_mj", apq_json_number(c->energy_mj),
                  "compute_energy_mj", apq_json_number(c->compute_energy_mj),
                  "sram_energy_mj", apq_json_number(c->sram_energy_mj),
                  "dram_energy_mj", apq_json_number(c->dram_energy_mj),
                  "leakage_energy_mj", apq_json_number(c->leakage_energy_mj),
                  "activation_bytes", apq_cost_activation_bytes(network, i),
                  "macs", (json_int_t)apq_ir_layer_macs(l));
    (void)json_object_update(object, numbers);
    json_decref(numbers);
    if (has_schedule(c)) {
        json_t *schedule = json_pack(
            "{s:I, s:I, s:I, s:I, s:s, s:i, s:s, s:{s:i, s:i, s:i, s:i}}",
            "cycles", (json_int_t)c->cycles, "compute_cycles",
            (json_int_t)c->compute_cycles, "dram_read_bits",
            (json_int_t)c->dram_read_bits, "dram_write_bits",
            (json_int_t)c->dram_write_bits, "bound", bound_of(c), "groups",
            c->n_groups, "loop_order", c->loop_order, "tile", "images",
            c->tile_images, "side", c->tile_side, "in_channels",
            c->tile_in_channels, "out_channels", c->tile_out_channels);
        (void)json_object_update(object, schedule);
        json_decref(schedule);
    }
    return object;
}

apq_status apq_print_explain_json(apq_target *target,
                                  const apq_ir_network *network, json_t **out) {
    apq_cost whole;
    APQ_TRY(apq_cost_network(target, network, &whole));
    json_t *layers = json_array();
    for (size_t i = 0; i < network->n_layers; i++) {
        apq_layer_cost one;
        apq_status st = explain(target, &network->layers[i], &one);
        if (st != APQ_OK) {
            json_decref(layers);
            return st;
        }
        (void)json_array_append_new(
            layers,
            layer_json(network, i, &one, one.latency_ms / whole.latency_ms));
    }
    *out = layers;
    return APQ_OK;
}

static void print_change(double ratio) {
    if (isfinite(ratio)) {
        printf(" %+10.3f", 100 * (ratio - 1));
    } else {
        printf(" %10s", "-");
    }
}

void apq_print_bit_pair(const apq_bit_pair *pair, bool is_first) {
    const apq_ir_layer *l = &pair->layer;
    if (is_first) {
        printf("%-10s %-22s %-12s %10s %10s\n", "layer", "shape", "narrowed",
               "latency %", "energy %");
    }
    char shape[48];
    (void)snprintf(shape, sizeof shape, "%d>%d k%d s%d @%d", l->in_channels,
                   l->out_channels, l->kernel, l->stride, l->in_size);
    printf("%-10s %-22s W%dA%d > W%dA%d", apq_ir_kind_name(l->kind), shape,
           l->weight_bits, l->act_bits, pair->weight_bits, pair->act_bits);
    print_change(pair->latency_ratio);
    print_change(pair->energy_ratio);
    printf("\n");
}

json_t *apq_print_bit_pair_json(const apq_bit_pair *pair) {
    const apq_ir_layer *l = &pair->layer;
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:[ii], s:[ii], s:o, s:o}",
                     "kind", apq_ir_kind_name(l->kind), "in_channels",
                     l->in_channels, "out_channels", l->out_channels, "kernel",
                     l->kernel, "stride", l->stride, "in_size", l->in_size,
                     "from_bits", l->weight_bits, l->act_bits, "to_bits",
                     pair->weight_bits, pair->act_bits, "latency_ratio",
                     apq_json_number(pair->latency_ratio), "energy_ratio",
                     apq_json_number(pair->energy_ratio));
}

void apq_print_bit_summary(const apq_bit_pair_summary *sum) {
    printf("%zu layers, %zu entries, %zu pairs with one operand narrowed: %zu "
           "slower (up to %.1f %%), %zu dearer (up to %.1f %%)\n",
           sum->n_layers, sum->n_entries, sum->n_pairs, sum->n_slower,
           100 * (sum->max_latency_ratio - 1), sum->n_dearer,
           100 * (sum->max_energy_ratio - 1));
}

json_t *apq_print_bit_summary_json(const apq_bit_pair_summary *sum) {
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "layers",
        (json_int_t)sum->n_layers, "entries", (json_int_t)sum->n_entries,
        "pairs", (json_int_t)sum->n_pairs, "slower", (json_int_t)sum->n_slower,
        "dearer", (json_int_t)sum->n_dearer, "max_latency_ratio",
        apq_json_number(sum->max_latency_ratio), "max_energy_ratio",
        apq_json_number(sum->max_energy_ratio));
}
