/* Training with shared bits: it learns, ends in the same bits when it was
 * interrupted, draws the same at any number of threads, and refuses what it
 * cannot do. */
#include "train/supernet_train.h"

#include "unit/train/trainee.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FIRST_BITS_STEP = TRAINEE_STEPS_PER_EPOCH };

static apq_train_options options_of(const trainee *t) {
    apq_train_options o = trainee_options(t);
    o.shares_bits = true;
    return o;
}

static apq_supernet *train(const trainee *t, const apq_train_options *o,
                           apq_status expected) {
    apq_supernet *s = NULL;
    assert_int_equal(apq_supernet_create_shared(&t->space, 11, &s), APQ_OK);
    assert_int_equal(apq_train_supernet(s, t->dataset, o), expected);
    return s;
}

static void stop(const trainee *t, apq_train_options o, int steps) {
    stopper s;
    stopper_set(&s, steps);
    o.progress = &s.progress;
    apq_supernet_destroy(train(t, &o, APQ_ERR_INTERRUPTED));
}

/* Before bits, at the last float step, where steps are started after the
 * checkpoint, and in bits; the average goes through it as well. */
static void resumed_training_repeats_the_bits(void **state) {
    const trainee *t = *state;
    apq_train_options o = options_of(t);
    o.weight_average = 0.9;
    apq_supernet *whole = train(t, &o, APQ_OK);
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    o.checkpoint_path = path;
    stop(t, o, 3);
    stop(t, o, FIRST_BITS_STEP - 3);
    stop(t, o, 1);
    stop(t, o, 3);
    assert_non_null(strstr(apq_error_message(), "at step 9"));
    apq_supernet *resumed = train(t, &o, APQ_OK);
    assert_same_params(apq_supernet_params(whole),
                       apq_supernet_params(resumed));
    apq_supernet_destroy(resumed);
    apq_supernet_destroy(whole);
    trainee_close_checkpoint(folder);
}

/* A number or text of the last line of a log. */
static json_t *last_of(const char *path, const char *key, size_t line) {
    char *text = NULL;
    size_t n = 0;
    assert_int_equal(apq_file_read(path, &text, &n), APQ_OK);
    char *at = text;
    for (size_t i = 0; i < line; i++) {
        at = strchr(at, '\n') + 1;
    }
    *strchr(at, '\n') = '\0';
    json_t *root = json_loads(at, 0, NULL);
    json_t *value = json_incref(json_object_get(root, key));
    assert_non_null(value);
    json_decref(root);
    free(text);
    return value;
}

static double loss_at(const char *path, size_t line) {
    json_t *value = last_of(path, "others_loss", line);
    double loss = json_number_value(value);
    json_decref(value);
    return loss;
}

/* The networks in bits learn, and so do the steps. */
static void losses_fall_and_steps_move(void **state) {
    const trainee *t = *state;
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    apq_train_options o = options_of(t);
    o.log_path = path;
    o.epochs = 50;
    apq_supernet *s = train(t, &o, APQ_OK);
    assert_true(loss_at(path, 49) < 0.95 * loss_at(path, 1));
    apq_params *p = apq_supernet_params(s);
    float *trained = malloc(p->n_values * sizeof *trained);
    assert_non_null(trained);
    memcpy(trained, p->value, p->n_values * sizeof *trained);
    apq_arena *arena;
    assert_int_equal(apq_arena_create(&arena), APQ_OK);
    const size_t n_floats =
        (size_t)t->space.resolution * (size_t)t->space.resolution * 3;
    float *image = calloc(n_floats, sizeof *image);
    assert_non_null(image);
    image[0] = 1.0F;
    assert_int_equal(apq_supernet_start_steps(s, t->backend, arena, image, 1),
                     APQ_OK);
    for (size_t i = 0; i < p->n_items; i++) {
        const apq_param *item = &p->items[i];
        bool is_step = strstr(item->name, ".weight_log_step") != NULL;
        assert_int_equal(memcmp(trained + item->offset, p->value + item->offset,
                                item->n * sizeof *trained) != 0,
                         is_step ||
                             strstr(item->name, ".act_log_range") != NULL);
    }
    free(image);
    free(trained);
    apq_arena_destroy(arena);
    apq_supernet_destroy(s);
    trainee_close_checkpoint(folder);
}

/* The digest of images and sub-networks, bits and all. */
static void decisions_of(const trainee *t, apq_train_options o, int threads,
                         char out[17]) {
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    o.log_path = path;
    o.loader_threads = threads;
    apq_backend_set_threads(threads);
    apq_supernet_destroy(train(t, &o, APQ_OK));
    apq_backend_set_threads(1);
    json_t *value = last_of(path, "decisions", (size_t)o.epochs - 1);
    (void)snprintf(out, 17, "%s", json_string_value(value));
    json_decref(value);
    trainee_close_checkpoint(folder);
}

static void choices_do_not_depend_on_threads(void **state) {
    const trainee *t = *state;
    apq_train_options o = options_of(t);
    char one[17], two[17], in_float[17];
    decisions_of(t, o, 1, one);
    decisions_of(t, o, 2, two);
    o.shares_bits = false;
    decisions_of(t, o, 1, in_float);
    assert_string_equal(one, two);
    assert_string_not_equal(one, in_float);
}

static void wrong_use_is_refused(void **state) {
    const trainee *t = *state;
    apq_train_options o = options_of(t);
    o.schedule = "progressive";
    apq_supernet_destroy(train(t, &o, APQ_ERR_ARG));
    assert_non_null(strstr(apq_error_message(), "not progressive"));
    o = options_of(t);
    o.float_epochs = o.epochs;
    apq_supernet_destroy(train(t, &o, APQ_ERR_ARG));
    assert_non_null(strstr(apq_error_message(), "after 3 epochs of 3"));
    o.float_epochs = 0;
    apq_supernet *plain = trainee_supernet(&t->space);
    assert_int_equal(apq_train_supernet(plain, t->dataset, &o), APQ_ERR_ARG);
    apq_supernet_destroy(plain);
}

#define WITH_TRAINEE(test)                                                     \
    cmocka_unit_test_setup_teardown(test, trainee_open, trainee_close)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_TRAINEE(resumed_training_repeats_the_bits),
        WITH_TRAINEE(losses_fall_and_steps_move),
        WITH_TRAINEE(choices_do_not_depend_on_threads),
        WITH_TRAINEE(wrong_use_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
