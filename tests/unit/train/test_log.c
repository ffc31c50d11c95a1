/* What a training tells of its epochs: accuracies of fixed sub-networks, lines
 * of JSON, events. Telling changes no weight. */
#include "train/probe.h"
#include "train/supernet_train.h"

#include "unit/train/trainee.h"

#include "train/evaluate.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_MEASURES = 16 };

/* The accuracies that a terminal would draw. */
typedef struct listener {
    apq_progress progress;
    int n;
    char series[MAX_MEASURES][24];
    double at[MAX_MEASURES], value[MAX_MEASURES];
} listener;

static void hear(void *ctx, const char *series, double at, double value) {
    listener *l = ctx;
    assert_true(l->n < MAX_MEASURES);
    (void)snprintf(l->series[l->n], sizeof l->series[0], "%s", series);
    l->at[l->n] = at;
    l->value[l->n++] = value;
}

/* The rows of the log, checked to be one object a line. */
static json_t *read_log(const char *path) {
    char *text = NULL;
    size_t n = 0;
    assert_int_equal(apq_file_read(path, &text, &n), APQ_OK);
    json_t *rows = json_array();
    for (char *line = strtok(text, "\n"); line != NULL;
         line = strtok(NULL, "\n")) {
        json_t *row = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        if (row == NULL) {
            fail_msg("not JSON: %s", line);
        }
        assert_int_equal(json_array_append_new(rows, row), 0);
    }
    free(text);
    return rows;
}

static double number(const json_t *rows, size_t i, const char *key) {
    const json_t *value = json_object_get(json_array_get(rows, i), key);
    if (!json_is_number(value)) {
        fail_msg("row %zu: no number %s", i, key);
    }
    return json_number_value(value);
}

static bool has(const json_t *rows, size_t i, const char *key) {
    return json_object_get(json_array_get(rows, i), key) != NULL;
}

/* A stand-alone copy of a sub-network, measured as a probe says it does. */
static double top1_of(const trainee *t, apq_supernet *s,
                      const apq_policy *policy, uint64_t seed) {
    apq_model *model = NULL;
    apq_arena *arena = NULL;
    apq_nn_net net;
    apq_loader *calibration = NULL, *images = NULL;
    apq_evaluation e;
    apq_loader_options options = {.split = APQ_SPLIT_TRAIN,
                                  .batch = 125,
                                  .augment = true,
                                  .shuffle = true,
                                  .seed = seed};
    assert_int_equal(apq_supernet_extract(s, policy, APQ_QUANTISER_APQ, &model),
                     APQ_OK);
    assert_int_equal(apq_arena_create(&arena), APQ_OK);
    assert_int_equal(apq_model_bind(model, t->backend, arena, &net), APQ_OK);
    assert_int_equal(apq_loader_create(t->dataset, &options, &calibration),
                     APQ_OK);
    options = (apq_loader_options){.split = APQ_SPLIT_VAL, .batch = 8};
    assert_int_equal(apq_loader_create(t->dataset, &options, &images), APQ_OK);
    assert_int_equal(apq_recalibrate(&net, calibration, 4), APQ_OK);
    assert_int_equal(apq_evaluate(&net, images, false, &e), APQ_OK);
    apq_loader_destroy(calibration);
    apq_loader_destroy(images);
    apq_nn_net_fini(&net);
    apq_model_destroy(model);
    apq_arena_destroy(arena);
    return e.top1;
}

static void reopen(trainee *t, const char *uri, int64_t n_val) {
    apq_data_options options = APQ_DATA_OPTIONS_INIT;
    options.resolution = t->space.resolution;
    options.n_val = n_val;
    apq_dataset_destroy(t->dataset);
    t->dataset = NULL;
    assert_int_equal(apq_dataset_open(uri, &options, &t->dataset), APQ_OK);
}

/* Three epochs, measured after the second and, as the last, the third. */
static void epochs_are_logged(void **state) {
    trainee *t = *state;
    reopen(t, "builtin:shapes?train=700&test=10&size=16", 400);
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    listener l = {.progress = {.ctx = &l, .measure = hear}};
    apq_train_options o = trainee_options(t);
    apq_supernet *quiet = trainee_train(t, &o);
    o.progress = &l.progress;
    o.log_path = path;
    o.eval_epochs = 2;
    o.eval_images = 1000;
    apq_supernet *s = trainee_train(t, &o);
    assert_same_params(apq_supernet_params(quiet), apq_supernet_params(s));
    json_t *rows = read_log(path);
    assert_int_equal(json_array_size(rows), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(number(rows, i, "epoch") == (double)i + 1);
        assert_true(number(rows, i, "largest_loss") > 0);
        assert_true(number(rows, i, "images_per_s") > 0);
        assert_true(number(rows, i, "seconds") > 0);
        assert_int_equal(has(rows, i, "smallest_val_top1"), i > 0);
        assert_false(has(rows, i, "phase"));
    }
    json_t *none = json_object_get(json_array_get(rows, 0), "others_loss");
    assert_true(json_is_null(none)); /* the first epoch has only the largest */
    assert_true(number(rows, 1, "others_loss") > 0);
    assert_true(number(rows, 0, "lr") > number(rows, 1, "lr"));
    assert_true(number(rows, 2, "lr") <= 0.01 * o.learning_rate);
    apq_policy policy;
    assert_true(number(rows, 1, "val_seconds") > 0);
    apq_policy_smallest(&t->space, 8, &policy);
    double smallest = top1_of(t, s, &policy, o.seed);
    assert_true(fabs(number(rows, 2, "smallest_val_top1") - smallest) <= 1e-4);
    apq_rng rng = apq_rng_make(2, APQ_RNG_POLICY, 0);
    apq_policy_random(&t->space, &rng, &policy);
    assert_true(fabs(number(rows, 2, "random2_val_top1") -
                     top1_of(t, s, &policy, o.seed)) <= 1e-4);
    assert_int_equal(l.n, 4); /* largest and smallest, twice */
    assert_string_equal(l.series[2], "largest val %");
    assert_string_equal(l.series[3], "smallest val %");
    assert_true(l.at[3] == 3 && fabs(l.value[3] - 100 * smallest) <= 1e-9);
    json_decref(rows);
    apq_supernet_destroy(quiet);
    apq_supernet_destroy(s);
    trainee_close_checkpoint(folder);
}

/* The accuracy is that of the weights which the training would end with. */
static void averages_are_measured(void **state) {
    trainee *t = *state;
    reopen(t, "builtin:shapes?train=700&test=10&size=16", 400);
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    apq_train_options o = trainee_options(t);
    o.weight_average = 0.99;
    o.epochs = 4;
    o.learning_rate = 0.5;
    o.final_rate = 1; /* the average differs from the last weights */
    apq_supernet *quiet = trainee_train(t, &o);
    o.log_path = path;
    o.eval_epochs = 1;
    o.eval_images = 1000;
    apq_supernet *s = trainee_train(t, &o);
    assert_same_params(apq_supernet_params(quiet), apq_supernet_params(s));
    json_t *rows = read_log(path);
    apq_policy policy;
    apq_policy_largest(&t->space, 8, &policy);
    assert_true(fabs(number(rows, 3, "largest_val_top1") -
                     top1_of(t, s, &policy, o.seed)) <= 1e-4);
    json_decref(rows);
    apq_supernet_destroy(quiet);
    apq_supernet_destroy(s);
    trainee_close_checkpoint(folder);
}

/* The phase of an epoch's last step, and no figures of who was not trained. */
static void phases_are_logged(void **state) {
    const trainee *t = *state;
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    apq_train_options o = trainee_options(t);
    o.log_path = path;
    o.schedule = "progressive";
    o.phases = (apq_train_phases){.length = {1, 1, 0, 1}, .rate = {1, 1, 1, 1}};
    apq_supernet_destroy(trainee_train(t, &o));
    json_t *rows = read_log(path);
    static const char *const phases[] = {"largest", "kernel", "depth 2"};
    for (size_t i = 0; i < 3; i++) {
        const json_t *row = json_array_get(rows, i);
        assert_string_equal(json_string_value(json_object_get(row, "phase")),
                            phases[i]);
        assert_int_equal(json_is_null(json_object_get(row, "largest_loss")),
                         i > 0);
        assert_int_equal(json_is_null(json_object_get(row, "others_loss")),
                         i == 0);
    }
    json_decref(rows);
    trainee_close_checkpoint(folder);
}

static void without_validation_images_nothing_is_measured(void **state) {
    trainee *t = *state;
    reopen(t, "builtin:shapes?train=90&test=10&size=16", 0);
    apq_probe *probe = NULL;
    assert_int_equal(apq_probe_create(t->dataset, 100, 1, &probe), APQ_OK);
    assert_null(probe);
    listener l = {.progress = {.ctx = &l, .measure = hear}};
    apq_train_options o = trainee_options(t);
    o.progress = &l.progress;
    o.epochs = 1;
    o.eval_epochs = 1;
    o.eval_images = 100;
    apq_supernet_destroy(trainee_train(t, &o));
    assert_int_equal(l.n, 0);
}

/* An unusable log ends the training; so does an unusable event file. */
static void unusable_logs_are_reported(void **state) {
    const trainee *t = *state;
    apq_train_options o = trainee_options(t);
    apq_supernet *s = trainee_supernet(&t->space);
    o.log_path = "/nonexistent/log";
    assert_int_equal(apq_train_supernet(s, t->dataset, &o), APQ_ERR_WRITE);
    o.log_path = NULL;
    o.events_path = "/nonexistent/events";
    assert_int_equal(apq_train_supernet(s, t->dataset, &o), APQ_ERR_WRITE);
    assert_non_null(strstr(apq_error_message(), o.events_path));
    apq_supernet_destroy(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_TRAINEE(epochs_are_logged),
        WITH_TRAINEE(averages_are_measured),
        WITH_TRAINEE(phases_are_logged),
        WITH_TRAINEE(without_validation_images_nothing_is_measured),
        WITH_TRAINEE(unusable_logs_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
