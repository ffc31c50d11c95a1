/* The whole table of the paper's space: its size, where fewer bits cost more,
 * and the mean gain of each pair of widths. */
#include "app/bit_pairs.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct tally {
    int n_slower, n_not_pointwise, n_not_to_4, n_wide_act;
} tally;

static void count(const apq_bit_pair *pair, void *ctx) {
    tally *t = ctx;
    if (pair->latency_ratio > 1 + 1e-12) {
        t->n_slower++;
        t->n_not_pointwise += pair->layer.kind != APQ_IR_POINTWISE;
        t->n_not_to_4 += pair->act_bits != 4;
        t->n_wide_act += pair->layer.weight_bits == pair->weight_bits;
    }
}

/* Numbers: notes on the published table. */
static void fewer_bits_that_cost_more(void **state) {
    (void)state;
    apq_space space;
    apq_target *target = NULL;
    tally t = {0};
    apq_bit_pair_summary sum;
    assert_int_equal(apq_space_load("imagenet-apq", &space), APQ_OK);
    assert_int_equal(apq_target_load("bitfusion", &target), APQ_OK);
    assert_int_equal(apq_app_bit_pairs(&space, target, count, &t, &sum),
                     APQ_OK);
    assert_int_equal(sum.n_entries, 6567);
    assert_int_equal(sum.n_pairs, 12690);
    assert_int_equal(sum.n_slower, 36);
    assert_int_equal(sum.n_dearer, 310);
    assert_true(fabs(sum.max_latency_ratio - 1.065) <= 5e-4);
    /* Only pointwise, only activations, only down to 4 bits: a wider operand
     * never costs fewer cycles elsewhere. */
    assert_int_equal(t.n_slower, 36);
    assert_int_equal(t.n_not_pointwise, 0);
    assert_int_equal(t.n_not_to_4, 0);
    assert_int_equal(t.n_wide_act, 36);
    apq_target_destroy(target);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fewer_bits_that_cost_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
