/* Properties that hold for every policy the module makes, over thousands of
 * draws in all three spaces. */
#include "space/space.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N_DRAWS = 10000 };

static apq_space load(const char *name) {
    apq_space space;
    assert_int_equal(apq_space_load(name, &space), APQ_OK);
    return space;
}

static void assert_legal(const apq_space *space, const apq_policy *policy) {
    if (apq_policy_check(space, policy) != APQ_OK) {
        fail_msg("%s: %s", space->name, apq_error_message());
    }
}

static void test_draws_are_legal(void **state) {
    (void)state;
    for (const char *const *name = apq_space_names(); *name != NULL; name++) {
        apq_space space = load(*name);
        apq_rng rng = apq_rng_make(1, APQ_RNG_TEST, 0);
        apq_policy a, b, child;
        apq_policy_random(&space, &rng, &a);
        for (int i = 0; i < N_DRAWS; i++) {
            apq_policy_random(&space, &rng, &b);
            assert_legal(&space, &b);
            apq_policy_cross(&space, &rng, &a, &b, &child);
            assert_legal(&space, &child);
            apq_policy_mutate(&space, 0.3, &rng, &child, &a);
            assert_legal(&space, &a);
            int active[6 * APQ_MAX_BLOCKS];
            size_t n = apq_encode(&space, &a, true, active);
            for (size_t k = 1; k < n; k++) {
                assert_true(active[k - 1] < active[k]);
            }
            assert_true(active[n - 1] < apq_encode_dim(&space));
        }
    }
}

/* Every legal value of every gene turns up, and about equally often. */
static void test_random_covers(void **state) {
    (void)state;
    apq_space space = load("cifar10-small");
    apq_rng rng = apq_rng_make(2, APQ_RNG_TEST, 0);
    int kernels[8] = {0}, depths[8] = {0}, bits[9] = {0}, low = 0, high = 0;
    for (int i = 0; i < N_DRAWS; i++) {
        apq_policy p;
        apq_policy_random(&space, &rng, &p);
        kernels[p.kernel[3]]++;
        depths[p.depth[2]]++;
        /* Depthwise activations avoid 4 bits beside kernel 7. */
        bits[p.bits[APQ_DW_WEIGHT][6]]++;
        low += p.channels[0] == space.blocks[0].min_channels;
        high += p.channels[0] == space.blocks[0].max_channels;
    }
    for (int k = 0; k < 3; k++) {
        assert_in_range(kernels[space.kernels[k]], 3133, 3533);
        assert_in_range(bits[space.bits[k]], 3133, 3533);
        assert_in_range(depths[k + 1], 3133, 3533);
    }
    int n_widths =
        (space.blocks[0].max_channels - space.blocks[0].min_channels) / 8 + 1;
    assert_in_range(low, N_DRAWS / n_widths - 150, N_DRAWS / n_widths + 150);
    assert_in_range(high, N_DRAWS / n_widths - 150, N_DRAWS / n_widths + 150);
}

static void test_mutation(void **state) {
    (void)state;
    apq_space space = load("imagenet-apq");
    apq_rng rng = apq_rng_make(3, APQ_RNG_TEST, 0);
    int depth_changed = 0, blocks_changed = 0;
    for (int i = 0; i < 1000; i++) {
        apq_policy parent, child;
        apq_policy_random(&space, &rng, &parent);
        apq_policy_mutate(&space, 0.0, &rng, &parent, &child);
        assert_memory_equal(&child, &parent, sizeof child);
        apq_policy_mutate(&space, 0.1, &rng, &parent, &child);
        for (int s = 0; s < 5; s++) {
            depth_changed += child.depth[s] != parent.depth[s];
        }
        for (int b = 0; b < space.n_blocks; b++) {
            blocks_changed += child.channels[b] != parent.channels[b] ||
                              child.kernel[b] != parent.kernel[b];
        }
    }
    /* 5000 stages x 0.1 x 2/3; 21000 blocks x 0.1 x nearly 1. */
    assert_in_range(depth_changed, 270, 400);
    assert_in_range(blocks_changed, 1800, 2300);
}

static void test_cross_takes_from_parents(void **state) {
    (void)state;
    apq_space space = load("cifar10-small");
    apq_rng rng = apq_rng_make(4, APQ_RNG_TEST, 0);
    apq_policy a, b, child;
    apq_policy_largest(&space, 8, &a);
    apq_policy_smallest(&space, 4, &b);
    int from_a = 0, depth_a = 0;
    for (int i = 0; i < 1000; i++) {
        apq_policy_cross(&space, &rng, &a, &b, &child);
        for (int k = 0; k < space.n_blocks; k++) {
            bool is_a = child.kernel[k] == a.kernel[k];
            const apq_policy *from = is_a ? &a : &b;
            assert_int_equal(child.kernel[k], from->kernel[k]);
            assert_int_equal(child.channels[k], from->channels[k]);
            for (int g = 0; g < APQ_N_BIT_GENES; g++) {
                assert_int_equal(child.bits[g][k], from->bits[g][k]);
            }
            from_a += is_a;
        }
        depth_a += child.depth[2] == a.depth[2];
    }
    assert_in_range(from_a, 3300, 3700);
    assert_in_range(depth_a, 430, 570);
}

static void test_corners(void **state) {
    (void)state;
    apq_space space = load("imagenet-apq");
    apq_policy p;
    apq_policy_largest(&space, 8, &p);
    assert_legal(&space, &p);
    assert_int_equal(p.kernel[20], 7);
    assert_int_equal(p.channels[20], 1152);
    assert_int_equal(p.depth[0], 4);
    apq_policy_largest(&space, 4, &p);
    assert_legal(&space, &p);
    assert_int_equal(p.kernel[0], 5);
    apq_policy_smallest(&space, 4, &p);
    assert_legal(&space, &p);
    assert_int_equal(p.kernel[0], 3);
    assert_int_equal(p.channels[0], 64);
    assert_int_equal(p.depth[0], 2);
    apq_policy_set_bits(&space, 6, &p);
    assert_int_equal(p.bits[APQ_PW_ACT][20], 6);
}

/* Corners by name are legal also where a space has no 8 bits. */
static void test_named_corners(void **state) {
    (void)state;
    apq_space space = load("tiny");
    apq_policy policy;
    bool is_name;
    for (; space.n_bits > 0; space.n_bits--) {
        assert_int_equal(apq_policy_named(&space, "largest", &is_name, &policy),
                         APQ_OK);
        assert_legal(&space, &policy);
        assert_int_equal(
            apq_policy_named(&space, "smallest", &is_name, &policy), APQ_OK);
        assert_legal(&space, &policy);
        assert_int_equal(policy.bits[0][0], space.bits[space.n_bits - 1]);
    }
}

static void test_canonical_and_hash(void **state) {
    (void)state;
    apq_space space = load("imagenet-apq");
    apq_policy a, b;
    apq_policy_smallest(&space, 8, &a);
    b = a;
    b.kernel[3] = 7; /* block 3 is skipped at depth 2 */
    b.channels[2] = 104;
    b.bits[APQ_DW_ACT][3] = 4;
    assert_legal(&space, &b); /* forbidden pairs count in active blocks only */
    assert_int_equal(apq_policy_hash(&space, &a), apq_policy_hash(&space, &b));
    apq_policy ca = a, cb = b;
    apq_policy_canonical(&space, &ca);
    apq_policy_canonical(&space, &cb);
    assert_memory_equal(&ca, &cb, sizeof ca);
    assert_legal(&space, &ca);
    for (int i = 0; i < space.n_blocks; i++) {
        if (!apq_space_block_active(&space, &a, i)) {
            continue;
        }
        b = a;
        b.channels[i] = (int16_t)(b.channels[i] + 8);
        assert_int_not_equal(apq_policy_hash(&space, &a),
                             apq_policy_hash(&space, &b));
    }
    b = a;
    b.depth[4] = 3;
    assert_int_not_equal(apq_policy_hash(&space, &a),
                         apq_policy_hash(&space, &b));
}

static void assert_refused(const apq_space *space, const apq_policy *policy,
                           const char *message) {
    assert_int_equal(apq_policy_check(space, policy), APQ_ERR_FORMAT);
    assert_string_equal(apq_error_message(), message);
}

static void test_check_messages(void **state) {
    (void)state;
    apq_space space = load("imagenet-apq");
    apq_policy good, p;
    apq_policy_largest(&space, 8, &good);
    p = good;
    p.kernel[3] = 4;
    assert_refused(&space, &p,
                   "kernel[3] is 4, legal in imagenet-apq: 3, 5, 7");
    p = good;
    p.channels[0] = 100;
    assert_refused(
        &space, &p,
        "channels[0] is 100, legal in imagenet-apq: 64..96 in steps of 8");
    p = good;
    p.bits[APQ_DW_WEIGHT][7] = 5;
    assert_refused(&space, &p,
                   "bits.dw_weight[7] is 5, legal in imagenet-apq: 4, 6, 8");
    p = good;
    p.depth[1] = 5;
    assert_refused(&space, &p, "depth[1] is 5, legal in imagenet-apq: 2..4");
    p = good;
    p.bits[APQ_DW_ACT][2] = 4;
    assert_refused(&space, &p,
                   "kernel[2] is 7 and bits.dw_act[2] is 4, which "
                   "imagenet-apq forbids together: use a smaller kernel or "
                   "more bits");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draws_are_legal),
        cmocka_unit_test(test_random_covers),
        cmocka_unit_test(test_mutation),
        cmocka_unit_test(test_cross_takes_from_parents),
        cmocka_unit_test(test_corners),
        cmocka_unit_test(test_named_corners),
        cmocka_unit_test(test_canonical_and_hash),
        cmocka_unit_test(test_check_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
