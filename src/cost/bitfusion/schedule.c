/* Search over tiles and loop orders of one dense layer on a BitFusion array.
 * The rules (whole edge tiles, partial sums always re-read, 32-bit outputs in
 * DRAM) are those that reproduce the published APQ table to the last cycle;
 * structure after Sharma et al., "Bit Fusion", ISCA 2018, and its simulator. */
#include "cost/bitfusion/bitfusion.h"

#include <string.h>

/* Images, output rows and columns, input and output channels. */
enum { LOOP_N, LOOP_X, LOOP_Y, LOOP_I, LOOP_C, N_LOOPS };

/* X is never inside Y: rows and columns are alike, so swapping them cannot
 * change traffic. Outermost first; the loop over images goes anywhere. */
static const unsigned char loop_orders[][N_LOOPS - 1] = {
    {LOOP_X, LOOP_Y, LOOP_I, LOOP_C}, {LOOP_X, LOOP_Y, LOOP_C, LOOP_I},
    {LOOP_X, LOOP_I, LOOP_Y, LOOP_C}, {LOOP_X, LOOP_C, LOOP_Y, LOOP_I},
    {LOOP_X, LOOP_I, LOOP_C, LOOP_Y}, {LOOP_X, LOOP_C, LOOP_I, LOOP_Y},
    {LOOP_I, LOOP_X, LOOP_Y, LOOP_C}, {LOOP_C, LOOP_X, LOOP_Y, LOOP_I},
    {LOOP_I, LOOP_X, LOOP_C, LOOP_Y}, {LOOP_C, LOOP_X, LOOP_I, LOOP_Y},
    {LOOP_I, LOOP_C, LOOP_X, LOOP_Y}, {LOOP_C, LOOP_I, LOOP_X, LOOP_Y},
};

/* Loops that index an operand, as a bit mask. */
static const unsigned operand_loops[BITFUSION_N_OPERANDS] = {
    [BITFUSION_ACT] = 1U << LOOP_N | 1U << LOOP_X | 1U << LOOP_Y | 1U << LOOP_I,
    [BITFUSION_WEIGHT] = 1U << LOOP_I | 1U << LOOP_C,
    [BITFUSION_OUTPUT] =
        1U << LOOP_N | 1U << LOOP_X | 1U << LOOP_Y | 1U << LOOP_C,
};

/* One choice of tile sizes with everything that no loop order changes. A
 * batch is one more loop over outputs: it indexes activations and outputs as
 * rows and columns do, and weights not at all. */
typedef struct tiling {
    int64_t images, side, in, out;
    int64_t pixels; /* of the outputs of a tile, all its images */
    int64_t trips[N_LOOPS];
    int64_t n_tiles, column_passes, reduction;
    double array_nj; /* between SRAM and the array */
    bool is_weight_stationary;
    int64_t compute_cycles;
    int64_t bits[BITFUSION_N_OPERANDS];      /* of one tile, as moved */
    int64_t footprint[BITFUSION_N_OPERANDS]; /* of one tile, as stored */
} tiling;

static int64_t divide_up(int64_t x, int64_t y) {
    return (x + y - 1) / y;
}

static int64_t round_up(int64_t x, int64_t y) {
    return divide_up(x, y) * y;
}

static int64_t smaller(int64_t x, int64_t y) {
    return x < y ? x : y;
}

int64_t apq_bitfusion_lanes(const bitfusion_config *config, int64_t bits) {
    return config->lane_bits / bits;
}

/* Fills in all but images, side, in, out; false when the tile does not
 * fit. */
static bool tiling_fill(const bitfusion_config *config,
                        const bitfusion_dense *d, tiling *t) {
    int64_t taps = d->kernel * d->kernel;
    int64_t pixels = t->images * t->side * t->side;
    int64_t halo_side = d->kernel + (t->side - 1) * d->stride;
    int64_t area =
        d->is_im2col ? pixels * taps : t->images * halo_side * halo_side;
    int64_t act_lanes = apq_bitfusion_lanes(config, d->act_bits);
    int64_t weight_lanes = apq_bitfusion_lanes(config, d->weight_bits);
    int64_t depth = config->rows * act_lanes * weight_lanes;
    int64_t stored_in = round_up(t->in, depth);
    int64_t stored_out = round_up(t->out, config->columns);

    /* Narrow operands occupy a whole lane slot on chip (6 bits take 8), but
     * travel from DRAM packed. */
    t->footprint[BITFUSION_ACT] =
        area * stored_in * (config->lane_bits / act_lanes);
    t->footprint[BITFUSION_WEIGHT] =
        taps * stored_in * stored_out * (config->lane_bits / weight_lanes);
    t->footprint[BITFUSION_OUTPUT] =
        pixels * stored_out * config->accumulator_bits;
    t->pixels = pixels;
    for (int i = 0; i < BITFUSION_N_OPERANDS; i++) {
        if (t->footprint[i] > config->capacity_bits[i]) {
            return false;
        }
    }
    t->bits[BITFUSION_ACT] = area * t->in * d->act_bits;
    t->bits[BITFUSION_WEIGHT] = taps * t->in * t->out * d->weight_bits;
    t->bits[BITFUSION_OUTPUT] = pixels * t->out * config->accumulator_bits;

    t->trips[LOOP_N] = divide_up(config->batch, t->images);
    t->trips[LOOP_X] = divide_up(d->out_size, t->side);
    t->trips[LOOP_Y] = t->trips[LOOP_X];
    t->trips[LOOP_I] = divide_up(d->in_channels, t->in);
    t->trips[LOOP_C] = divide_up(d->out_channels, t->out);
    t->n_tiles = 1;
    for (int k = 0; k < N_LOOPS; k++) {
        t->n_tiles *= t->trips[k];
    }
    t->column_passes = divide_up(t->out, config->columns);
    t->reduction = d->is_im2col ? divide_up(taps * t->in, depth)
                                : taps * divide_up(t->in, depth);
    t->compute_cycles = t->n_tiles * pixels * t->column_passes * t->reduction;
    return true;
}

/* DRAM bits of one operand over all loops, and the bits of the largest piece
 * held on chip (what must arrive before work starts). Walks outward: data
 * stay on chip until the first loop whose whole range no longer fits. */
static int64_t walk(const bitfusion_config *config, const tiling *t,
                    const unsigned char *order, int operand,
                    int64_t *chunk_bits) {
    int64_t traffic = t->bits[operand];
    int64_t footprint = t->footprint[operand];
    bool is_resident = true;
    *chunk_bits = traffic;
    for (int k = N_LOOPS - 1; k >= 0; k--) {
        int64_t n = t->trips[order[k]];
        if (!is_resident) {
            traffic *= n;
        } else if ((operand_loops[operand] >> order[k] & 1U) != 0) {
            traffic *= n;
            footprint *= n;
            if (footprint > config->capacity_bits[operand]) {
                is_resident = false;
            } else {
                *chunk_bits = traffic;
            }
        }
    }
    return traffic;
}

/* First load and last store do not overlap compute; all else does. */
static int64_t cycles_of(const bitfusion_config *config, const tiling *t,
                         const int64_t *traffic, const int64_t *chunk,
                         int64_t *memory_cycles) {
    int64_t width = config->dram_bits_per_cycle;
    int64_t read = traffic[BITFUSION_ACT] + traffic[BITFUSION_WEIGHT] +
                   traffic[BITFUSION_OUTPUT];
    int64_t fill = divide_up(chunk[BITFUSION_ACT] + chunk[BITFUSION_WEIGHT] +
                                 chunk[BITFUSION_OUTPUT],
                             width) +
                   divide_up(chunk[BITFUSION_OUTPUT], width);
    *memory_cycles =
        divide_up(read, width) + divide_up(traffic[BITFUSION_OUTPUT], width);
    int64_t busy = t->compute_cycles + fill;
    return busy > *memory_cycles ? busy : *memory_cycles;
}

/* No order can need fewer cycles: every tile moved once, smallest chunks. */
static int64_t cycles_bound(const bitfusion_config *config, const tiling *t) {
    int64_t traffic[BITFUSION_N_OPERANDS];
    int64_t memory_cycles;
    for (int i = 0; i < BITFUSION_N_OPERANDS; i++) {
        traffic[i] = t->bits[i];
        for (int k = 0; k < N_LOOPS; k++) {
            if ((operand_loops[i] >> k & 1U) != 0) {
                traffic[i] *= t->trips[k];
            }
        }
    }
    return cycles_of(config, t, traffic, t->bits, &memory_cycles);
}

/* Buffer reads and writes between SRAM and the array, in nJ: the cheaper of
 * keeping outputs or weights still inside a tile. */
static void array_sram_nj(const bitfusion_config *config,
                          const bitfusion_dense *d, tiling *t) {
    double taps = (double)(d->kernel * d->kernel);
    double pixels = (double)t->n_tiles * (double)t->pixels;
    double touched = pixels * taps * (double)t->in;
    double out = (double)t->out;
    double act = touched * (double)t->column_passes * (double)d->act_bits;
    double weight = touched * out * (double)d->weight_bits;
    double sums = pixels * out * (double)config->accumulator_bits;
    double still_weight = (double)t->n_tiles * taps * (double)t->in * out *
                          (double)d->weight_bits;
    /* A sum is read as often as it is written. */
    double sum_nj = config->read_nj_per_bit[BITFUSION_OUTPUT] +
                    config->write_nj_per_bit[BITFUSION_OUTPUT];
    double weight_nj = config->read_nj_per_bit[BITFUSION_WEIGHT];
    double output_stationary = weight_nj * weight + sum_nj * sums;
    double weight_stationary =
        weight_nj * still_weight + sum_nj * sums * (double)t->reduction;
    t->is_weight_stationary = weight_stationary <= output_stationary;
    t->array_nj =
        config->read_nj_per_bit[BITFUSION_ACT] * act +
        (t->is_weight_stationary ? weight_stationary : output_stationary);
}

static void energy_of(const bitfusion_config *config, const tiling *t,
                      const int64_t *traffic, bitfusion_plan *plan) {
    plan->dram_read_bits = traffic[BITFUSION_ACT] + traffic[BITFUSION_WEIGHT] +
                           traffic[BITFUSION_OUTPUT];
    plan->dram_write_bits = traffic[BITFUSION_OUTPUT];
    plan->compute_nj = config->compute_nj_per_cycle * (double)t->compute_cycles;
    plan->leakage_nj = config->leakage_nj_per_cycle * (double)plan->cycles;
    plan->dram_nj = config->dram_nj_per_bit *
                    (double)(plan->dram_read_bits + plan->dram_write_bits);
    plan->sram_nj = t->array_nj;
    for (int i = 0; i < BITFUSION_N_OPERANDS; i++) {
        plan->sram_nj += config->write_nj_per_bit[i] * (double)traffic[i];
    }
    /* Outputs also leave through the read port. */
    plan->sram_nj += config->read_nj_per_bit[BITFUSION_OUTPUT] *
                     (double)traffic[BITFUSION_OUTPUT];
    plan->energy_nj =
        plan->compute_nj + plan->leakage_nj + plan->dram_nj + plan->sram_nj;
}

/* Loops that run once can stand anywhere: only the order with them outermost,
 * ascending, is tried. */
static bool is_duplicate(const tiling *t, const unsigned char *order) {
    for (int k = 1; k < N_LOOPS; k++) {
        if (t->trips[order[k]] == 1 &&
            (t->trips[order[k - 1]] != 1 || order[k - 1] > order[k])) {
            return true;
        }
    }
    return false;
}

/* Order k with the loop over images at `place`, 0 being outermost. */
static void make_order(size_t k, int place, unsigned char out[N_LOOPS]) {
    for (int l = 0; l < N_LOOPS; l++) {
        out[l] = l == place ? LOOP_N : loop_orders[k][l < place ? l : l - 1];
    }
}

/* X, Y, I, C and, where there is a batch, N; outermost first. */
static void name_order(const unsigned char *order, bool has_batch, char *out) {
    for (int l = 0; l < N_LOOPS; l++) {
        if (has_batch || order[l] != LOOP_N) {
            *out++ = "NXYIC"[order[l]];
        }
    }
    *out = '\0';
}

/* Replaces *best where this order of a tiling beats it. */
static void try_order(const bitfusion_config *config, const tiling *t,
                      const unsigned char *order, bitfusion_plan *best) {
    int64_t traffic[BITFUSION_N_OPERANDS], chunk[BITFUSION_N_OPERANDS];
    for (int i = 0; i < BITFUSION_N_OPERANDS; i++) {
        traffic[i] = walk(config, t, order, i, &chunk[i]);
    }
    bitfusion_plan plan = {.tile_images = t->images,
                           .tile_side = t->side,
                           .tile_in = t->in,
                           .tile_out = t->out,
                           .is_weight_stationary = t->is_weight_stationary,
                           .compute_cycles = t->compute_cycles};
    plan.cycles = cycles_of(config, t, traffic, chunk, &plan.memory_cycles);
    if (plan.cycles > best->cycles) {
        return;
    }
    energy_of(config, t, traffic, &plan);
    if (plan.cycles < best->cycles || plan.energy_nj < best->energy_nj) {
        memcpy(plan.traffic_bits, traffic, sizeof traffic);
        memcpy(plan.chunk_bits, chunk, sizeof chunk);
        name_order(order, config->batch > 1, plan.loop_order);
        *best = plan;
    }
}

static void try_orders(const bitfusion_config *config, const bitfusion_dense *d,
                       tiling *t, bitfusion_plan *best) {
    array_sram_nj(config, d, t);
    /* A loop that runs once is tried outermost only. */
    int n_places = t->trips[LOOP_N] == 1 ? 1 : N_LOOPS;
    for (size_t k = 0; k < sizeof loop_orders / sizeof loop_orders[0]; k++) {
        for (int place = 0; place < n_places; place++) {
            unsigned char order[N_LOOPS];
            make_order(k, place, order);
            if (!is_duplicate(t, order)) {
                try_order(config, t, order, best);
            }
        }
    }
}

/* All input- and output-channel tiles at one number of images and one side. */
static void try_channels(const bitfusion_config *config,
                         const bitfusion_dense *d, tiling *t,
                         bitfusion_plan *best) {
    /* An im2col layer may use part of the columns; others start at all. */
    int64_t first_out = d->is_im2col ? 1 : config->columns;
    for (int64_t in = 1;; in *= 2) {
        t->in = smaller(in, d->in_channels);
        for (int64_t n_out = first_out;; n_out *= 2) {
            t->out = smaller(n_out, d->out_channels);
            if (!tiling_fill(config, d, t)) {
                break; /* larger output tiles fit even less */
            }
            if (cycles_bound(config, t) <= best->cycles) {
                try_orders(config, d, t, best);
            }
            if (n_out >= d->out_channels) {
                break;
            }
        }
        if (in >= d->in_channels) {
            break;
        }
    }
}

bool apq_bitfusion_schedule(const bitfusion_config *config,
                            const bitfusion_dense *d, bitfusion_plan *out) {
    bitfusion_plan best = {.cycles = INT64_MAX};
    tiling t = {0};
    for (int64_t images = 1;; images *= 2) {
        t.images = smaller(images, config->batch);
        for (int64_t side = 1;; side *= 2) {
            t.side = smaller(side, d->out_size);
            try_channels(config, d, &t, &best);
            if (side >= d->out_size) {
                break;
            }
        }
        if (images >= config->batch) {
            break;
        }
    }
    if (best.cycles == INT64_MAX) {
        return false;
    }
    *out = best;
    return true;
}

void apq_bitfusion_smallest_tile(const bitfusion_config *config,
                                 const bitfusion_dense *d,
                                 int64_t bits[BITFUSION_N_OPERANDS]) {
    tiling t = {.images = 1, .side = 1, .in = 1, .out = 1};
    (void)tiling_fill(config, d, &t);
    memcpy(bits, t.footprint, sizeof t.footprint);
}
