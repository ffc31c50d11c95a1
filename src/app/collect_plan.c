/* Which policies `apq collect` measures: corners, random policies and, as APQ
 * did, random architectures in several bit settings each. */
#include "app/collect_plan.h"

/* Streams of the architectures, beside those of the records. */
#define ARCHITECTURES (UINT64_C(1) << 48)

static bool is_corner(const apq_space *space, apq_record_kind kind, int64_t seq,
                      apq_policy *out) {
    int fewest = space->bits[0], most = space->bits[space->n_bits - 1];
    if (seq == 0) {
        apq_policy_largest(space, most, out);
    } else if (seq == 1) {
        apq_policy_smallest(space, most, out);
    } else if (seq == 2 && kind != APQ_RECORD_FLOAT) {
        apq_policy_largest(space, fewest, out);
    } else if (seq == 3 && kind != APQ_RECORD_FLOAT) {
        apq_policy_smallest(space, fewest, out);
    } else {
        return false;
    }
    return true;
}

apq_record_kind apq_collect_quantised_kind(const apq_recipe *recipe) {
    bool is_trained =
        recipe->collect.quantised == 0 && recipe->collect.qat_steps > 0;
    return is_trained ? APQ_RECORD_QAT : APQ_RECORD_QUANTISED;
}

void apq_collect_plan(const apq_recipe *recipe, const apq_space *space,
                      apq_record_kind kind, int64_t seq, apq_policy *out) {
    if (!is_corner(space, kind, seq, out)) {
        uint64_t index = ((uint64_t)kind << 32) + (uint64_t)seq;
        apq_rng rng = apq_rng_make(recipe->seed, APQ_RNG_COLLECT, index);
        int64_t group = seq / recipe->collect.policies_per_architecture;
        if (kind == APQ_RECORD_FLOAT || group % 2 == 0 ||
            recipe->collect.policies_per_architecture == 1) {
            apq_policy_random(space, &rng, out);
        } else {
            apq_rng common = apq_rng_make(recipe->seed, APQ_RNG_COLLECT,
                                          ARCHITECTURES + (uint64_t)group);
            apq_policy_random(space, &common, out);
            apq_policy_random_bits(space, &rng, out);
        }
    }
    apq_policy_canonical(space, out);
}
