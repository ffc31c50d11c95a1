#ifndef APQ_COST_BITFUSION_BITFUSION_H
#define APQ_COST_BITFUSION_BITFUSION_H

#include "base/status.h"
#include "cost/target_ops.h"

#include <stdbool.h>
#include <stdint.h>

enum { BITFUSION_MAX_BITS = 8 };

/* The three operands, in the order of every array below. */
enum {
    BITFUSION_ACT,
    BITFUSION_WEIGHT,
    BITFUSION_OUTPUT,
    BITFUSION_N_OPERANDS
};

/* Constants of the accelerator; keys and sources in configs/targets. */
typedef struct bitfusion_config {
    double clock_mhz;
    int64_t rows, columns;    /* input- and output-channel direction */
    int64_t lane_bits;        /* widest operand of one lane */
    int64_t accumulator_bits; /* of partial sums and outputs, also in DRAM */
    int64_t dram_bits_per_cycle;
    int64_t batch;          /* images that run together */
    int64_t group_channels; /* depthwise channels of a group, per lane */
    int64_t capacity_bits[BITFUSION_N_OPERANDS]; /* one of the two buffers */
    bool supports_bits[BITFUSION_MAX_BITS + 1];
    double compute_nj_per_cycle, leakage_nj_per_cycle, dram_nj_per_bit;
    double read_nj_per_bit[BITFUSION_N_OPERANDS];
    double write_nj_per_bit[BITFUSION_N_OPERANDS];
} bitfusion_config;

/* One dense layer (groups already split off). */
typedef struct bitfusion_dense {
    int64_t kernel, stride, out_size, in_channels, out_channels;
    int64_t weight_bits, act_bits;
    bool is_im2col; /* patches are formed in memory: the first layer */
} bitfusion_dense;

/* The chosen schedule of one dense layer for a whole batch. Energies in
 * nJ. */
typedef struct bitfusion_plan {
    int64_t tile_images, tile_side, tile_in, tile_out;
    char loop_order[6];        /* outermost first; N only where batch > 1 */
    bool is_weight_stationary; /* inside a tile; else the outputs stay */
    int64_t cycles, compute_cycles, memory_cycles;
    int64_t dram_read_bits, dram_write_bits;
    int64_t traffic_bits[BITFUSION_N_OPERANDS]; /* DRAM to chip, all loops */
    int64_t chunk_bits[BITFUSION_N_OPERANDS];   /* largest piece on chip */
    double energy_nj, compute_nj, leakage_nj, dram_nj, sram_nj;
} bitfusion_plan;

/* Operands of `bits` that share one lane. */
int64_t apq_bitfusion_lanes(const bitfusion_config *config, int64_t bits);

/* Fewest cycles, then least energy, over all tiles that fit and all loop
 * orders; false when no tile fits. */
bool apq_bitfusion_schedule(const bitfusion_config *config,
                            const bitfusion_dense *dense, bitfusion_plan *out);

/* On-chip bits of the smallest tile, by operand: no other needs less of any
 * buffer, so a layer fits exactly when this one does. */
void apq_bitfusion_smallest_tile(const bitfusion_config *config,
                                 const bitfusion_dense *dense,
                                 int64_t bits[BITFUSION_N_OPERANDS]);

extern const apq_target_ops apq_target_bitfusion;

#endif
