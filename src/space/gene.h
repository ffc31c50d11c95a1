#ifndef APQ_SPACE_GENE_H
#define APQ_SPACE_GENE_H

#include "space/space.h"

/* The six genes of a block seen alike: each has an ascending list of legal
 * values. For `space` and `search` only. */
enum {
    APQ_GENE_KERNEL,
    APQ_GENE_CHANNELS,
    APQ_GENE_BITS, /* + apq_bit_gene */
    APQ_N_BLOCK_GENES = APQ_GENE_BITS + APQ_N_BIT_GENES,
};

/* Name in messages and JSON, e.g. "bits.pw_weight". */
const char *apq_gene_name(int gene);
/* Position of a value among the legal ones, or -1. */
int apq_gene_find(const apq_space *space, int gene, int block, int64_t value);

/* The following are in the innermost loops of a search. */

/* Number of legal values. */
static inline int apq_gene_count(const apq_space *space, int gene, int block) {
    const apq_space_block *b = &space->blocks[block];
    switch (gene) {
    case APQ_GENE_KERNEL:
        return space->n_kernels;
    case APQ_GENE_CHANNELS:
        return (b->max_channels - b->min_channels) / space->channel_step + 1;
    default:
        return space->n_bits;
    }
}

/* The k-th legal value. */
static inline int apq_gene_value(const apq_space *space, int gene, int block,
                                 int k) {
    switch (gene) {
    case APQ_GENE_KERNEL:
        return space->kernels[k];
    case APQ_GENE_CHANNELS:
        return space->blocks[block].min_channels + k * space->channel_step;
    default:
        return space->bits[k];
    }
}

static inline int apq_gene_get(const apq_policy *policy, int gene, int block) {
    switch (gene) {
    case APQ_GENE_KERNEL:
        return policy->kernel[block];
    case APQ_GENE_CHANNELS:
        return policy->channels[block];
    default:
        return policy->bits[gene - APQ_GENE_BITS][block];
    }
}

/* `value` must be legal. */
static inline void apq_gene_set(apq_policy *policy, int gene, int block,
                                int value) {
    switch (gene) {
    case APQ_GENE_KERNEL:
        policy->kernel[block] = (int8_t)value;
        break;
    case APQ_GENE_CHANNELS:
        policy->channels[block] = (int16_t)value;
        break;
    default:
        policy->bits[gene - APQ_GENE_BITS][block] = (int8_t)value;
        break;
    }
}

/* A block whose kernel 7 meets 4-bit depthwise activations where the space
 * has no such entries. Activity of the block is the caller's question. */
bool apq_block_is_forbidden(const apq_space *space, const apq_policy *policy,
                            int block);

/* APQ_ERR_FORMAT with the legal values unless `value` is one of them. */
APQ_NODISCARD apq_status apq_gene_check(const apq_space *space, int gene,
                                        int block, int64_t value);
APQ_NODISCARD apq_status apq_depth_check(const apq_space *space, int stage,
                                         int64_t value);
APQ_NODISCARD apq_status apq_forbidden_check(const apq_space *space,
                                             const apq_policy *policy,
                                             int block);

#endif
