/* What the steps of a run came to, for people: a line for each fit, for the
 * network found, for each network fine-tuned. */
#include "app/results.h"

#include "app/json.h"
#include "app/price.h"
#include "base/file.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { COSTS_MAX = 160 };

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static apq_status read_file(const char *run_dir, const char *name,
                            json_t **out) {
    char path[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(path, run_dir, name));
    return apq_json_read(path, out);
}

/* Those that are known: "0.776 ms, 0.01455 GBitOps, 10.95 kB". */
static void format_costs(const double costs[APQ_BUDGET_N_FIELDS],
                         char out[COSTS_MAX]) {
    out[0] = '\0';
    for (int f = 0; f < APQ_BUDGET_N_FIELDS; f++) {
        size_t n = strlen(out);
        if (isfinite(costs[f])) {
            (void)snprintf(out + n, COSTS_MAX - n, "%s%.4g %s",
                           n > 0 ? ", " : "", costs[f],
                           apq_budget_unit((apq_budget_field)f));
        }
    }
}

static void tell_fit(const char *name, const json_t *fit,
                     const apq_progress *results) {
    double n_test = number(fit, "n_test");
    double n = number(fit, "n_train") + number(fit, "n_validation") + n_test;
    if (isfinite(number(fit, "pairwise_accuracy"))) {
        apq_note(
            results,
            "predictor on %.0f %s records: held-out pairwise accuracy %.1f "
            "%%, Kendall tau %.3f, RMSE %.2f points (%.0f records)",
            n, name, 100 * number(fit, "pairwise_accuracy"),
            number(fit, "kendall_tau"), 100 * number(fit, "rmse"), n_test);
    } else if (n_test > 0) {
        apq_note(results,
                 "predictor on %.0f %s records: held-out RMSE %.2f points "
                 "(%.0f records, no two of which differ)",
                 n, name, 100 * number(fit, "rmse"), n_test);
    } else {
        apq_note(results, "predictor on %.0f %s records: none held out", n,
                 name);
    }
}

apq_status apq_results_predictor(const char *run_dir,
                                 const apq_progress *results) {
    json_t *fits;
    const char *name;
    json_t *fit;
    APQ_TRY(read_file(run_dir, "predictor.json", &fits));
    json_object_foreach(fits, name, fit) {
        tell_fit(name, fit, results);
    }
    json_decref(fits);
    return APQ_OK;
}

void apq_results_search(const apq_candidate *best,
                        const apq_progress *results) {
    double costs[APQ_BUDGET_N_FIELDS];
    char text[COSTS_MAX];
    apq_budget_of_cost(&best->cost, costs);
    format_costs(costs, text);
    apq_note(results, "search: predicted top-1 %.2f %% at %s",
             100 * best->accuracy, text);
}

static void tell_network(const char *name, const json_t *network,
                         const apq_progress *results) {
    const json_t *cost = json_object_get(network, "cost");
    const double costs[APQ_BUDGET_N_FIELDS] = {
        number(cost, "latency_ms"), number(cost, "energy_mj"),
        1e-9 * number(cost, "bitops"), 1e-3 * number(cost, "weight_bytes")};
    char text[COSTS_MAX];
    format_costs(costs, text);
    apq_note(results, "%s: test top-1 %.2f %% of %.0f images at %s", name,
             100 * number(network, "test_top1"), number(network, "test_count"),
             text);
}

/* That of the search whose network was fine-tuned. */
static apq_status tell_budget(const char *run_dir,
                              const apq_progress *results) {
    json_t *best;
    APQ_TRY(read_file(run_dir, "best.json", &best));
    const json_t *constraints = json_object_get(best, "constraints");
    double budget[APQ_BUDGET_N_FIELDS];
    for (int f = 0; f < APQ_BUDGET_N_FIELDS; f++) {
        budget[f] = number(constraints, apq_budget_name((apq_budget_field)f));
    }
    char text[COSTS_MAX];
    format_costs(budget, text);
    apq_note(results, "budget: %s", text[0] != '\0' ? text : "none");
    json_decref(best);
    return APQ_OK;
}

apq_status apq_results_finetune(const apq_recipe *recipe, const char *run_dir,
                                const apq_progress *results) {
    json_t *root;
    APQ_TRY(read_file(run_dir, "finetune.json", &root));
    const char *name =
        json_string_value(json_object_get(root, "baseline_name"));
    const json_t *baseline = json_object_get(root, "baseline");
    tell_network("network", json_object_get(root, "network"), results);
    if (json_is_object(baseline)) {
        tell_network(name != NULL ? name : "baseline", baseline, results);
    }
    json_decref(root);
    return strcmp(recipe->finetune.policy, "found") == 0
               ? tell_budget(run_dir, results)
               : APQ_OK;
}
