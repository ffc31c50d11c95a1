/* The sandwich rule: each step trains the largest sub-network on the labels,
 * and the smallest and a few random ones on the largest's soft output; with
 * shared bits these are quantised, in random bits, and the teacher is not.
 * The largest of averaged weights may teach instead: it errs less than the one
 * that is learning, and then may teach the largest, too. Source: BigNAS (ECCV
 * 2020), BatchQuant (NeurIPS 2021); METHODS 10.1, 1.3; averaged teachers,
 * Tarvainen and Valpola (NeurIPS 2017).
 */
#include "train/method.h"

#include "nn/loss.h"
#include "space/gene.h"

#include <stdlib.h>

/* With shared bits the largest is quantised, too, in every so many steps: or
 * its last channels would hardly be seen in bits, and it alone would lose at 4.
 */
enum { LARGEST_EVERY = 4 };

typedef struct sandwich {
    const apq_train_env *env;
    float *teacher; /* (batch, n_classes) softmax of who teaches */
    float *targets; /* (batch, n_classes) the largest's; NULL: the labels */
} sandwich;

static apq_status sandwich_init(void *state, const apq_train_env *env) {
    sandwich *s = state;
    int n_classes = apq_supernet_space(env->supernet)->n_classes;
    s->env = env;
    const apq_train_options *o = env->options;
    if (o->teacher == APQ_TEACHER_AVERAGE && !(o->weight_average > 0)) {
        APQ_FAIL(APQ_ERR_ARG, "train.teacher is average, but "
                              "train.weight_average keeps none");
    }
    if (o->self_distillation > 0 && o->teacher != APQ_TEACHER_AVERAGE) {
        APQ_FAIL(APQ_ERR_ARG, "train.self_distillation is from the average, "
                              "but train.teacher is another");
    }
    size_t n = (size_t)o->batch * (size_t)n_classes;
    s->teacher = apq_calloc(n, sizeof *s->teacher);
    s->targets =
        o->self_distillation > 0 ? apq_calloc(n, sizeof *s->targets) : NULL;
    if (s->teacher == NULL ||
        (o->self_distillation > 0 && s->targets == NULL)) {
        APQ_FAIL(APQ_ERR_NOMEM, "training: out of memory");
    }
    return APQ_OK;
}

static void sandwich_fini(void *state) {
    sandwich *s = state;
    free(s->teacher);
    free(s->targets);
}

/* Batch statistics, as the largest has in its training: those of the average
 * would have to be measured anew in every step. */
static apq_status ask_average(sandwich *s, const apq_train_batch *batch) {
    const apq_train_env *env = s->env;
    apq_policy policy;
    apq_subnet subnet;
    float *logits;
    apq_policy_largest(apq_supernet_space(env->supernet), 8, &policy);
    apq_arena_reset(env->arena);
    apq_params_average_swap(apq_supernet_params(env->supernet));
    apq_status st = apq_subnet_bind(env->supernet, &policy,
                                    env->options->backend, env->arena, &subnet);
    if (st == APQ_OK) {
        subnet.net.precision = env->options->precision;
        st = apq_nn_forward(&subnet.net, APQ_NN_TRAIN, batch->images, batch->n,
                            &logits);
    }
    if (st == APQ_OK) {
        apq_softmax(logits, batch->n, subnet.net.n_classes, s->teacher);
    }
    apq_subnet_fini(&subnet);
    apq_params_average_swap(apq_supernet_params(env->supernet));
    return st;
}

/* The smoothed labels and what the average says of the images. */
static void mix_targets(sandwich *s, const apq_train_batch *batch) {
    const apq_train_options *o = s->env->options;
    int n_classes = apq_supernet_space(s->env->supernet)->n_classes;
    double share = o->self_distillation, off = o->label_smoothing / n_classes;
    for (int i = 0; i < batch->n; i++) {
        for (int k = 0; k < n_classes; k++) {
            int64_t at = (int64_t)i * n_classes + k;
            double label =
                off + (k == batch->labels[i] ? 1.0 - o->label_smoothing : 0.0);
            s->targets[at] =
                (float)(share * (double)s->teacher[at] + (1.0 - share) * label);
        }
    }
}

static apq_status train_largest(sandwich *s, const apq_train_batch *batch,
                                bool is_self_taught, apq_train_sums *sums) {
    apq_lesson lesson = {.label_weight = 1,
                         .smoothing = s->env->options->label_smoothing};
    if (is_self_taught) {
        mix_targets(s, batch);
        lesson = (apq_lesson){.soft = s->targets};
    }
    apq_policy policy;
    apq_loss_sum sum;
    bool is_teacher = s->env->options->teacher == APQ_TEACHER_LARGEST;
    apq_policy_largest(apq_supernet_space(s->env->supernet), 8, &policy);
    APQ_TRY(apq_train_subnet(s->env, &policy, batch, &lesson,
                             is_teacher ? s->teacher : NULL, &sum));
    apq_train_sums_largest(sums, sum, batch->n);
    return APQ_OK;
}

/* One bit-width for all genes as often as one for each: networks of a single
 * one are hardly ever drawn otherwise, and they are what others are compared
 * with. Their kernels are repaired as those of apq_policy_largest(). */
static void draw_bits(const apq_space *space, apq_rng *rng,
                      apq_policy *policy) {
    if (apq_rng_chance(rng, 0.5)) {
        uint32_t k = apq_rng_below(rng, (uint32_t)space->n_bits);
        apq_policy_set_bits(space, space->bits[k], policy);
        for (int b = 0; b < space->n_blocks; b++) {
            if (apq_block_is_forbidden(space, policy, b)) {
                policy->kernel[b] =
                    (int8_t)space->kernels[space->n_kernels - 2];
            }
        }
    } else {
        apq_policy_random_bits(space, rng, policy);
    }
}

/* `bits` is where the bits are drawn from. */
static apq_status train_other(sandwich *s, apq_policy *policy, apq_rng *bits,
                              const apq_train_batch *batch,
                              apq_train_sums *sums) {
    const apq_lesson lesson = {
        .soft = s->teacher,
        .is_quantised = batch->step >= s->env->first_bits_step,
    };
    if (lesson.is_quantised) {
        draw_bits(apq_supernet_space(s->env->supernet), bits, policy);
    }
    apq_loss_sum sum;
    APQ_TRY(apq_train_subnet(s->env, policy, batch, &lesson, NULL, &sum));
    apq_train_sums_others(sums, sum, batch->n);
    return APQ_OK;
}

static apq_status sandwich_gradients(void *state, const apq_train_batch *batch,
                                     apq_train_sums *sums) {
    sandwich *s = state;
    const apq_train_options *o = s->env->options;
    const apq_space *space = apq_supernet_space(s->env->supernet);
    bool is_alone = batch->step < o->largest_epochs * s->env->steps_per_epoch;
    if (!is_alone && o->teacher == APQ_TEACHER_AVERAGE) {
        APQ_TRY(ask_average(s, batch));
    }
    APQ_TRY(train_largest(s, batch, !is_alone && s->targets != NULL, sums));
    if (is_alone) {
        return APQ_OK;
    }
    apq_policy policy;
    apq_policy_smallest(space, 8, &policy);
    apq_rng rng = apq_rng_make(o->seed, APQ_RNG_SUBNET, (uint64_t)batch->step);
    apq_rng bits = apq_rng_make(o->seed, APQ_RNG_BITS, (uint64_t)batch->step);
    APQ_TRY(train_other(s, &policy, &bits, batch, sums));
    for (int i = 0; i < o->random_subnets; i++) {
        apq_policy_random(space, &rng, &policy);
        if (i == 0 && batch->step >= s->env->first_bits_step &&
            batch->step % LARGEST_EVERY == 0) {
            apq_policy_largest(space, 8, &policy);
        }
        APQ_TRY(train_other(s, &policy, &bits, batch, sums));
    }
    return APQ_OK;
}

static double sandwich_learning_rate(const void *state, int64_t step) {
    const sandwich *s = state;
    return apq_train_single_rate(s->env, step);
}

static apq_status sandwich_flop_per_image(const apq_space *space,
                                          const apq_train_options *options,
                                          double *flop) {
    enum { N_SAMPLES = 64 };
    apq_policy policy;
    double largest, smallest, macs, random = 0;
    apq_policy_largest(space, 8, &policy);
    APQ_TRY(apq_train_policy_macs(space, &policy, &largest));
    apq_policy_smallest(space, 8, &policy);
    APQ_TRY(apq_train_policy_macs(space, &policy, &smallest));
    for (uint64_t i = 0; i < N_SAMPLES; i++) {
        apq_rng rng = apq_rng_make(options->seed, APQ_RNG_POLICY, i);
        apq_policy_random(space, &rng, &policy);
        APQ_TRY(apq_train_policy_macs(space, &policy, &macs));
        random += macs / N_SAMPLES;
    }
    int shared = options->epochs - options->largest_epochs;
    *flop = 6 * options->epochs * largest;
    if (shared > 0) {
        *flop += 6 * shared * (smallest + options->random_subnets * random);
    }
    if (shared > 0 && options->teacher == APQ_TEACHER_AVERAGE) {
        *flop += 2 * shared * largest;
    }
    int in_bits =
        options->epochs - apq_train_first_bits_epoch(options->largest_epochs,
                                                     options->float_epochs);
    if (options->shares_bits && in_bits > 0 && options->random_subnets > 0) {
        *flop += 6 * in_bits * (largest - random) / LARGEST_EVERY;
    }
    return APQ_OK;
}

const apq_train_method apq_train_sandwich = {
    .name = "sandwich",
    .state_bytes = sizeof(sandwich),
    .can_share_bits = true,
    .init = sandwich_init,
    .gradients = sandwich_gradients,
    .learning_rate = sandwich_learning_rate,
    .flop_per_image = sandwich_flop_per_image,
    .fini = sandwich_fini,
};
