/* Philox against its published answers, the naming of streams, and the
 * distributions made of them. */
#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct answer {
    uint32_t counter[4], key[2], block[4];
} answer;

/* philox4x32-10 in kat_vectors of Random123. */
static const answer answers[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static void blocks_match_the_published_answers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        apq_rng rng = {0};
        memcpy(rng.counter, answers[i].counter, sizeof rng.counter);
        memcpy(rng.key, answers[i].key, sizeof rng.key);
        for (int k = 0; k < 4; k++) {
            assert_int_equal(apq_rng_u32(&rng), answers[i].block[k]);
        }
    }
}

/* Recorded runs depend on how a name becomes counter and key. Values from an
 * independent Philox: counter (n, 3, 7, 5), key (low, high ^ 3 << 24). */
static void names_map_to_streams_for_ever(void **state) {
    (void)state;
    static const uint32_t expected[8] = {
        0x650430cd, 0x9861eda6, 0x752d103d, 0xa5efb84b,
        0x1db8bec4, 0xc9400b30, 0x6461f4e9, 0x0b44e7f7,
    };
    assert_int_equal(APQ_RNG_AUGMENT, 3);
    apq_rng rng =
        apq_rng_make(0x0123456789abcdef, APQ_RNG_AUGMENT, 0x500000007);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(apq_rng_u32(&rng), expected[i]);
    }
}

static void streams_do_not_depend_on_order(void **state) {
    (void)state;
    enum { N_STREAMS = 3, N = 9 };
    uint32_t alone[N_STREAMS][N];
    apq_rng rng[N_STREAMS];
    for (uint64_t s = 0; s < N_STREAMS; s++) {
        apq_rng one = apq_rng_make(7, APQ_RNG_TEST, s);
        for (int i = 0; i < N; i++) {
            alone[s][i] = apq_rng_u32(&one);
        }
        rng[s] = apq_rng_make(7, APQ_RNG_TEST, s);
    }
    for (int i = 0; i < N; i++) {
        for (int s = N_STREAMS - 1; s >= 0; s--) {
            assert_int_equal(apq_rng_u32(&rng[s]), alone[s][i]);
        }
    }
}

static void every_part_of_a_name_counts(void **state) {
    (void)state;
    const uint64_t high = (uint64_t)1 << 32;
    apq_rng rng[] = {
        apq_rng_make(1, APQ_RNG_TEST, 0),
        apq_rng_make(2, APQ_RNG_TEST, 0),
        apq_rng_make(1 + high, APQ_RNG_TEST, 0),
        apq_rng_make(1, APQ_RNG_SUBNET, 0),
        apq_rng_make(1, APQ_RNG_TEST, 1),
        apq_rng_make(1, APQ_RNG_TEST, high),
    };
    enum { N = sizeof rng / sizeof rng[0] };
    uint64_t first[N];
    for (int i = 0; i < N; i++) {
        first[i] = (uint64_t)apq_rng_u32(&rng[i]) << 32;
        first[i] |= apq_rng_u32(&rng[i]);
        for (int k = 0; k < i; k++) {
            assert_true(first[i] != first[k]);
        }
    }
}

/* Within five standard deviations of what is expected. */
static void assert_near(double actual, double expected, double deviation) {
    if (!(fabs(actual - expected) <= 5 * deviation)) {
        fail_msg("%g is not near %g", actual, expected);
    }
}

static void integers_are_even(void **state) {
    (void)state;
    enum { SIDES = 7, N = 70000 };
    apq_rng rng = apq_rng_make(3, APQ_RNG_TEST, 0);
    int counts[SIDES] = {0};
    for (int i = 0; i < N; i++) {
        uint32_t x = apq_rng_below(&rng, SIDES);
        assert_true(x < SIDES);
        counts[x]++;
    }
    for (int k = 0; k < SIDES; k++) {
        assert_near(counts[k], (double)N / SIDES, sqrt((double)N / SIDES));
    }
    assert_int_equal(apq_rng_below(&rng, 1), 0);
    /* Above 2^31 a plain remainder would take low values twice as often. */
    int n_low = 0;
    for (int i = 0; i < N; i++) {
        n_low += apq_rng_below(&rng, 0xC0000000) < 0x40000000;
    }
    assert_near(n_low, N / 3.0, sqrt(N / 4.5));
    int n_true = 0;
    for (int i = 0; i < N; i++) {
        n_true += apq_rng_chance(&rng, 0.1);
        assert_true(apq_rng_chance(&rng, 1.0));
        assert_false(apq_rng_chance(&rng, 0.0));
    }
    assert_near(n_true, N * 0.1, sqrt(N * 0.09));
}

static void reals_have_their_moments(void **state) {
    (void)state;
    enum { N = 100000 };
    apq_rng rng = apq_rng_make(4, APQ_RNG_TEST, 0);
    double uniform = 0, normal = 0, square = 0;
    for (int i = 0; i < N; i++) {
        double u = apq_rng_uniform(&rng);
        assert_true(u >= 0.0 && u < 1.0);
        uniform += u / N;
        double z = apq_rng_normal(&rng);
        assert_true(isfinite(z));
        normal += z / N;
        square += z * z / N;
    }
    assert_near(uniform, 0.5, sqrt(1.0 / 12 / N));
    assert_near(normal, 0.0, sqrt(1.0 / N));
    assert_near(square, 1.0, sqrt(2.0 / N));
}

static void shuffles_are_even_permutations(void **state) {
    (void)state;
    enum { N = 5, N_ROUNDS = 20000 };
    int at[N][N] = {{0}};
    for (uint64_t round = 0; round < N_ROUNDS; round++) {
        apq_rng rng = apq_rng_make(5, APQ_RNG_TEST, round);
        uint32_t values[N] = {0, 1, 2, 3, 4};
        apq_rng_shuffle(&rng, values, N);
        unsigned seen = 0;
        for (int i = 0; i < N; i++) {
            assert_true(values[i] < N);
            seen |= 1U << values[i];
            at[i][values[i]]++;
        }
        assert_int_equal(seen, (1 << N) - 1);
    }
    for (int i = 0; i < N * N; i++) {
        assert_near(at[i / N][i % N], N_ROUNDS / 5.0, sqrt(N_ROUNDS * 0.16));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_match_the_published_answers),
        cmocka_unit_test(names_map_to_streams_for_ever),
        cmocka_unit_test(streams_do_not_depend_on_order),
        cmocka_unit_test(every_part_of_a_name_counts),
        cmocka_unit_test(integers_are_even),
        cmocka_unit_test(reals_have_their_moments),
        cmocka_unit_test(shuffles_are_even_permutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
