/* The plan of a collection: corners, random policies, groups of one
 * architecture; what is planned once stays planned. */
#include "app/collect_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

enum { N_RECORDS = 120 };

static apq_space space;
static apq_recipe recipe;

static int load(void **state) {
    (void)state;
    apq_recipe_default(&recipe);
    return apq_space_load("imagenet-apq", &space) != APQ_OK;
}

static void plan(apq_record_kind kind, int64_t seq, int group,
                 apq_policy *out) {
    recipe.collect.policies_per_architecture = group;
    apq_collect_plan(&recipe, &space, kind, seq, out);
    if (apq_policy_check(&space, out) != APQ_OK) {
        fail_msg("record %d: %s", (int)seq, apq_error_message());
    }
}

static bool same_architecture(const apq_policy *a, const apq_policy *b) {
    return memcmp(a->depth, b->depth, sizeof a->depth) == 0 &&
           memcmp(a->kernel, b->kernel, sizeof a->kernel) == 0 &&
           memcmp(a->channels, b->channels, sizeof a->channels) == 0;
}

static void test_groups(void **state) {
    (void)state;
    apq_policy first, other;
    for (int group = 2; group <= 10; group += 4) {
        for (int64_t seq = group; seq < N_RECORDS; seq++) {
            if (seq < APQ_COLLECT_N_CORNERS || seq % group == 0) {
                continue;
            }
            plan(APQ_RECORD_QAT, seq - 1, group, &first);
            plan(APQ_RECORD_QAT, seq, group, &other);
            bool is_shared =
                seq / group % 2 == 1 && seq - 1 >= APQ_COLLECT_N_CORNERS;
            assert_int_equal(same_architecture(&first, &other), is_shared);
            assert_int_not_equal(
                memcmp(first.bits, other.bits, sizeof first.bits), 0);
        }
    }
}

/* Groups of odd number change nothing in those of even number, nor in float
 * records. */
static void test_the_rest_stays(void **state) {
    (void)state;
    apq_policy alone, grouped;
    for (int64_t seq = 0; seq < N_RECORDS; seq++) {
        plan(APQ_RECORD_FLOAT, seq, 1, &alone);
        plan(APQ_RECORD_FLOAT, seq, 10, &grouped);
        assert_memory_equal(&alone, &grouped, sizeof alone);
        plan(APQ_RECORD_QAT, seq, 1, &alone);
        plan(APQ_RECORD_QAT, seq, 10, &grouped);
        bool is_same = memcmp(&alone, &grouped, sizeof alone) == 0;
        assert_int_equal(is_same, seq / 10 % 2 == 0);
    }
}

/* Collections that were begun earlier go on with the same plan. */
static void test_the_plan_is_known(void **state) {
    (void)state;
    static const uint64_t hashes[] = {UINT64_C(0x691d5fea79b43e6a),
                                      UINT64_C(0xf0f1afbc401655a0),
                                      UINT64_C(0xf2ef8ebfbf405e4e)};
    apq_policy policy;
    for (int i = 0; i < 3; i++) {
        plan((apq_record_kind)i, 7, 1, &policy);
        assert_true(apq_policy_hash(&space, &policy) == hashes[i]);
    }
}

/* Corners have the bits of the space: not all have 8. */
static void test_other_bits(void **state) {
    (void)state;
    apq_space before = space;
    apq_policy policy;
    space.n_bits = 2;
    space.bits[1] = 6;
    for (int64_t seq = 0; seq < APQ_COLLECT_N_CORNERS + 4; seq++) {
        plan(APQ_RECORD_FLOAT, seq, 1, &policy);
        plan(APQ_RECORD_QAT, seq, 1, &policy);
    }
    space = before;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_groups),
                                       cmocka_unit_test(test_the_rest_stays),
                                       cmocka_unit_test(test_the_plan_is_known),
                                       cmocka_unit_test(test_other_bits)};
    return cmocka_run_group_tests(tests, load, NULL);
}
