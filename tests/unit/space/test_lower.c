/* Layers of policies: published multiply-accumulates, roles, signs, residual
 * sources and pricing. */
#include "space/space.h"

#include "unit/asserts.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static apq_space load(const char *name) {
    apq_space space;
    assert_int_equal(apq_space_load(name, &space), APQ_OK);
    return space;
}

static apq_ir_network lower(const apq_space *space, const apq_policy *policy) {
    apq_ir_network net;
    assert_status(apq_policy_lower(space, policy, &net), APQ_OK);
    return net;
}

static int64_t total_macs(const apq_ir_network *net) {
    int64_t macs = 0;
    for (size_t i = 0; i < net->n_layers; i++) {
        macs += apq_ir_layer_macs(&net->layers[i]);
    }
    return macs;
}

static int64_t corner_macs(const char *name, bool largest) {
    apq_space space = load(name);
    apq_policy policy;
    (largest ? apq_policy_largest : apq_policy_smallest)(&space, 8, &policy);
    apq_ir_network net = lower(&space, &policy);
    return total_macs(&net);
}

static void test_macs(void **state) {
    (void)state;
    /* 606.6 M and 191.5 M are the figures of the released supernet. */
    assert_in_range(corner_macs("imagenet-apq", true), 606550000, 606650000);
    assert_in_range(corner_macs("imagenet-apq", false), 191450000, 191550000);
    static const struct {
        const char *name;
        int64_t low, high; /* bounds of smallest and largest */
    } rest[] = {{"cifar10", 12000000, 48000000},
                {"cifar10-small", 2000000, 12000000},
                {"tiny", 40000, 500000}};
    for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++) {
        int64_t smallest = corner_macs(rest[i].name, false);
        int64_t largest = corner_macs(rest[i].name, true);
        print_message("%s: %" PRId64 " to %" PRId64 " multiply-accumulates\n",
                      rest[i].name, smallest, largest);
        assert_true(smallest >= rest[i].low && largest <= rest[i].high);
        assert_true(smallest * 2 < largest);
    }
}

static void test_chain(void **state) {
    (void)state;
    apq_space space = load("imagenet-apq");
    apq_policy p;
    apq_policy_smallest(&space, 8, &p);
    p.bits[APQ_PW_WEIGHT][1] = 4;
    p.bits[APQ_PW_ACT][1] = 6;
    p.bits[APQ_DW_WEIGHT][1] = 6;
    p.bits[APQ_DW_ACT][1] = 4;
    apq_ir_network net = lower(&space, &p);
    assert_int_equal(net.n_layers, 3 + 3 * 11 + 2);
    const apq_ir_layer *l = net.layers;
    assert_string_equal(l[0].name, "stem");
    assert_true(l[0].is_input_image && l[0].has_relu6);
    assert_int_equal(l[0].out_size, 112);
    assert_false(l[1].is_act_signed || l[1].is_priced);
    assert_false(l[2].has_relu6 || l[2].is_priced);
    assert_int_equal(l[2].out_channels, 16);
    /* Block 1: layers 6..8, shortcut from block 0's projection. */
    assert_string_equal(l[6].name, "block1.expand");
    assert_true(l[6].is_act_signed && l[6].has_relu6 && l[6].is_searchable);
    assert_int_equal(l[6].weight_bits, 4);
    assert_int_equal(l[6].act_bits, 6);
    assert_false(l[7].is_act_signed);
    assert_int_equal(l[7].kind, APQ_IR_DEPTHWISE);
    assert_int_equal(l[7].weight_bits, 6);
    assert_int_equal(l[7].act_bits, 4);
    assert_false(l[8].is_act_signed || l[8].has_relu6);
    assert_int_equal(l[8].weight_bits, 4);
    assert_int_equal(l[8].residual_from, 5);
    assert_int_equal(l[5].residual_from, -1);
    /* Block 2 and 3 are skipped: the next is block 4. */
    assert_string_equal(l[9].name, "block4.expand");
    assert_int_equal(l[11].residual_from, -1);
    const apq_ir_layer *mix = &l[net.n_layers - 2], *last = mix + 1;
    assert_int_equal(mix->role, APQ_ROLE_FEATURE_MIX);
    assert_true(mix->is_act_signed && mix->is_priced && mix->has_relu6);
    assert_int_equal(mix->out_size, 7);
    assert_int_equal(last->kind, APQ_IR_LINEAR);
    assert_int_equal(last->in_channels, 1280);
    assert_int_equal(last->out_channels, 1000);
    assert_false(last->is_priced || last->has_relu6 || last->is_act_signed);
    assert_int_equal(last->weight_bits, 8);
}

/* Each residual joins tensors of equal shape, in every drawn policy. */
static void test_residual_shapes(void **state) {
    (void)state;
    for (const char *const *name = apq_space_names(); *name != NULL; name++) {
        apq_space space = load(*name);
        apq_rng rng = apq_rng_make(1, APQ_RNG_TEST, 0);
        int n_residuals = 0;
        for (int i = 0; i < 500; i++) {
            apq_policy p;
            apq_policy_random(&space, &rng, &p);
            apq_ir_network net = lower(&space, &p);
            for (size_t k = 0; k < net.n_layers; k++) {
                const apq_ir_layer *l = &net.layers[k];
                assert_true(l->is_priced || !space.prices_all_layers);
                if (l->residual_from < 0) {
                    continue;
                }
                const apq_ir_layer *from = &net.layers[l->residual_from];
                assert_int_equal(from->role, APQ_ROLE_PROJECT);
                assert_int_equal(l->role, APQ_ROLE_PROJECT);
                assert_int_equal(from->block + 1, l->block);
                assert_int_equal(from->out_channels, l->out_channels);
                assert_int_equal(from->out_size, l->out_size);
                n_residuals++;
            }
        }
        assert_true(n_residuals > 300);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_macs),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_residual_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
