/* Extremes of peak_activation_bytes, a maximum over layers. A block's memory
 * depends on its own genes and on the act bits of the layer that reads its
 * output, so the blocks form a chain: dynamic programming from its end, with
 * the act bits of a block as the state, over depths too. */
#include "app/range_internal.h"

#include <math.h>
#include <string.h>

enum { N_ENDS = APQ_RANGE_N_ENDS, N_PARTS = 3 };

/* By end, the block's act bits, and those of the next layer; the last column
 * is the fixed layer behind the blocks. NaN: no such choice runs. */
typedef double block_peaks[N_ENDS][APQ_MAX_BITS][APQ_MAX_BITS + 1];

typedef struct chain {
    const apq_space *space;
    block_peaks blocks[APQ_MAX_BLOCKS];
    /* Of everything from a block on, by end and the block's act bits; the
     * entry behind the last block is free of bits. */
    double rest[APQ_MAX_BLOCKS][N_ENDS][APQ_MAX_BITS];
} chain;

static int position(const apq_space *space, int bits) {
    int i = 0;
    while (space->bits[i] != bits) {
        i++;
        APQ_ASSERT(i < space->n_bits);
    }
    return i;
}

static void offer(int end, double value, double *best) {
    if (!isnan(value) && apq_range_is_better(end, value, *best)) {
        *best = value;
    }
}

/* Peaks of one choice: `piece` is the layer before the block, the block's
 * three and the layer behind. */
static void offer_choice(const apq_space *space, int tail_bits,
                         apq_ir_network *piece, block_peaks out) {
    int act = position(space, piece->layers[1].act_bits);
    for (int next = 0; next <= space->n_bits; next++) {
        piece->layers[N_PARTS + 1].act_bits =
            next < space->n_bits ? space->bits[next] : tail_bits;
        double peak = 0.0;
        for (size_t i = 1; i <= N_PARTS; i++) {
            peak = fmax(peak, apq_cost_activation_bytes(piece, i));
        }
        for (int end = 0; end < N_ENDS; end++) {
            offer(end, peak, &out[end][act][next]);
        }
    }
}

/* `first` is the block's expand layer in the whole network. */
static void solve_block(const apq_price_table *table, const apq_ir_network *net,
                        size_t first, int tail_bits, block_peaks out) {
    const apq_space *space = apq_price_space(table);
    int block = net->layers[first].block;
    apq_ir_network piece = {.n_layers = N_PARTS + 2};
    memcpy(piece.layers, &net->layers[first - 1],
           (N_PARTS + 2) * sizeof piece.layers[0]);
    bool has_residual = piece.layers[N_PARTS].residual_from >= 0;
    piece.layers[0].residual_from = -1;
    piece.layers[N_PARTS].residual_from = has_residual ? 0 : -1;
    piece.layers[N_PARTS + 1].residual_from = -1;
    for (size_t i = 0; i < sizeof(block_peaks) / sizeof(double); i++) {
        ((double *)out)[i] = (double)NAN;
    }
    apq_policy genes = {0};
    double priced[APQ_BUDGET_N_FIELDS];
    unsigned seen = 0; /* pairs of act bits, at the present channels */
    int channels = 0;
    for (size_t i = 0; i < apq_price_n_choices(table, block); i++) {
        apq_price_choice(table, block, i, &genes, priced);
        if (genes.channels[block] != channels) {
            channels = genes.channels[block];
            seen = 0;
        }
        int pair =
            position(space, genes.bits[APQ_PW_ACT][block]) * APQ_MAX_BITS +
            position(space, genes.bits[APQ_DW_ACT][block]);
        if (!isinf(priced[APQ_BUDGET_LATENCY_MS]) && (seen >> pair & 1U) == 0) {
            seen |= 1U << pair;
            apq_range_set_genes(&genes, block, &piece.layers[1]);
            offer_choice(space, tail_bits, &piece, out);
        }
    }
}

/* The chain goes on from a block with these act bits at block `next`, or
 * behind the last one. */
static void go_on(const chain *c, int block, int act, int next, int end,
                  double *best) {
    const apq_space *space = c->space;
    const double *peaks = c->blocks[block][end][act];
    if (next == space->n_blocks) {
        offer(end, peaks[space->n_bits], best);
        return;
    }
    for (int a = 0; a < space->n_bits; a++) {
        double rest = c->rest[next][end][a];
        if (!isnan(rest) && !isnan(peaks[a])) {
            offer(end, fmax(peaks[a], rest), best);
        }
    }
}

static void solve_chain(chain *c) {
    const apq_space *space = c->space;
    for (int b = space->n_blocks - 1; b >= 0; b--) {
        int depth = space->blocks[b].position + 1;
        const apq_space_stage *stage = &space->stages[space->blocks[b].stage];
        for (int i = 0; i < N_ENDS * space->n_bits; i++) {
            int end = i / space->n_bits, act = i % space->n_bits;
            double *best = &c->rest[b][end][act];
            *best = (double)NAN;
            if (depth < stage->max_depth) {
                go_on(c, b, act, b + 1, end, best);
            }
            if (depth >= stage->min_depth) {
                go_on(c, b, act, stage->first_block + stage->max_depth, end,
                      best);
            }
        }
    }
}

/* The fixed layers when the first block has these act bits. */
static double fixed_peak(apq_ir_network *net, size_t first, int bits) {
    double peak = 0.0;
    net->layers[first].act_bits = bits;
    for (size_t i = 0; i < net->n_layers; i++) {
        if (net->layers[i].block < 0) {
            peak = fmax(peak, apq_cost_activation_bytes(net, i));
        }
    }
    return peak;
}

void apq_range_peak(const apq_price_table *table, apq_ir_network *net,
                    double out[N_ENDS]) {
    chain c = {.space = apq_price_space(table)};
    size_t first = net->n_layers;
    int tail_bits = 0;
    for (size_t i = net->n_layers; i-- > 0;) {
        const apq_ir_layer *l = &net->layers[i];
        if (l->role == APQ_ROLE_FEATURE_MIX) {
            tail_bits = l->act_bits;
        } else if (l->role == APQ_ROLE_EXPAND) {
            solve_block(table, net, i, tail_bits, c.blocks[l->block]);
            first = i;
        }
    }
    solve_chain(&c);
    for (int end = 0; end < N_ENDS; end++) {
        out[end] = (double)NAN;
        for (int a = 0; a < c.space->n_bits; a++) {
            double rest = c.rest[0][end][a];
            if (!isnan(rest)) {
                offer(end, fmax(rest, fixed_peak(net, first, c.space->bits[a])),
                      &out[end]);
            }
        }
    }
}
