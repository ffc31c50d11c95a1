/* Named tensors: an optimiser step worked out by hand, initialisation, and
 * storage that refuses tensors of another shape. */
#include "nn/params.h"

#include "unit/asserts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static apq_params make(int64_t rows, int64_t cols) {
    apq_params p = {0};
    size_t index;
    assert_int_equal(apq_params_add(&p, "layer.weight", 2,
                                    (int64_t[]){rows, cols}, true, &index),
                     APQ_OK);
    assert_int_equal(index, 0);
    assert_int_equal(
        apq_params_add(&p, "layer.beta", 1, (int64_t[]){rows}, false, &index),
        APQ_OK);
    assert_int_equal(index, 1);
    assert_int_equal(apq_params_allocate(&p), APQ_OK);
    return p;
}

/* lr 0.1, momentum 0.9, decay 0.01, w 1, gradient 0.5 twice:
 *   with decay  g 0.51      m 0.51      w 1 - 0.1 (0.51 + 0.459) = 0.9031
 *               g 0.509031  m 0.968031  w 0.9031 - 0.13802589
 *   without     g 0.5       m 0.5       w 0.905
 *               g 0.5       m 0.95      w 0.905 - 0.1355 */
static void steps_match_the_hand_computation(void **state) {
    (void)state;
    apq_params p = make(2, 3);
    for (size_t t = 0; t < 2; t++) {
        apq_params_init_constant(&p, t, 1.0F);
        for (size_t i = 0; i < p.items[t].n; i++) {
            apq_params_grad(&p, t)[i] = 0.5F;
        }
    }
    static const double values[2][2] = {{0.9031, 0.905}, {0.76507411, 0.7695}};
    static const double momenta[2][2] = {{0.51, 0.5}, {0.968031, 0.95}};
    for (int step = 0; step < 2; step++) {
        apq_params_step(&p, 0.1, 0.9, 0.01);
        for (size_t t = 0; t < 2; t++) {
            for (size_t i = 0; i < p.items[t].n; i++) {
                assert_near((double)apq_params_value(&p, t)[i], values[step][t],
                            1e-6);
                assert_near((double)p.momentum[p.items[t].offset + i],
                            momenta[step][t], 1e-6);
            }
        }
    }
    apq_params_zero_grad(&p);
    assert_true(apq_params_grad(&p, 1)[1] == 0.0F);
    assert_near((double)apq_params_value(&p, 1)[1], 0.7695, 1e-6);
    apq_params_fini(&p);
}

/* As the second tensor above, three times as fast; at 0 it stands still. */
static void a_rate_multiplies_the_learning_rate(void **state) {
    (void)state;
    apq_params p = make(2, 3);
    for (size_t t = 0; t < 2; t++) {
        assert_true(p.items[t].rate == 1.0F);
        p.items[t].rate = t == 0 ? 0.0F : 3.0F;
        apq_params_init_constant(&p, t, 1.0F);
        for (size_t i = 0; i < p.items[t].n; i++) {
            apq_params_grad(&p, t)[i] = 0.5F;
        }
    }
    apq_params_step(&p, 0.1, 0.9, 0.01);
    apq_params_step(&p, 0.1, 0.9, 0.01);
    assert_near((double)apq_params_value(&p, 0)[5], 1.0, 0.0);
    assert_near((double)apq_params_value(&p, 1)[1], 1 - 3 * (0.095 + 0.1355),
                1e-6);
    assert_near((double)p.momentum[p.items[1].offset], 0.95, 1e-6);
    apq_params_fini(&p);
}

static void gradients_are_clipped_one_by_one(void **state) {
    (void)state;
    apq_params p = make(2, 3);
    const float grads[6] = {0.5F, -3.0F, 1.0F, 7.0F, -1.0F, NAN};
    const double clipped[5] = {0.5, -1.0, 1.0, 1.0, -1.0};
    memcpy(apq_params_grad(&p, 0), grads, sizeof grads);
    apq_params_clip_grad(&p, 1.0F);
    for (int i = 0; i < 5; i++) {
        assert_near((double)apq_params_grad(&p, 0)[i], clipped[i], 0.0);
    }
    assert_true(isnan(apq_params_grad(&p, 0)[5])); /* to be noticed later */
    apq_params_fini(&p);
}

static void tensors_lie_apart_on_cache_lines(void **state) {
    (void)state;
    apq_params p = {0};
    size_t index;
    for (int64_t i = 1; i <= 100; i++) { /* more than the first capacity */
        assert_int_equal(apq_params_add(&p, "t", 1, &i, false, &index), APQ_OK);
        assert_int_equal(index, i - 1);
    }
    assert_int_equal(apq_params_allocate(&p), APQ_OK);
    for (size_t t = 0; t < p.n_items; t++) {
        assert_int_equal((uintptr_t)apq_params_value(&p, t) % 64, 0);
        apq_params_init_constant(&p, t, (float)t);
    }
    for (size_t t = 0; t < p.n_items; t++) {
        assert_true(apq_params_value(&p, t)[0] == (float)t);
        assert_true(apq_params_value(&p, t)[t] == (float)t);
    }
    assert_true(apq_params_finite(&p));
    apq_params_value(&p, 99)[99] = NAN;
    assert_false(apq_params_finite(&p));
    apq_params_value(&p, 99)[99] = INFINITY;
    assert_false(apq_params_finite(&p));
    apq_params_fini(&p);
}

static void initial_weights_depend_on_seed_and_index(void **state) {
    (void)state;
    enum { ROWS = 64, COLS = 100, N = ROWS * COLS };
    apq_params a = make(ROWS, COLS), b = make(ROWS, COLS);
    apq_params_init_normal(&a, 1, 8, 9.0);
    apq_params_init_normal(&a, 0, 8, 50.0);
    apq_params_init_normal(&b, 0, 8, 50.0); /* the other order */
    apq_params_init_normal(&b, 1, 8, 9.0);
    assert_memory_equal(a.value, b.value, a.n_values * sizeof(float));
    assert_true(a.value[0] != apq_params_value(&a, 1)[0]);
    double square = 0;
    for (int i = 0; i < N; i++) {
        square += (double)a.value[i] * (double)a.value[i] / N;
    }
    assert_near(square, 2.0 / 50.0, 5 * 0.04 * sqrt(2.0 / N));
    apq_params_init_normal(&b, 0, 9, 50.0);
    assert_memory_not_equal(a.value, b.value, N * sizeof(float));
    apq_params_fini(&a);
    apq_params_fini(&b);
}

static void fill(float *values, size_t n, float start) {
    for (size_t i = 0; i < n; i++) {
        values[i] = start + (float)i;
    }
}

static apq_tensor_file *stored(const apq_params *p, bool with_momentum) {
    apq_tensor_file *file = NULL;
    assert_int_equal(apq_tensor_file_create(&file), APQ_OK);
    assert_int_equal(apq_params_put(p, with_momentum, file), APQ_OK);
    return file;
}

static void storage_returns_values_and_momenta(void **state) {
    (void)state;
    apq_params a = make(3, 5), b = make(3, 5);
    fill(apq_params_value(&a, 0), 15, 1.5F);
    fill(apq_params_value(&a, 1), 3, -7.0F);
    fill(a.momentum + a.items[0].offset, 15, 100.0F);
    fill(a.momentum + a.items[1].offset, 3, 200.0F);
    apq_tensor_file *file = stored(&a, true);
    assert_int_equal(apq_tensor_file_length(file), 4);
    assert_int_equal(apq_params_get(&b, true, file), APQ_OK);
    size_t n_bytes = a.n_values * sizeof(float);
    assert_memory_equal(a.value, b.value, n_bytes);
    assert_memory_equal(a.momentum, b.momentum, n_bytes);
    apq_tensor_file_destroy(file);

    file = stored(&a, false);
    assert_int_equal(apq_tensor_file_length(file), 2);
    fill(b.value, 15, 0.0F);
    assert_int_equal(apq_params_get(&b, false, file), APQ_OK);
    assert_memory_equal(a.value, b.value, n_bytes);
    assert_int_equal(apq_params_get(&b, true, file), APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(), "momentum.layer.weight"));
    apq_tensor_file_destroy(file);
    apq_params_fini(&a);
    apq_params_fini(&b);
}

/* From 2 towards 6: 2 + (1 - 0.75) 4 = 3, then 3 + 0.25 (10 - 3) = 4.75. */
static void averages_follow_the_values(void **state) {
    (void)state;
    apq_params a = make(2, 3), b = make(2, 3);
    apq_params_init_constant(&a, 0, 2.0F);
    assert_int_equal(apq_params_average_begin(&a), APQ_OK);
    assert_int_equal(apq_params_average_begin(&b), APQ_OK);
    assert_int_equal(apq_params_average_begin(&a), APQ_OK); /* anew */
    assert_near((double)a.average[5], 2.0, 0.0);
    apq_params_init_constant(&a, 0, 6.0F);
    apq_params_average_step(&a, 0.75);
    assert_near((double)a.average[5], 3.0, 1e-6);
    apq_tensor_file *file = stored(&a, true);
    assert_int_equal(apq_tensor_file_length(file), 6);
    assert_int_equal(apq_params_get(&b, true, file), APQ_OK);
    apq_tensor_file_destroy(file);
    for (size_t k = 0; k < 2; k++) { /* the one read goes on alike */
        apq_params *p = k == 0 ? &a : &b;
        assert_near((double)p->value[5], 6.0, 0.0);
        apq_params_init_constant(p, 0, 10.0F);
        apq_params_average_step(p, 0.75);
        apq_params_average_end(p);
        assert_near((double)p->value[5], 4.75, 1e-6);
        assert_null(p->average);
    }
    file = stored(&a, true); /* none is kept, none is stored or asked for */
    assert_int_equal(apq_tensor_file_length(file), 4);
    assert_int_equal(apq_params_get(&b, true, file), APQ_OK);
    assert_int_equal(apq_params_average_begin(&b), APQ_OK);
    assert_int_equal(apq_params_get(&b, true, file), APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(), "average.layer.weight"));
    apq_tensor_file_destroy(file);
    apq_params_fini(&a);
    apq_params_fini(&b);
}

static void other_shapes_are_refused(void **state) {
    (void)state;
    apq_params a = make(3, 5);
    apq_tensor_file *file = stored(&a, true);
    static const int64_t shapes[][2] = {{5, 3}, {3, 4}, {3, 6}, {1, 15}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        apq_params b = make(shapes[i][0], shapes[i][1]);
        assert_int_equal(apq_params_get(&b, true, file), APQ_ERR_FORMAT);
        assert_non_null(strstr(apq_error_message(), "layer.weight"));
        assert_non_null(strstr(apq_error_message(), "[3,5]"));
        apq_params_fini(&b);
    }
    apq_tensor_file_destroy(file);
    apq_params_fini(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_match_the_hand_computation),
        cmocka_unit_test(a_rate_multiplies_the_learning_rate),
        cmocka_unit_test(gradients_are_clipped_one_by_one),
        cmocka_unit_test(tensors_lie_apart_on_cache_lines),
        cmocka_unit_test(initial_weights_depend_on_seed_and_index),
        cmocka_unit_test(storage_returns_values_and_momenta),
        cmocka_unit_test(averages_follow_the_values),
        cmocka_unit_test(other_shapes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
