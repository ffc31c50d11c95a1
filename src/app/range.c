/* Exact extremes of costs over a space, from the table of block prices: the
 * outer channels of blocks are fixed, so additive costs take the extreme
 * choice of each block and the extreme depth of each stage. */
#include "app/range.h"

#include "app/range_internal.h"
#include "cost/macs/macs.h"

#include <math.h>
#include <string.h>

enum { N_ENDS = APQ_RANGE_N_ENDS, N_FIELDS = APQ_COST_PEAK_ACTIVATION_BYTES };
enum { N_PARTS = 3 }; /* expand, depthwise, project */

/* Of one block, in every additive field; NaN before the first choice. */
typedef struct extremes {
    double at[N_ENDS][N_FIELDS];
} extremes;

bool apq_range_is_better(int end, double value, double than) {
    return isnan(than) || (end == APQ_RANGE_LOW ? value < than : value > than);
}

void apq_range_set_genes(const apq_policy *genes, int block,
                         apq_ir_layer layers[N_PARTS]) {
    int channels = genes->channels[block];
    layers[0].out_channels = channels;
    layers[1].in_channels = layers[1].out_channels = channels;
    layers[1].kernel = genes->kernel[block];
    layers[2].in_channels = channels;
    for (int i = 0; i < N_PARTS; i++) {
        bool is_depthwise = i == 1;
        layers[i].weight_bits =
            genes->bits[is_depthwise ? APQ_DW_WEIGHT : APQ_PW_WEIGHT][block];
        layers[i].act_bits =
            genes->bits[is_depthwise ? APQ_DW_ACT : APQ_PW_ACT][block];
    }
}

/* Adds the fields that depend on no target; exact integers all. */
static void add_analytic(apq_cost *sum, const apq_ir_layer *layers, size_t n) {
    for (size_t i = 0; i < n; i++) {
        apq_cost one = {0};
        apq_macs_layer(&layers[i], &one);
        sum->bitops += one.bitops;
        sum->searchable_bitops += one.searchable_bitops;
        sum->macs += one.macs;
        sum->params += one.params;
        sum->weight_bytes += one.weight_bytes;
    }
}

static void solve_block(const apq_price_table *table, int block,
                        const apq_ir_layer *parts, extremes *best) {
    apq_ir_layer layers[N_PARTS];
    memcpy(layers, parts, sizeof layers);
    for (int i = 0; i < N_ENDS * N_FIELDS; i++) {
        best->at[i / N_FIELDS][i % N_FIELDS] = (double)NAN;
    }
    apq_policy genes;
    double priced[APQ_BUDGET_N_FIELDS];
    for (size_t i = 0; i < apq_price_n_choices(table, block); i++) {
        apq_price_choice(table, block, i, &genes, priced);
        if (isinf(priced[APQ_BUDGET_LATENCY_MS])) {
            continue;
        }
        apq_range_set_genes(&genes, block, layers);
        apq_cost cost = {.latency_ms = priced[APQ_BUDGET_LATENCY_MS],
                         .energy_mj = priced[APQ_BUDGET_ENERGY_MJ]};
        add_analytic(&cost, layers, N_PARTS);
        for (int f = 0; f < N_FIELDS; f++) {
            double value = apq_cost_get(&cost, (apq_cost_field)f);
            for (int end = 0; end < N_ENDS; end++) {
                if (apq_range_is_better(end, value, best->at[end][f])) {
                    best->at[end][f] = value;
                }
            }
        }
    }
}

/* Sum of the active blocks of one stage at its best depth. */
static double solve_stage(const apq_space_stage *stage, const extremes *blocks,
                          int end, int field) {
    double best = (double)NAN, sum = 0.0;
    for (int depth = 0; depth <= stage->max_depth; depth++) {
        if (depth > 0) {
            sum += blocks[stage->first_block + depth - 1].at[end][field];
        }
        if (depth >= stage->min_depth && apq_range_is_better(end, sum, best)) {
            best = sum;
        }
    }
    return best;
}

static void collect(const apq_space *space, const apq_cost *fixed,
                    const extremes *blocks, int end, apq_cost *out) {
    double total[N_FIELDS];
    for (int f = 0; f < N_FIELDS; f++) {
        total[f] = apq_cost_get(fixed, (apq_cost_field)f);
        for (int s = 0; s < space->n_stages; s++) {
            total[f] += solve_stage(&space->stages[s], blocks, end, f);
        }
    }
    *out = (apq_cost){
        .latency_ms = total[APQ_COST_LATENCY_MS],
        .energy_mj = total[APQ_COST_ENERGY_MJ],
        .bitops = total[APQ_COST_BITOPS],
        .searchable_bitops = total[APQ_COST_SEARCHABLE_BITOPS],
        .macs = total[APQ_COST_MACS],
        .params = total[APQ_COST_PARAMS],
        .weight_bytes = total[APQ_COST_WEIGHT_BYTES],
    };
}

apq_status apq_app_range(const apq_price_table *table, apq_cost *low,
                         apq_cost *high) {
    const apq_space *space = apq_price_space(table);
    apq_policy policy;
    apq_ir_network net;
    apq_policy_largest(space, space->bits[space->n_bits - 1], &policy);
    APQ_TRY(apq_policy_lower(space, &policy, &net)); /* every block active */
    double priced[APQ_BUDGET_N_FIELDS];
    apq_price_fixed(table, priced);
    apq_cost fixed = {.latency_ms = priced[APQ_BUDGET_LATENCY_MS],
                      .energy_mj = priced[APQ_BUDGET_ENERGY_MJ]};
    extremes blocks[APQ_MAX_BLOCKS];
    for (size_t i = 0; i < net.n_layers; i++) {
        const apq_ir_layer *l = &net.layers[i];
        if (l->block < 0) {
            add_analytic(&fixed, l, 1);
        } else if (l->role == APQ_ROLE_EXPAND) {
            solve_block(table, l->block, l, &blocks[l->block]);
        }
    }
    double peak[N_ENDS];
    collect(space, &fixed, blocks, APQ_RANGE_LOW, low);
    collect(space, &fixed, blocks, APQ_RANGE_HIGH, high);
    apq_range_peak(table, &net, peak);
    low->peak_activation_bytes = peak[APQ_RANGE_LOW];
    high->peak_activation_bytes = peak[APQ_RANGE_HIGH];
    return APQ_OK;
}
