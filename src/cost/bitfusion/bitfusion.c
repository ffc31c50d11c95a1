/* The BitFusion target: constants from YAML, layers of the network mapped to
 * dense pieces. A depthwise layer is charged as block-diagonal dense pieces of
 * a few channels each, a part-filled last piece as a whole one. */
#include "cost/bitfusion/bitfusion.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct int_key {
    const char *key;
    int64_t low, high;
    int64_t *value;
} int_key;

typedef struct real_key {
    const char *key;
    double *value;
} real_key;

static const char *const legal_keys[] = {"name",
                                         "model",
                                         "capabilities",
                                         "clock_mhz",
                                         "array_rows",
                                         "array_columns",
                                         "lane_bits",
                                         "supported_bits",
                                         "accumulator_bits",
                                         "dram_bits_per_cycle",
                                         "depthwise_group_channels",
                                         "batch",
                                         "sram_copies",
                                         "act_sram_bytes",
                                         "weight_sram_bytes",
                                         "output_sram_bytes",
                                         "compute_nj_per_cycle",
                                         "leakage_nj_per_cycle",
                                         "dram_nj_per_bit",
                                         "act_sram_read_nj_per_bit",
                                         "act_sram_write_nj_per_bit",
                                         "weight_sram_read_nj_per_bit",
                                         "weight_sram_write_nj_per_bit",
                                         "output_sram_read_nj_per_bit",
                                         "output_sram_write_nj_per_bit",
                                         NULL};

static apq_status read_bits(const apq_yaml *yaml, bitfusion_config *c) {
    int bits[BITFUSION_MAX_BITS];
    size_t n = 0;
    APQ_TRY(apq_yaml_int_list(yaml, apq_yaml_root(yaml), "supported_bits",
                              false, 2, c->lane_bits, BITFUSION_MAX_BITS, bits,
                              &n));
    for (size_t i = 0; i < n; i++) {
        c->supports_bits[bits[i]] = true;
    }
    return APQ_OK;
}

static apq_status bitfusion_init(void *state, const apq_yaml *yaml) {
    bitfusion_config *c = state;
    apq_yaml_node root = apq_yaml_root(yaml);
    APQ_TRY(apq_yaml_check_keys(yaml, root, legal_keys));
    int64_t sram_copies = 0, sram_bytes[BITFUSION_N_OPERANDS] = {0};
    const int_key ints[] = {
        {"array_rows", 1, 1024, &c->rows},
        {"array_columns", 1, 1024, &c->columns},
        {"lane_bits", 8, BITFUSION_MAX_BITS, &c->lane_bits},
        {"accumulator_bits", 8, 64, &c->accumulator_bits},
        {"dram_bits_per_cycle", 1, 1 << 20, &c->dram_bits_per_cycle},
        {"depthwise_group_channels", 1, 1024, &c->group_channels},
        {"sram_copies", 1, 2, &sram_copies},
        {"act_sram_bytes", 1, 1 << 28, &sram_bytes[BITFUSION_ACT]},
        {"weight_sram_bytes", 1, 1 << 28, &sram_bytes[BITFUSION_WEIGHT]},
        {"output_sram_bytes", 1, 1 << 28, &sram_bytes[BITFUSION_OUTPUT]},
    };
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) {
        APQ_TRY(apq_yaml_int(yaml, root, ints[i].key, false, ints[i].low,
                             ints[i].high, ints[i].value));
    }
    for (int i = 0; i < BITFUSION_N_OPERANDS; i++) {
        c->capacity_bits[i] = sram_bytes[i] * 8 / sram_copies;
    }
    c->batch = 1;
    APQ_TRY(
        apq_yaml_int(yaml, root, "batch", true, 1, APQ_MAX_BATCH, &c->batch));
    const real_key energies[] = {
        {"compute_nj_per_cycle", &c->compute_nj_per_cycle},
        {"leakage_nj_per_cycle", &c->leakage_nj_per_cycle},
        {"dram_nj_per_bit", &c->dram_nj_per_bit},
        {"act_sram_read_nj_per_bit", &c->read_nj_per_bit[BITFUSION_ACT]},
        {"act_sram_write_nj_per_bit", &c->write_nj_per_bit[BITFUSION_ACT]},
        {"weight_sram_read_nj_per_bit", &c->read_nj_per_bit[BITFUSION_WEIGHT]},
        {"weight_sram_write_nj_per_bit",
         &c->write_nj_per_bit[BITFUSION_WEIGHT]},
        {"output_sram_read_nj_per_bit", &c->read_nj_per_bit[BITFUSION_OUTPUT]},
        {"output_sram_write_nj_per_bit",
         &c->write_nj_per_bit[BITFUSION_OUTPUT]},
    };
    for (size_t i = 0; i < sizeof energies / sizeof energies[0]; i++) {
        APQ_TRY(apq_yaml_double(yaml, root, energies[i].key, false, 0.0, 1e6,
                                energies[i].value));
    }
    APQ_TRY(apq_yaml_double(yaml, root, "clock_mhz", false, 1e-3, 1e5,
                            &c->clock_mhz));
    return read_bits(yaml, c);
}

static apq_status check_layer(const bitfusion_config *c,
                              const apq_ir_layer *l) {
    const int bits[2] = {l->weight_bits, l->act_bits};
    for (int i = 0; i < 2; i++) {
        if (bits[i] < 1 || bits[i] > BITFUSION_MAX_BITS ||
            !c->supports_bits[bits[i]]) {
            APQ_FAIL(APQ_ERR_UNSUPPORTED,
                     "%s: %s bits %d not in the target's supported_bits",
                     l->name, i == 0 ? "weight" : "activation", bits[i]);
        }
    }
    enum { MAX_CHANNELS = 1 << 16, MAX_SIDE = 1 << 12, MAX_KERNEL = 31 };
    if (l->in_channels < 1 || l->in_channels > MAX_CHANNELS ||
        l->out_channels < 1 || l->out_channels > MAX_CHANNELS ||
        l->out_size < 1 || l->out_size > MAX_SIDE || l->kernel < 1 ||
        l->kernel > MAX_KERNEL || l->stride < 1 || l->stride > MAX_KERNEL) {
        APQ_FAIL(APQ_ERR_ARG,
                 "%s: shape %dx%dx%d -> %d at %d, kernel %d, stride %d "
                 "out of range",
                 l->name, l->in_channels, l->in_size, l->in_size,
                 l->out_channels, l->out_size, l->kernel, l->stride);
    }
    return APQ_OK;
}

/* Says which buffers are too small, and by how much. */
static apq_status no_tile(const bitfusion_config *c, const apq_ir_layer *l,
                          const bitfusion_dense *dense) {
    static const char *const names[] = {"activation", "weight", "output"};
    int64_t bits[BITFUSION_N_OPERANDS];
    apq_bitfusion_smallest_tile(c, dense, bits);
    char buffers[160] = "";
    for (int i = 0; i < BITFUSION_N_OPERANDS; i++) {
        size_t used = strlen(buffers);
        if (bits[i] > c->capacity_bits[i]) {
            (void)snprintf(buffers + used, sizeof buffers - used,
                           "%s%s buffer needs %" PRId64 " bytes of %" PRId64,
                           used > 0 ? ", " : "", names[i], (bits[i] + 7) / 8,
                           c->capacity_bits[i] / 8);
        }
    }
    APQ_FAIL(APQ_ERR_UNSUPPORTED,
             "%s: no tile of kernel %d, stride %d, W%d A%d fits on chip: %s",
             l->name, l->kernel, l->stride, l->weight_bits, l->act_bits,
             buffers);
}

static apq_status set_batch(void *state, int batch) {
    bitfusion_config *c = state;
    c->batch = batch;
    return APQ_OK;
}

static int get_batch(const void *state) {
    const bitfusion_config *c = state;
    return (int)c->batch;
}

static apq_status bitfusion_layer(const void *state, const apq_ir_layer *l,
                                  apq_layer_cost *out) {
    const bitfusion_config *c = state;
    APQ_TRY(check_layer(c, l));
    bool is_linear = l->kind == APQ_IR_LINEAR; /* after the pool: one pixel */
    bitfusion_dense dense = {
        .kernel = is_linear ? 1 : l->kernel,
        .stride = is_linear ? 1 : l->stride,
        .out_size = is_linear ? 1 : l->out_size,
        .in_channels = l->in_channels,
        .out_channels = l->out_channels,
        .weight_bits = l->weight_bits,
        .act_bits = l->act_bits,
        .is_im2col = l->kind == APQ_IR_CONV,
    };
    int64_t n_groups = 1;
    if (l->kind == APQ_IR_DEPTHWISE) {
        int64_t channels = c->group_channels *
                           apq_bitfusion_lanes(c, l->weight_bits) *
                           apq_bitfusion_lanes(c, l->act_bits);
        n_groups = (l->in_channels + channels - 1) / channels;
        dense.in_channels = channels;
        dense.out_channels = channels;
    }
    bitfusion_plan plan;
    if (!apq_bitfusion_schedule(c, &dense, &plan)) {
        return no_tile(c, l, &dense);
    }
    double n = (double)n_groups / (double)c->batch;
    const double mj_per_nj = 1e-6;
    *out = (apq_layer_cost){
        .latency_ms = n * (double)plan.cycles / (c->clock_mhz * 1e3),
        .energy_mj = n * plan.energy_nj * mj_per_nj,
        .compute_energy_mj = n * plan.compute_nj * mj_per_nj,
        .leakage_energy_mj = n * plan.leakage_nj * mj_per_nj,
        .sram_energy_mj = n * plan.sram_nj * mj_per_nj,
        .dram_energy_mj = n * plan.dram_nj * mj_per_nj,
        .cycles = n_groups * plan.cycles,
        .compute_cycles = n_groups * plan.compute_cycles,
        .dram_read_bits = n_groups * plan.dram_read_bits,
        .dram_write_bits = n_groups * plan.dram_write_bits,
        .n_groups = (int)n_groups,
        .tile_images = (int)plan.tile_images,
        .tile_side = (int)plan.tile_side,
        .tile_in_channels = (int)plan.tile_in,
        .tile_out_channels = (int)plan.tile_out,
        .is_dram_bound = plan.cycles == plan.memory_cycles,
    };
    memcpy(out->loop_order, plan.loop_order, sizeof out->loop_order);
    return APQ_OK;
}

const apq_target_ops apq_target_bitfusion = {
    .model = "bitfusion",
    .summary = "bit-serial-parallel systolic array with DRAM, cycle exact",
    .state_bytes = sizeof(bitfusion_config),
    .init = bitfusion_init,
    .layer = bitfusion_layer,
    .set_batch = set_batch,
    .batch = get_batch,
};
