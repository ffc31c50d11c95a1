/* Diversity against all pairs compared gene by gene. */
#include "search/diversity.h"

#include "space/gene.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 40 };

/* Genes in which two policies differ; a skipped block differs from an active
 * one in all of its genes, and from a skipped one in none. */
static int n_differing(const apq_space *space, const apq_policy *a,
                       const apq_policy *b) {
    int n = 0;
    for (int s = 0; s < space->n_stages; s++) {
        n += a->depth[s] != b->depth[s];
    }
    for (int k = 0; k < space->n_blocks; k++) {
        bool has_a = apq_space_block_active(space, a, k);
        bool has_b = apq_space_block_active(space, b, k);
        for (int g = 0; g < APQ_N_BLOCK_GENES; g++) {
            n += has_a != has_b ||
                 (has_a && apq_gene_get(a, g, k) != apq_gene_get(b, g, k));
        }
    }
    return n;
}

static void compare(const char *name) {
    apq_space space;
    apq_diversity d;
    apq_policy *policies = calloc(N, sizeof *policies);
    assert_non_null(policies);
    assert_int_equal(apq_space_load(name, &space), APQ_OK);
    assert_int_equal(apq_diversity_init(&d, &space), APQ_OK);
    apq_rng rng = apq_rng_make(3, APQ_RNG_TEST, 0);
    for (int i = 0; i < N; i++) {
        apq_policy_random(&space, &rng, &policies[i]);
        apq_diversity_add(&d, &policies[i]);
    }
    double sum = 0;
    for (int i = 0; i < N * N; i++) {
        sum += n_differing(&space, &policies[i / N], &policies[i % N]);
    }
    int n_genes = space.n_stages + APQ_N_BLOCK_GENES * space.n_blocks;
    double expected = sum / ((double)N * N * n_genes);
    double value = apq_diversity_take(&d);
    assert_true(expected > 0.3);
    assert_true(fabs(value - expected) <= 1e-12);
    /* Begun anew: equal policies, skipped blocks of any values. */
    for (int i = 0; i < N; i++) {
        apq_policy same = policies[0];
        for (int b = 0; b < space.n_blocks; b++) {
            if (!apq_space_block_active(&space, &same, b)) {
                same.kernel[b] = policies[i].kernel[b];
                same.channels[b] = policies[i].channels[b];
            }
        }
        apq_diversity_add(&d, &same);
    }
    assert_true(fabs(apq_diversity_take(&d)) <= 0);
    assert_true(fabs(apq_diversity_take(&d)) <= 0); /* of none */
    apq_diversity_fini(&d);
    free(policies);
}

static void test_pairs(void **state) {
    (void)state;
    compare("tiny");
    compare("imagenet-apq");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pairs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
