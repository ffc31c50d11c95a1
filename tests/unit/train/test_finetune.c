/* Quantisation-aware training: interrupted and resumed it ends in the same
 * network, and checkpoints of another run are refused. */
#include "train/finetune.h"

#include "supernet/supernet.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"
#include "unit/train/trainee.h"

#include "base/file.h"
#include "nn/loss.h"
#include "nn/streams.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct tuned {
    apq_model *model;
    apq_nn_net net;
    apq_arena *arena;
} tuned;

/* The policy cut out of a supernet of random weights. */
static tuned cut_policy(const trainee *t, const apq_policy *policy) {
    tuned out = {0};
    apq_supernet *supernet = NULL;
    assert_int_equal(apq_supernet_create(&t->space, 11, &supernet), APQ_OK);
    assert_int_equal(
        apq_supernet_extract(supernet, policy, APQ_QUANTISER_APQ, &out.model),
        APQ_OK);
    apq_supernet_destroy(supernet);
    assert_int_equal(apq_arena_create(&out.arena), APQ_OK);
    assert_int_equal(apq_model_bind(out.model, t->backend, out.arena, &out.net),
                     APQ_OK);
    return out;
}

/* One of mixed bits. */
static tuned cut(const trainee *t, uint64_t number) {
    apq_rng rng = apq_rng_make(3, APQ_RNG_TEST, number);
    apq_policy policy;
    apq_policy_random(&t->space, &rng, &policy);
    return cut_policy(t, &policy);
}

static void discard(tuned *n) {
    apq_nn_net_fini(&n->net);
    apq_model_destroy(n->model);
    apq_arena_destroy(n->arena);
}

static tuned finished(const trainee *t, const apq_finetune_options *o) {
    tuned n = cut(t, 0);
    assert_int_equal(apq_finetune(n.model, &n.net, t->dataset, o), APQ_OK);
    return n;
}

static void tune_and_stop(const trainee *t, apq_finetune_options o, int steps) {
    stopper s;
    stopper_set(&s, steps);
    o.progress = &s.progress;
    tuned n = cut(t, 0);
    assert_int_equal(apq_finetune(n.model, &n.net, t->dataset, &o),
                     APQ_ERR_INTERRUPTED);
    discard(&n);
}

static void assert_same_nets(const tuned *a, const tuned *b) {
    assert_same_params(&a->model->params, &b->model->params);
    for (size_t i = 0; i < a->net.n_layers; i++) {
        const apq_nn_layer *x = &a->net.layers[i], *y = &b->net.layers[i];
        assert_true(x->weight_clip == y->weight_clip);
        assert_true(x->act_range == y->act_range);
        if (x->ir.kind != APQ_IR_LINEAR) {
            size_t n_bytes = (size_t)x->ir.out_channels * sizeof(float);
            assert_memory_equal(x->mean, y->mean, n_bytes);
            assert_memory_equal(x->variance, y->variance, n_bytes);
        }
    }
    assert_true(a->net.is_quantised && b->net.is_quantised);
}

static void resumed_tuning_repeats_the_bits(void **state) {
    const trainee *t = *state;
    apq_finetune_options o = trainee_finetune_options(t);
    tuned start = cut(t, 0);
    tuned whole = finished(t, &o);
    assert_memory_not_equal(start.model->params.value,
                            whole.model->params.value,
                            start.model->params.n_values * sizeof(float));
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    o.checkpoint_path = path;
    tune_and_stop(t, o, 2);
    assert_non_null(strstr(apq_error_message(), "at step 2"));
    tune_and_stop(t, o, 3);
    tune_and_stop(t, o, 1);
    assert_non_null(strstr(apq_error_message(), "at step 6"));
    tuned resumed = finished(t, &o);
    assert_same_nets(&whole, &resumed);
    discard(&start);
    discard(&whole);
    discard(&resumed);
    trainee_close_checkpoint(folder);
}

/* The last step's checkpoint stands for the whole training. */
static void finished_tuning_is_not_repeated(void **state) {
    const trainee *t = *state;
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    apq_finetune_options o = trainee_finetune_options(t);
    o.checkpoint_path = path;
    o.input = "0123456789abcdef";
    tuned whole = finished(t, &o);
    stopper s;
    stopper_set(&s, 1); /* another step would be its last */
    o.progress = &s.progress;
    tuned again = finished(t, &o);
    assert_same_nets(&whole, &again);
    discard(&whole);
    discard(&again);

    bool is_dropped;
    assert_int_equal(apq_checkpoint_drop_other(path, o.input, &is_dropped),
                     APQ_OK);
    assert_true(!is_dropped && apq_file_exists(path));
    assert_int_equal(apq_checkpoint_drop_other(path, "other", &is_dropped),
                     APQ_OK);
    assert_true(is_dropped && !apq_file_exists(path));
    assert_int_equal(apq_checkpoint_drop_other(path, "other", &is_dropped),
                     APQ_OK);
    assert_false(is_dropped);
    trainee_close_checkpoint(folder);
}

/* Nothing to save to: it stops all the same, and claims nothing. */
static void tuning_stops_without_a_checkpoint(void **state) {
    const trainee *t = *state;
    tune_and_stop(t, trainee_finetune_options(t), 2);
    assert_non_null(strstr(apq_error_message(), "at step 2"));
    assert_null(strstr(apq_error_message(), "saved"));
}

/* Rounding would hide them from the loss. */
static void weights_that_are_no_numbers_are_not_kept(void **state) {
    const trainee *t = *state;
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    apq_finetune_options o = trainee_finetune_options(t);
    o.checkpoint_path = path;
    o.checkpoint_s = 0;
    o.learning_rate = 1e38;
    o.weight_decay = 1e6;
    tuned n = cut(t, 0);
    assert_int_equal(apq_finetune(n.model, &n.net, t->dataset, &o),
                     APQ_ERR_NUMERIC);
    assert_non_null(strstr(apq_error_message(), "diverged at step 0; lower"));
    assert_false(apq_file_exists(path));
    discard(&n);
    trainee_close_checkpoint(folder);
}

/* Without steps it calibrates only: weights stay, clips are set. */
static void no_steps_only_calibrate(void **state) {
    const trainee *t = *state;
    apq_finetune_options o = trainee_finetune_options(t);
    o.n_steps = 0;
    tuned start = cut(t, 0), n = finished(t, &o);
    const apq_params *p = &n.model->params;
    for (size_t k = 0; k < p->n_items; k++) {
        const float *before = apq_params_value(&start.model->params, k);
        for (size_t i = 0; k != n.model->act_range && i < p->items[k].n; i++) {
            assert_true(apq_params_value(p, k)[i] == before[i]);
        }
    }
    assert_true(n.net.is_quantised);
    const float *range = apq_params_value(p, n.model->act_range);
    for (size_t i = 0; i < n.net.n_layers; i++) {
        const apq_nn_layer *l = &n.net.layers[i];
        assert_true(isfinite(l->weight_clip) && l->weight_clip > 0.0F);
        assert_true(l->act_range > 0.0F);
        assert_true(apq_nn_has_frozen_range(&n.net, i) || l->act_range <= 6.0F);
        assert_true(range[i] == l->act_range);
        for (int c = 0; l->ir.kind != APQ_IR_LINEAR && c < l->ir.out_channels;
             c++) {
            assert_true(isfinite(l->mean[c]) && l->variance[c] >= 0.0F);
        }
    }
    discard(&start);
    discard(&n);
}

/* A loader of the training split as fine-tuning calibrates with, or of the
 * test split in order. */
static apq_loader *loader_of(const trainee *t, apq_split split, int batch) {
    bool is_train = split == APQ_SPLIT_TRAIN;
    apq_loader_options options = {
        .split = split,
        .batch = batch,
        .augment = is_train,
        .shuffle = is_train,
        .seed = 11,
        .n_threads = 1,
    };
    apq_loader *loader = NULL;
    assert_int_equal(apq_loader_create(t->dataset, &options, &loader), APQ_OK);
    return loader;
}

/* The statistics left behind are those of the final weights. */
static void tuning_ends_with_recalibration(void **state) {
    const trainee *t = *state;
    apq_finetune_options o = trainee_finetune_options(t);
    tuned once = finished(t, &o), again = finished(t, &o);
    apq_loader *loader = loader_of(t, APQ_SPLIT_TRAIN, 250);
    assert_int_equal(apq_recalibrate(&again.net, loader, 1), APQ_OK);
    assert_same_nets(&once, &again);
    apq_loader_destroy(loader);
    discard(&once);
    discard(&again);
}

/* Statistics of nothing would be zeros, and the network's answers noise. */
static void recalibration_needs_images(void **state) {
    const trainee *t = *state;
    apq_finetune_options o = trainee_finetune_options(t);
    tuned n = cut(t, 0);
    apq_loader *loader = loader_of(t, APQ_SPLIT_TRAIN, 250);
    assert_int_equal(apq_recalibrate(&n.net, loader, 0), APQ_ERR_ARG);
    assert_string_equal(apq_error_message(), "recalibration: no images");
    apq_loader_destroy(loader);
    o.recalibrate_images = 0;
    assert_int_equal(apq_finetune(n.model, &n.net, t->dataset, &o),
                     APQ_ERR_ARG);
    discard(&n);
}

/* Accuracy and loss are means over images, whatever the batches. */
static void evaluation_counts_images_once(void **state) {
    const trainee *t = *state;
    apq_finetune_options o = trainee_finetune_options(t);
    tuned n = finished(t, &o);
    apq_evaluation by_four, whole;
    apq_loader *loader = loader_of(t, APQ_SPLIT_TEST, 4);
    assert_int_equal(apq_evaluate(&n.net, loader, false, &by_four), APQ_OK);
    apq_loader_destroy(loader);
    loader = loader_of(t, APQ_SPLIT_TEST, 16);
    assert_int_equal(apq_evaluate(&n.net, loader, false, &whole), APQ_OK);
    apq_loader_destroy(loader);
    assert_int_equal(by_four.count, 10);
    assert_int_equal(whole.count, 10);
    assert_true(by_four.top1 == whole.top1);
    assert_true(whole.top1 >= 0.0 && whole.top1 <= 1.0);
    assert_true(fabs(by_four.loss - whole.loss) <= 1e-6 * whole.loss);
    discard(&n);
}

static void expect_refusal(const trainee *t, uint64_t number,
                           const apq_finetune_options *o, apq_status expected) {
    tuned n = cut(t, number);
    assert_int_equal(apq_finetune(n.model, &n.net, t->dataset, o), expected);
    assert_non_null(strstr(apq_error_message(), o->checkpoint_path));
    discard(&n);
}

static double loss_by_layers(const trainee *t, apq_nn_net *net) {
    apq_loader *loader = loader_of(t, APQ_SPLIT_TEST, 10);
    const float *images;
    const int *labels;
    float *logits;
    int n;
    assert_int_equal(apq_loader_start(loader, 0, 0), APQ_OK);
    assert_int_equal(apq_loader_next(loader, &images, &labels, &n), APQ_OK);
    assert_int_equal(n, 10);
    assert_int_equal(apq_nn_forward(net, APQ_NN_EVAL, images, n, &logits),
                     APQ_OK);
    double loss =
        apq_loss_labels(logits, labels, n, net->n_classes, 0.0, NULL).loss;
    apq_loader_destroy(loader);
    return loss / n;
}

/* Float networks take the fused path, in the statistics they have by then. */
static void float_evaluation_is_that_of_the_layers(void **state) {
    const trainee *t = *state;
    tuned n = cut(t, 0);
    apq_loader *train = loader_of(t, APQ_SPLIT_TRAIN, TRAINEE_BATCH);
    apq_loader *test = loader_of(t, APQ_SPLIT_TEST, 4);
    assert_int_equal(apq_recalibrate(&n.net, train, 4), APQ_OK);
    apq_evaluation float32, bfloat16;
    assert_int_equal(apq_evaluate(&n.net, test, false, &float32), APQ_OK);
    double want = loss_by_layers(t, &n.net);
    assert_int_equal(float32.count, 10);
    assert_true(fabs(float32.loss - want) <= 1e-5 * want);
    if (t->backend->infer->has_bfloat16()) {
        assert_int_equal(apq_evaluate(&n.net, test, true, &bfloat16), APQ_OK);
        assert_true(bfloat16.loss != float32.loss);
        assert_true(fabs(bfloat16.loss - want) <= 0.02 * want);
    } else {
        assert_int_equal(apq_evaluate(&n.net, test, true, &bfloat16),
                         APQ_ERR_UNSUPPORTED);
    }
    apq_loader_destroy(train);
    apq_loader_destroy(test);
    discard(&n);
}

/* Quantised networks are evaluated in integers: the same with the fused and
 * the plain kernels, and within an image of the simulation in float. */
static void quantised_evaluation_is_in_integers(void **state) {
    const trainee *t = *state;
    apq_finetune_options o = trainee_finetune_options(t);
    tuned n = finished(t, &o);
    apq_loader *loader = loader_of(t, APQ_SPLIT_TRAIN, TRAINEE_BATCH);
    apq_evaluation fused, plain;
    apq_int_check check;
    assert_int_equal(apq_evaluate(&n.net, loader, false, &fused), APQ_OK);
    assert_int_equal(apq_check_integers(&n.net, loader, NULL, &check), APQ_OK);
    assert_int_equal(check.count, fused.count);
    assert_true(fused.top1 == (double)check.n_correct / (double)check.count);
    assert_true(check.n_other_class <= 1);
    assert_true(llabs(check.n_correct - check.n_correct_simulated) <=
                check.n_other_class);
    double simulated = loss_by_layers(t, &n.net);
    apq_loader *test = loader_of(t, APQ_SPLIT_TEST, 4);
    assert_int_equal(apq_evaluate(&n.net, test, false, &fused), APQ_OK);
    assert_true(fabs(fused.loss - simulated) <= 0.02 * simulated);
    assert_int_equal(apq_backend_find("ref", &n.net.backend), APQ_OK);
    assert_int_equal(apq_evaluate(&n.net, test, false, &plain), APQ_OK);
    assert_true(fused.loss == plain.loss);
    /* What the network is quantised with is read again. */
    n.net.layers[1].act_range *= 0.5F;
    assert_int_equal(apq_evaluate(&n.net, test, false, &plain), APQ_OK);
    assert_true(fused.loss != plain.loss);
    apq_loader_destroy(loader);
    apq_loader_destroy(test);
    discard(&n);
}

static void other_checkpoints_are_refused(void **state) {
    const trainee *t = *state;
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    apq_finetune_options o = trainee_finetune_options(t);
    o.checkpoint_path = path;
    tune_and_stop(t, o, 2);
    apq_finetune_options other = o;
    other.seed++;
    expect_refusal(t, 0, &other, APQ_ERR_MISMATCH);
    other = o;
    other.n_steps++;
    expect_refusal(t, 0, &other, APQ_ERR_MISMATCH);
    other = o;
    other.input = "0123456789abcdef";
    expect_refusal(t, 0, &other, APQ_ERR_MISMATCH);
    expect_refusal(t, 1, &o, APQ_ERR_MISMATCH); /* another policy */

    char *bytes = NULL;
    size_t n = 0;
    assert_int_equal(apq_file_read(path, &bytes, &n), APQ_OK);
    const size_t lengths[] = {n - 1, n / 2, 7, 0};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        assert_int_equal(apq_file_write(path, bytes, lengths[i]), APQ_OK);
        expect_refusal(t, 0, &o, APQ_ERR_FORMAT);
    }
    free(bytes);
    trainee_close_checkpoint(folder);
}

/* |moved - like| / |like|, moves from `start` of n values. */
static double other_way(const float *start, const float *moved,
                        const float *like, size_t n) {
    double difference = 0.0, length = 0.0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)moved[i] - (double)like[i];
        double m = (double)like[i] - (double)start[i];
        difference += d * d;
        length += m * m;
    }
    return sqrt(difference / length);
}

static tuned smallest_after(const trainee *t, apq_precision precision,
                            int n_steps) {
    apq_policy policy;
    apq_policy_smallest(&t->space, 8, &policy);
    tuned n = cut_policy(t, &policy);
    apq_finetune_options o = trainee_finetune_options(t);
    o.precision = precision;
    o.n_steps = n_steps;
    assert_int_equal(apq_finetune(n.model, &n.net, t->dataset, &o), APQ_OK);
    return n;
}

/* Weights and ranges learn in bfloat16 what they learn in float32, but for its
 * rounding. */
static void bfloat16_learns_the_same(void **state) {
    const trainee *t = *state;
    tuned start = smallest_after(t, APQ_FLOAT32, 0);
    tuned single = smallest_after(t, APQ_FLOAT32, 1);
    tuned half = smallest_after(t, APQ_BFLOAT16, 1);
    const apq_params *p = &half.model->params;
    double all = other_way(start.model->params.value, p->value,
                           single.model->params.value, p->n_values);
    assert_true(all > 0.0 && all <= 0.4);
    size_t k = half.model->act_range;
    assert_true(other_way(apq_params_value(&start.model->params, k),
                          apq_params_value(p, k),
                          apq_params_value(&single.model->params, k),
                          p->items[k].n) <= 0.3);
    discard(&start);
    discard(&single);
    discard(&half);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_TRAINEE(resumed_tuning_repeats_the_bits),
        WITH_TRAINEE(finished_tuning_is_not_repeated),
        WITH_TRAINEE(tuning_stops_without_a_checkpoint),
        WITH_TRAINEE(weights_that_are_no_numbers_are_not_kept),
        WITH_TRAINEE(no_steps_only_calibrate),
        WITH_TRAINEE(tuning_ends_with_recalibration),
        WITH_TRAINEE(recalibration_needs_images),
        WITH_TRAINEE(evaluation_counts_images_once),
        WITH_TRAINEE(float_evaluation_is_that_of_the_layers),
        WITH_TRAINEE(quantised_evaluation_is_in_integers),
        WITH_TRAINEE(other_checkpoints_are_refused),
        WITH_TRAINEE(bfloat16_learns_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
