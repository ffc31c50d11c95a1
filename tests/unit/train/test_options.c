/* Training options: each changes the weights, none the rule that a resumed
 * training repeats an undisturbed one. */
#include "train/supernet_train.h"

#include "unit/train/trainee.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const apq_augmentation alternating = {.flip = APQ_FLIP_ALTERNATING,
                                             .crop_padding = 2,
                                             .crop_reflect = true,
                                             .cutout = 4};

static apq_train_options all_options(const trainee *t) {
    apq_train_options o = trainee_options(t);
    o.augmentation = &alternating;
    o.weight_average = 0.9;
    o.distill = APQ_DISTILL_ALPHA;
    o.lr_schedule = APQ_RATE_LINEAR;
    o.final_rate = 0.1;
    o.stem_frozen_epochs = 1;
    return o;
}

/* Stopped in the middle of an epoch, at its end, and after a single step. */
static void expect_same_when_resumed(const trainee *t, apq_train_options o) {
    apq_supernet *whole = trainee_train(t, &o);
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    o.checkpoint_path = path;
    trainee_stop(t, o, 3);
    trainee_stop(t, o, 2);
    trainee_stop(t, o, 1);
    trainee_stop(t, o, 3);
    trainee_expect_same(t, &o, whole);
    trainee_close_checkpoint(folder);
}

static void resumed_training_repeats_the_bits(void **state) {
    const trainee *t = *state;
    expect_same_when_resumed(t, all_options(t));
}

static void progressive_training_resumes_alike(void **state) {
    const trainee *t = *state;
    apq_train_options o = all_options(t);
    o.schedule = "progressive";
    o.phases = (apq_train_phases){.length = {1, 1, 1, 1, 1, 1},
                                  .rate = {1, 1, 1, 1, 1, 1}};
    expect_same_when_resumed(t, o);
}

/* Sum of squares of a training that learns in its first third only. */
static double squares_after(const trainee *t, const double *lengths) {
    apq_train_options o = trainee_options(t);
    o.schedule = "progressive";
    o.weight_average = 0.9;
    o.phases = (apq_train_phases){.rate = {1}};
    memcpy(o.phases.length, lengths, sizeof o.phases.length);
    apq_supernet *s = trainee_train(t, &o);
    const apq_params *p = apq_supernet_params(s);
    double sum = 0;
    for (size_t i = 0; i < p->n_values; i++) {
        sum += (double)p->value[i] * (double)p->value[i];
    }
    apq_supernet_destroy(s);
    return sum;
}

/* Once nothing is learned any more, sorting channels changes the places of
 * averages and nothing else, if they follow their weights. */
static void averages_are_sorted_with_their_channels(void **state) {
    const trainee *t = *state;
    const double sorted[APQ_N_PHASES] = {1, 0, 0, 0, 1, 1};
    const double unsorted[APQ_N_PHASES] = {1, 1, 1, 0, 0, 0};
    double expected = squares_after(t, unsorted);
    assert_true(fabs(squares_after(t, sorted) / expected - 1) <= 1e-7);
}

/* The same average taken outside: of the weights after 1, 2, ... steps, which
 * a run of as many steps leaves in its checkpoint. */
static void the_average_is_of_the_weights_after_each_step(void **state) {
    const trainee *t = *state;
    apq_train_options o = trainee_options(t);
    o.epochs = 1;
    apq_supernet *followed = trainee_supernet(&t->space);
    apq_supernet *at = trainee_supernet(&t->space);
    apq_params *p = apq_supernet_params(followed);
    apq_params *q = apq_supernet_params(at);
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    o.checkpoint_path = path;
    assert_int_equal(apq_params_average_begin(p), APQ_OK);
    static const double decays[] = {0.1, 2.0 / 11, 3.0 / 12, 0.3, 0.3};
    for (int step = 0; step < TRAINEE_STEPS_PER_EPOCH; step++) {
        trainee_stop(t, o, 1);
        apq_tensor_file *file;
        assert_int_equal(apq_tensor_file_load(path, &file), APQ_OK);
        assert_int_equal(apq_params_get(q, true, file), APQ_OK);
        apq_tensor_file_destroy(file);
        memcpy(p->value, q->value, p->n_values * sizeof(float));
        apq_params_average_step(p, decays[step]);
    }
    apq_params_average_end(p);
    o.checkpoint_path = NULL;
    o.weight_average = 0.3;
    apq_supernet *averaged = trainee_train(t, &o);
    assert_true(trainee_distance(averaged, followed) <= 1e-6);
    assert_true(trainee_distance(averaged, at) >= 1e-4);
    apq_supernet_destroy(averaged);
    apq_supernet_destroy(followed);
    apq_supernet_destroy(at);
    trainee_close_checkpoint(folder);
}

/* The largest momentum after the first step, which is its gradient, of a
 * supernet that is sure of itself and wrong. */
static double steepest(const trainee *t, apq_distill distill) {
    apq_train_options o = trainee_options(t);
    o.largest_epochs = 0;
    o.weight_decay = 0;
    o.distill = distill;
    apq_supernet *s = trainee_supernet(&t->space);
    apq_params *p = apq_supernet_params(s);
    for (size_t i = 0; i < p->n_items; i++) {
        for (size_t k = 0; k < p->items[i].n &&
                           strcmp(p->items[i].name, "classifier.weight") == 0;
             k++) {
            apq_params_value(p, i)[k] *= 40.0F;
        }
    }
    stopper stop;
    stopper_set(&stop, 1);
    o.progress = &stop.progress;
    assert_int_equal(apq_train_supernet(s, t->dataset, &o),
                     APQ_ERR_INTERRUPTED);
    double most = 0;
    for (size_t i = 0; i < p->n_values; i++) {
        most = fmax(most, fabs((double)p->momentum[i]));
    }
    apq_supernet_destroy(s);
    return most;
}

static void alpha_clips_gradients(void **state) {
    const trainee *t = *state;
    assert_true(steepest(t, APQ_DISTILL_SOFT) > 2.0);
    assert_true(fabs(steepest(t, APQ_DISTILL_ALPHA) - 1.0) <= 0.0);
}

/* Largest change of the stem's weights, and of its scales, in `epochs`. */
static void stem_changes(const trainee *t, int epochs, double *weights,
                         double *scales) {
    apq_train_options o = trainee_options(t);
    o.epochs = epochs;
    o.stem_frozen_epochs = 2;
    apq_supernet *fresh = trainee_supernet(&t->space);
    apq_supernet *s = trainee_train(t, &o);
    const apq_params *p = apq_supernet_params(fresh);
    const apq_params *q = apq_supernet_params(s);
    size_t stem = apq_supernet_stem(s);
    double *out[] = {weights, scales};
    assert_string_equal(p->items[stem].name, "stem.weight");
    assert_string_equal(p->items[stem + 1].name, "stem.gamma");
    for (size_t k = 0; k < 2; k++) {
        *out[k] = 0;
        for (size_t i = 0; i < p->items[stem + k].n; i++) {
            double change = (double)apq_params_value(p, stem + k)[i] -
                            (double)apq_params_value(q, stem + k)[i];
            *out[k] = fmax(*out[k], fabs(change));
        }
    }
    apq_supernet_destroy(s);
    apq_supernet_destroy(fresh);
}

static void frozen_stems_learn_later(void **state) {
    const trainee *t = *state;
    double weights, scales;
    stem_changes(t, 2, &weights, &scales);
    assert_true(!(weights > 0.0));
    assert_true(scales > 1e-4);
    stem_changes(t, 3, &weights, &scales);
    assert_true(weights > 1e-4);
}

/* Each option on its own: it is not forgotten on the way. */
static void every_option_matters(void **state) {
    enum { N = 6 };
    const trainee *t = *state;
    apq_train_options o[N];
    for (int i = 0; i < N; i++) {
        o[i] = trainee_options(t);
    }
    o[0].augmentation = &alternating;
    o[1].weight_average = 0.9;
    o[2].distill = APQ_DISTILL_ALPHA;
    o[3].lr_schedule = APQ_RATE_LINEAR;
    o[4].final_rate = 0.3;
    o[5].stem_frozen_epochs = 1;
    apq_train_options usual = trainee_options(t);
    apq_supernet *a = trainee_train(t, &usual);
    for (int i = 0; i < N; i++) {
        apq_supernet *b = trainee_train(t, &o[i]);
        assert_true(trainee_distance(a, b) >= 1e-3);
        apq_supernet_destroy(b);
    }
    apq_supernet_destroy(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_TRAINEE(resumed_training_repeats_the_bits),
        WITH_TRAINEE(progressive_training_resumes_alike),
        WITH_TRAINEE(averages_are_sorted_with_their_channels),
        WITH_TRAINEE(the_average_is_of_the_weights_after_each_step),
        WITH_TRAINEE(alpha_clips_gradients),
        WITH_TRAINEE(frozen_stems_learn_later),
        WITH_TRAINEE(every_option_matters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
