/* What three searches in a row find, each for one kind of gene: kernels and
 * depths, then widths, then bits. APQ (CVPR 2020, section 2, equations 1 to 3)
 * argues against it; the shares of the stages are ours (docs/search.md). */
#include "app/search_budget.h"
#include "app/search_job.h"

#include <math.h>
#include <string.h>

enum {
    N_FIELDS = APQ_BUDGET_N_FIELDS,
    CHUNK = 64,
    /* As the searches at one bit-width. */
    STAGE_SHARE = 5,
    STAGE_PATIENCE = 30,
};

typedef enum stage {
    STAGE_ARCHITECTURE, /* kernels and depths; full width, the most bits */
    STAGE_WIDTHS,       /* in that architecture; the most bits */
    STAGE_BITS,         /* of that network */
    N_STAGES,
} stage;

typedef struct stages {
    apq_search_job *job;
    stage now;
    apq_policy chosen;       /* by the stages before */
    double budget[N_FIELDS]; /* of this stage; 0: none */
} stages;

static const apq_space *space_of(const stages *s) {
    return &s->job->out->space;
}

/* The space with the genes of this stage free. Kernels that are chosen are one
 * value here, since a space has no list of them for each block. */
static apq_space narrow_space(const stages *s) {
    apq_space space = *space_of(s);
    if (s->now != STAGE_BITS) {
        space.bits[0] = space.bits[space.n_bits - 1];
        space.n_bits = 1;
    }
    if (s->now != STAGE_ARCHITECTURE) {
        space.n_kernels = 1;
    }
    for (int i = 0; i < space.n_stages && s->now != STAGE_ARCHITECTURE; i++) {
        space.stages[i].min_depth = s->chosen.depth[i];
        space.stages[i].max_depth = s->chosen.depth[i];
    }
    for (int b = 0; b < space.n_blocks && s->now != STAGE_WIDTHS; b++) {
        apq_space_block *block = &space.blocks[b];
        block->min_channels = s->now == STAGE_ARCHITECTURE
                                  ? block->max_channels
                                  : s->chosen.channels[b];
        block->max_channels = block->min_channels;
    }
    return space;
}

/* A policy of the narrow space as one of the whole. */
static apq_policy widen(const stages *s, const apq_policy *policy) {
    apq_policy wide = *policy;
    if (s->now != STAGE_ARCHITECTURE) {
        memcpy(wide.kernel, s->chosen.kernel, sizeof wide.kernel);
    }
    return wide;
}

/* The i-th bit-width everywhere, but the next one where the space forbids it
 * beside a 7 x 7 kernel. */
static void set_uniform(const apq_space *space, int i, apq_policy *policy) {
    apq_policy_set_bits(space, space->bits[i], policy);
    bool has_next = i + 1 < space->n_bits;
    if (!space->forbids_k7_dw_act4 || space->bits[i] != 4 || !has_next) {
        return;
    }
    for (int b = 0; b < space->n_blocks; b++) {
        if (policy->kernel[b] == 7) {
            policy->bits[APQ_DW_ACT][b] = (int8_t)space->bits[i + 1];
        }
    }
}

/* Can the stages to come bring it under the whole budget? Their smallest
 * choices, at one bit-width everywhere. */
static bool can_finish(const stages *s, const apq_policy *policy) {
    const apq_space *space = space_of(s);
    apq_policy rest = *policy;
    for (int b = 0; b < space->n_blocks && s->now == STAGE_ARCHITECTURE; b++) {
        rest.channels[b] = (int16_t)space->blocks[b].min_channels;
    }
    for (int i = 0; i < space->n_bits; i++) {
        double cost[N_FIELDS];
        set_uniform(space, i, &rest);
        apq_price_policy(s->job->prices, &rest, cost);
        if (apq_budget_meets(cost, s->job->out->budget) && !isinf(cost[0])) {
            return true;
        }
    }
    return false;
}

static apq_status feasible(void *ctx, const apq_policy *policy,
                           bool *is_feasible) {
    const stages *s = ctx;
    double cost[N_FIELDS];
    apq_policy wide = widen(s, policy);
    apq_price_policy(s->job->prices, &wide, cost);
    *is_feasible = apq_budget_meets(cost, s->budget) && !isinf(cost[0]) &&
                   (s->now == STAGE_BITS || can_finish(s, &wide));
    return APQ_OK;
}

static apq_status evaluate(void *ctx, const apq_policy *batch, size_t n,
                           apq_score *scores) {
    const stages *s = ctx;
    for (size_t at = 0; at < n; at += CHUNK) {
        apq_policy wide[CHUNK];
        double values[CHUNK];
        size_t m = n - at < CHUNK ? n - at : CHUNK;
        for (size_t i = 0; i < m; i++) {
            wide[i] = widen(s, &batch[at + i]);
        }
        APQ_TRY(
            apq_predictor_predict(s->job->predictor, wide, m, true, values));
        for (size_t i = 0; i < m; i++) {
            scores[at + i].value = values[i];
            apq_price_policy(s->job->prices, &wide[i], scores[at + i].cost);
        }
    }
    return APQ_OK;
}

/* Each stage takes the same factor of the way from the dearest network of the
 * space to the budget; but it is always left its cheapest choice. */
static void set_budget(stages *s, const apq_policy *cheapest) {
    const apq_app_search_result *out = s->job->out;
    double cost[N_FIELDS];
    apq_policy wide = widen(s, cheapest);
    apq_price_policy(s->job->prices, &wide, cost);
    for (int f = 0; f < N_FIELDS; f++) {
        double left = 1 - (s->now + 1) / (double)N_STAGES;
        double whole = out->budget[f];
        s->budget[f] = whole;
        if (whole > 0 && s->now != STAGE_BITS) {
            double way = fmax(out->high[f] / whole, 1);
            s->budget[f] = fmax(whole * pow(way, left), cost[f]);
        }
    }
}

/* The cheapest of a stage; of the last one at each bit-width. */
static size_t make_seeds(const stages *s, const apq_space *narrow,
                         apq_policy seeds[APQ_MAX_BITS]) {
    for (int i = 0; i < narrow->n_bits; i++) {
        apq_policy_smallest(narrow, narrow->bits[i], &seeds[i]);
        if (s->now == STAGE_BITS) {
            apq_policy wide = widen(s, &seeds[i]);
            set_uniform(space_of(s), i, &wide);
            memcpy(seeds[i].bits, wide.bits, sizeof wide.bits);
        }
    }
    return (size_t)narrow->n_bits;
}

static apq_status search_stage(stages *s) {
    apq_search_job *job = s->job;
    const apq_recipe *r = job->recipe;
    apq_space space = narrow_space(s);
    apq_policy seeds[APQ_MAX_BITS], start;
    size_t n_seeds = make_seeds(s, &space, seeds);
    apq_policy_largest(&space, space.bits[space.n_bits - 1], &start);
    set_budget(s, &seeds[0]);
    double left_s = job->deadline_s - apq_now_s();
    apq_driver_options options = {
        .strategy = "local",
        .population = r->search.population,
        .parents = r->search.parents,
        .iterations = 1 + (r->search.iterations - 1) / STAGE_SHARE,
        .patience = STAGE_PATIENCE,
        .mutation = r->search.mutation,
        .seed = r->seed,
        .progress = job->progress,
        .evaluate = evaluate,
        .feasible = feasible,
        .ctx = s,
        .seeds = seeds,
        .n_seeds = n_seeds,
        .starts = &start,
        .n_starts = 1,
        .time_limit_s = job->deadline_s > 0 ? fmax(left_s, 1e-9) : 0,
    };
    apq_search_result *found = NULL;
    APQ_TRY(apq_search_run(&space, &options, &found));
    s->chosen = widen(s, &found->best);
    job->out->evaluations += found->n_evaluations;
    job->out->search->is_timed_out |= found->is_timed_out;
    job->out->search->is_stopped |= found->is_stopped;
    apq_search_result_destroy(found);
    return APQ_OK;
}

apq_status apq_search_job_sequential(apq_search_job *self, apq_candidate *out) {
    stages s = {.job = self};
    for (int i = 0; i < N_STAGES; i++) {
        s.now = (stage)i;
        apq_status st = search_stage(&s);
        if (st == APQ_ERR_INFEASIBLE) {
            return APQ_OK; /* a stage was left no way: none is found */
        }
        APQ_TRY(st);
    }
    apq_policy_canonical(space_of(&s), &s.chosen);
    return apq_search_job_describe(self, &s.chosen, out);
}
