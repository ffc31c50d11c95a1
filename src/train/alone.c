/* One sub-network on the labels from the first step to the last, as if there
 * were no other: what shared weights are judged against. */
#include "train/method.h"

#include "train/schedule.h"

typedef struct alone {
    const apq_train_env *env;
    apq_policy policy;
} alone;

static void policy_of(const apq_space *space, const apq_train_options *options,
                      apq_policy *out) {
    if (options->policy != NULL) {
        *out = *options->policy;
    } else {
        apq_policy_largest(space, 8, out);
    }
}

static apq_status alone_init(void *state, const apq_train_env *env) {
    alone *s = state;
    s->env = env;
    policy_of(apq_supernet_space(env->supernet), env->options, &s->policy);
    return APQ_OK;
}

static apq_status alone_gradients(void *state, const apq_train_batch *batch,
                                  apq_train_sums *sums) {
    alone *s = state;
    const apq_lesson lesson = {.label_weight = 1,
                               .smoothing = s->env->options->label_smoothing};
    apq_loss_sum sum;
    APQ_TRY(apq_train_subnet(s->env, &s->policy, batch, &lesson, NULL, &sum));
    apq_train_sums_largest(sums, sum, batch->n);
    return APQ_OK;
}

static double alone_learning_rate(const void *state, int64_t step) {
    const alone *s = state;
    return apq_train_single_rate(s->env, step);
}

static apq_status alone_flop_per_image(const apq_space *space,
                                       const apq_train_options *options,
                                       double *flop) {
    apq_policy policy;
    double macs;
    policy_of(space, options, &policy);
    APQ_TRY(apq_train_policy_macs(space, &policy, &macs));
    *flop = 6 * options->epochs * macs;
    return APQ_OK;
}

const apq_train_method apq_train_alone = {
    .name = "alone",
    .state_bytes = sizeof(alone),
    .init = alone_init,
    .gradients = alone_gradients,
    .learning_rate = alone_learning_rate,
    .flop_per_image = alone_flop_per_image,
};
