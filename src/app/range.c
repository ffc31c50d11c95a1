/* Exact extremes of additive costs by dynamic programming: with a block's
 * channels fixed its pointwise and depthwise genes are independent, blocks are
 * independent as their outer channels are fixed, stages by prefix sums. */
#include "app/range.h"

#include <math.h>

enum { LOW, HIGH, N_ENDS, N_FIELDS = APQ_COST_PEAK_ACTIVATION_BYTES };
enum { N_PARTS = 3 }; /* expand, depthwise, project */

/* The genes of one block that reach an extreme, and its value. */
typedef struct choice {
    bool is_set;
    double value;
    int channels, kernel;
    int bits[APQ_N_BIT_GENES];
} choice;

/* Extremes of one block, or of some of its layers, in every field. */
typedef struct extremes {
    choice at[N_ENDS][N_FIELDS];
} extremes;

typedef struct solution {
    apq_cost fixed; /* layers outside the searched blocks */
    extremes blocks[APQ_MAX_BLOCKS];
} solution;

static bool is_better(int end, double value, const choice *than) {
    return !than->is_set ||
           (end == LOW ? value < than->value : value > than->value);
}

/* Offers a choice of genes with its costs to every extreme. */
static void offer(extremes *best, const choice *genes, const apq_cost *costs) {
    for (int end = 0; end < N_ENDS; end++) {
        for (int f = 0; f < N_FIELDS; f++) {
            double value = apq_cost_get(costs, (apq_cost_field)f);
            if (is_better(end, value, &best->at[end][f])) {
                best->at[end][f] = *genes;
                best->at[end][f].is_set = true;
                best->at[end][f].value = value;
            }
        }
    }
}

static void add(apq_cost *sum, const apq_cost *one) {
    sum->latency_ms += one->latency_ms;
    sum->energy_mj += one->energy_mj;
    sum->bitops += one->bitops;
    sum->macs += one->macs;
    sum->params += one->params;
    sum->weight_bytes += one->weight_bytes;
}

/* Cost of layers that share bits; *can_run is false where one cannot run. */
static apq_status price(apq_target *target, apq_ir_layer *layers, int n,
                        int weight_bits, int act_bits, apq_cost *out,
                        bool *can_run) {
    *out = (apq_cost){0};
    *can_run = true;
    for (int i = 0; i < n; i++) {
        apq_cost one;
        layers[i].weight_bits = weight_bits;
        layers[i].act_bits = act_bits;
        apq_status st = apq_cost_layer(target, &layers[i], &one);
        if (st == APQ_ERR_UNSUPPORTED) {
            *can_run = false;
            return APQ_OK;
        }
        APQ_TRY(st);
        add(out, &one);
    }
    return APQ_OK;
}

/* Extremes of the expand and project layers at given channels. */
static apq_status solve_pointwise(const apq_space *space, apq_target *target,
                                  apq_ir_layer layers[2], extremes *best) {
    for (int w = 0; w < space->n_bits; w++) {
        for (int a = 0; a < space->n_bits; a++) {
            choice genes = {.channels = layers[0].out_channels};
            genes.bits[APQ_PW_WEIGHT] = space->bits[w];
            genes.bits[APQ_PW_ACT] = space->bits[a];
            apq_cost costs;
            bool can_run;
            APQ_TRY(price(target, layers, 2, space->bits[w], space->bits[a],
                          &costs, &can_run));
            if (can_run) {
                offer(best, &genes, &costs);
            }
        }
    }
    return APQ_OK;
}

static apq_status solve_depthwise(const apq_space *space, apq_target *target,
                                  apq_ir_layer *layer, extremes *best) {
    int n = space->n_bits;
    for (int i = 0; i < space->n_kernels * n * n; i++) {
        choice genes = {.kernel = space->kernels[i / (n * n)]};
        int weight_bits = space->bits[i / n % n], act_bits = space->bits[i % n];
        if (space->forbids_k7_dw_act4 && genes.kernel == 7 && act_bits == 4) {
            continue;
        }
        genes.bits[APQ_DW_WEIGHT] = weight_bits;
        genes.bits[APQ_DW_ACT] = act_bits;
        layer->kernel = genes.kernel;
        apq_cost costs;
        bool can_run;
        APQ_TRY(
            price(target, layer, 1, weight_bits, act_bits, &costs, &can_run));
        if (can_run) {
            offer(best, &genes, &costs);
        }
    }
    return APQ_OK;
}

/* Extremes of one block over everything; parts are its three layers. */
static apq_status solve_block(const apq_space *space, apq_target *target,
                              int block, const apq_ir_layer parts[N_PARTS],
                              extremes *best) {
    const apq_space_block *b = &space->blocks[block];
    *best = (extremes){0};
    for (int c = b->min_channels; c <= b->max_channels;
         c += space->channel_step) {
        apq_ir_layer pointwise[2] = {parts[0], parts[2]};
        apq_ir_layer depthwise = parts[1];
        pointwise[0].out_channels = c;
        pointwise[1].in_channels = c;
        depthwise.in_channels = depthwise.out_channels = c;
        extremes outer = {0}, inner = {0};
        APQ_TRY(solve_pointwise(space, target, pointwise, &outer));
        APQ_TRY(solve_depthwise(space, target, &depthwise, &inner));
        for (int i = 0; i < N_ENDS * N_FIELDS; i++) {
            int end = i / N_FIELDS, f = i % N_FIELDS;
            const choice *pw = &outer.at[end][f], *dw = &inner.at[end][f];
            if (pw->is_set && dw->is_set &&
                is_better(end, pw->value + dw->value, &best->at[end][f])) {
                choice sum = *pw;
                sum.value += dw->value;
                sum.kernel = dw->kernel;
                sum.bits[APQ_DW_WEIGHT] = dw->bits[APQ_DW_WEIGHT];
                sum.bits[APQ_DW_ACT] = dw->bits[APQ_DW_ACT];
                best->at[end][f] = sum;
            }
        }
    }
    if (!best->at[LOW][0].is_set) {
        APQ_FAIL(APQ_ERR_INFEASIBLE,
                 "space %s: target %s can run no choice of block %d",
                 space->name, apq_target_name(target), block);
    }
    return APQ_OK;
}

static apq_status solve(const apq_space *space, apq_target *target,
                        solution *out) {
    apq_policy policy;
    apq_ir_network net;
    apq_policy_largest(space, space->bits[space->n_bits - 1], &policy);
    APQ_TRY(apq_policy_lower(space, &policy, &net)); /* every block active */
    *out = (solution){0};
    int n_blocks = 0;
    for (size_t i = 0; i < net.n_layers; i++) {
        const apq_ir_layer *l = &net.layers[i];
        if (l->block < 0) {
            apq_cost one;
            APQ_TRY(apq_cost_layer(target, l, &one));
            add(&out->fixed, &one);
        } else if (l->role == APQ_ROLE_EXPAND) {
            APQ_ASSERT(i + N_PARTS <= net.n_layers &&
                       l[1].role == APQ_ROLE_DEPTHWISE &&
                       l[2].role == APQ_ROLE_PROJECT);
            APQ_TRY(solve_block(space, target, l->block, l,
                                &out->blocks[l->block]));
            n_blocks++;
        }
    }
    APQ_ASSERT(n_blocks == space->n_blocks);
    return APQ_OK;
}

/* Best depth of one stage, and the sum of its active blocks at that depth. */
static int solve_stage(const apq_space_stage *stage, const solution *s, int end,
                       int field, double *value) {
    choice best = {0};
    int best_depth = stage->max_depth;
    double sum = 0.0;
    for (int depth = 0; depth <= stage->max_depth; depth++) {
        if (depth > 0) {
            sum +=
                s->blocks[stage->first_block + depth - 1].at[end][field].value;
        }
        if (depth >= stage->min_depth && is_better(end, sum, &best)) {
            best.is_set = true;
            best.value = sum;
            best_depth = depth;
        }
    }
    *value = best.value;
    return best_depth;
}

static double extreme_of(const apq_space *space, const solution *s, int end,
                         apq_cost_field field) {
    double total = apq_cost_get(&s->fixed, field);
    for (int i = 0; i < space->n_stages; i++) {
        double value;
        (void)solve_stage(&space->stages[i], s, end, (int)field, &value);
        total += value;
    }
    return total;
}

static apq_cost collect(const apq_space *space, const solution *s, int end) {
    return (apq_cost){
        .latency_ms = extreme_of(space, s, end, APQ_COST_LATENCY_MS),
        .energy_mj = extreme_of(space, s, end, APQ_COST_ENERGY_MJ),
        .bitops = extreme_of(space, s, end, APQ_COST_BITOPS),
        .macs = extreme_of(space, s, end, APQ_COST_MACS),
        .params = extreme_of(space, s, end, APQ_COST_PARAMS),
        .weight_bytes = extreme_of(space, s, end, APQ_COST_WEIGHT_BYTES),
        .peak_activation_bytes = (double)NAN,
    };
}

apq_status apq_app_range(const apq_space *space, apq_target *target,
                         apq_cost *low, apq_cost *high) {
    solution s;
    APQ_TRY(solve(space, target, &s));
    *low = collect(space, &s, LOW);
    *high = collect(space, &s, HIGH);
    return APQ_OK;
}

apq_status apq_app_cheapest(const apq_space *space, apq_target *target,
                            apq_cost_field field, apq_policy *out) {
    if ((int)field < 0 || (int)field >= N_FIELDS) {
        APQ_FAIL(APQ_ERR_ARG, "cost field %d is not a sum over layers",
                 (int)field);
    }
    solution s;
    apq_policy policy;
    APQ_TRY(solve(space, target, &s));
    apq_policy_smallest(space, space->bits[0], &policy);
    for (int i = 0; i < space->n_stages; i++) {
        double value;
        policy.depth[i] =
            (int8_t)solve_stage(&space->stages[i], &s, LOW, (int)field, &value);
    }
    for (int b = 0; b < space->n_blocks; b++) {
        const choice *best = &s.blocks[b].at[LOW][field];
        policy.kernel[b] = (int8_t)best->kernel;
        policy.channels[b] = (int16_t)best->channels;
        for (int g = 0; g < APQ_N_BIT_GENES; g++) {
            policy.bits[g][b] = (int8_t)best->bits[g];
        }
    }
    apq_policy_canonical(space, &policy);
    APQ_TRY(apq_policy_check(space, &policy));
    *out = policy;
    return APQ_OK;
}
