/* Quantisation-aware training with learned steps and a teacher: interrupted
 * and resumed it ends in the same network, steps are trained without decay,
 * and the teacher is heard. */
#include "train/finetune.h"

#include "supernet/supernet.h"
#include "train/evaluate.h"
#include "train/schedule.h"
#include "unit/train/trainee.h"

#include "nn/loss.h"
#include "nn/streams.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CALIBRATION_BATCHES = 4 };

/* A network of 4 bits cut out of a supernet, and its teacher. */
typedef struct pupil {
    apq_supernet *supernet;
    apq_loader *loader;
    apq_teacher *teacher;
    apq_model *model;
    apq_nn_net net;
    apq_arena *arena;
} pupil;

static pupil cut(const trainee *t, apq_quantiser quantiser) {
    pupil p = {0};
    apq_policy policy;
    apq_policy_smallest(&t->space, 4, &policy);
    p.supernet = trainee_supernet(&t->space);
    assert_int_equal(apq_loader_create(t->dataset,
                                       &(apq_loader_options){
                                           .split = APQ_SPLIT_TRAIN,
                                           .batch = TRAINEE_BATCH,
                                           .seed = 11,
                                           .n_threads = 1,
                                       },
                                       &p.loader),
                     APQ_OK);
    assert_int_equal(apq_teacher_create(p.supernet, t->backend, p.loader,
                                        CALIBRATION_BATCHES, &p.teacher),
                     APQ_OK);
    assert_int_equal(
        apq_supernet_extract(p.supernet, &policy, quantiser, &p.model), APQ_OK);
    assert_int_equal(apq_arena_create(&p.arena), APQ_OK);
    assert_int_equal(apq_model_bind(p.model, t->backend, p.arena, &p.net),
                     APQ_OK);
    return p;
}

static void discard(pupil *p) {
    apq_nn_net_fini(&p->net);
    apq_model_destroy(p->model);
    apq_arena_destroy(p->arena);
    apq_teacher_destroy(p->teacher);
    apq_loader_destroy(p->loader);
    apq_supernet_destroy(p->supernet);
}

static apq_finetune_options options_of(const trainee *t) {
    apq_finetune_options o = trainee_finetune_options(t);
    o.learning_rate = 0.02;
    return o;
}

static apq_status tune(const trainee *t, pupil *p, apq_finetune_options o,
                       bool is_taught) {
    o.teacher = is_taught ? p->teacher : NULL;
    return apq_finetune(p->model, &p->net, t->dataset, &o);
}

static void resumed_tuning_repeats_the_bits(void **state) {
    const trainee *t = *state;
    apq_finetune_options o = options_of(t);
    pupil whole = cut(t, APQ_QUANTISER_LSQ);
    assert_int_equal(tune(t, &whole, o, true), APQ_OK);
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    o.checkpoint_path = path;
    for (int i = 1; i <= 3; i++) {
        stopper s;
        stopper_set(&s, i);
        o.progress = &s.progress;
        pupil cut_short = cut(t, APQ_QUANTISER_LSQ);
        assert_int_equal(tune(t, &cut_short, o, true), APQ_ERR_INTERRUPTED);
        discard(&cut_short);
    }
    o.progress = NULL;
    pupil resumed = cut(t, APQ_QUANTISER_LSQ);
    assert_int_equal(tune(t, &resumed, o, true), APQ_OK);
    assert_same_params(&whole.model->params, &resumed.model->params);
    for (size_t i = 0; i < whole.net.n_layers; i++) {
        const apq_nn_layer *a = &whole.net.layers[i];
        const apq_nn_layer *b = &resumed.net.layers[i];
        size_t n_bytes = (size_t)a->ir.out_channels * sizeof(float);
        assert_memory_equal(a->weight_step, b->weight_step, n_bytes);
        assert_memory_equal(a->mean, b->mean, n_bytes);
        assert_memory_equal(a->variance, b->variance, n_bytes);
        assert_true(a->act_range == b->act_range);
    }
    /* A checkpoint of one quantiser is not one of the other. */
    pupil other = cut(t, APQ_QUANTISER_APQ);
    assert_int_equal(tune(t, &other, o, true), APQ_ERR_MISMATCH);
    assert_non_null(strstr(apq_error_message(), path));
    discard(&other);
    discard(&whole);
    discard(&resumed);
    trainee_close_checkpoint(folder);
}

/* All steps move; without gradients nothing does, whatever the decay. */
static void steps_are_trained_without_decay(void **state) {
    const trainee *t = *state;
    apq_finetune_options o = options_of(t);
    o.n_steps = 0;
    pupil start = cut(t, APQ_QUANTISER_LSQ), p = cut(t, APQ_QUANTISER_LSQ);
    assert_int_equal(tune(t, &start, o, false), APQ_OK);
    o.n_steps = 2;
    assert_int_equal(tune(t, &p, o, false), APQ_OK);
    for (size_t i = 0; i < p.net.n_layers; i++) {
        size_t k = p.model->weight_step[i];
        const apq_param *item = &p.model->params.items[k];
        assert_false(item->has_decay);
        assert_int_equal(item->n, p.net.layers[i].ir.out_channels);
        const float *now = apq_params_value(&p.model->params, k);
        const float *then = apq_params_value(&start.model->params, k);
        size_t n_moved = 0;
        for (size_t c = 0; c < item->n; c++) {
            assert_true(now[c] > 0.0F && then[c] > 0.0F);
            assert_true(now[c] == p.net.layers[i].weight_step[c]);
            n_moved += now[c] != then[c];
        }
        assert_true(2 * n_moved > item->n);
        bool is_frozen = apq_nn_has_frozen_range(&p.net, i);
        bool is_same =
            p.net.layers[i].act_range == start.net.layers[i].act_range;
        assert_true(is_same == is_frozen);
        assert_true(p.net.layers[i].out_range == start.net.layers[i].out_range);
    }
    discard(&start);
    discard(&p);
}

static const float *first_batch(pupil *p, const int **labels, int *n) {
    const float *images;
    assert_int_equal(apq_loader_start(p->loader, 0, 0), APQ_OK);
    assert_int_equal(apq_loader_next(p->loader, &images, labels, n), APQ_OK);
    return images;
}

/* The teacher is the largest network in float with its own statistics. */
static void the_teacher_is_the_largest_network(void **state) {
    const trainee *t = *state;
    pupil p = cut(t, APQ_QUANTISER_LSQ);
    apq_policy largest;
    apq_policy_largest(&t->space, 8, &largest);
    apq_subnet subnet;
    assert_int_equal(
        apq_subnet_bind(p.supernet, &largest, t->backend, p.arena, &subnet),
        APQ_OK);
    assert_int_equal(
        apq_recalibrate(&subnet.net, p.loader, CALIBRATION_BATCHES), APQ_OK);
    const int *labels;
    int n, k = t->space.n_classes;
    const float *images = first_batch(&p, &labels, &n);
    float *logits;
    assert_int_equal(
        apq_nn_forward(&subnet.net, APQ_NN_EVAL, images, n, &logits), APQ_OK);
    apq_softmax(logits, n, k, logits);
    float *told = malloc((size_t)(n * k) * sizeof *told);
    assert_non_null(told);
    assert_int_equal(apq_teacher_ask(p.teacher, images, n, told), APQ_OK);
    for (int i = 0; i < n * k; i++) {
        assert_true(fabsf(told[i] - logits[i]) <= 1e-4F);
    }
    free(told);
    apq_subnet_fini(&subnet);
    discard(&p);
}

/* KL(teacher||network) on a training batch, plus a constant. */
static double distance(pupil *p) {
    const int *labels;
    int n, k = p->net.n_classes;
    const float *images = first_batch(p, &labels, &n);
    size_t n_values = (size_t)n * (size_t)k;
    float *told = malloc(n_values * sizeof *told);
    float *dlogits = malloc(n_values * sizeof *dlogits);
    float *logits;
    assert_true(told != NULL && dlogits != NULL);
    assert_int_equal(apq_teacher_ask(p->teacher, images, n, told), APQ_OK);
    assert_int_equal(apq_nn_forward(&p->net, APQ_NN_EVAL, images, n, &logits),
                     APQ_OK);
    double loss =
        apq_loss_soft(logits, told, labels, n, k, 1.0, false, dlogits).loss;
    free(told);
    free(dlogits);
    return loss / n;
}

/* Taught, a network comes nearer to its teacher, also where it is labels that
 * it would otherwise follow. */
static void the_teacher_is_heard(void **state) {
    const trainee *t = *state;
    apq_finetune_options o = options_of(t);
    o.n_steps = 40;
    for (int i = 0; i < 2; i++) {
        apq_quantiser quantiser =
            i == 0 ? APQ_QUANTISER_APQ : APQ_QUANTISER_LSQ;
        pupil alone = cut(t, quantiser), taught = cut(t, quantiser);
        assert_int_equal(tune(t, &alone, o, false), APQ_OK);
        assert_int_equal(tune(t, &taught, o, true), APQ_OK);
        double near = distance(&taught), far = distance(&alone);
        assert_true(near < far - 0.01);
        discard(&alone);
        discard(&taught);
    }
}

/* The first batch as it is augmented for fine-tuning. */
static apq_loader *training_loader(const trainee *t, uint64_t seed) {
    apq_loader *loader = NULL;
    assert_int_equal(apq_loader_create(t->dataset,
                                       &(apq_loader_options){
                                           .split = APQ_SPLIT_TRAIN,
                                           .batch = TRAINEE_BATCH,
                                           .augment = true,
                                           .shuffle = true,
                                           .drop_last = true,
                                           .seed = seed,
                                           .n_threads = 1,
                                       },
                                       &loader),
                     APQ_OK);
    return loader;
}

/* A step is that of the gradient of labels and teacher, both with weight 1. */
static void a_step_follows_labels_and_teacher(void **state) {
    const trainee *t = *state;
    apq_finetune_options o = options_of(t);
    pupil want = cut(t, APQ_QUANTISER_LSQ), got = cut(t, APQ_QUANTISER_LSQ);
    o.n_steps = 1;
    assert_int_equal(tune(t, &got, o, true), APQ_OK);
    o.n_steps = 0;
    assert_int_equal(tune(t, &want, o, true), APQ_OK);
    apq_loader *loader = training_loader(t, o.seed);
    const float *images;
    const int *labels;
    int n, k = t->space.n_classes;
    assert_int_equal(apq_loader_start(loader, 0, 0), APQ_OK);
    assert_int_equal(apq_loader_next(loader, &images, &labels, &n), APQ_OK);
    float *logits, *told = malloc((size_t)(n * k) * sizeof *told);
    float *dlogits = malloc((size_t)(n * k) * sizeof *dlogits);
    assert_true(told != NULL && dlogits != NULL);
    assert_int_equal(
        apq_nn_forward(&want.net, APQ_NN_TRAIN, images, n, &logits), APQ_OK);
    assert_int_equal(apq_teacher_ask(want.teacher, images, n, told), APQ_OK);
    (void)apq_loss_labels(logits, labels, n, k, o.label_smoothing, dlogits);
    (void)apq_loss_soft(logits, told, labels, n, k, 1.0, true, dlogits);
    apq_params *params = &want.model->params;
    apq_params_zero_grad(params);
    assert_int_equal(apq_nn_backward(&want.net, dlogits), APQ_OK);
    apq_model_push_range_grads(want.model, &want.net);
    double rate = apq_schedule_cosine(o.learning_rate, 0, 1, 0.0);
    apq_params_step(params, rate, o.momentum, o.weight_decay);
    apq_model_pull_ranges(want.model, &want.net);
    for (size_t i = 0; i < params->n_values; i++) {
        assert_true(fabsf(params->value[i] - got.model->params.value[i]) <=
                    1e-6F);
    }
    free(told);
    free(dlogits);
    apq_loader_destroy(loader);
    discard(&want);
    discard(&got);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_TRAINEE(resumed_tuning_repeats_the_bits),
        WITH_TRAINEE(steps_are_trained_without_decay),
        WITH_TRAINEE(the_teacher_is_the_largest_network),
        WITH_TRAINEE(a_step_follows_labels_and_teacher),
        WITH_TRAINEE(the_teacher_is_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
