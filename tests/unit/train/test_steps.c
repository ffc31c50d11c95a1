/* Steps of a training: once warm none allocates, and bfloat16 learns as float
 * does. */
#include "train/supernet_train.h"

#include "unit/allocations.h"
#include "unit/train/trainee.h"

#include "base/memory.h"
#include "nn/loss.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The count after each step, as the loop asks whether to stop. */
typedef struct counter {
    int n_steps;
    int counts[64];
} counter;

static bool count_step(void *ctx) {
    counter *c = ctx;
    c->counts[c->n_steps++] = allocations();
    return false;
}

/* The whole loop, the loader of images in it; the largest network alone, so
 * that steps are equal, then with the sandwich at one thread and two. */
static void warm_steps_allocate_nothing(void **state) {
    const trainee *t = *state;
    for (int i = 0; i < 4; i++) {
        counter c = {0};
        apq_progress progress = {.ctx = &c, .stop_requested = count_step};
        apq_train_options o = trainee_options(t);
        o.progress = &progress;
        o.epochs = 4;
        o.largest_epochs = i / 2 == 0 ? 4 : 0;
        o.random_subnets = 0;
        o.precision = i % 2 == 0 ? APQ_FLOAT32 : APQ_BFLOAT16;
        apq_backend_set_threads(1 + i % 2);
        apq_supernet_destroy(trainee_train(t, &o));
        apq_backend_set_threads(1);
        assert_int_equal(c.n_steps, 4 * TRAINEE_STEPS_PER_EPOCH);
        assert_true(c.counts[0] > 0);
        for (int s = 2; s < c.n_steps; s++) {
            if (c.counts[s] != c.counts[1]) {
                fail_msg("case %d: %d allocations in step %d", i,
                         c.counts[s] - c.counts[s - 1], s + 1);
            }
        }
    }
}

static apq_supernet *learn(const trainee *t, apq_precision precision,
                           int n_epochs, int threads) {
    apq_train_options o = trainee_options(t);
    o.precision = precision;
    o.epochs = n_epochs;
    o.largest_epochs = n_epochs;
    apq_backend_set_threads(threads);
    apq_supernet *s = trainee_train(t, &o);
    apq_backend_set_threads(1);
    return s;
}

/* Mean loss of the largest network on the first images it trained on. */
static double loss_of(const trainee *t, apq_supernet *s) {
    apq_loader *loader = NULL;
    apq_arena *arena = NULL;
    const float *images;
    const int *labels;
    float *logits;
    int n;
    apq_policy largest;
    apq_subnet subnet;
    float dlogits[TRAINEE_BATCH * 64];
    apq_policy_largest(&t->space, 8, &largest);
    assert_int_equal(apq_arena_create(&arena), APQ_OK);
    assert_int_equal(apq_loader_create(t->dataset,
                                       &(apq_loader_options){
                                           .split = APQ_SPLIT_TRAIN,
                                           .batch = TRAINEE_BATCH,
                                           .seed = 3,
                                           .n_threads = 1,
                                       },
                                       &loader),
                     APQ_OK);
    double loss = 0;
    int count = 0;
    assert_int_equal(apq_loader_start(loader, 0, 0), APQ_OK);
    for (int b = 0; b < TRAINEE_STEPS_PER_EPOCH; b++) {
        assert_int_equal(apq_loader_next(loader, &images, &labels, &n), APQ_OK);
        apq_arena_reset(arena);
        assert_int_equal(
            apq_subnet_bind(s, &largest, t->backend, arena, &subnet), APQ_OK);
        assert_int_equal(
            apq_nn_forward(&subnet.net, APQ_NN_TRAIN, images, n, &logits),
            APQ_OK);
        assert_true(subnet.net.n_classes <= 64);
        loss +=
            apq_loss_labels(logits, labels, n, subnet.net.n_classes, 0, dlogits)
                .loss;
        count += n;
        apq_subnet_fini(&subnet);
    }
    apq_loader_destroy(loader);
    apq_arena_destroy(arena);
    return loss / count;
}

/* What bfloat16 takes from the loss is what float takes, but for what the
 * order of sums alone makes of 100 steps: about an eighth. */
static void bfloat16_learns_as_float(void **state) {
    enum { EPOCHS = 20 };
    const trainee *t = *state;
    apq_supernet *all[] = {trainee_supernet(&t->space),
                           learn(t, APQ_FLOAT32, EPOCHS, 1),
                           learn(t, APQ_BFLOAT16, EPOCHS, 1)};
    double loss[3];
    for (int i = 0; i < 3; i++) {
        loss[i] = loss_of(t, all[i]);
        apq_supernet_destroy(all[i]);
    }
    double in_float = loss[0] - loss[1];
    double in_bfloat16 = loss[0] - loss[2];
    assert_true(in_float >= 0.15);
    assert_true(fabs(in_bfloat16 - in_float) <= 0.3 * in_float);
}

/* Bit for bit at a number of threads; and bfloat16 is not float. */
static void bfloat16_repeats_its_bits(void **state) {
    const trainee *t = *state;
    for (int threads = 1; threads <= 2; threads++) {
        apq_supernet *one = learn(t, APQ_BFLOAT16, 2, threads);
        apq_supernet *again = learn(t, APQ_BFLOAT16, 2, threads);
        apq_supernet *other = learn(t, APQ_FLOAT32, 2, threads);
        const apq_params *p = apq_supernet_params(one);
        assert_same_params(p, apq_supernet_params(again));
        assert_memory_not_equal(p->value, apq_supernet_params(other)->value,
                                p->n_values * sizeof(float));
        apq_supernet_destroy(one);
        apq_supernet_destroy(again);
        apq_supernet_destroy(other);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_TRAINEE(warm_steps_allocate_nothing),
        WITH_TRAINEE(bfloat16_learns_as_float),
        WITH_TRAINEE(bfloat16_repeats_its_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
