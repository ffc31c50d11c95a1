/* One-hot input of the accuracy predictor: kernels, then channels, then the
 * four bit genes; skipped blocks are all zero. Source: APQ, CVPR 2020,
 * section 3.2, in the order of the released predictors. */
#include "space/space.h"

#include "space/gene.h"

static int gene_dim(const apq_space *space, int gene) {
    int dim = 0;
    for (int i = 0; i < space->n_blocks; i++) {
        dim += apq_gene_count(space, gene, i);
    }
    return dim;
}

int apq_encode_float_dim(const apq_space *space) {
    return gene_dim(space, APQ_GENE_KERNEL) +
           gene_dim(space, APQ_GENE_CHANNELS);
}

int apq_encode_dim(const apq_space *space) {
    return apq_encode_float_dim(space) +
           APQ_N_BIT_GENES * gene_dim(space, APQ_GENE_BITS);
}

size_t apq_encode(const apq_space *space, const apq_policy *policy,
                  bool with_bits, int *active) {
    int n_genes = with_bits ? APQ_N_BLOCK_GENES : APQ_GENE_BITS;
    size_t n = 0;
    int base = 0;
    for (int g = 0; g < n_genes; g++) {
        for (int i = 0; i < space->n_blocks; i++) {
            if (apq_space_block_active(space, policy, i)) {
                int value = apq_gene_get(policy, g, i);
                int k = apq_gene_find(space, g, i, value);
                APQ_ASSERT(k >= 0);
                active[n++] = base + k;
            }
            base += apq_gene_count(space, g, i);
        }
    }
    return n;
}
