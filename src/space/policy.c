/* Corners, legality, canonical form and hash of policies, and the size of a
 * space. Source: APQ, CVPR 2020, section 3.1. */
#include "space/space.h"

#include "base/file.h"
#include "space/gene.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Hash and memcmp of whole policies rely on the absence of padding. */
_Static_assert(sizeof(apq_policy) ==
                   APQ_MAX_STAGES + APQ_MAX_BLOCKS * (1 + 2 + APQ_N_BIT_GENES),
               "apq_policy has padding");

void apq_policy_set_bits(const apq_space *space, int bits, apq_policy *policy) {
    for (int g = 0; g < APQ_N_BIT_GENES; g++) {
        for (int i = 0; i < space->n_blocks; i++) {
            policy->bits[g][i] = (int8_t)bits;
        }
    }
}

static void corner(const apq_space *space, bool largest, int bits,
                   apq_policy *out) {
    memset(out, 0, sizeof *out);
    for (int s = 0; s < APQ_MAX_STAGES; s++) { /* unused stages are zero */
        const apq_space_stage *stage = &space->stages[s];
        out->depth[s] = (int8_t)(largest ? stage->max_depth : stage->min_depth);
    }
    apq_policy_set_bits(space, bits, out);
    for (int i = 0; i < space->n_blocks; i++) {
        int k = largest ? space->n_kernels - 1 : 0;
        out->kernel[i] = (int8_t)space->kernels[k];
        if (apq_block_is_forbidden(space, out, i)) {
            /* Loading has made sure that another kernel exists. */
            out->kernel[i] = (int8_t)space->kernels[space->n_kernels - 2];
        }
        const apq_space_block *b = &space->blocks[i];
        out->channels[i] =
            (int16_t)(largest ? b->max_channels : b->min_channels);
    }
}

void apq_policy_largest(const apq_space *space, int bits, apq_policy *out) {
    corner(space, true, bits, out);
}

void apq_policy_smallest(const apq_space *space, int bits, apq_policy *out) {
    corner(space, false, bits, out);
}

apq_status apq_policy_named(const apq_space *space, const char *text,
                            bool *is_name, apq_policy *out) {
    int most = space->bits[space->n_bits - 1];
    *is_name = true;
    if (strcmp(text, "largest") == 0) {
        apq_policy_largest(space, most, out);
    } else if (strcmp(text, "smallest") == 0) {
        apq_policy_smallest(space, most, out);
    } else if (strncmp(text, "random:", 7) == 0) {
        char *end;
        unsigned long long seed = strtoull(text + 7, &end, 10);
        if (!isdigit((unsigned char)text[7]) || *end != '\0') {
            APQ_FAIL(APQ_ERR_ARG, "policy %s: expected random:SEED", text);
        }
        apq_rng rng = apq_rng_make(seed, APQ_RNG_POLICY, 0);
        apq_policy_random(space, &rng, out);
    } else {
        *is_name = false;
    }
    return APQ_OK;
}

apq_status apq_policy_check(const apq_space *space, const apq_policy *policy) {
    for (int s = 0; s < space->n_stages; s++) {
        APQ_TRY(apq_depth_check(space, s, policy->depth[s]));
    }
    for (int i = 0; i < space->n_blocks; i++) {
        for (int g = 0; g < APQ_N_BLOCK_GENES; g++) {
            APQ_TRY(apq_gene_check(space, g, i, apq_gene_get(policy, g, i)));
        }
        if (apq_space_block_active(space, policy, i)) {
            APQ_TRY(apq_forbidden_check(space, policy, i));
        }
    }
    return APQ_OK;
}

void apq_policy_canonical(const apq_space *space, apq_policy *policy) {
    apq_policy clean;
    memset(&clean, 0, sizeof clean);
    memcpy(clean.depth, policy->depth, (size_t)space->n_stages);
    size_t n = (size_t)space->n_blocks;
    memcpy(clean.kernel, policy->kernel, n);
    memcpy(clean.channels, policy->channels, n * sizeof *clean.channels);
    for (int g = 0; g < APQ_N_BIT_GENES; g++) {
        memcpy(clean.bits[g], policy->bits[g], n);
    }
    for (int s = 0; s < space->n_stages; s++) {
        const apq_space_stage *stage = &space->stages[s];
        for (int k = 0; k < stage->max_depth; k++) {
            int block = stage->first_block + k;
            bool is_active = k < policy->depth[s];
            for (int g = 0; !is_active && g < APQ_N_BLOCK_GENES; g++) {
                apq_gene_set(&clean, g, block,
                             apq_gene_value(space, g, block, 0));
            }
        }
    }
    *policy = clean;
}

uint64_t apq_policy_hash(const apq_space *space, const apq_policy *policy) {
    apq_policy canonical = *policy;
    apq_policy_canonical(space, &canonical);
    return apq_hash64(&canonical, sizeof canonical);
}

/* Distinct settings of one active block. */
static double block_settings(const apq_space *space, int block) {
    double n = 1.0;
    for (int g = 0; g < APQ_N_BLOCK_GENES; g++) {
        n *= apq_gene_count(space, g, block);
    }
    bool has_k7 = apq_gene_find(space, APQ_GENE_KERNEL, block, 7) >= 0;
    bool has_a4 = apq_gene_find(space, APQ_GENE_BITS, block, 4) >= 0;
    if (space->forbids_k7_dw_act4 && has_k7 && has_a4) {
        n *= 1.0 - 1.0 / (space->n_kernels * space->n_bits);
    }
    return n;
}

double apq_space_log10_size(const apq_space *space) {
    double total = 0.0;
    for (int s = 0; s < space->n_stages; s++) {
        const apq_space_stage *stage = &space->stages[s];
        double product = 1.0, sum = 0.0;
        for (int d = 1; d <= stage->max_depth; d++) {
            product *= block_settings(space, stage->first_block + d - 1);
            sum += d >= stage->min_depth ? product : 0.0;
        }
        total += log10(sum);
    }
    return total;
}
