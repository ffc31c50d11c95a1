/* Data, interruption and comparison for the tests of training loops. */
#include "unit/train/trainee.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int trainee_open(void **state) {
    trainee *t = calloc(1, sizeof *t);
    assert_non_null(t);
    assert_int_equal(apq_space_load("tiny", &t->space), APQ_OK);
    apq_data_options options = APQ_DATA_OPTIONS_INIT;
    options.resolution = t->space.resolution;
    options.n_threads = 1;
    assert_int_equal(
        apq_dataset_open("builtin:shapes?train=100&test=10&size=16", &options,
                         &t->dataset),
        APQ_OK);
    assert_int_equal(apq_dataset_length(t->dataset, APQ_SPLIT_TRAIN) /
                         TRAINEE_BATCH,
                     TRAINEE_STEPS_PER_EPOCH);
    assert_int_equal(apq_backend_find("cpu", &t->backend), APQ_OK);
    apq_backend_set_threads(1);
    *state = t;
    return 0;
}

int trainee_close(void **state) {
    trainee *t = *state;
    apq_dataset_destroy(t->dataset);
    free(t);
    return 0;
}

static bool count_down(void *ctx) {
    stopper *s = ctx;
    return --s->left == 0;
}

void stopper_set(stopper *s, int steps) {
    *s = (stopper){
        .left = steps,
        .progress = {.ctx = s, .stop_requested = count_down},
    };
}

void assert_same_params(const apq_params *a, const apq_params *b) {
    assert_int_equal(a->n_items, b->n_items);
    for (size_t t = 0; t < a->n_items; t++) {
        const apq_param *item = &a->items[t];
        size_t n_bytes = item->n * sizeof(float);
        if (memcmp(a->value + item->offset, b->value + item->offset, n_bytes) !=
                0 ||
            memcmp(a->momentum + item->offset, b->momentum + item->offset,
                   n_bytes) != 0) {
            fail_msg("%s differs", item->name);
        }
    }
}
