/* The choice of networks to measure again: the best first, then far apart,
 * all near the best, all distinct. */
#include "app/remeasure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static apq_search_entry entry(const apq_space *space, int bits, int block,
                              int block_bits, double value) {
    apq_search_entry e = {.score = {.value = value, .is_feasible = true}};
    apq_policy_largest(space, bits, &e.policy);
    if (block >= 0) {
        e.policy.bits[APQ_PW_WEIGHT][block] = (int8_t)block_bits;
    }
    apq_policy_canonical(space, &e.policy);
    e.hash = apq_policy_hash(space, &e.policy);
    return e;
}

static bool is_policy(const apq_policy *a, const apq_search_entry *b) {
    return memcmp(a, &b->policy, sizeof *a) == 0;
}

static void test_choice(void **state) {
    (void)state;
    apq_space space;
    assert_int_equal(apq_space_load("tiny", &space), APQ_OK);
    apq_search_result *search = calloc(1, sizeof *search);
    assert_non_null(search);
    /* Three neighbours of the best, then one that differs in every bit. */
    search->top[0] = entry(&space, 8, -1, 0, 0.900);
    search->top[1] = entry(&space, 8, 0, 6, 0.899);
    search->top[2] = entry(&space, 8, 0, 4, 0.898);
    search->n_top = 3;
    apq_search_entry front[3] = {
        search->top[0], entry(&space, 6, -1, 0, 0.895),
        entry(&space, 4, -1, 0, 0.880), /* farther, but too far below */
    };
    search->front = front;
    search->n_front = 3;
    apq_policy chosen[8];
    assert_int_equal(apq_remeasure_choose(&space, search, 1, chosen), 1);
    assert_true(is_policy(&chosen[0], &search->top[0]));
    assert_int_equal(apq_remeasure_choose(&space, search, 3, chosen), 3);
    assert_true(is_policy(&chosen[0], &search->top[0]));
    assert_true(is_policy(&chosen[1], &front[1]));
    assert_true(is_policy(&chosen[2], &search->top[1]));
    /* More than are near: the rest follows; more than there are: all, once. */
    assert_int_equal(apq_remeasure_choose(&space, search, 5, chosen), 5);
    assert_true(is_policy(&chosen[1], &front[1]));
    assert_true(is_policy(&chosen[2], &front[2]));
    assert_int_equal(apq_remeasure_choose(&space, search, 8, chosen), 5);
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j < i; j++) {
            assert_int_not_equal(
                memcmp(&chosen[i], &chosen[j], sizeof chosen[i]), 0);
        }
    }
    free(search);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_choice)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
