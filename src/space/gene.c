/* Legal values of the genes of a block, and the messages that refuse others.
 * One description serves sampling, checking, encoding and files. */
#include "space/gene.h"

#include <inttypes.h>
#include <stdio.h>

const char *apq_gene_name(int gene) {
    static const char *const names[] = {
        "kernel",      "channels",       "bits.pw_weight",
        "bits.pw_act", "bits.dw_weight", "bits.dw_act",
    };
    APQ_ASSERT(gene >= 0 && gene < APQ_N_BLOCK_GENES);
    return names[gene];
}

int apq_gene_find(const apq_space *space, int gene, int block, int64_t value) {
    if (gene == APQ_GENE_CHANNELS) {
        const apq_space_block *b = &space->blocks[block];
        bool is_legal = value >= b->min_channels && value <= b->max_channels &&
                        (value - b->min_channels) % space->channel_step == 0;
        return is_legal ? (int)(value - b->min_channels) / space->channel_step
                        : -1;
    }
    int n = apq_gene_count(space, gene, block);
    for (int k = 0; k < n; k++) {
        if (apq_gene_value(space, gene, block, k) == value) {
            return k;
        }
    }
    return -1;
}

bool apq_block_is_forbidden(const apq_space *space, const apq_policy *policy,
                            int block) {
    return space->forbids_k7_dw_act4 && policy->kernel[block] == 7 &&
           policy->bits[APQ_DW_ACT][block] == 4;
}

/* "3, 5, 7", or "64..96 in steps of 8". */
static void list_legal(const apq_space *space, int gene, int block,
                       char text[96]) {
    int n = apq_gene_count(space, gene, block);
    if (gene == APQ_GENE_CHANNELS) {
        (void)snprintf(text, 96, "%d..%d in steps of %d",
                       apq_gene_value(space, gene, block, 0),
                       apq_gene_value(space, gene, block, n - 1),
                       space->channel_step);
        return;
    }
    size_t used = 0;
    text[0] = '\0';
    for (int k = 0; k < n && used < 96; k++) {
        int wrote = snprintf(text + used, 96 - used, "%s%d", k > 0 ? ", " : "",
                             apq_gene_value(space, gene, block, k));
        used += wrote > 0 ? (size_t)wrote : 0;
    }
}

apq_status apq_gene_check(const apq_space *space, int gene, int block,
                          int64_t value) {
    if (apq_gene_find(space, gene, block, value) >= 0) {
        return APQ_OK;
    }
    char legal[96];
    list_legal(space, gene, block, legal);
    APQ_FAIL(APQ_ERR_FORMAT, "%s[%d] is %" PRId64 ", legal in %s: %s",
             apq_gene_name(gene), block, value, space->name, legal);
}

apq_status apq_depth_check(const apq_space *space, int stage, int64_t value) {
    const apq_space_stage *s = &space->stages[stage];
    if (value < s->min_depth || value > s->max_depth) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "depth[%d] is %" PRId64 ", legal in %s: %d..%d", stage, value,
                 space->name, s->min_depth, s->max_depth);
    }
    return APQ_OK;
}

apq_status apq_forbidden_check(const apq_space *space, const apq_policy *policy,
                               int block) {
    if (apq_block_is_forbidden(space, policy, block)) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "kernel[%d] is 7 and bits.dw_act[%d] is 4, which %s forbids "
                 "together: use a smaller kernel or more bits",
                 block, block, space->name);
    }
    return APQ_OK;
}
