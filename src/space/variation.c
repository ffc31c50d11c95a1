/* Random policies, mutation and crossover, legal by construction: a forbidden
 * pair is repaired by redrawing its activation bits, never by rejection, so
 * every call takes bounded time. Source: APQ, CVPR 2020, section 4. */
#include "space/space.h"

#include "space/gene.h"

#include <string.h>

static int draw(const apq_space *space, int gene, int block, apq_rng *rng) {
    uint32_t n = (uint32_t)apq_gene_count(space, gene, block);
    return apq_gene_value(space, gene, block, (int)apq_rng_below(rng, n));
}

static void draw_block(const apq_space *space, int block, apq_rng *rng,
                       apq_policy *out) {
    for (int g = 0; g < APQ_N_BLOCK_GENES; g++) {
        apq_gene_set(out, g, block, draw(space, g, block, rng));
    }
}

static int draw_depth(const apq_space *space, int stage, apq_rng *rng) {
    const apq_space_stage *s = &space->stages[stage];
    uint32_t n = (uint32_t)(s->max_depth - s->min_depth + 1);
    return s->min_depth + (int)apq_rng_below(rng, n);
}

/* Uniform over the bits other than the forbidden 4. */
static void repair(const apq_space *space, apq_rng *rng, apq_policy *out) {
    for (int i = 0; i < space->n_blocks; i++) {
        if (!apq_block_is_forbidden(space, out, i) ||
            !apq_space_block_active(space, out, i)) {
            continue;
        }
        int legal[APQ_MAX_BITS];
        uint32_t n = 0;
        for (int k = 0; k < space->n_bits; k++) {
            if (space->bits[k] != 4) {
                legal[n++] = space->bits[k];
            }
        }
        int bits = legal[apq_rng_below(rng, n)];
        out->bits[APQ_DW_ACT][i] = (int8_t)bits;
    }
}

void apq_policy_random(const apq_space *space, apq_rng *rng, apq_policy *out) {
    memset(out, 0, sizeof *out);
    for (int s = 0; s < space->n_stages; s++) {
        out->depth[s] = (int8_t)draw_depth(space, s, rng);
    }
    for (int i = 0; i < space->n_blocks; i++) {
        draw_block(space, i, rng, out);
    }
    repair(space, rng, out);
}

void apq_policy_random_bits(const apq_space *space, apq_rng *rng,
                            apq_policy *policy) {
    for (int i = 0; i < space->n_blocks; i++) {
        for (int g = 0; g < APQ_N_BIT_GENES; g++) {
            uint32_t k = apq_rng_below(rng, (uint32_t)space->n_bits);
            policy->bits[g][i] = (int8_t)space->bits[k];
        }
    }
    repair(space, rng, policy);
}

void apq_policy_mutate(const apq_space *space, double p, apq_rng *rng,
                       const apq_policy *parent, apq_policy *child) {
    *child = *parent;
    for (int s = 0; s < space->n_stages; s++) {
        if (apq_rng_chance(rng, p)) {
            child->depth[s] = (int8_t)draw_depth(space, s, rng);
        }
    }
    for (int i = 0; i < space->n_blocks; i++) {
        if (apq_rng_chance(rng, p)) {
            draw_block(space, i, rng, child);
        }
    }
    repair(space, rng, child);
}

static void copy_block(const apq_policy *from, int block, apq_policy *to) {
    to->kernel[block] = from->kernel[block];
    to->channels[block] = from->channels[block];
    for (int g = 0; g < APQ_N_BIT_GENES; g++) {
        to->bits[g][block] = from->bits[g][block];
    }
}

void apq_policy_cross(const apq_space *space, apq_rng *rng, const apq_policy *a,
                      const apq_policy *b, apq_policy *child) {
    apq_policy mixed = *a; /* `child` may be a parent */
    _Static_assert(APQ_MAX_STAGES <= 32 && APQ_MAX_BLOCKS <= 32, "one word");
    uint32_t coins = apq_rng_u32(rng);
    for (int s = 0; s < space->n_stages; s++) {
        mixed.depth[s] = (coins >> s & 1U) != 0 ? b->depth[s] : a->depth[s];
    }
    coins = apq_rng_u32(rng);
    for (int i = 0; i < space->n_blocks; i++) {
        if ((coins >> i & 1U) != 0) {
            copy_block(b, i, &mixed);
        }
    }
    repair(space, rng, &mixed);
    *child = mixed;
}
