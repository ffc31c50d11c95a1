/* Diversity of the candidates of an iteration by counting the values of each
 * gene, which is linear in them where comparing pairs is not. Nei, PNAS 1973.
 */
#include "search/diversity.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* A value's place among the counts of its gene; 0 is a skipped block's. */
enum {
    KERNEL_STEP = 2,
    WIDTH_STEP = 8, /* widths are multiples of it */
    N_KERNELS = 7 / KERNEL_STEP + 1,
    N_BITS = 8 + 1,
};

apq_status apq_diversity_init(apq_diversity *diversity,
                              const apq_space *space) {
    apq_diversity *d = diversity;
    *d = (apq_diversity){.space = space};
    size_t n = 0;
    for (int s = 0; s < space->n_stages; s++) {
        d->depths[s] = n;
        n += (size_t)space->stages[s].max_depth + 1;
    }
    for (int b = 0; b < space->n_blocks; b++) {
        d->kernels[b] = n;
        n += N_KERNELS;
        d->widths[b] = n;
        n += (size_t)space->blocks[b].max_channels / WIDTH_STEP + 1;
        for (int g = 0; g < APQ_N_BIT_GENES; g++) {
            d->bits[g][b] = n;
            n += N_BITS;
        }
    }
    d->n_counts = n;
    d->counts = apq_calloc(n, sizeof *d->counts);
    if (d->counts == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "search: no memory for %zu counts", n);
    }
    return APQ_OK;
}

void apq_diversity_fini(apq_diversity *diversity) {
    free(diversity->counts);
    diversity->counts = NULL;
}

void apq_diversity_add(apq_diversity *diversity, const apq_policy *policy) {
    apq_diversity *d = diversity;
    for (int s = 0; s < d->space->n_stages; s++) {
        d->counts[d->depths[s] + (size_t)policy->depth[s]]++;
    }
    for (int b = 0; b < d->space->n_blocks; b++) {
        bool is_active = apq_space_block_active(d->space, policy, b);
        size_t kernel = (size_t)policy->kernel[b] / KERNEL_STEP;
        size_t width = (size_t)policy->channels[b] / WIDTH_STEP;
        d->counts[d->kernels[b] + (is_active ? kernel : 0)]++;
        d->counts[d->widths[b] + (is_active ? width : 0)]++;
        for (int g = 0; g < APQ_N_BIT_GENES; g++) {
            size_t bits = (size_t)policy->bits[g][b];
            d->counts[d->bits[g][b] + (is_active ? bits : 0)]++;
        }
    }
    d->n++;
}

double apq_diversity_take(apq_diversity *diversity) {
    apq_diversity *d = diversity;
    int n_genes =
        d->space->n_stages + (2 + APQ_N_BIT_GENES) * d->space->n_blocks;
    double same = 0; /* sum over the genes of the sums of squares */
    for (size_t i = 0; i < d->n_counts; i++) {
        same += (double)d->counts[i] * (double)d->counts[i];
    }
    double n = (double)d->n;
    double value = d->n == 0 ? 0 : 1 - same / (n * n * n_genes);
    memset(d->counts, 0, d->n_counts * sizeof *d->counts);
    d->n = 0;
    return value > 0 ? value : 0; /* rounding */
}
