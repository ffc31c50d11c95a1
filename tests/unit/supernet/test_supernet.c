/* Gradients of every shared tensor against finite differences, and the
 * meaning of views: extraction, kernel transforms, masks of unused weights. */
#include "supernet/supernet.h"

#include "supernet/kernel.h"

#include "unit/nn/find.h"
#include "unit/supernet/sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Mean loss; with gradients into the supernet when asked. */
static double loss_of(sample *s, const apq_policy *policy, bool with_gradient) {
    apq_arena_reset(s->arena);
    apq_subnet subnet;
    sample_bind(s, policy, &subnet);
    if (with_gradient) {
        apq_params_zero_grad(apq_supernet_params(s->supernet));
    }
    double loss = sample_loss(s, &subnet.net, with_gradient);
    if (with_gradient) {
        assert_int_equal(apq_subnet_collect_grads(&subnet), APQ_OK);
    }
    apq_subnet_fini(&subnet);
    return loss;
}

/* Central difference along the gradient g of tensor t against |g|^2. ReLU6
 * has kinks, so the best of three steps counts. */
static bool difference_agrees(sample *s, const apq_policy *policy, size_t t,
                              const float *g, double norm2,
                              const float *saved) {
    apq_params *p = apq_supernet_params(s->supernet);
    double best = (double)INFINITY;
    for (double step = 1e-3; step > 5e-5; step /= 4) {
        double h = step / sqrt(norm2);
        double sides[2];
        for (int side = 0; side < 2; side++) {
            float *w = apq_params_value(p, t);
            for (size_t i = 0; i < p->items[t].n; i++) {
                w[i] += (float)((side == 0 ? h : -h) * (double)g[i]);
            }
            sides[side] = loss_of(s, policy, false);
            memcpy(p->value, saved, p->n_values * sizeof *saved);
        }
        double measured = (sides[0] - sides[1]) / (2 * h);
        best = fmin(best, fabs(measured / norm2 - 1.0));
    }
    return best <= 0.05;
}

/* d loss along each tensor's own gradient equals the gradient's squared
 * norm. One policy after another must touch every tensor of the space. */
static void gradients_match_differences(void **state) {
    sample *s = *state;
    apq_params *p = apq_supernet_params(s->supernet);
    bool *is_checked = calloc(p->n_items, sizeof *is_checked);
    float *saved = malloc(p->n_values * sizeof *saved);
    float *gradient = malloc(p->n_values * sizeof *gradient);
    assert_non_null(is_checked);
    assert_non_null(saved);
    assert_non_null(gradient);
    memcpy(saved, p->value, p->n_values * sizeof *saved);
    for (int round = 0; round < 4; round++) {
        apq_policy policy;
        apq_rng rng = apq_rng_make(9, APQ_RNG_TEST, (uint64_t)round);
        apq_policy_random(&s->space, &rng, &policy);
        if (round < 2) { /* full depth: every block has gradients */
            apq_policy_largest(&s->space, 8, &policy);
        }
        if (round == 1) {
            for (int b = 0; b < s->space.n_blocks; b++) {
                policy.kernel[b] = (int8_t)s->space.kernels[0];
            }
        }
        (void)loss_of(s, &policy, true);
        memcpy(gradient, p->grad, p->n_values * sizeof *gradient);
        for (size_t t = 0; t < p->n_items; t++) {
            const float *g = gradient + p->items[t].offset;
            double norm2 = 0;
            for (size_t i = 0; i < p->items[t].n; i++) {
                norm2 += (double)g[i] * (double)g[i];
            }
            if (norm2 < 1e-12) {
                continue;
            }
            if (!difference_agrees(s, &policy, t, g, norm2, saved)) {
                fail_msg("round %d, %s: gradient does not match", round,
                         p->items[t].name);
            }
            is_checked[t] = true;
        }
    }
    for (size_t t = 0; t < p->n_items; t++) {
        /* The next batch norm removes a constant: a linear layer's shift has
         * no gradient unless a residual carries it. */
        const char *name = p->items[t].name;
        bool may_vanish = strstr(name, "pointwise.beta") != NULL ||
                          strstr(name, "project.beta") != NULL;
        if (!is_checked[t] && !may_vanish) {
            fail_msg("%s never had a gradient", p->items[t].name);
        }
    }
    free(is_checked);
    free(saved);
    free(gradient);
}

static void skipped_weights_get_no_gradient(void **state) {
    sample *s = *state;
    apq_policy policy;
    apq_policy_smallest(&s->space, 8, &policy);
    (void)loss_of(s, &policy, true);
    const apq_params *p = apq_supernet_params(s->supernet);
    int b = -1; /* a block that the smallest policy skips */
    for (int i = 0; i < s->space.n_blocks; i++) {
        b = apq_space_block_active(&s->space, &policy, i) ? b : i;
    }
    assert_true(b >= 0);
    char prefix[32];
    (void)snprintf(prefix, sizeof prefix, "block%d.", b);
    size_t n_seen = 0;
    for (size_t t = 0; t < p->n_items; t++) {
        if (strncmp(p->items[t].name, prefix, strlen(prefix)) != 0) {
            continue;
        }
        n_seen++;
        for (size_t i = 0; i < p->items[t].n; i++) {
            assert_true(apq_params_grad(p, t)[i] == 0.0F);
        }
    }
    assert_true(n_seen >= 9);
}

static void extraction_computes_the_same(void **state) {
    sample *s = *state;
    for (uint64_t i = 0; i < 5; i++) {
        apq_rng rng = apq_rng_make(1, APQ_RNG_TEST, i);
        apq_policy policy;
        apq_policy_random(&s->space, &rng, &policy);
        apq_arena_reset(s->arena);
        apq_subnet subnet;
        sample_bind(s, &policy, &subnet);
        apq_model *model;
        assert_int_equal(apq_supernet_extract(s->supernet, &policy,
                                              APQ_QUANTISER_APQ, &model),
                         APQ_OK);
        apq_nn_net net;
        assert_int_equal(apq_model_bind(model, s->backend, s->arena, &net),
                         APQ_OK);
        float *a, *b;
        assert_int_equal(
            apq_nn_forward(&subnet.net, APQ_NN_TRAIN, s->images, N_IMAGES, &a),
            APQ_OK);
        assert_int_equal(
            apq_nn_forward(&net, APQ_NN_TRAIN, s->images, N_IMAGES, &b),
            APQ_OK);
        for (int k = 0; k < N_IMAGES * N_CLASSES; k++) {
            assert_true(fabsf(a[k] - b[k]) <= 1e-5F);
        }
        apq_nn_net_fini(&net);
        apq_model_destroy(model);
        apq_subnet_fini(&subnet);
    }
}

static void recalibration_averages_batches(void **state) {
    sample *s = *state;
    apq_policy policy;
    apq_policy_largest(&s->space, 8, &policy);
    apq_subnet subnet;
    sample_bind(s, &policy, &subnet);
    float *logits;
    apq_nn_recalibrate_reset(&subnet.net);
    assert_int_equal(apq_nn_forward(&subnet.net, APQ_NN_RECALIBRATE, s->images,
                                    N_IMAGES, &logits),
                     APQ_OK);
    float first = subnet.net.layers[0].mean[0];
    assert_int_equal(apq_nn_forward(&subnet.net, APQ_NN_RECALIBRATE, s->images,
                                    N_IMAGES / 2, &logits),
                     APQ_OK);
    float half = subnet.net.layers[0].y_norm.mean[0];
    float expected = (2.0F * first + half) / 3.0F;
    assert_true(fabsf(subnet.net.layers[0].mean[0] - expected) <= 1e-6F);
    apq_subnet_fini(&subnet);
}

static void logits_of(sample *s, const apq_policy *policy,
                      float out[N_IMAGES * N_CLASSES]) {
    apq_arena_reset(s->arena);
    apq_subnet subnet;
    float *logits;
    sample_bind(s, policy, &subnet);
    assert_int_equal(
        apq_nn_forward(&subnet.net, APQ_NN_TRAIN, s->images, N_IMAGES, &logits),
        APQ_OK);
    memcpy(out, logits, N_IMAGES * N_CLASSES * sizeof *out);
    apq_subnet_fini(&subnet);
}

static double logit_distance(const float *a, const float *b) {
    double worst = 0;
    for (int i = 0; i < N_IMAGES * N_CLASSES; i++) {
        double difference = fabs((double)a[i] - (double)b[i]);
        worst = difference <= worst ? worst : difference; /* keeps NaN */
    }
    return worst;
}

static double importance(sample *s, int b, int channel) {
    const apq_params *p = apq_supernet_params(s->supernet);
    char name[64];
    (void)snprintf(name, sizeof name, "block%d.project.weight", b);
    size_t t = find_tensor(p, name);
    double sum = 0;
    for (int64_t k = 0; k < p->items[t].shape[0]; k++) {
        sum += fabs(
            (double)apq_params_value(p, t)[k * p->items[t].shape[1] + channel]);
    }
    return sum;
}

/* All channels, then only those of the narrower half: the largest computes
 * what it did both times, an 8 channels narrower one after the second. */
static void sorting_channels_keeps_the_function(void **state) {
    sample *s = *state;
    apq_params *p = apq_supernet_params(s->supernet);
    int all[APQ_MAX_BLOCKS], narrow[APQ_MAX_BLOCKS];
    apq_policy largest, narrower;
    apq_policy_largest(&s->space, 8, &largest);
    narrower = largest;
    for (int b = 0; b < s->space.n_blocks; b++) {
        all[b] = s->space.blocks[b].max_channels;
        narrow[b] = all[b] - 8;
        narrower.channels[b] = (int16_t)narrow[b];
    }
    float before[N_IMAGES * N_CLASSES], after[N_IMAGES * N_CLASSES];
    float narrow_before[N_IMAGES * N_CLASSES];
    logits_of(s, &largest, before);
    logits_of(s, &narrower, narrow_before);
    memcpy(p->momentum, p->value, p->n_values * sizeof *p->value);
    float *const arrays[] = {p->value, p->momentum};
    assert_int_equal(apq_supernet_sort_channels(s->supernet, all, arrays, 2),
                     APQ_OK);
    assert_memory_equal(p->momentum, p->value, p->n_values * sizeof *p->value);
    logits_of(s, &largest, after);
    assert_true(logit_distance(before, after) <= 1e-4);
    logits_of(s, &narrower, after); /* has other channels now */
    assert_true(logit_distance(narrow_before, after) >= 1e-2);
    for (int b = 0; b < s->space.n_blocks; b++) {
        for (int c = 1; c < all[b]; c++) {
            assert_true(importance(s, b, c - 1) >= importance(s, b, c));
        }
    }
    /* Sorted, so turn the narrower's channels about. */
    apq_rng rng = apq_rng_make(6, APQ_RNG_TEST, 0);
    for (size_t i = 0; i < p->n_values; i++) {
        p->value[i] += 0.1F * (float)apq_rng_normal(&rng);
    }
    logits_of(s, &largest, before);
    logits_of(s, &narrower, narrow_before);
    assert_int_equal(apq_supernet_sort_channels(s->supernet, narrow, arrays, 1),
                     APQ_OK);
    assert_memory_not_equal(p->momentum, p->value,
                            p->n_values * sizeof *p->value);
    logits_of(s, &largest, after);
    assert_true(logit_distance(before, after) <= 1e-4);
    logits_of(s, &narrower, after);
    assert_true(logit_distance(narrow_before, after) <= 1e-4);
}

/* Blocks with a residual then add nothing but beta: their weights do not
 * matter and have no gradient, but the scales do, so that training goes on. */
static void zero_residuals_are_identities(void **state) {
    sample *s = *state;
    apq_params *p = apq_supernet_params(s->supernet);
    apq_policy policy;
    apq_policy_largest(&s->space, 8, &policy);
    apq_supernet_zero_residuals(s->supernet);
    double loss = loss_of(s, &policy, true);
    int n_residuals = 0;
    for (int b = 0; b < s->space.n_blocks; b++) {
        char weight[APQ_PARAM_NAME_MAX], gamma[APQ_PARAM_NAME_MAX];
        (void)snprintf(weight, sizeof weight, "block%d.project.weight", b);
        (void)snprintf(gamma, sizeof gamma, "block%d.project.gamma", b);
        for (size_t t = 0; t < p->n_items; t++) {
            bool is_weight = strcmp(p->items[t].name, weight) == 0;
            bool is_gamma = strcmp(p->items[t].name, gamma) == 0;
            const float *value = apq_params_value(p, t);
            const float *grad = apq_params_grad(p, t);
            for (size_t i = 0; i < p->items[t].n && is_gamma; i++) {
                assert_true((value[i] == 0.0F) ==
                            s->space.blocks[b].has_residual);
                assert_true(grad[i] != 0.0F && isfinite(grad[i]));
            }
            for (size_t i = 0; i < p->items[t].n && is_weight; i++) {
                assert_true((grad[i] == 0.0F) ==
                            s->space.blocks[b].has_residual);
            }
        }
        if (s->space.blocks[b].has_residual) {
            n_residuals++;
            policy.kernel[b] = (int8_t)s->space.kernels[0];
        }
    }
    assert_true(n_residuals > 0 && n_residuals < s->space.n_blocks);
    assert_true(loss_of(s, &policy, false) == loss);
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Shifts, and nothing else, learn at their own rate; only weights decay. */
static void shifts_have_their_own_rate(void **state) {
    sample *s = *state;
    apq_supernet_set_shift_rate(s->supernet, 8.0);
    const apq_params *p = apq_supernet_params(s->supernet);
    int n_shifts = 0;
    for (size_t t = 0; t < p->n_items; t++) {
        bool is_shift = ends_with(p->items[t].name, ".beta");
        n_shifts += is_shift;
        assert_true(p->items[t].rate == (is_shift ? 8.0F : 1.0F));
        assert_int_equal(p->items[t].has_decay,
                         ends_with(p->items[t].name, ".weight"));
    }
    assert_int_equal(n_shifts, 4 + 3 * s->space.n_blocks);
}

/* With identity matrices the smaller kernel is the centre of the larger. */
static void identity_shrinks_to_the_centre(void **state) {
    (void)state;
    enum { C = 3, LD = 5 };
    float large[49 * LD], matrix[25 * 25] = {0}, small[25 * C];
    for (int i = 0; i < 49 * LD; i++) {
        large[i] = (float)i;
    }
    for (int i = 0; i < 25; i++) {
        matrix[i * 25 + i] = 1.0F;
    }
    apq_kernel_shrink(large, LD, 7, C, matrix, small);
    for (int t = 0; t < 25; t++) {
        int tap = (t / 5 + 1) * 7 + t % 5 + 1;
        for (int c = 0; c < C; c++) {
            assert_true(small[t * C + c] == large[tap * LD + c]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gradients_match_differences,
                                        sample_open, sample_close),
        cmocka_unit_test_setup_teardown(skipped_weights_get_no_gradient,
                                        sample_open, sample_close),
        cmocka_unit_test_setup_teardown(extraction_computes_the_same,
                                        sample_open, sample_close),
        cmocka_unit_test_setup_teardown(recalibration_averages_batches,
                                        sample_open, sample_close),
        cmocka_unit_test_setup_teardown(sorting_channels_keeps_the_function,
                                        sample_open, sample_close),
        cmocka_unit_test_setup_teardown(zero_residuals_are_identities,
                                        sample_open, sample_close),
        cmocka_unit_test_setup_teardown(shifts_have_their_own_rate, sample_open,
                                        sample_close),
        cmocka_unit_test(identity_shrinks_to_the_centre),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
