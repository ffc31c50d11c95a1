/* The sandwich rule: each step trains the largest sub-network on the labels,
 * and the smallest and a few random ones on the largest's soft output; with
 * shared bits these are quantised, in random bits, and the teacher is not.
 * Source: BigNAS (ECCV 2020), BatchQuant (NeurIPS 2021). */
#include "train/method.h"

#include "space/gene.h"

#include <stdlib.h>

/* With shared bits the largest is quantised, too, in every so many steps: or
 * its last channels would hardly be seen in bits, and it alone would lose at 4.
 */
enum { LARGEST_EVERY = 4 };

typedef struct sandwich {
    const apq_train_env *env;
    float *teacher; /* (batch, n_classes) softmax of the largest */
} sandwich;

static apq_status sandwich_init(void *state, const apq_train_env *env) {
    sandwich *s = state;
    int n_classes = apq_supernet_space(env->supernet)->n_classes;
    s->env = env;
    s->teacher = apq_calloc((size_t)env->options->batch * (size_t)n_classes,
                            sizeof *s->teacher);
    if (s->teacher == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "training: out of memory");
    }
    return APQ_OK;
}

static void sandwich_fini(void *state) {
    sandwich *s = state;
    free(s->teacher);
}

static apq_status train_largest(sandwich *s, const apq_train_batch *batch,
                                apq_train_sums *sums) {
    const apq_lesson lesson = {.label_weight = 1,
                               .smoothing = s->env->options->label_smoothing};
    apq_policy policy;
    apq_loss_sum sum;
    apq_policy_largest(apq_supernet_space(s->env->supernet), 8, &policy);
    APQ_TRY(
        apq_train_subnet(s->env, &policy, batch, &lesson, s->teacher, &sum));
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
    APQ_TRY(train_largest(s, batch, sums));
    if (batch->step < o->largest_epochs * s->env->steps_per_epoch) {
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
