/* Training with shared bits: it learns, ends in the same bits when it was
 * interrupted, draws the same at any number of threads, and refuses what it
 * cannot do; fine-tuning goes on from the steps. */
#include "train/supernet_train.h"

#include "train/finetune.h"

#include "unit/asserts.h"
#include "unit/nn/find.h"
#include "unit/train/trainee.h"

#include <jansson.h>
#include <math.h>
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

/* Whether the steps of a checkpoint, which begin at 1, have been set. */
static bool are_started(const char *path) {
    apq_tensor_file *file = NULL;
    size_t n_bytes;
    assert_status(apq_tensor_file_load(path, &file), APQ_OK);
    const float *log_step =
        trainee_tensor(file, "stem.weight_log_step", &n_bytes);
    assert_non_null(log_step);
    bool are_set = log_step[0] != 0.0F;
    apq_tensor_file_destroy(file);
    return are_set;
}

/* Before bits, at the last float step, where steps are started after the
 * checkpoint, and in bits; the average goes through it as well. */
static void resumed_training_repeats_the_bits(void **state) {
    const trainee *t = *state;
    apq_train_options o = options_of(t);
    o.weight_average = 0.9;
    apq_supernet *whole = trainee_train(t, &o);
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    o.checkpoint_path = path;
    trainee_stop(t, o, 3);
    trainee_stop(t, o, FIRST_BITS_STEP - 3);
    assert_false(are_started(path));
    trainee_stop(t, o, 1);
    assert_true(are_started(path));
    trainee_stop(t, o, 3);
    assert_non_null(strstr(apq_error_message(), "at step 9"));
    trainee_expect_same(t, &o, whole);
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

/* Whether the tensor was moved by a gradient in the last steps. */
static bool is_moving(const apq_params *p, const apq_param *item) {
    for (size_t i = 0; i < item->n; i++) {
        if (p->momentum[item->offset + i] != 0.0F) {
            return true;
        }
    }
    return false;
}

/* The networks in bits learn, and so do the steps: all but the ranges of the
 * image and of a stream, which are float in training. */
static void losses_fall_and_steps_learn(void **state) {
    const trainee *t = *state;
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    apq_train_options o = options_of(t);
    o.log_path = path;
    o.epochs = 50;
    apq_supernet *s = trainee_train(t, &o);
    assert_true(loss_at(path, 49) < 0.95 * loss_at(path, 1));
    const apq_params *p = apq_supernet_params(s);
    for (size_t i = 0; i < p->n_items; i++) {
        const char *name = p->items[i].name;
        bool is_float = strcmp(name, "stem.act_log_range") == 0 ||
                        strcmp(name, "feature_mix.act_log_range") == 0;
        if (is_moving(p, &p->items[i]) == is_float) {
            fail_msg("%s %s", name, is_float ? "is moving" : "does not move");
        }
    }
    apq_supernet_destroy(s);
    trainee_close_checkpoint(folder);
}

/* The sandwich, in bits from the first step on. */
static void open_bits(driver *d, const trainee *t, apq_train_options o) {
    driver_open(d, &apq_train_sandwich, t, &t->space, o);
    assert_status(apq_supernet_start_steps(d->env.supernet, t->backend,
                                           d->env.arena, d->images, d->n),
                  APQ_OK);
}

/* The only bit-width, by its place in the space, whose steps or range of a
 * layer have a gradient; -1 where there is none. */
static int place_of_bits(const apq_params *p, const char *name, int n_bits) {
    size_t t = find_tensor(p, name);
    const apq_param *item = &p->items[t];
    size_t width = item->rank > 1 ? (size_t)item->shape[1] : 1;
    int place = -1;
    for (size_t i = 0; i < item->n; i++) {
        if (apq_params_grad(p, t)[i] != 0.0F) {
            int here = (int)(i / width) % n_bits;
            assert_true(place == -1 || place == here);
            place = here;
        }
    }
    return place;
}

/* The steps of the smallest sub-network show its bits: one bit-width for all
 * genes in half of the draws, a random one for each in the others. */
static void bits_are_uniform_in_half_of_the_draws(void **state) {
    enum { N_DRAWS = 60 };
    static const char *const names[] = {
        "block0.expand.weight_log_step",  "block0.depthwise.weight_log_step",
        "block0.depthwise.act_log_range", "block0.project.act_log_range",
        "block2.project.weight_log_step", "block2.depthwise.act_log_range"};
    const trainee *t = *state;
    apq_train_options o = options_of(t);
    o.largest_epochs = 0;
    o.random_subnets = 0;
    driver d;
    open_bits(&d, t, o);
    const apq_params *p = apq_supernet_params(d.env.supernet);
    int n_uniform = 0, seen[APQ_MAX_BITS] = {0};
    for (int step = 0; step < N_DRAWS; step++) {
        (void)driver_gradients(&d, step);
        bool is_uniform = true;
        int first = place_of_bits(p, names[0], t->space.n_bits);
        assert_true(first >= 0);
        for (size_t i = 1; i < sizeof names / sizeof names[0]; i++) {
            is_uniform &= place_of_bits(p, names[i], t->space.n_bits) == first;
        }
        n_uniform += is_uniform;
        seen[first] += is_uniform;
    }
    assert_true(n_uniform > N_DRAWS / 4 && n_uniform < N_DRAWS * 3 / 4);
    for (int i = 0; i < t->space.n_bits; i++) {
        assert_true(seen[i] > 0);
    }
    driver_close(&d);
}

/* Whether the last channel of every block was in bits. */
static bool is_largest_in_bits(const apq_params *p, int n_blocks) {
    for (int b = 0; b < n_blocks; b++) {
        char name[APQ_PARAM_NAME_MAX];
        (void)snprintf(name, sizeof name, "block%d.expand.weight_log_step", b);
        size_t t = find_tensor(p, name);
        const apq_param *item = &p->items[t];
        bool is_used = false;
        for (size_t i = (size_t)item->shape[1]; i <= item->n;
             i += (size_t)item->shape[1]) {
            is_used |= apq_params_grad(p, t)[i - 1] != 0.0F;
        }
        if (!is_used) {
            return false;
        }
    }
    return true;
}

static void the_largest_is_in_bits_in_every_fourth_step(void **state) {
    const trainee *t = *state;
    apq_train_options o = options_of(t);
    o.largest_epochs = 0;
    o.random_subnets = 1;
    driver d;
    open_bits(&d, t, o);
    const apq_params *p = apq_supernet_params(d.env.supernet);
    int n_others = 0;
    for (int step = 0; step < 20; step++) {
        (void)driver_gradients(&d, step);
        bool is_largest = is_largest_in_bits(p, t->space.n_blocks);
        assert_true(is_largest || step % 4 != 0);
        n_others += is_largest && step % 4 != 0;
    }
    assert_true(n_others <= 3); /* drawn at random */
    driver_close(&d);
}

/* The digest of images and sub-networks, bits and all. */
static void decisions_of(const trainee *t, apq_train_options o, int threads,
                         char out[17]) {
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    o.log_path = path;
    o.loader_threads = threads;
    apq_backend_set_threads(threads);
    apq_supernet_destroy(trainee_train(t, &o));
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

/* A network of 6 bits cut out of a supernet, and tuned for n_steps, or until it
 * is stopped. */
typedef struct pupil {
    apq_model *model;
    apq_nn_net net;
    apq_arena *arena;
} pupil;

static pupil tune(const trainee *t, apq_supernet *supernet, int n_steps,
                  const char *checkpoint, const apq_progress *progress) {
    pupil p = {0};
    apq_policy policy;
    apq_policy_largest(&t->space, 6, &policy);
    assert_int_equal(
        apq_supernet_extract(supernet, &policy, APQ_QUANTISER_LSQ, &p.model),
        APQ_OK);
    assert_int_equal(apq_arena_create(&p.arena), APQ_OK);
    assert_int_equal(apq_model_bind(p.model, t->backend, p.arena, &p.net),
                     APQ_OK);
    apq_finetune_options o = trainee_finetune_options(t);
    o.progress = progress;
    o.checkpoint_path = checkpoint;
    o.n_steps = n_steps;
    o.learning_rate = 0.02;
    assert_int_equal(apq_finetune(p.model, &p.net, t->dataset, &o),
                     progress == NULL ? APQ_OK : APQ_ERR_INTERRUPTED);
    return p;
}

static void discard(pupil *p) {
    apq_nn_net_fini(&p->net);
    apq_model_destroy(p->model);
    apq_arena_destroy(p->arena);
}

/* Without a step a network has the steps it was cut with, and its own ranges
 * of streams; interrupted, its tuning ends in the same bits. */
static void tuning_starts_from_the_steps(void **state) {
    const trainee *t = *state;
    apq_train_options o = options_of(t);
    apq_supernet *s = trainee_train(t, &o);
    const apq_params *p = apq_supernet_params(s);
    size_t i = find_tensor(p, "block0.project.weight_log_step");
    /* The second of three bit-widths. */
    float log_step = apq_params_value(p, i)[p->items[i].shape[1]];
    pupil start = tune(t, s, 0, NULL, NULL);
    assert_true(fabsf(start.net.layers[5].weight_step[0] - expf(log_step)) <=
                1e-6F);
    assert_true(start.net.layers[5].out_range > 0.0F);
    assert_false(start.net.has_float_streams);
    discard(&start);
    pupil whole = tune(t, s, 6, NULL, NULL);
    assert_true(fabsf(whole.net.layers[5].weight_step[0] - expf(log_step)) >
                1e-7F);
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    stopper stop_soon;
    stopper_set(&stop_soon, 2);
    pupil stopped = tune(t, s, 6, path, &stop_soon.progress);
    discard(&stopped);
    pupil resumed = tune(t, s, 6, path, NULL);
    assert_same_params(&whole.model->params, &resumed.model->params);
    assert_true(whole.net.layers[5].out_range ==
                resumed.net.layers[5].out_range);
    discard(&whole);
    discard(&resumed);
    apq_supernet_destroy(s);
    trainee_close_checkpoint(folder);
}

static void wrong_use_is_refused(void **state) {
    const trainee *t = *state;
    apq_train_options o = options_of(t);
    o.schedule = "progressive";
    trainee_refuse(t, &o, APQ_ERR_ARG);
    assert_non_null(strstr(apq_error_message(), "not progressive"));
    o = options_of(t);
    o.float_epochs = o.epochs;
    trainee_refuse(t, &o, APQ_ERR_ARG);
    assert_non_null(strstr(apq_error_message(), "after 3 epochs of 3"));
    o.float_epochs = 0;
    apq_supernet *plain = trainee_supernet(&t->space);
    assert_int_equal(apq_train_supernet(plain, t->dataset, &o), APQ_ERR_ARG);
    apq_supernet_destroy(plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_TRAINEE(resumed_training_repeats_the_bits),
        WITH_TRAINEE(losses_fall_and_steps_learn),
        WITH_TRAINEE(bits_are_uniform_in_half_of_the_draws),
        WITH_TRAINEE(the_largest_is_in_bits_in_every_fourth_step),
        WITH_TRAINEE(choices_do_not_depend_on_threads),
        WITH_TRAINEE(tuning_starts_from_the_steps),
        WITH_TRAINEE(wrong_use_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
