/* Losses by hand on two classes, and their gradients against differences. */
#include "nn/loss.h"

#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 3, K = 5 };

static void assert_near(double actual, double expected, double tolerance) {
    if (!(fabs(actual - expected) <= tolerance)) {
        fail_msg("%.9g is not %.9g within %g", actual, expected, tolerance);
    }
}

/* Logits 0 and log 3 give probabilities 1/4 and 3/4. */
static void two_classes_match_the_hand_computation(void **state) {
    (void)state;
    float logits[4] = {0.0F, (float)log(3.0), (float)log(3.0), 0.0F};
    const int labels[2] = {1, 1};
    float d[4];
    apq_loss_sum sum = apq_loss_labels(logits, labels, 2, 2, 0.0, d);
    assert_near(sum.loss, -log(0.75) - log(0.25), 1e-6);
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
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_classes_match_the_hand_computation),
        cmocka_unit_test(softmax_is_stable_and_may_alias),
        cmocka_unit_test(gradients_match_differences),
        cmocka_unit_test(matching_the_teacher_has_no_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
