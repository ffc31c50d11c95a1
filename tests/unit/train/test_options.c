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

/* Largest difference of values over the largest value. */
static double distance(apq_supernet *a, apq_supernet *b) {
    const apq_params *p = apq_supernet_params(a);
    const apq_params *q = apq_supernet_params(b);
    double worst = 0, scale = 0;
    for (size_t i = 0; i < p->n_values; i++) {
        double difference = fabs((double)p->value[i] - (double)q->value[i]);
        worst = difference <= worst ? worst : difference; /* keeps NaN */
        scale = fmax(scale, fabs((double)p->value[i]));
    }
    return worst / scale;
}

static const apq_augmentation alternating = {.flip = APQ_FLIP_ALTERNATING,
                                             .crop_padding = 2,
                                             .crop_reflect = true,
                                             .cutout = 4};

/* Stopped in the middle of an epoch, at its end, and after a single step. */
static void resumed_training_repeats_the_bits(void **state) {
    const trainee *t = *state;
    apq_train_options o = trainee_options(t);
    o.augmentation = &alternating;
    apq_supernet *whole = trainee_train(t, &o);
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    o.checkpoint_path = path;
    trainee_stop(t, o, 3);
    trainee_stop(t, o, 2);
    trainee_stop(t, o, 1);
    trainee_stop(t, o, 3);
    apq_supernet *resumed = trainee_train(t, &o);
    assert_same_params(apq_supernet_params(whole),
                       apq_supernet_params(resumed));
    apq_supernet_destroy(resumed);
    apq_supernet_destroy(whole);
    trainee_close_checkpoint(folder);
}

/* Each option on its own: it is not forgotten on the way. */
static void every_option_matters(void **state) {
    enum { N = 1 };
    const trainee *t = *state;
    apq_train_options o[N];
    for (int i = 0; i < N; i++) {
        o[i] = trainee_options(t);
    }
    o[0].augmentation = &alternating;
    apq_train_options usual = trainee_options(t);
    apq_supernet *a = trainee_train(t, &usual);
    for (int i = 0; i < N; i++) {
        apq_supernet *b = trainee_train(t, &o[i]);
        assert_true(distance(a, b) >= 1e-3);
        apq_supernet_destroy(b);
    }
    apq_supernet_destroy(a);
}

#define WITH_TRAINEE(test)                                                     \
    cmocka_unit_test_setup_teardown(test, trainee_open, trainee_close)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_TRAINEE(resumed_training_repeats_the_bits),
        WITH_TRAINEE(every_option_matters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
