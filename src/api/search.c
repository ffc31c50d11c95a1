/* A search between handles, and what it found. The options become the recipe
 * of the workflow that `apq search` runs. */
#include <apq/search.h>

#include "app/search.h"
#include "base/memory.h"

#include <stdlib.h>

#define MAX_BUDGET 1e12 /* as recipe.c's */

struct apq_search {
    apq_app_search_result result;
};

static apq_status check_budget(const char *name, double value) {
    /* Written so that a budget that is not a number fails. */
    if (!(value >= 0 && value <= MAX_BUDGET)) {
        APQ_FAIL(APQ_ERR_ARG, "search: %s %g not in 0..%g", name, value,
                 MAX_BUDGET);
    }
    return APQ_OK;
}

static apq_status make_recipe(const apq_search_options *options,
                              apq_recipe *out) {
    APQ_TRY(check_budget("latency_ms", options->latency_ms));
    APQ_TRY(check_budget("energy_mj", options->energy_mj));
    APQ_TRY(check_budget("bitops_g", options->bitops_g));
    APQ_TRY(check_budget("size_kb", options->size_kb));
    apq_recipe_default(out);
    APQ_TRY(apq_recipe_set(out, "search.strategy", options->strategy));
    out->search.latency_ms = options->latency_ms;
    out->search.energy_mj = options->energy_mj;
    out->search.bitops_g = options->bitops_g;
    out->search.size_kb = options->size_kb;
    out->search.population = options->population;
    out->search.parents = options->parents;
    out->search.iterations = options->iterations;
    out->search.mutation = options->mutation;
    out->seed = options->seed;
    return APQ_OK;
}

apq_status apq_search_create(const apq_space *space, apq_target *target,
                             const apq_predictor *predictor,
                             const apq_search_options *options,
                             apq_search **out) {
    apq_recipe recipe;
    APQ_TRY(make_recipe(options, &recipe));
    apq_search *search = apq_calloc(1, sizeof *search);
    if (search == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "search: out of memory");
    }
    apq_status st = apq_app_search_with(
        &recipe,
        &(apq_search_parts){
            .space = space, .target = target, .predictor = predictor},
        options->progress, &search->result);
    if (st == APQ_ERR_INTERRUPTED && search->result.best.is_found) {
        st = APQ_OK; /* see apq_search_is_complete */
    }
    if (st == APQ_OK) {
        *out = search; /* success: ownership moves to the caller */
        search = NULL;
    }
    apq_search_destroy(search);
    return st;
}

void apq_search_destroy(apq_search *search) {
    if (search != NULL) {
        apq_app_search_fini(&search->result);
        free(search);
    }
}

const apq_policy *apq_search_policy(const apq_search *search) {
    return &search->result.best.policy;
}

double apq_search_accuracy(const apq_search *search) {
    return search->result.best.accuracy;
}

const apq_cost *apq_search_cost(const apq_search *search) {
    return &search->result.best.cost;
}

bool apq_search_is_complete(const apq_search *search) {
    return !search->result.search->is_stopped;
}

apq_status apq_search_json(const apq_search *search, char **out) {
    char *text = apq_app_search_json(&search->result);
    if (text == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "search: out of memory");
    }
    *out = text;
    return APQ_OK;
}
