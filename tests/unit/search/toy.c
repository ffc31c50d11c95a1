/* The synthetic separable problem of the search tests. */
#include "unit/search/toy.h"

#include <math.h>
#include <stdlib.h>

void toy_init(toy *t, const char *space) {
    *t = (toy){.max_cost = (double)INFINITY, .cap_seen = 1 << 16};
    APQ_ASSERT(apq_space_load(space, &t->space) == APQ_OK);
    t->seen = calloc(t->cap_seen, sizeof *t->seen);
    APQ_ASSERT(t->seen != NULL);
}

void toy_fini(toy *t) {
    free(t->seen);
}

/* A fixed pseudo-random weight in [0.5, 1.5) of one gene of one block. */
static double weight(int block, int gene) {
    apq_rng rng = apq_rng_make(7, APQ_RNG_TEST, (uint64_t)(block * 16 + gene));
    return 0.5 + apq_rng_uniform(&rng);
}

double toy_value(const toy *t, const apq_policy *policy) {
    double sum = 0.0;
    for (int b = 0; b < t->space.n_blocks; b++) {
        if (!apq_space_block_active(&t->space, policy, b)) {
            continue;
        }
        const apq_space_block *block = &t->space.blocks[b];
        double wide = (double)policy->channels[b] / block->max_channels;
        /* The middle kernel is the best one in every other block. */
        double kernel = b % 2 == 0 ? policy->kernel[b] / 7.0
                                   : 1.0 - fabs(policy->kernel[b] - 5.0) / 4.0;
        sum += weight(b, 0) * kernel + weight(b, 1) * wide;
        for (int g = 0; g < APQ_N_BIT_GENES; g++) {
            sum += weight(b, 2 + g) * policy->bits[g][b] / 8.0;
        }
    }
    return sum;
}

double toy_cost(const toy *t, const apq_policy *policy) {
    double sum = 0.0;
    for (int b = 0; b < t->space.n_blocks; b++) {
        if (!apq_space_block_active(&t->space, policy, b)) {
            continue;
        }
        const apq_space_block *block = &t->space.blocks[b];
        double wide = (double)policy->channels[b] / block->max_channels;
        double pw =
            policy->bits[APQ_PW_WEIGHT][b] + policy->bits[APQ_PW_ACT][b];
        double dw =
            policy->bits[APQ_DW_WEIGHT][b] + policy->bits[APQ_DW_ACT][b];
        sum += wide * (pw + dw * policy->kernel[b] / 7.0) / 32.0;
    }
    return sum;
}

double toy_budget(const toy *t, double fraction) {
    apq_policy low;
    apq_policy high;
    apq_policy_smallest(&t->space, t->space.bits[0], &low);
    apq_policy_largest(&t->space, t->space.bits[t->space.n_bits - 1], &high);
    double least = toy_cost(t, &low);
    return least + fraction * (toy_cost(t, &high) - least);
}

apq_status toy_feasible(void *ctx, const apq_policy *policy,
                        bool *is_feasible) {
    const toy *t = ctx;
    *is_feasible = toy_cost(t, policy) <= t->max_cost;
    return APQ_OK;
}

apq_status toy_evaluate(void *ctx, const apq_policy *batch, size_t n,
                        apq_score *scores) {
    toy *t = ctx;
    for (size_t i = 0; i < n; i++) {
        uint64_t hash = apq_policy_hash(&t->space, &batch[i]);
        for (size_t k = 0; k < t->n_seen; k++) {
            t->n_repeated += t->seen[k] == hash ? 1 : 0;
        }
        if (t->n_seen < t->cap_seen) {
            t->seen[t->n_seen++] = hash;
        }
        bool is_legal = apq_policy_check(&t->space, &batch[i]) == APQ_OK;
        t->n_illegal += is_legal ? 0 : 1;
        bool is_cheap = toy_cost(t, &batch[i]) <= t->max_cost;
        t->n_infeasible += is_cheap ? 0 : 1;
        t->trace = (t->trace ^ hash) * 0x100000001b3u;
        scores[i].value = t->is_flat ? 1.0 : toy_value(t, &batch[i]);
        scores[i].cost[0] = toy_cost(t, &batch[i]);
        for (int k = 0; k < t->space.n_stages; k++) {
            scores[i].cost[1] += batch[i].depth[k];
        }
    }
    t->n_scored += n;
    return APQ_OK;
}

apq_driver_options toy_options(toy *t, const char *strategy, int iterations) {
    apq_driver_options options = APQ_DRIVER_OPTIONS_INIT;
    options.strategy = strategy;
    options.population = 20;
    options.parents = 5;
    options.iterations = iterations;
    options.seed = 1;
    options.evaluate = toy_evaluate;
    options.feasible = toy_feasible;
    options.ctx = t;
    return options;
}
