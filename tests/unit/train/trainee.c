/* Data, interruption and comparison for the tests of training loops. */
#include "unit/train/trainee.h"

#include "unit/asserts.h"
#include "unit/store/scratch.h"

#include <stdlib.h>

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

apq_train_options trainee_options(const trainee *t) {
    return (apq_train_options){
        .backend = t->backend,
        .checkpoint_s = 1e9,
        .seed = 11,
        .epochs = 3,
        .batch = TRAINEE_BATCH,
        .random_subnets = 2,
        .largest_epochs = 1,
        .learning_rate = 0.05,
        .momentum = 0.9,
        .weight_decay = 1e-4,
        .label_smoothing = 0.1,
        .warmup_epochs = 0.5,
        .loader_threads = 1,
    };
}

static apq_supernet *create(const apq_space *space, bool shares_bits) {
    apq_supernet *s = NULL;
    assert_status(shares_bits ? apq_supernet_create_shared(space, 11, &s)
                              : apq_supernet_create(space, 11, &s),
                  APQ_OK);
    return s;
}

apq_supernet *trainee_supernet(const apq_space *space) {
    return create(space, false);
}

static apq_supernet *train(const trainee *t, const apq_train_options *o,
                           apq_status expected) {
    apq_supernet *s = create(&t->space, o->shares_bits);
    assert_status(apq_train_supernet(s, t->dataset, o), expected);
    return s;
}

apq_supernet *trainee_train(const trainee *t, const apq_train_options *o) {
    return train(t, o, APQ_OK);
}

void trainee_stop(const trainee *t, apq_train_options o, int steps) {
    stopper s;
    stopper_set(&s, steps);
    o.progress = &s.progress;
    apq_supernet_destroy(train(t, &o, APQ_ERR_INTERRUPTED));
}

void trainee_refuse(const trainee *t, const apq_train_options *o,
                    apq_status expected) {
    apq_supernet_destroy(train(t, o, expected));
}

void trainee_expect_same(const trainee *t, const apq_train_options *o,
                         apq_supernet *whole) {
    apq_supernet *resumed = trainee_train(t, o);
    assert_same_params(apq_supernet_params(whole),
                       apq_supernet_params(resumed));
    apq_supernet_destroy(resumed);
    apq_supernet_destroy(whole);
}

void driver_open(driver *d, const apq_train_method *method, const trainee *t,
                 const apq_space *space, apq_train_options options) {
    *d = (driver){.method = method, .options = options};
    d->env = (apq_train_env){
        .supernet = create(space, options.shares_bits),
        .options = &d->options,
        .steps_per_epoch = TRAINEE_STEPS_PER_EPOCH,
        .n_steps = options.epochs * TRAINEE_STEPS_PER_EPOCH,
    };
    assert_status(apq_arena_create(&d->env.arena), APQ_OK);
    d->state = calloc(1, method->state_bytes);
    assert_non_null(d->state);
    assert_status(method->init(d->state, &d->env), APQ_OK);
    assert_status(apq_loader_create(t->dataset,
                                    &(apq_loader_options){
                                        .split = APQ_SPLIT_TRAIN,
                                        .batch = DRIVER_BATCH,
                                        .seed = 1,
                                    },
                                    &d->loader),
                  APQ_OK);
    assert_status(apq_loader_start(d->loader, 0, 0), APQ_OK);
    assert_status(apq_loader_next(d->loader, &d->images, &d->labels, &d->n),
                  APQ_OK);
}

void driver_close(driver *d) {
    d->method->fini(d->state);
    free(d->state);
    apq_loader_destroy(d->loader);
    apq_arena_destroy(d->env.arena);
    apq_supernet_destroy(d->env.supernet);
}

apq_train_sums driver_gradients(driver *d, int64_t step) {
    apq_train_sums sums = {0};
    const apq_train_batch batch = {d->images, d->labels, d->n, step};
    apq_params_zero_grad(apq_supernet_params(d->env.supernet));
    assert_status(d->method->gradients(d->state, &batch, &sums), APQ_OK);
    return sums;
}

apq_finetune_options trainee_finetune_options(const trainee *t) {
    return (apq_finetune_options){
        .backend = t->backend,
        .checkpoint_s = 1e9,
        .seed = 11,
        .n_steps = 8,
        .batch = TRAINEE_BATCH,
        .learning_rate = 0.01,
        .momentum = 0.9,
        .weight_decay = 1e-4,
        .label_smoothing = 0.1,
        .recalibrate_images = 64,
        .loader_threads = 1,
    };
}

void *trainee_open_checkpoint(char path[APQ_PATH_MAX]) {
    void *folder = NULL;
    assert_int_equal(scratch_make(&folder), 0);
    assert_int_equal(apq_path_join(path, folder, "checkpoint"), APQ_OK);
    return folder;
}

void trainee_close_checkpoint(void *folder) {
    assert_int_equal(scratch_remove(&folder), 0);
}

const float *trainee_tensor(const apq_tensor_file *file, const char *name,
                            size_t *n_bytes) {
    for (size_t i = 0; i < apq_tensor_file_length(file); i++) {
        apq_file_tensor tensor = apq_tensor_file_at(file, i);
        if (strcmp(tensor.name, name) == 0) {
            *n_bytes = tensor.n_bytes;
            return tensor.data;
        }
    }
    return NULL;
}

double trainee_distance(apq_supernet *a, apq_supernet *b) {
    const apq_params *p = apq_supernet_params(a);
    const apq_params *q = apq_supernet_params(b);
    assert_int_equal(p->n_values, q->n_values);
    double worst = 0, scale = 0;
    for (size_t i = 0; i < p->n_values; i++) {
        double difference = fabs((double)p->value[i] - (double)q->value[i]);
        worst = difference <= worst ? worst : difference; /* keeps NaN */
        scale = fmax(scale, fabs((double)p->value[i]));
    }
    return worst / scale;
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
