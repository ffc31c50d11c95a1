/* The table of block prices. Costs add over layers and block inputs are fixed
 * by the space, so blocks are independent: the cheapest network is the
 * cheapest choice of each block and the cheapest depth of each stage. */
#include "app/price.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_FIELDS = APQ_BUDGET_N_FIELDS, N_BYTE_VALUES = 256 };

/* Steps of genes through a block's choices, by the gene's value, so that
 * pricing neither searches nor divides. ILLEGAL leads past the last choice. */
#define ILLEGAL UINT32_MAX
typedef struct strides {
    uint32_t kernel[N_BYTE_VALUES]; /* position; times the block's stride */
    uint32_t bits[APQ_N_BIT_GENES][N_BYTE_VALUES];
    uint64_t per_channel[APQ_MAX_BLOCKS]; /* of one kernel */
    uint64_t all_bits;                    /* choices of one width */
    uint64_t channel_reciprocal;          /* 2^32 / channel step, up */
} strides;

struct apq_price_table {
    apq_space space;
    double fixed[N_FIELDS];
    strides strides;
    double *rows; /* the choices of all blocks, one block after another */
    size_t n_choices[APQ_MAX_BLOCKS];
    double *choices[APQ_MAX_BLOCKS]; /* (n_choices, N_FIELDS) within rows */
};

const char *apq_budget_name(apq_budget_field field) {
    static const char *const names[] = {"latency_ms", "energy_mj", "bitops_g",
                                        "size_kb"};
    return names[field];
}

const char *apq_budget_unit(apq_budget_field field) {
    static const char *const units[] = {"ms", "mJ", "GBitOps", "kB"};
    return units[field];
}

void apq_budget_of_cost(const apq_cost *cost, double out[N_FIELDS]) {
    out[APQ_BUDGET_LATENCY_MS] = cost->latency_ms;
    out[APQ_BUDGET_ENERGY_MJ] = cost->energy_mj;
    out[APQ_BUDGET_BITOPS_G] = cost->bitops / 1e9;
    out[APQ_BUDGET_SIZE_KB] = cost->weight_bytes / 1e3;
}

static size_t n_channels(const apq_space *space, int block) {
    const apq_space_block *b = &space->blocks[block];
    return (size_t)((b->max_channels - b->min_channels) / space->channel_step +
                    1);
}

/* Writes choice i of a block: kernel slowest, then channels, then bits. */
static void decode(const apq_space *space, int block, size_t i,
                   apq_policy *policy) {
    size_t n_bits = (size_t)space->n_bits;
    for (int gene = APQ_N_BIT_GENES - 1; gene >= 0; gene--) {
        policy->bits[gene][block] = (int8_t)space->bits[i % n_bits];
        i /= n_bits;
    }
    size_t n = n_channels(space, block);
    policy->channels[block] = (int16_t)(space->blocks[block].min_channels +
                                        (int)(i % n) * space->channel_step);
    policy->kernel[block] = (int8_t)space->kernels[i / n];
}

static void set_strides(const apq_space *space, strides *s) {
    for (int i = 0; i < N_BYTE_VALUES; i++) {
        s->kernel[i] = ILLEGAL;
        for (int gene = 0; gene < APQ_N_BIT_GENES; gene++) {
            s->bits[gene][i] = ILLEGAL;
        }
    }
    for (int i = 0; i < space->n_kernels; i++) {
        s->kernel[space->kernels[i]] = (uint32_t)i;
    }
    uint32_t stride = 1;
    for (int gene = APQ_N_BIT_GENES - 1; gene >= 0; gene--) {
        for (int i = 0; i < space->n_bits; i++) {
            s->bits[gene][space->bits[i]] = (uint32_t)i * stride;
        }
        stride *= (uint32_t)space->n_bits;
    }
    s->all_bits = stride;
    for (int b = 0; b < space->n_blocks; b++) {
        s->per_channel[b] = n_channels(space, b) * stride;
    }
    uint64_t step = (uint64_t)space->channel_step;
    s->channel_reciprocal = ((UINT64_C(1) << 32) + step - 1) / step;
}

/* The inverse of decode. */
static size_t encode(const apq_price_table *table, int block,
                     const apq_policy *policy) {
    const strides *s = &table->strides;
    /* Widths have 15 bits: the product is exact to the quotient. */
    uint64_t above = (uint64_t)(policy->channels[block] -
                                table->space.blocks[block].min_channels);
    uint64_t i = (above * s->channel_reciprocal >> 32) * s->all_bits;
    i += s->kernel[(uint8_t)policy->kernel[block]] * s->per_channel[block];
    for (int gene = 0; gene < APQ_N_BIT_GENES; gene++) {
        i += s->bits[gene][(uint8_t)policy->bits[gene][block]];
    }
    APQ_ASSERT(i < table->n_choices[block]); /* else not of the space */
    return i;
}

static bool is_forbidden(const apq_space *space, const apq_policy *policy,
                         int block) {
    return space->forbids_k7_dw_act4 && policy->kernel[block] == 7 &&
           policy->bits[APQ_DW_ACT][block] == 4;
}

/* Costs of one layer; infinite where the target cannot run it, which only a
 * layer of the body may be. */
static apq_status price_layer(apq_target *target, const apq_ir_layer *layer,
                              double out[N_FIELDS]) {
    apq_cost cost;
    apq_status st = apq_cost_layer(target, layer, &cost);
    if (st == APQ_ERR_UNSUPPORTED && layer->block >= 0) {
        for (int f = 0; f < N_FIELDS; f++) {
            out[f] = (double)INFINITY;
        }
        return APQ_OK;
    }
    APQ_TRY(st);
    apq_budget_of_cost(&cost, out);
    return APQ_OK;
}

/* The three layers of a block see either the pointwise or the depthwise pair
 * of bits. So each is priced for one pair, and a choice sums them. */
enum { EXPAND, DEPTHWISE, PROJECT, N_LAYERS };
typedef struct layer_costs {
    double of[N_LAYERS][N_FIELDS];
} layer_costs;

typedef struct layer_table {
    size_t n_pairs;                     /* of weight and activation bits */
    size_t n_rows[APQ_MAX_BLOCKS];      /* kernel, channels, pair */
    layer_costs *costs[APQ_MAX_BLOCKS]; /* (n_rows) */
} layer_table;

/* Row i of every block that has one, from one network of full depth. */
static apq_status price_rows(const apq_space *space, apq_target *target,
                             layer_table *layers, size_t i,
                             double fixed[N_FIELDS]) {
    apq_policy policy;
    apq_policy_largest(space, space->bits[space->n_bits - 1], &policy);
    size_t pair = i % layers->n_pairs;
    for (int b = 0; b < space->n_blocks; b++) {
        if (i < layers->n_rows[b]) {
            size_t n_all = layers->n_pairs * layers->n_pairs;
            decode(space, b, i / layers->n_pairs * n_all + pair, &policy);
            policy.bits[APQ_PW_WEIGHT][b] = policy.bits[APQ_DW_WEIGHT][b];
            policy.bits[APQ_PW_ACT][b] = policy.bits[APQ_DW_ACT][b];
        }
    }
    apq_ir_network network;
    APQ_TRY(apq_policy_lower(space, &policy, &network));
    int at = 0; /* within its block; layers come in the order of the enum */
    for (size_t l = 0; l < network.n_layers; l++) {
        int b = network.layers[l].block;
        double costs[N_FIELDS];
        if (b >= 0 && i < layers->n_rows[b]) {
            bool is_absent = at == DEPTHWISE && is_forbidden(space, &policy, b);
            double *row = layers->costs[b][i].of[at];
            if (!is_absent) {
                APQ_TRY(price_layer(target, &network.layers[l], row));
            }
        } else if (b < 0 && i == 0) {
            APQ_TRY(price_layer(target, &network.layers[l], costs));
            for (int f = 0; f < N_FIELDS; f++) {
                fixed[f] += costs[f];
            }
        }
        at = b >= 0 ? (at + 1) % N_LAYERS : 0;
    }
    return APQ_OK;
}

static bool is_impossible(const double costs[N_FIELDS]) {
    return isinf(costs[0]) != 0;
}

/* Choice i of a block: the sum of its layers, in their order. */
static void fill(apq_price_table *table, const layer_table *layers, int block,
                 size_t i) {
    size_t n = layers->n_pairs;
    size_t shape = i / (n * n) * n;
    const layer_costs *pw = &layers->costs[block][shape + i / n % n];
    const layer_costs *dw = &layers->costs[block][shape + i % n];
    double *out = &table->choices[block][i * N_FIELDS];
    apq_policy policy = {.depth = {0}};
    decode(&table->space, block, i, &policy);
    bool is_absent = is_forbidden(&table->space, &policy, block) ||
                     is_impossible(pw->of[EXPAND]) ||
                     is_impossible(dw->of[DEPTHWISE]) ||
                     is_impossible(pw->of[PROJECT]);
    for (int f = 0; f < N_FIELDS; f++) {
        double sum = pw->of[EXPAND][f] + dw->of[DEPTHWISE][f];
        out[f] = is_absent ? (double)INFINITY : sum + pw->of[PROJECT][f];
    }
}

static void layer_table_fini(layer_table *layers) {
    for (int b = 0; b < APQ_MAX_BLOCKS; b++) {
        free(layers->costs[b]);
    }
}

static apq_status price_layers(apq_price_table *table, apq_target *target,
                               layer_table *layers) {
    const apq_space *space = &table->space;
    size_t largest = 0;
    layers->n_pairs = (size_t)(space->n_bits * space->n_bits);
    for (int b = 0; b < space->n_blocks; b++) {
        size_t n = table->n_choices[b] / layers->n_pairs;
        layers->n_rows[b] = n;
        layers->costs[b] = apq_calloc(n, sizeof *layers->costs[b]);
        if (layers->costs[b] == NULL) {
            APQ_FAIL(APQ_ERR_NOMEM, "no memory to price %zu layers", n);
        }
        largest = n > largest ? n : largest;
    }
    for (size_t i = 0; i < largest; i++) {
        APQ_TRY(price_rows(space, target, layers, i, table->fixed));
    }
    return APQ_OK;
}

static apq_status fill_all(apq_price_table *table, apq_target *target) {
    const apq_space *space = &table->space;
    size_t n_rows = 0;
    set_strides(space, &table->strides);
    for (int b = 0; b < space->n_blocks; b++) {
        size_t n = (size_t)space->n_kernels * table->strides.per_channel[b];
        table->n_choices[b] = n;
        n_rows += n;
    }
    table->rows = apq_calloc(n_rows * N_FIELDS, sizeof *table->rows);
    if (table->rows == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "no memory to price %zu choices of blocks",
                 n_rows);
    }
    double *at = table->rows;
    for (int b = 0; b < space->n_blocks; b++) {
        table->choices[b] = at;
        at += table->n_choices[b] * N_FIELDS;
    }
    layer_table layers = {.n_pairs = 0};
    apq_status st = price_layers(table, target, &layers);
    for (int b = 0; st == APQ_OK && b < space->n_blocks; b++) {
        for (size_t i = 0; i < table->n_choices[b]; i++) {
            fill(table, &layers, b, i);
        }
    }
    layer_table_fini(&layers);
    return st;
}

static bool has_choice(const apq_price_table *table, int block) {
    for (size_t i = 0; i < table->n_choices[block]; i++) {
        if (!isinf(table->choices[block][i * N_FIELDS])) {
            return true;
        }
    }
    return false;
}

/* APQ_ERR_UNSUPPORTED with the target's own words when it can run no choice
 * of some block. */
static apq_status check_blocks(const apq_price_table *table,
                               apq_target *target) {
    const apq_space *space = &table->space;
    apq_policy policy;
    apq_ir_network network;
    apq_policy_smallest(space, space->bits[space->n_bits - 1], &policy);
    for (int s = 0; s < space->n_stages; s++) {
        policy.depth[s] = (int8_t)space->stages[s].max_depth;
    }
    APQ_TRY(apq_policy_lower(space, &policy, &network));
    for (size_t l = 0; l < network.n_layers; l++) {
        int block = network.layers[l].block;
        if (block >= 0 && !has_choice(table, block)) {
            apq_cost cost;
            APQ_TRY(apq_cost_layer(target, &network.layers[l], &cost));
        }
    }
    return APQ_OK;
}

apq_status apq_price_table_create(const apq_space *space, apq_target *target,
                                  apq_price_table **out) {
    apq_price_table *table = apq_calloc(1, sizeof *table);
    if (table == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "no memory for a price table");
    }
    table->space = *space;
    apq_status st = fill_all(table, target);
    if (st == APQ_OK) {
        st = check_blocks(table, target);
    }
    if (st != APQ_OK) {
        apq_price_table_destroy(table);
        /* A target too small for the space is a fault of the input. */
        return st != APQ_ERR_UNSUPPORTED
                   ? st
                   : APQ_ERROR(APQ_ERR_ARG, "target %s cannot run space %s: %s",
                               apq_target_name(target), space->name,
                               apq_error_message());
    }
    *out = table;
    return APQ_OK;
}

void apq_price_table_destroy(apq_price_table *table) {
    if (table != NULL) {
        free(table->rows);
        free(table);
    }
}

void apq_price_policy(const apq_price_table *table, const apq_policy *policy,
                      double out[N_FIELDS]) {
    const apq_space *space = &table->space;
    const double *entries[APQ_MAX_BLOCKS];
    int n = 0;
    /* All places first: their loads then overlap. */
    for (int s = 0; s < space->n_stages; s++) {
        int first = space->stages[s].first_block;
        for (int b = first; b < first + policy->depth[s]; b++) {
            entries[n++] =
                table->choices[b] + encode(table, b, policy) * N_FIELDS;
        }
    }
    double sum[N_FIELDS];
    memcpy(sum, table->fixed, sizeof sum);
    for (int i = 0; i < n; i++) {
        for (int f = 0; f < N_FIELDS; f++) {
            sum[f] += entries[i][f];
        }
    }
    memcpy(out, sum, sizeof sum);
}

static double weighted(const double *costs, const double *weight) {
    double sum = 0;
    for (int f = 0; f < N_FIELDS; f++) {
        /* A NaN cost of weight 0 must not spoil the sum. */
        sum += weight[f] != 0 ? weight[f] * costs[f] : 0;
    }
    return sum;
}

static bool has_only_bits(const apq_policy *policy, int block, int bits) {
    for (int gene = 0; gene < APQ_N_BIT_GENES; gene++) {
        if (bits != 0 && policy->bits[gene][block] != bits) {
            return false;
        }
    }
    return true;
}

/* Cheapest choice of one block, written into `out`. */
static bool cheapest_choice(const apq_price_table *table, int block, int bits,
                            const double *weight, apq_policy *out) {
    double best = (double)INFINITY;
    size_t best_at = 0;
    apq_policy choice = *out;
    for (size_t i = 0; i < table->n_choices[block]; i++) {
        double value = weighted(&table->choices[block][i * N_FIELDS], weight);
        decode(&table->space, block, i, &choice);
        if (value < best && has_only_bits(&choice, block, bits)) {
            best = value;
            best_at = i;
        }
    }
    if (isinf(best)) {
        return false;
    }
    decode(&table->space, block, best_at, out);
    return true;
}

apq_status apq_price_cheapest(const apq_price_table *table, int bits,
                              const double weight[N_FIELDS], apq_policy *out) {
    const apq_space *space = &table->space;
    apq_policy policy;
    apq_policy_smallest(space, space->bits[space->n_bits - 1], &policy);
    for (int s = 0; s < space->n_stages; s++) {
        const apq_space_stage *stage = &space->stages[s];
        /* Costs are not negative: fewer blocks are never dearer. */
        policy.depth[s] = (int8_t)stage->min_depth;
        for (int k = 0; k < stage->min_depth; k++) {
            int block = stage->first_block + k;
            if (!cheapest_choice(table, block, bits, weight, &policy)) {
                APQ_FAIL(APQ_ERR_INFEASIBLE,
                         "the target can execute no choice of block %d of "
                         "space '%s'",
                         block, space->name);
            }
        }
    }
    apq_policy_canonical(space, &policy);
    *out = policy;
    return APQ_OK;
}

const apq_space *apq_price_space(const apq_price_table *table) {
    return &table->space;
}

void apq_price_fixed(const apq_price_table *table, double out[N_FIELDS]) {
    memcpy(out, table->fixed, sizeof table->fixed);
}

size_t apq_price_n_choices(const apq_price_table *table, int block) {
    return table->n_choices[block];
}

void apq_price_choice(const apq_price_table *table, int block, size_t i,
                      apq_policy *genes, double out[N_FIELDS]) {
    decode(&table->space, block, i, genes);
    memcpy(out, &table->choices[block][i * N_FIELDS], N_FIELDS * sizeof out[0]);
}
