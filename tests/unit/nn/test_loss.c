/* Losses by hand on two classes, and their gradients against differences. */
#include "nn/loss.h"

#include "base/rng.h"

#include "unit/asserts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 3, K = 5 };

/* Logits 0 and log 3 give probabilities 1/4 and 3/4. */
static void two_classes_match_the_hand_computation(void **state) {
    (void)state;
    float logits[4] = {0.0F, (float)log(3.0), (float)log(3.0), 0.0F};
    const int labels[2] = {1, 1};
    float d[4];
    apq_loss_sum sum = apq_loss_labels(logits, labels, 2, 2, 0.0, d);
    assert_near(sum.loss, -log(0.75) - log(0.25), 1e-6);
    assert_near(sum.squares, pow(log(0.75), 2) + pow(log(0.25), 2), 1e-6);
    assert_int_equal(sum.correct, 1);
    assert_near((double)d[0], 0.125, 1e-6); /* (1/4 - 0) / 2 images */
    assert_near((double)d[1], -0.125, 1e-6);
    assert_near((double)d[2], 0.375, 1e-6);

    /* Smoothing 0.1: targets 0.05 and 0.95. */
    sum = apq_loss_labels(logits, labels, 1, 2, 0.1, d);
    assert_near(sum.loss, -0.05 * log(0.25) - 0.95 * log(0.75), 1e-6);
    assert_near((double)d[0], 0.25 - 0.05, 1e-6);
    assert_near((double)d[1], 0.75 - 0.95, 1e-6);

    const float targets[2] = {0.4F, 0.6F};
    sum = apq_loss_soft(logits, targets, labels, 1, 2, 1.0, 0, d);
    assert_near(sum.loss, -0.4 * log(0.25) - 0.6 * log(0.75), 1e-6);
    assert_int_equal(sum.correct, 1);
    apq_loss_sum none = apq_loss_labels(logits, labels, 2, 2, 0.0, NULL);
    assert_int_equal(none.correct, 1);
}

static void softmax_is_stable_and_may_alias(void **state) {
    (void)state;
    float x[6] = {1000.0F, 1000.0F, -1000.0F, 0.0F, 0.0F, 0.0F};
    apq_softmax(x, 2, 3, x);
    assert_near((double)x[0], 0.5, 1e-6);
    assert_near((double)x[1], 0.5, 1e-6);
    assert_near((double)x[2], 0.0, 1e-30);
    for (int k = 3; k < 6; k++) {
        assert_near((double)x[k], 1.0 / 3, 1e-6);
    }
    const float far[2] = {-1e4F, 1e4F};
    apq_loss_sum sum = apq_loss_labels(far, (int[]){0}, 1, 2, 0.0, NULL);
    assert_near(sum.loss, 2e4, 1e-6);
}

typedef struct batch {
    float logits[N * K], targets[N * K];
    int labels[N];
} batch;

static batch make_batch(void) {
    batch b;
    apq_rng rng = apq_rng_make(1, APQ_RNG_TEST, 0);
    for (int i = 0; i < N * K; i++) {
        b.logits[i] = (float)(2.0 * apq_rng_normal(&rng));
        b.targets[i] = (float)apq_rng_normal(&rng);
    }
    apq_softmax(b.targets, N, K, b.targets);
    for (int i = 0; i < N; i++) {
        b.labels[i] = (2 * i + 1) % K;
    }
    return b;
}

/* Sum of losses: soft targets, or labels with `smoothing` when it is >= 0. */
static double loss_of(const batch *b, double smoothing) {
    return smoothing < 0
               ? apq_loss_soft(b->logits, b->targets, b->labels, N, K, 1.0, 0,
                               (float[N * K]){0})
                     .loss
               : apq_loss_labels(b->logits, b->labels, N, K, smoothing, NULL)
                     .loss;
}

static void check_gradient(batch *b, double smoothing, double scale,
                           const float *gradient) {
    for (int i = 0; i < N * K; i++) {
        float keep = b->logits[i];
        float high = keep + 1e-2F, low = keep - 1e-2F;
        b->logits[i] = high;
        double up = loss_of(b, smoothing);
        b->logits[i] = low;
        double down = loss_of(b, smoothing);
        b->logits[i] = keep;
        double slope = (up - down) / ((double)high - (double)low) / N;
        assert_near((double)gradient[i], scale * slope, 2e-5);
    }
}

static void gradients_match_differences(void **state) {
    (void)state;
    batch b = make_batch();
    float d[N * K];
    (void)apq_loss_labels(b.logits, b.labels, N, K, 0.0, d);
    check_gradient(&b, 0.0, 1.0, d);
    (void)apq_loss_labels(b.logits, b.labels, N, K, 0.1, d);
    check_gradient(&b, 0.1, 1.0, d);
    (void)apq_loss_soft(b.logits, b.targets, b.labels, N, K, 1.0, 0, d);
    check_gradient(&b, -1.0, 1.0, d);
    /* A second share of the same loss adds to the first. */
    (void)apq_loss_soft(b.logits, b.targets, b.labels, N, K, 0.5, 1, d);
    check_gradient(&b, -1.0, 1.5, d);
}

/* At the teacher's own logits there is nothing left to learn. */
static void matching_the_teacher_has_no_gradient(void **state) {
    (void)state;
    batch b = make_batch();
    float d[N * K];
    apq_softmax(b.logits, N, K, b.targets);
    (void)apq_loss_soft(b.logits, b.targets, b.labels, N, K, 1.0, 0, d);
    for (int i = 0; i < N * K; i++) {
        assert_near((double)d[i], 0.0, 1e-7);
    }
    apq_loss_sum sum =
        apq_loss_alpha(b.logits, b.targets, b.labels, N, K, 0, d);
    assert_near(sum.loss, 0.0, 1e-6);
    for (int i = 0; i < N * K; i++) {
        assert_near((double)d[i], 0.0, 1e-7);
    }
}

enum { N_CASES = 3, CLASSES = 3 };

/* Teacher p and student q of one image each: q lacks a class, claims one too
 * much, claims one so much too much that the ratio q/p is clipped. */
static const double alpha_cases[N_CASES][2][CLASSES] = {
    {{0.5, 0.25, 0.25}, {0.05, 0.475, 0.475}},
    {{0.4, 0.4, 0.2}, {0.2, 0.1, 0.7}},
    {{0.9, 0.09, 0.01}, {0.3, 0.1, 0.6}},
};
/* KL(p||q), twice (sum q^2/p - 1) / 2, by hand; at last 0.6^2/0.01 is 5 0.6. */
static const double alpha_losses[N_CASES] = {
    0.8303656034, (0.1 + 0.025 + 2.45 - 1) / 2, (0.1 + 1.0 / 9 + 3 - 1) / 2};

static float as_logit(double probability) {
    return (float)log(probability) + 1.5F; /* softmax does not see the 1.5 */
}

static void alpha_losses_match_the_hand_computation(void **state) {
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        float p[CLASSES], x[CLASSES], d[CLASSES] = {0};
        for (int k = 0; k < CLASSES; k++) {
            p[k] = (float)alpha_cases[i][0][k];
            x[k] = as_logit(alpha_cases[i][1][k]);
        }
        apq_loss_sum sum = apq_loss_alpha(x, p, (int[]){2}, 1, CLASSES, 0, d);
        assert_near(sum.loss, alpha_losses[i], 1e-6);
        assert_int_equal(sum.correct, i > 0);
    }
    /* A class the teacher rules out: finite, and clipped. */
    const float p[2] = {1.0F, 0.0F}, x[2] = {0.0F, 0.0F};
    float d[2];
    apq_loss_sum sum = apq_loss_alpha(x, p, (int[]){0}, 1, 2, 0, d);
    assert_near(sum.loss, (0.25 + 2.5 - 1) / 2, 1e-6);
    assert_near((double)d[0], 0.5 * (0.5 - 2.75), 1e-6);
    assert_near((double)d[1], 0.5 * (5 - 2.75), 1e-6);
}

/* sum q w with the ratios w of `at` held: what the clipped case descends. */
static double held_loss(const double *p, const float *at, const float *x) {
    float q[CLASSES], q_at[CLASSES];
    double sum = 0;
    apq_softmax(x, 1, CLASSES, q);
    apq_softmax(at, 1, CLASSES, q_at);
    for (int k = 0; k < CLASSES; k++) {
        sum += (double)q[k] * fmin((double)q_at[k] / p[k], 5.0);
    }
    return sum;
}

/* Of the loss itself where nothing is clipped; two images average. */
static void alpha_gradients_match_differences(void **state) {
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        float p[2 * CLASSES], x[2 * CLASSES], d[2 * CLASSES], unused[CLASSES];
        for (int k = 0; k < 2 * CLASSES; k++) {
            p[k] = (float)alpha_cases[i][0][k % CLASSES];
            x[k] = as_logit(alpha_cases[i][1][k % CLASSES]);
            d[k] = 2.0F;
        }
        (void)apq_loss_alpha(x, p, (int[]){0, 0}, 2, CLASSES, 1, d);
        for (int k = 0; k < 2 * CLASSES; k++) {
            double sides[2];
            for (int side = 0; side < 2; side++) {
                float moved[CLASSES];
                memcpy(moved, x, sizeof moved);
                moved[k % CLASSES] += side == 0 ? 0.015625F : -0.015625F;
                sides[side] = i == 2 ? held_loss(alpha_cases[i][0], x, moved)
                                     : apq_loss_alpha(moved, p, (int[]){0}, 1,
                                                      CLASSES, 0, unused)
                                           .loss;
            }
            double slope = (sides[0] - sides[1]) / 0.03125;
            assert_near((double)d[k], 2.0 + slope / 2, 1e-4);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_classes_match_the_hand_computation),
        cmocka_unit_test(softmax_is_stable_and_may_alias),
        cmocka_unit_test(gradients_match_differences),
        cmocka_unit_test(alpha_losses_match_the_hand_computation),
        cmocka_unit_test(alpha_gradients_match_differences),
        cmocka_unit_test(matching_the_teacher_has_no_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
