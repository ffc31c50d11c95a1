/* Uniform sampling under the constraint. It keeps nothing of what it is
 * told: the baseline every strategy must beat at equal evaluations. */
#include "search/strategy.h"

#include "search/sampler.h"

typedef struct random_state {
    apq_search_env env;
    apq_sampler sampler;
} random_state;

static apq_status random_init(void *state, const apq_search_env *env) {
    random_state *s = state;
    s->env = *env;
    s->sampler = apq_sampler_make(env->options.seed, 0);
    return APQ_OK;
}

static apq_status random_ask(void *state, size_t cap, apq_policy *batch,
                             size_t *n) {
    random_state *s = state;
    *n = 0;
    for (size_t i = 0; i < cap; i++) {
        APQ_TRY(apq_sampler_first(&s->sampler, &s->env, &batch[i]));
    }
    *n = cap;
    return APQ_OK;
}

static apq_status random_tell(void *state, const apq_policy *batch,
                              const apq_score *scores, size_t n) {
    (void)state;
    (void)batch;
    (void)scores;
    (void)n;
    return APQ_OK;
}

static apq_status random_save(const void *state, apq_bytes *out) {
    const random_state *s = state;
    return apq_bytes_put(out, &s->sampler, sizeof s->sampler);
}

static apq_status random_load(void *state, apq_bytes *in) {
    random_state *s = state;
    return apq_bytes_get(in, &s->sampler, sizeof s->sampler);
}

const apq_strategy_ops apq_strategy_random = {
    .name = "random",
    .summary = "uniform sampling; the baseline every strategy must beat",
    .state_bytes = sizeof(random_state),
    .init = random_init,
    .ask = random_ask,
    .tell = random_tell,
    .save = random_save,
    .load = random_load,
};
