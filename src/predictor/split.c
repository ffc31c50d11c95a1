/* Which samples a fit trains on, which choose its epoch, and which are only
 * reported on. */
#include "predictor/predictor.h"

#include "base/memory.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Fewer validation samples can neither choose an epoch nor set a scale: five
 * of them once chose the start, and the bits were never learnt. */
enum { ENOUGH_VALIDATION = 20 };

/* A sample of a group that stays together. */
typedef struct member {
    uint64_t group;
    uint32_t row;
} member;

static int by_group(const void *a, const void *b) {
    const member *x = a, *y = b;
    if (x->group != y->group) {
        return x->group < y->group ? -1 : 1;
    }
    return (x->row > y->row) - (x->row < y->row);
}

static uint64_t hash_architecture(const apq_space *space,
                                  const apq_policy *policy) {
    apq_policy without_bits = *policy;
    memset(without_bits.bits, 0, sizeof without_bits.bits);
    return apq_policy_hash(space, &without_bits);
}

/* A group is the row of its first sample. */
static void find_groups(const apq_predictor_fit_options *options,
                        const apq_space *space,
                        const apq_predictor_sample *samples, size_t n,
                        member *members) {
    for (size_t i = 0; i < n; i++) {
        members[i] = (member){i, (uint32_t)i};
    }
    if (!options->keeps_architectures) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        members[i].group = hash_architecture(space, &samples[i].policy);
    }
    qsort(members, n, sizeof *members, by_group);
    uint64_t hash = 0, first = 0;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || members[i].group != hash) {
            hash = members[i].group;
            first = members[i].row;
        }
        members[i].group = first;
    }
    qsort(members, n, sizeof *members, by_group);
}

/* Sorts by the groups' places in a random order. place (n): scratch; rows (n)
 * receives the samples. */
static void shuffle_groups(uint64_t seed, member *members, size_t n,
                           uint32_t *place, uint32_t *rows) {
    size_t n_groups = 0;
    for (size_t i = 0; i < n; i++) {
        if (members[i].group == members[i].row) {
            rows[n_groups++] = members[i].row;
        }
    }
    apq_rng rng = apq_rng_make(seed, APQ_RNG_SPLIT, 0);
    apq_rng_shuffle(&rng, rows, n_groups);
    for (size_t i = 0; i < n_groups; i++) {
        place[rows[i]] = (uint32_t)i;
    }
    for (size_t i = 0; i < n; i++) {
        members[i].group = place[members[i].group];
    }
    qsort(members, n, sizeof *members, by_group);
    for (size_t i = 0; i < n; i++) {
        rows[i] = members[i].row;
    }
}

/* Where the last n_after samples begin, with all of the first one's group. */
static size_t begin_of_group(const member *members, size_t n, size_t n_after) {
    size_t i = n - n_after;
    while (i > 0 && i < n && members[i].group == members[i - 1].group) {
        i--;
    }
    return i;
}

apq_status apq_predictor_split(const apq_predictor_fit_options *options,
                               const apq_space *space,
                               const apq_predictor_sample *samples, size_t n,
                               uint32_t *rows, apq_predictor_parts *out) {
    double count = (double)n;
    size_t n_validation =
        (size_t)floor(options->validation_fraction * count + 0.5);
    size_t n_test = (size_t)floor(options->test_fraction * count + 0.5);
    bool validates = n_validation >= ENOUGH_VALIDATION;
    member *members = apq_calloc(n, sizeof *members);
    uint32_t *place = apq_calloc(n, sizeof *place);
    if (members == NULL || place == NULL) {
        free(members);
        free(place);
        APQ_FAIL(APQ_ERR_NOMEM, "fit: no memory for %zu samples", n);
    }
    find_groups(options, space, samples, n, members);
    shuffle_groups(options->seed, members, n, place, rows);
    size_t first_test = n, first_validation = n;
    if (n_validation + n_test < n) {
        first_test = begin_of_group(members, n, n_test);
        first_validation =
            validates ? begin_of_group(members, n, n_validation + n_test)
                      : first_test;
    }
    free(members);
    free(place);
    if (n_validation + n_test >= n || first_validation == 0) {
        APQ_FAIL(APQ_ERR_ARG, "fit: %zu samples leave none to train on", n);
    }
    *out = (apq_predictor_parts){first_validation,
                                 first_test - first_validation, n - first_test};
    return APQ_OK;
}
