/* Aligned zeroed memory, sizes that overflow, and the step arena: marks,
 * reuse once warm, blocks larger than the usual. */
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ALIGNMENT = 64, MIB = 1 << 20 };

static int arena_make(void **state) {
    apq_arena *arena = NULL;
    apq_status st = apq_arena_create(&arena);
    *state = arena;
    return st == APQ_OK ? 0 : -1;
}

static int arena_remove(void **state) {
    apq_arena_destroy(*state);
    return 0;
}

static void calloc_is_aligned_and_zeroed(void **state) {
    (void)state;
    const size_t lengths[] = {0, 1, 15, 16, 17, 100000};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        float *p = apq_calloc(lengths[i], sizeof *p);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % ALIGNMENT, 0);
        for (size_t k = 0; k < lengths[i]; k++) {
            assert_true(p[k] == 0.0F);
            p[k] = 1.0F; /* so that recycled memory is dirty */
        }
        free(p);
    }
}

/* Products and roundings that do not fit in size_t. */
static const size_t too_large[][2] = {
    {SIZE_MAX, 2},
    {SIZE_MAX / 2 + 1, 2},
    {(size_t)1 << 33, (size_t)1 << 33},
    {SIZE_MAX, 1},
    {SIZE_MAX - ALIGNMENT + 2, 1},
};

static void oversized_requests_give_null(void **state) {
    apq_arena *arena = *state;
    float *kept = apq_arena_alloc(arena, 1, sizeof *kept);
    assert_non_null(kept);
    *kept = 3.0F;
    for (size_t i = 0; i < sizeof too_large / sizeof too_large[0]; i++) {
        assert_null(apq_calloc(too_large[i][0], too_large[i][1]));
        assert_null(apq_arena_alloc(arena, too_large[i][0], too_large[i][1]));
    }
    /* A refusal leaves the arena usable. */
    assert_non_null(apq_arena_alloc(arena, 10, sizeof(float)));
    assert_true(*kept == 3.0F);
}

static void arena_pieces_do_not_overlap(void **state) {
    enum { N = 200 };
    apq_arena *arena = *state;
    unsigned char *pieces[N];
    size_t lengths[N];
    for (int i = 0; i < N; i++) {
        lengths[i] = (size_t)(i * 37 % 501);
        /* Two that open a block of their own. */
        lengths[i] += i == 50 || i == 120 ? 20 * (size_t)MIB : 0;
        pieces[i] = apq_arena_alloc(arena, lengths[i], 1);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % ALIGNMENT, 0);
        memset(pieces[i], i, lengths[i]);
    }
    for (int i = 0; i < N; i++) {
        if (lengths[i] > 0) {
            assert_int_equal(pieces[i][0], i);
            assert_int_equal(pieces[i][lengths[i] - 1], i);
        }
    }
}

static void rewinding_keeps_what_came_before(void **state) {
    apq_arena *arena = *state;
    apq_arena_mark empty = apq_arena_position(arena);
    int *kept = apq_arena_alloc(arena, 4, sizeof *kept);
    assert_non_null(kept);
    kept[3] = 42;
    apq_arena_mark mark = apq_arena_position(arena);
    char *first = NULL, *far = NULL;
    for (int round = 0; round < 3; round++) {
        char *a = apq_arena_alloc(arena, 1000, 1);
        char *b = apq_arena_alloc(arena, 20 * (size_t)MIB, 1);
        assert_non_null(a);
        assert_non_null(b);
        if (round == 0) {
            first = a;
            far = b;
        }
        assert_ptr_equal(a, first);
        assert_ptr_equal(b, far); /* the later block is reused */
        memset(a, round, 1000);
        apq_arena_rewind(arena, mark);
        assert_int_equal(kept[3], 42);
    }
    apq_arena_rewind(arena, empty);
    assert_ptr_equal(apq_arena_alloc(arena, 4, sizeof *kept), kept);
}

/* Equal steps settle on one block: from the third on every address repeats,
 * so nothing is allocated. */
static void equal_steps_repeat_their_addresses(void **state) {
    enum { N_STEPS = 5, N_PIECES = 6 };
    apq_arena *arena = *state;
    char *settled[N_PIECES] = {NULL};
    for (int step = 0; step < N_STEPS; step++) {
        apq_arena_reset(arena);
        for (int i = 0; i < N_PIECES; i++) {
            char *p = apq_arena_alloc(arena, 7 * (size_t)MIB, 1);
            assert_non_null(p);
            p[0] = p[7 * MIB - 1] = (char)i;
            if (step == 2) {
                settled[i] = p;
            } else if (step > 2) {
                assert_ptr_equal(p, settled[i]);
            }
        }
        if (step >= 2) {
            for (int i = 1; i < N_PIECES; i++) {
                assert_int_equal(settled[i] - settled[i - 1], 7 * MIB);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calloc_is_aligned_and_zeroed),
        cmocka_unit_test_setup_teardown(oversized_requests_give_null,
                                        arena_make, arena_remove),
        cmocka_unit_test_setup_teardown(arena_pieces_do_not_overlap, arena_make,
                                        arena_remove),
        cmocka_unit_test_setup_teardown(rewinding_keeps_what_came_before,
                                        arena_make, arena_remove),
        cmocka_unit_test_setup_teardown(equal_steps_repeat_their_addresses,
                                        arena_make, arena_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
