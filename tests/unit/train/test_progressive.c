/* Progressive training: what each phase leaves open, the frozen teacher, and a
 * resume at any step. The phases of a run: steps 0-2, 3-5, 6-8, 9-11, 12-13,
 * 14. */
#include "train/method.h"

#include "unit/nn/find.h"
#include "unit/train/trainee.h"

#include "tensor/safetensors.h"

#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_STEPS = 15 };

static apq_train_options options_of(const trainee *t) {
    apq_train_options o = trainee_options(t);
    o.schedule = "progressive";
    o.phases = (apq_train_phases){
        .length = {0.3, 0.3, 0.3, 0.3, 0.2, 0.1},
        .rate = {1, 0.5, 0.4, 0.3, 0.2, 0.1},
    };
    return o;
}

/* Every step in a process of its own, so the teacher comes from the file in
 * all phases but the first, and channels are sorted after a resume. */
static void resumed_training_repeats_the_bits(void **state) {
    const trainee *t = *state;
    apq_train_options o = options_of(t);
    apq_supernet *whole = trainee_train(t, &o);
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    o.checkpoint_path = path;
    for (int i = 0; i < N_STEPS - 1; i++) {
        trainee_stop(t, o, 1);
    }
    assert_non_null(strstr(apq_error_message(), "at step 14"));
    trainee_expect_same(t, &o, whole);
    trainee_close_checkpoint(folder);
}

static apq_tensor_file *checkpoint_at(const trainee *t,
                                      const apq_train_options *o, int steps) {
    apq_tensor_file *file = NULL;
    trainee_stop(t, *o, steps);
    assert_int_equal(apq_tensor_file_load(o->checkpoint_path, &file), APQ_OK);
    return file;
}

/* It is what the largest was when the first phase ended, to the end. */
static void the_teacher_is_frozen(void **state) {
    const trainee *t = *state;
    apq_train_options o = options_of(t);
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    o.checkpoint_path = path;
    apq_tensor_file *first = checkpoint_at(t, &o, 3);
    apq_tensor_file *second = checkpoint_at(t, &o, 2);
    apq_tensor_file *last = checkpoint_at(t, &o, 9);
    static const char *const names[] = {"stem.weight", "block1.expand.weight",
                                        "block3.project.gamma",
                                        "classifier.weight"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char name[64];
        size_t n, m;
        (void)snprintf(name, sizeof name, "teacher.%s", names[i]);
        assert_null(trainee_tensor(first, name, &n));
        const float *largest = trainee_tensor(first, names[i], &n);
        const float *early = trainee_tensor(second, name, &m);
        assert_non_null(largest);
        if (early == NULL) {
            fail_msg("no %s", name);
        }
        assert_int_equal(n, m);
        assert_memory_equal(largest, early, n);
        assert_memory_equal(largest, trainee_tensor(last, name, &m), n);
        assert_memory_not_equal(largest, trainee_tensor(second, names[i], &m),
                                n);
    }
    apq_tensor_file_destroy(first);
    apq_tensor_file_destroy(second);
    apq_tensor_file_destroy(last);
    trainee_close_checkpoint(folder);
}

static bool has_gradient(const apq_params *p, const char *name) {
    size_t t = find_tensor(p, name);
    for (size_t i = 0; i < p->items[t].n; i++) {
        if (!(apq_params_grad(p, t)[i] == 0.0F)) {
            return true;
        }
    }
    return false;
}

/* Widest sub-network of a step in block 0, by its projection's gradient. */
static int trained_width(const apq_params *p) {
    size_t t = find_tensor(p, "block0.project.weight");
    int64_t width = p->items[t].shape[1];
    while (width > 0 && apq_params_grad(p, t)[width - 1] == 0.0F) {
        width--;
    }
    return (int)width;
}

typedef struct seen {
    bool shrinks, skips; /* a smaller kernel; the second block of a stage */
    int least_width;
    int64_t n_largest, n_others; /* sub-networks */
} seen;

/* Draws of one phase. Sub-networks of a step add up, so with four of them it
 * takes many steps until all are narrow: at most 10 times n_draws, if need be,
 * until all are as narrow as `until`. */
static seen watch_until(driver *d, int64_t step, int n_draws, int until) {
    apq_params *p = apq_supernet_params(d->env.supernet);
    seen result = {.least_width = 1000};
    for (int i = 0;
         i < n_draws || (i < 10 * n_draws && result.least_width > until); i++) {
        d->options.seed = (uint64_t)i + 1;
        apq_train_sums sums = driver_gradients(d, step);
        result.shrinks |= has_gradient(p, "block0.shrink_5_to_3");
        result.skips |= !has_gradient(p, "block1.expand.weight");
        int width = trained_width(p);
        result.least_width =
            width < result.least_width ? width : result.least_width;
        result.n_largest = sums.n_largest / d->n;
        result.n_others = sums.n_others / d->n;
    }
    return result;
}

static seen watch(driver *d, int64_t step, int n_draws) {
    return watch_until(d, step, n_draws, INT_MAX);
}

static void phases_open_what_they_say(void **state) {
    const trainee *t = *state;
    const apq_space_block *block = &t->space.blocks[0];
    assert_int_equal(block->max_channels - block->min_channels, 16);
    driver d;
    driver_open(&d, &apq_train_progressive, t, &t->space, options_of(t));
    static const struct {
        int64_t step;
        const char *name;
        seen seen; /* least_width: below the largest */
    } expected[] = {
        {2, "largest", {false, false, 0, 1, 0}},
        {4, "kernel", {true, false, 0, 0, 1}},
        {8, "depth 1", {true, true, 0, 0, 2}},
        {10, "depth 2", {true, true, 0, 0, 2}},
        {13, "width 1", {true, true, 8, 0, 4}},
        {14, "width 2", {true, true, 16, 0, 4}},
    };
    /* The teacher is taken on entry. */
    (void)watch(&d, 3, 1);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        const seen *e = &expected[i].seen;
        int64_t step = expected[i].step;
        assert_string_equal(apq_train_progressive.phase(d.state, step),
                            expected[i].name);
        int width = block->max_channels - e->least_width;
        seen s = watch_until(&d, step, 100, width);
        assert_int_equal(s.shrinks, e->shrinks);
        assert_int_equal(s.skips, e->skips);
        assert_int_equal(s.least_width, width);
        assert_int_equal(s.n_largest, e->n_largest);
        assert_int_equal(s.n_others, e->n_others);
    }
    driver_close(&d);
}

/* In a space of one kernel the first pupil is its own teacher: it adds its
 * entropy to the loss. */
static void pupils_learn_from_both(void **state) {
    const trainee *t = *state;
    apq_space space = t->space;
    space.kernels[0] = space.kernels[space.n_kernels - 1];
    space.n_kernels = 1;
    driver d;
    driver_open(&d, &apq_train_progressive, t, &space, options_of(t));
    const apq_train_batch batch = {d.images, d.labels, d.n, 3};
    apq_train_sums sums = {0};
    assert_int_equal(apq_train_progressive.gradients(d.state, &batch, &sums),
                     APQ_OK);
    const apq_lesson labels = {.label_weight = 1, .smoothing = 0.1};
    float soft[DRIVER_BATCH * 16];
    apq_policy largest;
    apq_loss_sum sum;
    apq_policy_largest(&space, 8, &largest);
    assert_int_equal(
        apq_train_subnet(&d.env, &largest, &batch, &labels, soft, &sum),
        APQ_OK);
    double entropy = 0;
    for (int i = 0; i < d.n * space.n_classes; i++) {
        entropy -= (double)soft[i] * log((double)soft[i] + 1e-30);
    }
    assert_true(entropy >= 1);
    assert_true(fabs(sums.others.loss - sum.loss - entropy) <= 1e-3);
    driver_close(&d);
}

static double importance(const apq_params *p, int channel) {
    size_t t = find_tensor(p, "block0.project.weight");
    double sum = 0;
    for (int64_t k = 0; k < p->items[t].shape[0]; k++) {
        sum += fabs(
            (double)apq_params_value(p, t)[k * p->items[t].shape[1] + channel]);
    }
    return sum;
}

/* Channels before `end` that are less important than the one after them. */
static int disorder(const apq_params *p, int end) {
    int n = 0;
    for (int c = 0; c + 1 < end; c++) {
        n += importance(p, c) < importance(p, c + 1);
    }
    return n;
}

/* Before the first narrow step all are sorted; later, when narrower ones have
 * been trained, only those that all of them share. */
static void width_phases_sort_channels(void **state) {
    const trainee *t = *state;
    const apq_space_block *block = &t->space.blocks[0];
    driver d;
    driver_open(&d, &apq_train_progressive, t, &t->space, options_of(t));
    apq_params *p = apq_supernet_params(d.env.supernet);
    (void)watch(&d, 3, 1);
    (void)watch(&d, 11, 1);
    assert_true(disorder(p, block->max_channels) >= 1);
    (void)watch(&d, 12, 1);
    assert_int_equal(disorder(p, block->max_channels), 0);
    size_t w = find_tensor(p, "block0.project.weight");
    for (size_t i = 0; i < p->items[w].n; i++) {
        apq_params_value(p, w)[i] *= 1.0F + (float)(i % 31);
    }
    (void)watch(&d, 13, 1);
    assert_true(disorder(p, block->max_channels - 8) >= 1);
    (void)watch(&d, 14, 1);
    assert_int_equal(disorder(p, block->max_channels - 8), 0);
    assert_true(disorder(p, block->max_channels) >= 1);
    driver_close(&d);
}

/* Each phase has its own cosine: high after its start, low at its end. */
static void each_phase_has_its_peak(void **state) {
    const trainee *t = *state;
    driver d;
    driver_open(&d, &apq_train_progressive, t, &t->space, options_of(t));
    d.options.warmup_epochs = 0;
    static const int64_t first[] = {0, 3, 6, 9, 12, 14};
    for (int i = 0; i < APQ_N_PHASES; i++) {
        double peak = d.options.learning_rate * d.options.phases.rate[i];
        int64_t n = (i == 5 ? N_STEPS : first[i + 1]) - first[i];
        double rate = apq_train_progressive.learning_rate(d.state, first[i]);
        double last =
            apq_train_progressive.learning_rate(d.state, first[i] + n - 1);
        double expected =
            peak * (1 + cos(3.14159265358979 * 0.5 / (double)n)) / 2;
        assert_true(fabs(rate - expected) <= 1e-9);
        assert_true(fabs(rate + last - peak) <= 1e-9 || n == 1);
    }
    driver_close(&d);
}

/* Gradients of labels and teacher together are the sum of both alone. */
static void lessons_add_up(void **state) {
    const trainee *t = *state;
    driver d;
    driver_open(&d, &apq_train_progressive, t, &t->space, options_of(t));
    apq_params *p = apq_supernet_params(d.env.supernet);
    float soft[DRIVER_BATCH * 16];
    int k = t->space.n_classes;
    assert_true(k <= 16);
    for (int i = 0; i < d.n * k; i++) {
        soft[i] = i % k == 3 ? 0.7F : 0.3F / (float)(k - 1);
    }
    const apq_lesson lessons[] = {
        {.label_weight = 1, .smoothing = 0.1},
        {.soft = soft},
        {.label_weight = 1, .smoothing = 0.1, .soft = soft},
    };
    const apq_train_batch batch = {d.images, d.labels, d.n, 0};
    apq_policy policy;
    apq_policy_smallest(&t->space, 8, &policy);
    float *grads[3];
    apq_loss_sum sums[3];
    for (int i = 0; i < 3; i++) {
        apq_params_zero_grad(p);
        assert_int_equal(apq_train_subnet(&d.env, &policy, &batch, &lessons[i],
                                          NULL, &sums[i]),
                         APQ_OK);
        grads[i] = malloc(p->n_values * sizeof *grads[i]);
        assert_non_null(grads[i]);
        memcpy(grads[i], p->grad, p->n_values * sizeof *grads[i]);
    }
    assert_true(fabs(sums[0].loss + sums[1].loss - sums[2].loss) <= 1e-6);
    double scale = 0;
    for (size_t i = 0; i < p->n_values; i++) {
        scale = fmax(scale, fabs((double)grads[2][i]));
        assert_true(fabs((double)grads[0][i] + (double)grads[1][i] -
                         (double)grads[2][i]) <= 1e-5);
    }
    assert_true(scale >= 1e-3);
    for (int i = 0; i < 3; i++) {
        free(grads[i]);
    }
    driver_close(&d);
}

/* With the first phase alone it is the sandwich of the largest alone. */
static void the_first_phase_is_plain_training(void **state) {
    const trainee *t = *state;
    apq_train_options o = options_of(t);
    o.phases = (apq_train_phases){.length = {2}, .rate = {1}};
    apq_supernet *a = trainee_train(t, &o);
    double flop, plain;
    assert_int_equal(apq_train_flop(&t->space, &o, 90, &flop), APQ_OK);
    o.schedule = "sandwich";
    o.largest_epochs = o.epochs;
    apq_supernet *b = trainee_train(t, &o);
    assert_int_equal(apq_train_flop(&t->space, &o, 90, &plain), APQ_OK);
    assert_same_params(apq_supernet_params(a), apq_supernet_params(b));
    assert_true(fabs(flop / plain - 1) <= 1e-9);
    apq_supernet_destroy(a);
    apq_supernet_destroy(b);
}

/* Five forward passes are 10 operations a multiply-accumulate, and so on. */
static void operations_count_teacher_and_pupils(void **state) {
    const trainee *t = *state;
    apq_train_options o = options_of(t);
    o.epochs = 1;
    double largest, flop;
    apq_policy policy;
    apq_policy_largest(&t->space, 8, &policy);
    assert_int_equal(apq_train_policy_macs(&t->space, &policy, &largest),
                     APQ_OK);
    o.phases = (apq_train_phases){.length = {1, 0, 0, 0, 0, 1}};
    assert_int_equal(apq_train_flop(&t->space, &o, 1, &flop), APQ_OK);
    double pupils = 2 * flop / largest - 6 - 2; /* of the last phase */
    assert_true(pupils < 4 * 6 && pupils > 4 * 6 / 5.0);
    o.phases = (apq_train_phases){.length = {1, 1}};
    assert_int_equal(apq_train_flop(&t->space, &o, 1, &flop), APQ_OK);
    pupils = 2 * flop / largest - 6 - 2; /* one, of smaller kernels only */
    assert_true(pupils < 6 && pupils > 4);
}

static void senseless_options_are_refused(void **state) {
    const trainee *t = *state;
    apq_supernet *s = trainee_supernet(&t->space);
    apq_train_options o = options_of(t);
    o.phases.length[APQ_PHASE_LARGEST] = 0;
    assert_int_equal(apq_train_supernet(s, t->dataset, &o), APQ_ERR_ARG);
    assert_non_null(strstr(apq_error_message(), "less than a step"));
    o = options_of(t);
    o.schedule = "zigzag";
    assert_int_equal(apq_train_supernet(s, t->dataset, &o), APQ_ERR_ARG);
    assert_non_null(strstr(apq_error_message(), "zigzag"));
    apq_supernet_destroy(s);
}

/* A sandwich's checkpoint has no teacher. */
static void checkpoints_without_a_teacher_are_a_mismatch(void **state) {
    const trainee *t = *state;
    char path[APQ_PATH_MAX];
    void *folder = trainee_open_checkpoint(path);
    apq_train_options o = options_of(t);
    o.checkpoint_path = path;
    o.schedule = "sandwich";
    trainee_stop(t, o, 8);
    o.schedule = "progressive";
    apq_supernet *s = trainee_supernet(&t->space);
    assert_int_equal(apq_train_supernet(s, t->dataset, &o), APQ_ERR_MISMATCH);
    assert_non_null(strstr(apq_error_message(), "teacher."));
    apq_supernet_destroy(s);
    trainee_close_checkpoint(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_TRAINEE(resumed_training_repeats_the_bits),
        WITH_TRAINEE(the_teacher_is_frozen),
        WITH_TRAINEE(phases_open_what_they_say),
        WITH_TRAINEE(pupils_learn_from_both),
        WITH_TRAINEE(width_phases_sort_channels),
        WITH_TRAINEE(each_phase_has_its_peak),
        WITH_TRAINEE(lessons_add_up),
        WITH_TRAINEE(the_first_phase_is_plain_training),
        WITH_TRAINEE(operations_count_teacher_and_pupils),
        WITH_TRAINEE(senseless_options_are_refused),
        WITH_TRAINEE(checkpoints_without_a_teacher_are_a_mismatch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
