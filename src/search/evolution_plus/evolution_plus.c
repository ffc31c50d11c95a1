/* Several lines of descent, each a (1+1) evolution of single genes whose
 * acceptance is annealed (Kirkpatrick et al., Science 1983); now and then the
 * worst line starts again from the best. Beats the paper's loop because its
 * population converges long before the candidates are used up. */
#include "search/strategy.h"

#include "base/memory.h"
#include "search/elite.h"
#include "search/moves.h"
#include "search/sampler.h"

#include <math.h>
#include <stdlib.h>

/* Chosen by the mean and above all the worst of 20 to 40 seeds at 50,000
 * candidates; neighbouring settings differ by less than the spread. */
enum {
    CANDIDATES_PER_LINE = 12, /* of a population */
    MIN_LINES = 2,
    MAX_LINES = 8,
    CHILDREN = 4, /* of each line in one batch */
    RESTARTS = 25,
    MAX_TRIES = 10,
};
/* Temperatures, in standard deviations of the first population's values. */
static const double start_temperature = 0.4, end_temperature = 0.01;
static const double more_moves_rate = 0.5;

/* What changes while the search runs. */
typedef struct progress {
    apq_sampler sampler;
    uint64_t n_told, n_restarts;
    uint64_t n_scored; /* feasible of the first population */
    double mean, sum2; /* of their values, by Welford's recurrence */
} progress;

typedef struct plus_state {
    apq_search_env env;
    progress at;
    apq_elite lines; /* sorted only until the first population is complete */
    size_t owners[MAX_LINES * CHILDREN]; /* line of each policy asked */
} plus_state;

static apq_status plus_init(void *state, const apq_search_env *env) {
    plus_state *s = state;
    s->env = *env;
    s->at.sampler = apq_sampler_make(env->options.seed, 2);
    size_t n = (size_t)env->options.population / CANDIDATES_PER_LINE;
    n = n > MIN_LINES ? n : MIN_LINES;
    s->lines.cap = n < MAX_LINES ? n : MAX_LINES;
    s->lines.entries = apq_calloc(s->lines.cap, sizeof *s->lines.entries);
    if (s->lines.entries == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "evolution+: no memory for %zu lines",
                 s->lines.cap);
    }
    return APQ_OK;
}

static void plus_fini(void *state) {
    plus_state *s = state;
    free(s->lines.entries);
    s->lines.entries = NULL;
}

/* Still filling the first population? Goes on while nothing is feasible. */
static bool is_first(const plus_state *s) {
    return s->at.n_told < (uint64_t)s->env.options.population ||
           s->lines.n == 0;
}

/* A feasible child, if possible one never scored before. */
static apq_status breed(plus_state *s, const apq_policy *parent,
                        apq_policy *out) {
    const apq_search_env *env = &s->env;
    apq_rng *rng = &s->at.sampler.rng;
    bool is_feasible = false;
    for (int i = 0; i < MAX_TRIES; i++) {
        *out = *parent;
        do {
            apq_move_random(env->space, rng, out);
        } while (apq_rng_uniform(rng) < more_moves_rate);
        APQ_TRY(apq_env_feasible(env, out, &is_feasible));
        if (!is_feasible) {
            APQ_TRY(apq_sampler_shrink(&s->at.sampler, env, out, &is_feasible));
        }
        uint64_t hash = apq_policy_hash(env->space, out);
        if (is_feasible && !apq_score_cache_has(env->known, hash)) {
            return APQ_OK;
        }
    }
    return is_feasible ? APQ_OK : apq_sampler_draw(&s->at.sampler, env, out);
}

static apq_status plus_ask(void *state, size_t cap, apq_policy *batch,
                           size_t *n) {
    plus_state *s = state;
    *n = 0;
    if (is_first(s)) {
        for (size_t i = 0; i < cap; i++) {
            APQ_TRY(apq_sampler_first(&s->at.sampler, &s->env, &batch[i]));
        }
        *n = cap;
        return APQ_OK;
    }
    size_t n_batch = s->lines.n * CHILDREN;
    n_batch = n_batch < cap ? n_batch : cap;
    for (size_t i = 0; i < n_batch; i++) {
        s->owners[i] = i / CHILDREN;
        APQ_TRY(breed(s, &s->lines.entries[s->owners[i]].policy, &batch[i]));
    }
    *n = n_batch;
    return APQ_OK;
}

static void tell_first(plus_state *s, const apq_search_entry *entry) {
    progress *at = &s->at;
    at->n_scored++;
    double delta = entry->score.value - at->mean;
    at->mean += delta / (double)at->n_scored;
    at->sum2 += delta * (entry->score.value - at->mean);
    if (!apq_elite_has(&s->lines, entry->hash)) {
        apq_elite_insert(&s->lines, entry);
    }
}

static double temperature(const plus_state *s) {
    double deviation = sqrt(s->at.sum2 / (double)s->at.n_scored);
    double done = (double)s->at.n_told / (double)s->env.options.total;
    return deviation * start_temperature *
           pow(end_temperature / start_temperature, done);
}

/* Metropolis' rule; children of one batch share their parent's temperature
 * and are compared with what the line has become. */
static void tell_line(plus_state *s, apq_search_entry *line,
                      const apq_search_entry *child, double heat) {
    double gain = child->score.value - line->score.value;
    if (gain >= 0 || apq_rng_uniform(&s->at.sampler.rng) < exp(gain / heat)) {
        *line = *child;
    }
}

/* The line of lowest value becomes a copy of the one of highest. */
static void restart_worst(plus_state *s) {
    size_t best = 0, worst = 0;
    for (size_t i = 1; i < s->lines.n; i++) {
        if (apq_entry_before(&s->lines.entries[i], &s->lines.entries[best])) {
            best = i;
        }
        if (apq_entry_before(&s->lines.entries[worst], &s->lines.entries[i])) {
            worst = i;
        }
    }
    s->lines.entries[worst] = s->lines.entries[best];
}

static apq_status plus_tell(void *state, const apq_policy *batch,
                            const apq_score *scores, size_t n) {
    plus_state *s = state;
    bool was_first = is_first(s);
    double heat = was_first ? 0 : temperature(s);
    for (size_t i = 0; i < n; i++) {
        apq_search_entry entry = {
            .policy = batch[i],
            .hash = apq_policy_hash(s->env.space, &batch[i]),
            .score = scores[i],
        };
        if (!entry.score.is_feasible) {
            continue;
        }
        if (was_first) {
            tell_first(s, &entry);
        } else {
            tell_line(s, &s->lines.entries[s->owners[i]], &entry, heat);
        }
    }
    s->at.n_told += n;
    if (!was_first &&
        s->at.n_told * RESTARTS / s->env.options.total > s->at.n_restarts) {
        s->at.n_restarts = s->at.n_told * RESTARTS / s->env.options.total;
        restart_worst(s);
    }
    return APQ_OK;
}

static apq_status plus_save(const void *state, apq_bytes *out) {
    const plus_state *s = state;
    APQ_TRY(apq_bytes_put(out, &s->at, sizeof s->at));
    return apq_elite_save(&s->lines, out);
}

static apq_status plus_load(void *state, apq_bytes *in) {
    plus_state *s = state;
    APQ_TRY(apq_bytes_get(in, &s->at, sizeof s->at));
    return apq_elite_load(&s->lines, in);
}

const apq_strategy_ops apq_strategy_evolution_plus = {
    .name = "evolution+",
    .summary = "annealed lines of single-gene changes; the best by value",
    .state_bytes = sizeof(plus_state),
    .is_annealed = true,
    .init = plus_init,
    .ask = plus_ask,
    .tell = plus_tell,
    .save = plus_save,
    .load = plus_load,
    .fini = plus_fini,
};
