/* Single-gene moves. A policy over budget is brought back by small steps
 * towards a cheap one, so a gene that grows is paid for by others that shrink:
 * exchanges that rejection finds too seldom at a tight budget. Ours. */
#include "search/moves.h"

#include "search/sampler.h"
#include "space/gene.h"

enum {
    GENE_TRIES = 64,
    SMALL_STEP = 3,    /* at most this many positions */
    MANY_VALUES = 4,   /* genes with more values move by small steps, too */
    COARSE_SHARE = 8,  /* one gene of eight each time */
    MAX_STEPS = 100000 /* of one descent; far above genes * values */
};
static const double depth_rate = 0.05;
/* Depth rarely moves on the way to a goal: it takes whole blocks away. */
static const double depth_towards_rate = 0.0125;

/* Gives every active forbidden pair another depthwise activation width or
 * another kernel. */
static void repair_pairs(const apq_space *space, apq_rng *rng,
                         apq_policy *policy) {
    for (int b = 0; b < space->n_blocks; b++) {
        while (apq_space_block_active(space, policy, b) &&
               apq_block_is_forbidden(space, policy, b)) {
            bool is_kernel = space->n_bits == 1 || apq_rng_below(rng, 2) == 0;
            int gene = is_kernel && space->n_kernels > 1
                           ? APQ_GENE_KERNEL
                           : APQ_GENE_BITS + APQ_DW_ACT;
            uint32_t n = (uint32_t)apq_gene_count(space, gene, b);
            int k = (int)apq_rng_below(rng, n);
            apq_gene_set(policy, gene, b, apq_gene_value(space, gene, b, k));
        }
    }
}

static bool is_legal(const apq_space *space, const apq_policy *policy) {
    for (int b = 0; b < space->n_blocks; b++) {
        if (apq_space_block_active(space, policy, b) &&
            apq_block_is_forbidden(space, policy, b)) {
            return false;
        }
    }
    return true;
}

/* Another depth of one random stage; false where that stage has only one. */
static bool move_depth(const apq_space *space, apq_rng *rng,
                       apq_policy *policy) {
    int s = (int)apq_rng_below(rng, (uint32_t)space->n_stages);
    const apq_space_stage *stage = &space->stages[s];
    int n = stage->max_depth - stage->min_depth + 1;
    if (n == 1) {
        return false;
    }
    int k = (int)apq_rng_below(rng, (uint32_t)(n - 1)) + stage->min_depth;
    policy->depth[s] = (int8_t)(k < policy->depth[s] ? k : k + 1);
    return true;
}

/* Another value of one random gene; false where it has only one. */
static bool move_gene(const apq_space *space, apq_rng *rng,
                      apq_policy *policy) {
    int b = (int)apq_rng_below(rng, (uint32_t)space->n_blocks);
    int gene = (int)apq_rng_below(rng, APQ_N_BLOCK_GENES);
    int n = apq_gene_count(space, gene, b);
    if (n == 1 || !apq_space_block_active(space, policy, b)) {
        return false;
    }
    int k = apq_gene_find(space, gene, b, apq_gene_get(policy, gene, b));
    int next;
    if (n > MANY_VALUES && apq_rng_below(rng, 2) == 0) {
        int step = 1 + (int)apq_rng_below(rng, SMALL_STEP);
        next = apq_rng_below(rng, 2) == 0 ? k - step : k + step;
        next = next < 0 ? 0 : next;
        next = next < n ? next : n - 1;
    } else {
        next = (int)apq_rng_below(rng, (uint32_t)(n - 1));
        next = next < k ? next : next + 1;
    }
    apq_gene_set(policy, gene, b, apq_gene_value(space, gene, b, next));
    return true;
}

void apq_move_random(const apq_space *space, apq_rng *rng, apq_policy *policy) {
    bool is_done =
        apq_rng_uniform(rng) < depth_rate && move_depth(space, rng, policy);
    for (int i = 0; i < GENE_TRIES && !is_done; i++) {
        is_done = move_gene(space, rng, policy);
    }
    repair_pairs(space, rng, policy);
}

/* Genes of active blocks, block * APQ_N_BLOCK_GENES + gene, unlike goal's. */
static size_t list_genes(const apq_space *space, const apq_policy *policy,
                         const apq_policy *goal, int *list) {
    size_t n = 0;
    for (int b = 0; b < space->n_blocks; b++) {
        if (!apq_space_block_active(space, policy, b)) {
            continue;
        }
        for (int g = 0; g < APQ_N_BLOCK_GENES; g++) {
            if (apq_gene_get(policy, g, b) != apq_gene_get(goal, g, b)) {
                list[n++] = b * APQ_N_BLOCK_GENES + g;
            }
        }
    }
    return n;
}

static void step_gene(const apq_space *space, apq_rng *rng, int at,
                      const apq_policy *goal, apq_policy *policy) {
    int b = at / APQ_N_BLOCK_GENES, gene = at % APQ_N_BLOCK_GENES;
    int k = apq_gene_find(space, gene, b, apq_gene_get(policy, gene, b));
    int end = apq_gene_find(space, gene, b, apq_gene_get(goal, gene, b));
    int step = apq_gene_count(space, gene, b) > MANY_VALUES
                   ? 1 + (int)apq_rng_below(rng, SMALL_STEP)
                   : MANY_VALUES;
    int next = k < end ? (k + step < end ? k + step : end)
                       : (k - step > end ? k - step : end);
    apq_gene_set(policy, gene, b, apq_gene_value(space, gene, b, next));
}

static void step_depth(const apq_space *space, apq_rng *rng,
                       const apq_policy *goal, apq_policy *policy) {
    int s = (int)apq_rng_below(rng, (uint32_t)space->n_stages);
    policy->depth[s] = goal->depth[s];
}

/* One round; all genes equal and depth at the goal is the end of the way. */
static void step_towards(const apq_space *space, apq_rng *rng,
                         const apq_policy *goal, bool is_coarse,
                         apq_policy *policy) {
    int list[APQ_MAX_BLOCKS * APQ_N_BLOCK_GENES];
    size_t n = list_genes(space, policy, goal, list);
    if (n == 0 || apq_rng_uniform(rng) < depth_towards_rate) {
        step_depth(space, rng, goal, policy);
        return;
    }
    if (!is_coarse) {
        step_gene(space, rng, list[apq_rng_below(rng, (uint32_t)n)], goal,
                  policy);
        return;
    }
    size_t n_moved = (n + COARSE_SHARE - 1) / COARSE_SHARE;
    for (size_t i = 0; i < n_moved; i++) {
        int at = list[apq_rng_below(rng, (uint32_t)n)];
        int b = at / APQ_N_BLOCK_GENES, gene = at % APQ_N_BLOCK_GENES;
        apq_gene_set(policy, gene, b, apq_gene_get(goal, gene, b));
    }
}

static bool is_same(const apq_space *space, const apq_policy *a,
                    const apq_policy *b) {
    for (int s = 0; s < space->n_stages; s++) {
        if (a->depth[s] != b->depth[s]) {
            return false;
        }
    }
    int list[APQ_MAX_BLOCKS * APQ_N_BLOCK_GENES];
    return list_genes(space, a, b, list) == 0;
}

apq_status apq_move_towards(const apq_search_env *env, apq_rng *rng,
                            const apq_policy *goal, bool is_coarse,
                            apq_policy *policy, bool *is_feasible) {
    *is_feasible = false;
    for (int i = 0; i < MAX_STEPS; i++) {
        if (is_legal(env->space, policy)) {
            APQ_TRY(apq_env_feasible(env, policy, is_feasible));
        }
        if (*is_feasible || is_same(env->space, policy, goal)) {
            break;
        }
        step_towards(env->space, rng, goal, is_coarse, policy);
    }
    return APQ_OK;
}

size_t apq_neighbour_count(const apq_space *space) {
    size_t n = 0;
    for (int s = 0; s < space->n_stages; s++) {
        n += (size_t)(space->stages[s].max_depth - space->stages[s].min_depth +
                      1);
    }
    for (int b = 0; b < space->n_blocks; b++) {
        for (int g = 0; g < APQ_N_BLOCK_GENES; g++) {
            n += (size_t)apq_gene_count(space, g, b);
        }
    }
    return n;
}

bool apq_neighbour(const apq_space *space, const apq_policy *policy, size_t i,
                   apq_policy *out) {
    *out = *policy;
    for (int s = 0; s < space->n_stages; s++) {
        const apq_space_stage *stage = &space->stages[s];
        size_t n = (size_t)(stage->max_depth - stage->min_depth + 1);
        if (i < n) {
            out->depth[s] = (int8_t)(stage->min_depth + (int)i);
            return out->depth[s] != policy->depth[s] && is_legal(space, out);
        }
        i -= n;
    }
    for (int b = 0; b < space->n_blocks; b++) {
        for (int g = 0; g < APQ_N_BLOCK_GENES; g++) {
            size_t n = (size_t)apq_gene_count(space, g, b);
            if (i < n) {
                int value = apq_gene_value(space, g, b, (int)i);
                apq_gene_set(out, g, b, value);
                return apq_space_block_active(space, policy, b) &&
                       value != apq_gene_get(policy, g, b) &&
                       is_legal(space, out);
            }
            i -= n;
        }
    }
    return false;
}
