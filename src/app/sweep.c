/* Budgets from tight to loose: each search begins from the bests of tighter
 * ones, so a looser budget is never worse, and what it finds below a tighter
 * budget improves that one's answer. Ours; the paper searches each alone. */
#include "app/sweep.h"

#include "app/search_budget.h"
#include "app/sweep_job.h"
#include "base/memory.h"
#include "search/elite.h"
#include "store/rundir.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    N_FIELDS = APQ_BUDGET_N_FIELDS,
    /* Searches after the first go on from what is known. */
    LATER_SHARE = 3,
    MAX_KNOWN_UNIFORM = 8, /* starts of a baseline from tighter budgets */
};

/* The tightest budget is searched by the strategy asked for. Then descent from
 * the bests so far finds more than the others do in as many candidates: they
 * forget them (evolution+, hot at first) or stay there (evolution). */
static const char later_strategy[] = "local";

/* The recipe with the budget of the sweep in its field. */
static void set_budget(apq_recipe *recipe, apq_budget_field field,
                       double value) {
    double *const slots[N_FIELDS] = {
        &recipe->search.latency_ms, &recipe->search.energy_mj,
        &recipe->search.bitops_g, &recipe->search.size_kb};
    *slots[field] = value;
}

/* Budgets that cannot be met are the tightest. Leaves the points' budgets. */
static apq_status place_points(apq_sweep_job *s) {
    apq_sweep_result *out = s->out;
    apq_app_search_result *common = &out->common;
    out->points = apq_calloc((size_t)out->range.n_points, sizeof *out->points);
    if (out->points == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "search: out of memory");
    }
    for (int i = 0; i < out->range.n_points; i++) {
        common->budget[out->range.field] = apq_sweep_budget(&out->range, i);
        apq_status st = apq_budget_check(s->search->prices, common);
        if (st == APQ_ERR_INFEASIBLE) {
            apq_note(s->search->progress, "search: %s %g skipped: %s",
                     apq_budget_name(out->range.field),
                     common->budget[out->range.field], apq_error_message());
            out->n_skipped++;
            continue;
        }
        APQ_TRY(st);
        memcpy(out->points[out->n_points++].budget, common->budget,
               sizeof common->budget);
    }
    return APQ_OK;
}

/* A find for all budgets done so far that it keeps. */
static void share(apq_sweep_job *s, const apq_search_entry *entry) {
    for (int i = 0; i < s->out->n_points; i++) {
        apq_sweep_point *p = &s->out->points[i];
        bool is_done = p->best.is_found;
        if (is_done && apq_budget_meets(entry->score.cost, p->budget) &&
            apq_entry_before(entry, &p->entry)) {
            p->entry = *entry;
        }
    }
    for (size_t i = 0; i < s->front.n; i++) {
        if (s->front.entries[i].hash == entry->hash) {
            return;
        }
    }
    apq_front_insert(&s->front, entry);
}

/* The bests of tighter budgets, the nearest first. */
static void set_starts(apq_sweep_job *s, int point) {
    apq_search_job *job = s->search;
    job->n_starts = 0;
    for (int i = point - 1; i >= 0 && job->n_starts < APQ_JOB_MAX_STARTS; i--) {
        job->starts[job->n_starts++] = s->out->points[i].entry.policy;
    }
}

static apq_status search_uniform(apq_sweep_job *s, int point, int bits) {
    apq_sweep_point *points = s->out->points;
    apq_search_job *job = s->search;
    apq_candidate *slot =
        bits == 8 ? &points[point].uniform8 : &points[point].uniform4;
    job->n_starts = 0;
    for (int i = point - 1; i >= 0 && job->n_starts < MAX_KNOWN_UNIFORM; i--) {
        const apq_candidate *c =
            bits == 8 ? &points[i].uniform8 : &points[i].uniform4;
        if (c->is_found) {
            job->starts[job->n_starts++] = c->policy;
        }
    }
    APQ_TRY(apq_search_job_uniform(job, bits, slot));
    if (slot->is_found) {
        /* It is a point of the mixed space too. */
        apq_search_entry entry = {
            .policy = slot->policy,
            .hash = apq_policy_hash(&s->out->common.space, &slot->policy),
            .score = {.value = slot->accuracy, .is_feasible = true}};
        apq_budget_of_cost(&slot->cost, entry.score.cost);
        share(s, &entry);
        for (int i = 0; i < point; i++) {
            apq_candidate *c =
                bits == 8 ? &points[i].uniform8 : &points[i].uniform4;
            if (apq_budget_meets(entry.score.cost, points[i].budget) &&
                !(c->is_found && c->accuracy >= slot->accuracy)) {
                *c = *slot;
            }
        }
    }
    return APQ_OK;
}

static void take_search(apq_sweep_job *s, apq_sweep_point *point,
                        apq_search_result *found) {
    point->entry = found->top[0];
    point->best.is_found = true;
    point->is_complete = !found->is_stopped && !found->is_timed_out;
    point->history = found->history; /* ownership moves */
    point->n_history = found->n_history;
    found->history = NULL;
    for (size_t i = 0; i < found->n_top; i++) {
        share(s, &found->top[i]);
    }
    for (size_t i = 0; i < found->n_front; i++) {
        share(s, &found->front[i]);
    }
    s->out->is_stopped = found->is_stopped;
}

static apq_status search_point(apq_sweep_job *s, int i) {
    apq_search_job *job = s->search;
    apq_app_search_result *common = &s->out->common;
    apq_sweep_point *point = &s->out->points[i];
    double start_s = apq_now_s();
    memcpy(common->budget, point->budget, sizeof common->budget);
    int iterations = job->recipe->search.iterations;
    if (i > 0) {
        job->strategy = later_strategy;
        job->iterations = 1 + (iterations - 1) / LATER_SHARE;
    }
    set_starts(s, i);
    apq_search_result *found = NULL;
    APQ_TRY(apq_sweep_keep_search(s, i));
    APQ_TRY(apq_search_job_run(job, 0, &found));
    common->search = found;
    common->evaluations = found->n_evaluations;
    take_search(s, point, found);
    apq_status st = APQ_OK;
    if (!s->out->is_stopped) {
        st = search_uniform(s, i, 8);
        if (st == APQ_OK) {
            st = search_uniform(s, i, 4);
        }
        /* The stop is seen by the caller, and the mixed answer stays. */
        st = st == APQ_ERR_INTERRUPTED ? APQ_OK : st;
    }
    point->is_complete &= !found->is_timed_out;
    point->evaluations = common->evaluations;
    s->out->evaluations += common->evaluations;
    apq_app_search_fini(common);
    point->seconds = apq_now_s() - start_s;
    return st;
}

/* Descriptions last: a looser search may have improved a tighter answer. */
static apq_status conclude(apq_sweep_job *s) {
    for (int i = 0; i < s->out->n_points; i++) {
        apq_sweep_point *p = &s->out->points[i];
        APQ_TRY(apq_search_job_describe(s->search, &p->entry.policy, &p->best));
        p->best.meets_budget = apq_budget_meets(p->entry.score.cost, p->budget);
    }
    apq_front_finish(&s->front);
    s->out->front = s->front.entries; /* ownership moves */
    s->out->n_front = s->front.n;
    s->front.entries = NULL;
    return APQ_OK;
}

static apq_status search_points(apq_sweep_job *s, double start_s) {
    apq_sweep_result *out = s->out;
    const apq_recipe *r = s->search->recipe;
    s->search->deadline_s =
        r->search.time_limit_s > 0 ? start_s + r->search.time_limit_s : 0;
    APQ_TRY(place_points(s));
    APQ_TRY(apq_front_init(&s->front, APQ_SWEEP_FRONT));
    APQ_TRY(apq_sweep_resume(s));
    int n = out->n_points;
    for (int i = s->n_kept; i < n; i++) {
        apq_status st = search_point(s, i);
        if (st == APQ_ERR_INTERRUPTED && i > 0) { /* before it had begun */
            out->is_stopped = true;
            out->n_points = i;
            break;
        }
        APQ_TRY(st);
        apq_progress_update(s->search->progress, "budgets", (uint64_t)i + 1,
                            (uint64_t)n, "");
        out->is_stopped |= apq_stop_requested(s->search->progress);
        if (out->is_stopped) {
            out->points[i].is_complete = false; /* its baselines may miss */
            out->n_points = i + 1;
            break;
        }
        /* A time limit leaves points that the input does not decide. */
        if (out->points[i].is_complete && s->n_kept == i) {
            APQ_TRY(
                apq_sweep_save(s, i + 1, s->seconds + apq_now_s() - start_s));
        }
    }
    APQ_TRY(conclude(s));
    out->seconds = s->seconds + apq_now_s() - start_s;
    return APQ_OK;
}

static apq_status write_into(apq_sweep_job *s, apq_rundir *dir) {
    char json[APQ_PATH_MAX], stem[APQ_PATH_MAX], hash[APQ_HASH_MAX];
    const apq_space *space = &s->out->common.space;
    apq_space_hash(space, hash);
    APQ_TRY(apq_rundir_bind(dir, "space", space->name));
    APQ_TRY(apq_rundir_bind(dir, "space_hash", hash));
    APQ_TRY(apq_rundir_file(dir, "front.json", json));
    APQ_TRY(apq_rundir_file(dir, "front", stem));
    APQ_TRY(apq_app_sweep_write(s->out, json, stem));
    (void)snprintf(s->out->common.file, sizeof s->out->common.file, "%s", json);
    return apq_stopwatch_write(&s->search->stopwatch);
}

static apq_status write_run(apq_sweep_job *s, const char *run_dir) {
    apq_rundir *dir = NULL;
    APQ_TRY(apq_rundir_open(run_dir, true, &dir));
    apq_status st = write_into(s, dir);
    apq_rundir_close(dir);
    if (st == APQ_OK && !s->out->is_stopped) {
        apq_sweep_remove(s);
    }
    return st;
}

/* From here on what the sweep costs and finds is written as it goes. */
static apq_status begin_run(apq_sweep_job *s, const char *run_dir) {
    APQ_TRY(apq_stopwatch_assign(&s->search->stopwatch, run_dir, "sweep", ""));
    return apq_sweep_keep_in(s, run_dir);
}

apq_status apq_app_sweep(const apq_recipe *recipe, const apq_sweep_range *range,
                         const char *run_dir_or_null,
                         const char *predictor_or_null,
                         const apq_progress *progress, apq_sweep_result *out) {
    double start_s = apq_now_s();
    *out = (apq_sweep_result){.range = *range};
    if (recipe->search.as_released) {
        APQ_FAIL(APQ_ERR_ARG, "search.as_released: its values hide the bits, "
                              "so it has no sweep");
    }
    if (recipe->search.sequential) {
        APQ_FAIL(APQ_ERR_ARG, "search.sequential is of one budget, a sweep has "
                              "no such baseline");
    }
    if (recipe->search.remeasure > 0) {
        apq_note(progress, "search: search.remeasure is of one budget; "
                           "nothing is measured in a sweep");
    }
    apq_recipe own = *recipe;
    set_budget(&own, range->field, range->to);
    apq_sweep_job s = {.out = out};
    APQ_TRY(apq_search_job_create(&own, progress, &out->common, &s.search));
    apq_status st =
        apq_search_job_open(s.search, run_dir_or_null, predictor_or_null);
    if (st == APQ_OK && run_dir_or_null != NULL) {
        st = begin_run(&s, run_dir_or_null);
    }
    if (st == APQ_OK) {
        /* Whatever budget comes first in a search with several. */
        out->common.plot_field = range->field;
        st = search_points(&s, start_s);
    }
    if (st == APQ_OK && run_dir_or_null != NULL) {
        st = write_run(&s, run_dir_or_null);
    }
    apq_front_fini(&s.front);
    apq_app_search_fini(&out->common);
    apq_search_job_destroy(s.search);
    if (st == APQ_OK && out->is_stopped) {
        st = APQ_ERROR(APQ_ERR_INTERRUPTED,
                       "search stopped after %d of %d budgets%s%s",
                       out->n_points, range->n_points - out->n_skipped,
                       out->common.file[0] != '\0' ? ", best so far in " : "",
                       out->common.file);
    }
    return st;
}

void apq_app_sweep_fini(apq_sweep_result *result) {
    for (int i = 0; result->points != NULL && i < result->n_points; i++) {
        free(result->points[i].history);
    }
    free(result->points);
    free(result->front);
    *result = (apq_sweep_result){0};
}
