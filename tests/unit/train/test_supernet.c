/* Supernet training: interrupted and resumed it ends in the same bits, the
 * choice of sub-networks depends on no thread count, and checkpoints of
 * another run are refused. */
#include "train/supernet_train.h"

#include "unit/train/trainee.h"

#include "base/file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* In the middle of an epoch, at its end, and after a single step. */
static void resumed_training_repeats_the_bits(void **state) {
    const trainee *t = *state;
    apq_train_options o = trainee_options(t);
    apq_supernet *whole = trainee_train(t, &o);
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    o.checkpoint_path = path;
    trainee_stop(t, o, 3);
    assert_non_null(strstr(apq_error_message(), "at step 3"));
    trainee_stop(t, o, 2);
    trainee_stop(t, o, 1);
    trainee_stop(t, o, 3);
    assert_non_null(strstr(apq_error_message(), "at step 9"));
    trainee_expect_same(t, &o, whole);
    trainee_close_checkpoint(folder);
}

/* Nothing to save to: it stops all the same, and claims nothing. */
static void training_stops_without_a_checkpoint(void **state) {
    const trainee *t = *state;
    trainee_stop(t, trainee_options(t), 2);
    assert_non_null(strstr(apq_error_message(), "at step 2"));
    assert_null(strstr(apq_error_message(), "saved"));
}

/* Checkpoints after every step: the last leaves nothing to do. */
static void checkpoints_are_written_while_training(void **state) {
    const trainee *t = *state;
    apq_train_options o = trainee_options(t);
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    o.checkpoint_path = path;
    o.checkpoint_s = 0;
    o.epochs = 1;
    apq_supernet *a = trainee_train(t, &o);
    assert_true(apq_file_exists(path));
    apq_supernet *b = trainee_train(t, &o);
    assert_same_params(apq_supernet_params(a), apq_supernet_params(b));
    apq_supernet_destroy(a);
    apq_supernet_destroy(b);
    trainee_close_checkpoint(folder);
}

/* Sums may round differently with more threads; another choice of
 * sub-networks, as with one more of them, changes far more. */
static void choices_do_not_depend_on_threads(void **state) {
    const trainee *t = *state;
    apq_train_options o = trainee_options(t);
    o.largest_epochs = 0;
    o.epochs = 1;
    apq_supernet *one = trainee_train(t, &o);
    o.random_subnets++;
    apq_supernet *other = trainee_train(t, &o);
    o.random_subnets--;
    o.loader_threads = 2;
    apq_backend_set_threads(2);
    apq_supernet *two = trainee_train(t, &o);
    apq_backend_set_threads(1);
    assert_true(trainee_distance(one, two) <= 1e-5);
    assert_true(trainee_distance(one, other) >= 1e-3);
    apq_supernet_destroy(one);
    apq_supernet_destroy(two);
    apq_supernet_destroy(other);
}

static void policies_do_not_depend_on_who_draws(void **state) {
    enum { N = 64 };
    const trainee *t = *state;
    apq_policy drawn[2][N];
    memset(drawn, 0, sizeof drawn);
    for (int threads = 1; threads <= 2; threads++) {
#pragma omp parallel for num_threads(threads) schedule(dynamic)
        for (int i = 0; i < N; i++) {
            apq_rng rng = apq_rng_make(11, APQ_RNG_SUBNET, (uint64_t)i);
            apq_policy_random(&t->space, &rng, &drawn[threads - 1][i]);
        }
    }
    assert_memory_equal(drawn[0], drawn[1], sizeof drawn[0]);
    assert_memory_not_equal(&drawn[0][0], &drawn[0][1], sizeof drawn[0][0]);
}

/* Content of the checkpoint survives every refusal. */
static void expect_refusal(const trainee *t, const apq_space *space,
                           const apq_train_options *o, apq_status expected) {
    char before[APQ_HASH_MAX], after[APQ_HASH_MAX];
    assert_int_equal(apq_file_hash(o->checkpoint_path, before), APQ_OK);
    apq_supernet *s = trainee_supernet(space);
    assert_int_equal(apq_train_supernet(s, t->dataset, o), expected);
    apq_supernet_destroy(s);
    assert_non_null(strstr(apq_error_message(), o->checkpoint_path));
    assert_int_equal(apq_file_hash(o->checkpoint_path, after), APQ_OK);
    assert_string_equal(before, after);
}

static void checkpoints_of_other_runs_are_a_mismatch(void **state) {
    const trainee *t = *state;
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    apq_train_options o = trainee_options(t);
    o.checkpoint_path = path;
    trainee_stop(t, o, 2);
    apq_train_options other = o;
    other.seed++;
    expect_refusal(t, &t->space, &other, APQ_ERR_MISMATCH);
    other = o;
    other.epochs++;
    expect_refusal(t, &t->space, &other, APQ_ERR_MISMATCH);
    other = o;
    other.input = "0123456789abcdef";
    expect_refusal(t, &t->space, &other, APQ_ERR_MISMATCH);
    apq_space wider = t->space;
    wider.head_channels += 8;
    expect_refusal(t, &wider, &o, APQ_ERR_MISMATCH);
    apq_space deeper; /* has tensors that the checkpoint lacks */
    assert_int_equal(apq_space_load("cifar10", &deeper), APQ_OK);
    expect_refusal(t, &deeper, &o, APQ_ERR_MISMATCH);
    trainee_close_checkpoint(folder);
}

static void truncated_checkpoints_are_refused(void **state) {
    const trainee *t = *state;
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    apq_train_options o = trainee_options(t);
    o.checkpoint_path = path;
    trainee_stop(t, o, 2);
    char *bytes = NULL;
    size_t n = 0;
    assert_int_equal(apq_file_read(path, &bytes, &n), APQ_OK);
    const size_t lengths[] = {n - 1, n / 2, 100, 7, 0};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        assert_int_equal(apq_file_write(path, bytes, lengths[i]), APQ_OK);
        expect_refusal(t, &t->space, &o, APQ_ERR_FORMAT);
    }
    free(bytes);
    trainee_close_checkpoint(folder);
}

/* The loss of a step does not know what the step makes of the weights: they
 * are looked at before they are saved. */
static void weights_that_are_no_numbers_are_not_kept(void **state) {
    const trainee *t = *state;
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    apq_train_options o = trainee_options(t);
    o.checkpoint_path = path;
    o.checkpoint_s = 0;
    o.warmup_epochs = 0;
    o.learning_rate = 1e38;
    o.weight_decay = 1e6;
    trainee_refuse(t, &o, APQ_ERR_NUMERIC);
    assert_non_null(strstr(apq_error_message(), "diverged at step 0; lower"));
    assert_false(apq_file_exists(path));
    trainee_close_checkpoint(folder);
}

/* The largest alone is a sandwich that stays with it; another network alone
 * learns something else. */
static void alone_is_a_sandwich_of_one(void **state) {
    const trainee *t = *state;
    apq_train_options o = trainee_options(t);
    o.largest_epochs = o.epochs;
    apq_supernet *sandwich = trainee_train(t, &o);
    o.schedule = "alone";
    apq_supernet *largest = trainee_train(t, &o);
    assert_same_params(apq_supernet_params(sandwich),
                       apq_supernet_params(largest));
    apq_policy smallest;
    apq_policy_smallest(&t->space, 8, &smallest);
    o.policy = &smallest;
    apq_supernet *other = trainee_train(t, &o);
    assert_true(trainee_distance(largest, other) > 1e-3);
    double flop, flop_smallest;
    assert_int_equal(apq_train_flop(&t->space, &o, 1, &flop_smallest), APQ_OK);
    o.policy = NULL;
    assert_int_equal(apq_train_flop(&t->space, &o, 1, &flop), APQ_OK);
    assert_true(flop_smallest < flop);
    apq_supernet_destroy(sandwich);
    apq_supernet_destroy(largest);
    apq_supernet_destroy(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_TRAINEE(resumed_training_repeats_the_bits),
        WITH_TRAINEE(training_stops_without_a_checkpoint),
        WITH_TRAINEE(checkpoints_are_written_while_training),
        WITH_TRAINEE(choices_do_not_depend_on_threads),
        WITH_TRAINEE(policies_do_not_depend_on_who_draws),
        WITH_TRAINEE(checkpoints_of_other_runs_are_a_mismatch),
        WITH_TRAINEE(truncated_checkpoints_are_refused),
        WITH_TRAINEE(weights_that_are_no_numbers_are_not_kept),
        WITH_TRAINEE(alone_is_a_sandwich_of_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
