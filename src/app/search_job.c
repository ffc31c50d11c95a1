/* One search between strategy, predictor and price table: the predictor
 * scores, the table decides feasibility before anything is scored. The same
 * search, restricted to one bit-width, makes the baselines. */
#include "app/search_job.h"

#include "app/app.h"
#include "app/fit.h"
#include "app/lut.h"
#include "app/machine.h"
#include "app/measure.h"
#include "app/range.h"
#include "app/run_space.h"
#include "app/search_budget.h"
#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    N_FIELDS = APQ_BUDGET_N_FIELDS,
    FRONT_CAP = 128,
    BLIND_CHUNK = 64,
    /* The baselines' searches begin from the mixed search's front: with a
     * fifth of its iterations, descent then finds what evolution finds from
     * nothing in all of them (docs/search.md). */
    UNIFORM_SHARE = 5,
    UNIFORM_PATIENCE = 30,
};

const char *apq_baseline_name(apq_baseline baseline) {
    static const char *const names[] = {"largest_uniform8", "largest_uniform4",
                                        "best_uniform8", "best_uniform4",
                                        "sequential"};
    return names[baseline];
}

static apq_status feasible(void *ctx, const apq_policy *policy,
                           bool *is_feasible) {
    const apq_search_job *self = ctx;
    double cost[N_FIELDS];
    apq_price_policy(self->prices, policy, cost);
    *is_feasible = apq_budget_meets(cost, self->out->budget) && !isinf(cost[0]);
    return APQ_OK;
}

/* Accuracies of n policies. The released code scores each as if all its bits
 * were the largest: spec2feature() is called without `quantize`. */
static apq_status predict(const apq_search_job *self, const apq_policy *batch,
                          size_t n, double *values) {
    if (!self->is_blind) {
        return apq_predictor_predict(self->predictor, batch, n, true, values);
    }
    const apq_space *space = &self->out->space;
    for (size_t at = 0; at < n; at += BLIND_CHUNK) {
        apq_policy copies[BLIND_CHUNK];
        size_t m = n - at < BLIND_CHUNK ? n - at : BLIND_CHUNK;
        for (size_t i = 0; i < m; i++) {
            copies[i] = batch[at + i];
            apq_policy_set_bits(space, space->bits[space->n_bits - 1],
                                &copies[i]);
        }
        APQ_TRY(apq_predictor_predict(self->predictor, copies, m, true,
                                      values + at));
    }
    return APQ_OK;
}

static apq_status evaluate(void *ctx, const apq_policy *batch, size_t n,
                           apq_score *scores) {
    apq_search_job *self = ctx;
    enum { CHUNK = sizeof self->values / sizeof self->values[0] };
    for (size_t at = 0; at < n; at += CHUNK) {
        size_t m = n - at < CHUNK ? n - at : CHUNK;
        APQ_TRY(predict(self, batch + at, m, self->values));
        for (size_t i = 0; i < m; i++) {
            apq_score *score = &scores[at + i];
            score->value = self->values[i];
            apq_price_policy(self->prices, &batch[at + i], score->cost);
        }
    }
    return APQ_OK;
}

/* The space at one bit-width. Kernel 7 goes where 4-bit activations forbid
 * it. False when the bit-width is not of the space. */
static bool restrict_bits(apq_space *space, int bits) {
    bool is_legal = false;
    for (int i = 0; i < space->n_bits; i++) {
        is_legal = is_legal || space->bits[i] == bits;
    }
    space->n_bits = 1;
    space->bits[0] = bits;
    if (space->forbids_k7_dw_act4 && bits == 4) {
        while (space->n_kernels > 1 &&
               space->kernels[space->n_kernels - 1] == 7) {
            space->n_kernels--;
        }
    }
    return is_legal;
}

void apq_search_job_key(const apq_search_job *self, char out[APQ_HASH_MAX]) {
    const apq_app_search_result *r = self->out;
    char space_hash[APQ_HASH_MAX], text[1024];
    apq_space_hash(&r->space, space_hash);
    (void)snprintf(
        text, sizeof text,
        "%s %s %s %s %.17g %.17g %.17g %.17g %s %d %d %d %.17g %llu%s%s%s",
        space_hash, r->predictor_hash, r->target, apq_target_hash(self->target),
        r->budget[0], r->budget[1], r->budget[2], r->budget[3], r->strategy,
        self->recipe->search.population, self->recipe->search.parents,
        self->recipe->search.iterations, self->recipe->search.mutation,
        (unsigned long long)r->seed,
        self->recipe->search.all_layers ? " all layers" : "",
        self->recipe->search.as_released ? " as released" : "",
        self->recipe->search.sequential ? " sequential" : "");
    if (self->recipe->search.remeasure > 0) {
        const apq_recipe *recipe = self->recipe;
        size_t n = strlen(text);
        (void)snprintf(
            text + n, sizeof text - n, " measured %d, baselines %d %d %d %s%s",
            recipe->search.remeasure, recipe->search.remeasure_qat_steps,
            recipe->collect.val_images, recipe->collect.recalibrate_images,
            self->weights_hash, apq_meter_label_kind(recipe));
        n = strlen(text);
        if (recipe->search.remeasure_qat_steps > 0) {
            (void)snprintf(
                text + n, sizeof text - n, " at %.17g, %d, %.17g, %.17g, %.17g",
                recipe->collect.qat_learning_rate, recipe->finetune.batch,
                recipe->train.momentum, recipe->finetune.weight_decay,
                recipe->finetune.label_smoothing);
        }
    }
    apq_hash_hex(text, strlen(text), out);
}

apq_status apq_search_job_run(apq_search_job *self, int bits,
                              apq_search_result **out) {
    apq_space space = self->out->space;
    if (bits != 0 && !restrict_bits(&space, bits)) {
        APQ_FAIL(APQ_ERR_INFEASIBLE, "space %s has no %d bits", space.name,
                 bits);
    }
    apq_policy seeds[APQ_BUDGET_MAX_SEEDS];
    size_t n_seeds;
    APQ_TRY(apq_budget_seeds(self->prices, self->out->budget, bits, seeds,
                             &n_seeds));
    for (size_t i = 0; i < n_seeds; i++) {
        /* Skipped blocks, too, must be legal in the restricted space. */
        apq_policy_canonical(&space, &seeds[i]);
    }
    for (size_t i = 0; i < self->n_starts; i++) {
        apq_policy_canonical(&space, &self->starts[i]);
    }
    const apq_recipe *r = self->recipe;
    double left_s = self->deadline_s - apq_now_s();
    self->is_blind = bits == 0 && r->search.as_released;
    apq_driver_options options = {
        .strategy = self->strategy,
        .population = r->search.population,
        .parents = r->search.parents,
        .iterations = self->iterations,
        .patience = bits != 0 ? UNIFORM_PATIENCE : 0,
        .mutation = r->search.mutation,
        .seed = r->seed,
        .progress = self->progress,
        .evaluate = evaluate,
        .feasible = feasible,
        .ctx = self,
        .seeds = seeds,
        .n_seeds = n_seeds,
        .starts = self->starts,
        .n_starts = self->n_starts,
        .front_cap = bits == 0 ? FRONT_CAP : 0,
        .time_limit_s = self->deadline_s > 0 ? fmax(left_s, 1e-9) : 0,
        .as_released = self->is_blind,
        .saver =
            bits == 0 && self->file.key[0] != '\0' ? &self->file.base : NULL,
    };
    return apq_search_run(&space, &options, out);
}

apq_status apq_search_job_describe(const apq_search_job *self,
                                   const apq_policy *policy,
                                   apq_candidate *out) {
    const apq_space *space = &self->out->space;
    apq_ir_network network;
    APQ_TRY(apq_policy_check(space, policy));
    APQ_TRY(apq_policy_lower(space, policy, &network));
    APQ_TRY(apq_cost_network(self->target, &network, &out->cost));
    APQ_TRY(apq_predictor_predict(self->predictor, policy, 1, true,
                                  &out->accuracy));
    double cost[N_FIELDS];
    apq_budget_of_cost(&out->cost, cost);
    out->meets_budget = apq_budget_meets(cost, self->out->budget);
    out->policy = *policy;
    out->is_found = true;
    return APQ_OK;
}

apq_status apq_search_job_shares(const apq_search_job *self) {
    apq_app_search_result *out = self->out;
    apq_ir_network network;
    APQ_TRY(apq_policy_lower(&out->space, &out->best.policy, &network));
    for (size_t i = 0; i < network.n_layers; i++) {
        double latency_ms, energy_mj;
        APQ_TRY(apq_target_layer(self->target, &network.layers[i], &latency_ms,
                                 &energy_mj));
        if (network.layers[i].block >= 0 && out->best.cost.latency_ms > 0) {
            out->latency_share[network.layers[i].block] +=
                latency_ms / out->best.cost.latency_ms;
        }
    }
    return APQ_OK;
}

/* A baseline is a point of the mixed space like any other: when a restricted
 * search found a better one, it is the result. */
void apq_search_job_keep_better(apq_app_search_result *out) {
    for (int i = APQ_BASELINE_BEST_8; i < APQ_N_BASELINES; i++) {
        const apq_candidate *c = &out->baselines[i];
        if (!c->is_found || !c->meets_budget ||
            c->accuracy <= out->best.accuracy) {
            continue;
        }
        apq_search_result *search = out->search;
        size_t n = search->n_top < APQ_SEARCH_MAX_TOP ? search->n_top
                                                      : APQ_SEARCH_MAX_TOP - 1;
        memmove(&search->top[1], &search->top[0], n * sizeof search->top[0]);
        search->n_top = n + 1;
        search->top[0] = (apq_search_entry){
            .policy = c->policy,
            .hash = apq_policy_hash(&out->space, &c->policy),
            .score = {.value = c->accuracy, .is_feasible = true}};
        apq_budget_of_cost(&c->cost, search->top[0].score.cost);
        search->best = c->policy;
        search->best_value = c->accuracy;
        if (search->n_history > 0) {
            search->history[search->n_history - 1].best = c->accuracy;
        }
        out->best = *c;
    }
}

/* The largest network of one bit-width; with smaller kernels where the target
 * has no room for the largest. Not found when it can run none. */
static apq_status largest_uniform(const apq_search_job *self, apq_space space,
                                  int bits, apq_candidate *out) {
    for (; space.n_kernels > 0; space.n_kernels--) {
        apq_policy policy;
        apq_policy_largest(&space, bits, &policy);
        apq_policy_canonical(&self->out->space, &policy);
        apq_status st = apq_search_job_describe(self, &policy, out);
        if (st != APQ_ERR_UNSUPPORTED) {
            return st;
        }
    }
    return APQ_OK;
}

/* The mixed search's front at one bit-width, in the kernels this leaves. Some
 * may be over budget: the search brings them under it. */
static void add_uniform_starts(apq_search_job *self, const apq_space *space,
                               int bits) {
    const apq_search_result *search = self->out->search;
    int8_t largest_kernel = (int8_t)space->kernels[space->n_kernels - 1];
    size_t stride = search->n_front / APQ_JOB_MAX_STARTS + 1;
    for (size_t i = 0;
         i < search->n_front && self->n_starts < APQ_JOB_MAX_STARTS;
         i += stride) {
        apq_policy *start = &self->starts[self->n_starts++];
        *start = search->front[i].policy;
        apq_policy_set_bits(space, bits, start);
        for (int b = 0; b < space->n_blocks; b++) {
            if (start->kernel[b] > largest_kernel) {
                start->kernel[b] = largest_kernel;
            }
        }
    }
}

static apq_status search_uniform(apq_search_job *self, int bits,
                                 apq_search_result **out) {
    const char *strategy = self->strategy;
    int iterations = self->iterations;
    self->strategy = "local";
    self->iterations =
        1 + (self->recipe->search.iterations - 1) / UNIFORM_SHARE;
    apq_status st = apq_search_job_run(self, bits, out);
    self->strategy = strategy;
    self->iterations = iterations;
    return st;
}

apq_status apq_search_job_uniform(apq_search_job *self, int bits,
                                  apq_candidate *out) {
    apq_space space = self->out->space;
    if (!restrict_bits(&space, bits)) {
        return APQ_OK;
    }
    add_uniform_starts(self, &space, bits);
    apq_search_result *found = NULL;
    apq_status st = search_uniform(self, bits, &found);
    self->n_starts = 0;
    if (st == APQ_ERR_INFEASIBLE) {
        return APQ_OK;
    }
    APQ_TRY(st);
    apq_policy policy = found->best;
    self->out->evaluations += found->n_evaluations;
    self->out->search->is_timed_out |= found->is_timed_out;
    self->out->search->is_stopped |= found->is_stopped;
    apq_search_result_destroy(found);
    apq_policy_canonical(&self->out->space, &policy);
    return apq_search_job_describe(self, &policy, out);
}

apq_status apq_search_job_baselines(apq_search_job *self) {
    static const int bits_of[APQ_N_UNIFORM_BASELINES] = {8, 4, 8, 4};
    apq_app_search_result *out = self->out;
    for (int i = 0; i < APQ_N_UNIFORM_BASELINES; i++) {
        apq_space space = out->space;
        if (!restrict_bits(&space, bits_of[i])) {
            continue;
        }
        apq_candidate *slot = &out->baselines[i];
        if (i < APQ_BASELINE_BEST_8) {
            APQ_TRY(largest_uniform(self, space, bits_of[i], slot));
        } else {
            APQ_TRY(apq_search_job_uniform(self, bits_of[i], slot));
        }
    }
    out->has_sequential = self->recipe->search.sequential;
    return out->has_sequential
               ? apq_search_job_sequential(
                     self, &out->baselines[APQ_BASELINE_SEQUENTIAL])
               : APQ_OK;
}

static apq_status find_predictor(const apq_search_job *self,
                                 const char *run_dir, const char *predictor) {
    apq_app_search_result *out = self->out;
    if (predictor != NULL) {
        (void)snprintf(out->predictor, sizeof out->predictor, "%s", predictor);
    } else {
        APQ_TRY(apq_app_predictor_path(self->recipe->space, run_dir,
                                       out->predictor));
    }
    return apq_file_hash(out->predictor, out->predictor_hash);
}

/* What the search will not propose, before it starts. */
static void note_excluded(const apq_search_job *self) {
    apq_excluded excluded;
    apq_app_excluded(self->prices, &excluded);
    size_t n = excluded.n_forbidden + excluded.n_unsupported;
    if (n > 0) {
        apq_note(self->progress,
                 "search: %zu of %zu choices of a block are excluded (%zu by "
                 "the space, %zu by target %s)%s%s",
                 n, excluded.n_choices, excluded.n_forbidden,
                 excluded.n_unsupported, self->out->target,
                 excluded.text[0] != '\0' ? ": " : "", excluded.text);
    }
}

/* What budgets are possible, before any is refused. */
static void note_range(const apq_search_job *self) {
    const apq_app_search_result *out = self->out;
    char text[256] = "";
    for (int f = 0; f < N_FIELDS; f++) {
        size_t used = strlen(text);
        if (!isnan(out->low[f])) {
            (void)snprintf(text + used, sizeof text - used, "%s%.4g to %.4g %s",
                           used > 0 ? ", " : "", out->low[f], out->high[f],
                           apq_budget_unit((apq_budget_field)f));
        }
    }
    apq_note(self->progress, "search: space %s on %s: %s", out->space.name,
             out->target, text);
}

/* What needs space and target only. */
apq_status apq_search_job_prepare(apq_search_job *self) {
    apq_app_search_result *out = self->out;
    const apq_recipe *r = self->recipe;
    APQ_TRY(apq_app_check_target(&out->space, self->target));
    apq_recipe_set_accounting(r, &out->space);
    (void)snprintf(out->target, sizeof out->target, "%s",
                   apq_target_name(self->target));
    (void)snprintf(out->strategy, sizeof out->strategy, "%s",
                   r->search.strategy);
    out->seed = r->seed;
    out->budget[APQ_BUDGET_LATENCY_MS] = r->search.latency_ms;
    out->budget[APQ_BUDGET_ENERGY_MJ] = r->search.energy_mj;
    out->budget[APQ_BUDGET_BITOPS_G] = r->search.bitops_g;
    out->budget[APQ_BUDGET_SIZE_KB] = r->search.size_kb;
    APQ_TRY(apq_price_table_create(&out->space, self->target, &self->prices));
    apq_cost low, high;
    APQ_TRY(apq_app_range(self->prices, &low, &high));
    apq_budget_of_cost(&low, out->low);
    apq_budget_of_cost(&high, out->high);
    note_range(self);
    note_excluded(self);
    for (int f = N_FIELDS - 1; f >= 0; f--) {
        if (out->budget[f] > 0) {
            out->plot_field = (apq_budget_field)f;
        }
    }
    if (isnan(out->low[out->plot_field])) {
        out->plot_field = APQ_BUDGET_BITOPS_G;
    }
    return apq_budget_check(self->prices, out);
}

apq_status apq_search_job_create(const apq_recipe *recipe,
                                 const apq_progress *progress,
                                 apq_app_search_result *out,
                                 apq_search_job **self) {
    memset(out, 0, sizeof *out);
    apq_search_job *made = apq_calloc(1, sizeof *made);
    if (made == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "search: out of memory");
    }
    made->recipe = recipe;
    made->strategy = recipe->search.strategy;
    made->iterations = recipe->search.iterations;
    apq_stopwatch_start(&made->stopwatch, recipe->checkpoint_s, progress);
    made->progress = &made->stopwatch.base;
    made->out = out;
    *self = made;
    return APQ_OK;
}

void apq_search_job_destroy(apq_search_job *self) {
    if (self != NULL) {
        apq_price_table_destroy(self->prices);
        apq_predictor_destroy(self->own_predictor);
        apq_target_destroy(self->own_target);
        free(self);
    }
}

apq_status apq_search_job_open_target(apq_search_job *self,
                                      const char *run_dir) {
    apq_app_search_result *out = self->out;
    apq_machine_set_threads(self->recipe->threads);
    APQ_TRY(apq_run_space_load(self->recipe->space, run_dir, &out->space));
    APQ_TRY(apq_target_load(self->recipe->target, &self->own_target));
    self->target = self->own_target;
    return apq_search_job_prepare(self);
}

apq_status apq_search_job_open(apq_search_job *self, const char *run_dir,
                               const char *predictor) {
    apq_app_search_result *out = self->out;
    /* Before the predictor is read: an impossible budget needs none. */
    APQ_TRY(apq_search_job_open_target(self, run_dir));
    APQ_TRY(find_predictor(self, run_dir, predictor));
    APQ_TRY(
        apq_predictor_load(out->predictor, &out->space, &self->own_predictor));
    self->predictor = self->own_predictor;
    return run_dir == NULL ? APQ_OK
                           : apq_fit_check_supernet(self->predictor,
                                                    out->predictor, run_dir);
}
