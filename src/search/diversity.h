#ifndef APQ_SEARCH_DIVERSITY_H
#define APQ_SEARCH_DIVERSITY_H

#include "base/status.h"
#include "space/space.h"

#include <stddef.h>
#include <stdint.h>

/* How different policies are: the mean over all genes, depths among them, of
 *   1 - sum over the gene's values v of (share of policies with v)^2,
 * which is the share of genes in which two policies, drawn with replacement,
 * differ. Being skipped is one more value of a block's genes.
 * Source: gene diversity, Nei, PNAS 70 (1973). */
typedef struct apq_diversity {
    const apq_space *space;
    /* First of the counts of a block's kernels, widths and bits, and of a
     * stage's depths. */
    size_t kernels[APQ_MAX_BLOCKS], widths[APQ_MAX_BLOCKS];
    size_t bits[APQ_N_BIT_GENES][APQ_MAX_BLOCKS], depths[APQ_MAX_STAGES];
    size_t n_counts;
    uint32_t *counts; /* (n_counts) */
    uint32_t n;       /* policies counted */
} apq_diversity;

/* Counts nothing yet. Fini also after an error. Errors: NOMEM. */
APQ_NODISCARD apq_status apq_diversity_init(apq_diversity *diversity,
                                            const apq_space *space);
void apq_diversity_fini(apq_diversity *diversity);

/* `policy` must be legal. */
void apq_diversity_add(apq_diversity *diversity, const apq_policy *policy);
/* 0: all alike; below 1. 0 of no policies. Begins anew. */
double apq_diversity_take(apq_diversity *diversity);

#endif
