/* One sub-network's share of a training step: bind, forward, loss, backward,
 * gradients back to the shared weights. */
#include "train/method.h"

#include "base/file.h"
#include "nn/loss.h"

static apq_loss_sum loss_of(const apq_lesson *lesson, apq_distill distill,
                            const float *logits, const apq_train_batch *batch,
                            int n_classes, float *dlogits) {
    apq_loss_sum sum = {0};
    if (lesson->label_weight > 0) {
        sum = apq_loss_labels(logits, batch->labels, batch->n, n_classes,
                              lesson->smoothing, dlogits);
    }
    if (lesson->soft != NULL) {
        bool accumulate = lesson->label_weight > 0;
        apq_loss_sum soft =
            distill == APQ_DISTILL_ALPHA
                ? apq_loss_alpha(logits, lesson->soft, batch->labels, batch->n,
                                 n_classes, accumulate, dlogits)
                : apq_loss_soft(logits, lesson->soft, batch->labels, batch->n,
                                n_classes, 1.0, accumulate, dlogits);
        sum.loss += soft.loss;
        sum.correct = soft.correct;
    }
    return sum;
}

apq_status apq_train_subnet(const apq_train_env *env, const apq_policy *policy,
                            const apq_train_batch *batch,
                            const apq_lesson *lesson, float *probabilities,
                            apq_loss_sum *sum) {
    if (env->policies != NULL) {
        const uint64_t seen[] = {
            *env->policies,
            apq_policy_hash(apq_supernet_space(env->supernet), policy)};
        *env->policies = apq_hash64(seen, sizeof seen);
    }
    apq_arena_reset(env->arena);
    apq_subnet subnet;
    apq_status st = apq_subnet_bind(env->supernet, policy,
                                    env->options->backend, env->arena, &subnet);
    int k = subnet.net.n_classes;
    float *logits = NULL, *dlogits = NULL;
    if (st == APQ_OK && lesson->is_quantised) {
        st = apq_subnet_quantise(&subnet);
    }
    if (st == APQ_OK) {
        subnet.net.precision =
            lesson->is_quantised ? APQ_FLOAT32 : env->options->precision;
        st = apq_nn_forward(&subnet.net, APQ_NN_TRAIN, batch->images, batch->n,
                            &logits);
    }
    if (st == APQ_OK) {
        dlogits = apq_arena_alloc(env->arena, (size_t)batch->n * (size_t)k,
                                  sizeof *dlogits);
        if (dlogits == NULL) {
            st = APQ_ERROR(APQ_ERR_NOMEM, "training: out of memory");
        }
    }
    if (st == APQ_OK) {
        *sum =
            loss_of(lesson, env->options->distill, logits, batch, k, dlogits);
        if (probabilities != NULL) {
            apq_softmax(logits, batch->n, k, probabilities);
        }
        st = apq_nn_backward(&subnet.net, dlogits);
    }
    if (st == APQ_OK) {
        st = apq_subnet_collect_grads(&subnet);
    }
    apq_subnet_fini(&subnet);
    return st;
}

apq_status apq_train_policy_macs(const apq_space *space,
                                 const apq_policy *policy, double *macs) {
    apq_ir_network network;
    APQ_TRY(apq_policy_lower(space, policy, &network));
    *macs = 0;
    for (size_t i = 0; i < network.n_layers; i++) {
        *macs += (double)apq_ir_layer_macs(&network.layers[i]);
    }
    return APQ_OK;
}

double apq_train_single_rate(const apq_train_env *env, int64_t step) {
    const apq_train_options *o = env->options;
    const apq_rate_plan plan = {
        .shape = o->lr_schedule,
        .peak = o->learning_rate,
        .final_fraction = o->final_rate,
        .warmup_steps = o->warmup_epochs * (double)env->steps_per_epoch,
    };
    return apq_schedule_rate(&plan, step, env->n_steps);
}
