/* `apq run`: every step in order, each skipped when it is done, then one
 * report.json over what they left in the run directory. */
#include "app/app.h"

#include "app/json.h"
#include "app/search.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static apq_status search_step(const apq_recipe *recipe, const char *run_dir,
                              const apq_progress *progress) {
    apq_app_search_result *result = calloc(1, sizeof *result);
    if (result == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "search: out of memory");
    }
    apq_status st = apq_app_search(recipe, run_dir, NULL, progress, result);
    if (st == APQ_OK) {
        apq_note(progress,
                 "search: predicted top-1 %.2f %% at %.3f ms, %.3f mJ",
                 100 * result->best.accuracy, result->best.cost.latency_ms,
                 result->best.cost.energy_mj);
    }
    apq_app_search_fini(result);
    free(result);
    return st;
}

/* The JSON a step left behind, or null. */
static json_t *step_json(const char *run_dir, const char *name) {
    char path[APQ_PATH_MAX];
    json_t *out = NULL;
    if (apq_path_join(path, run_dir, name) == APQ_OK) {
        out = json_load_file(path, 0, NULL);
    }
    return out != NULL ? out : json_null();
}

static apq_status write_report(const apq_recipe *recipe, const char *run_dir) {
    char path[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(path, run_dir, "report.json"));
    char *recipe_text = apq_recipe_to_json(recipe);
    json_t *root = json_object();
    json_object_set_new(root, "schema_version", json_integer(1));
    json_object_set_new(root, "recipe",
                        recipe_text == NULL ? json_null()
                                            : json_loads(recipe_text, 0, NULL));
    free(recipe_text);
    json_object_set_new(root, "predictor",
                        step_json(run_dir, "predictor.json"));
    json_object_set_new(root, "search", step_json(run_dir, "best.json"));
    json_object_set_new(root, "finetune", step_json(run_dir, "finetune.json"));
    return apq_json_write(root, 10, path);
}

apq_status apq_app_run(const apq_recipe *recipe, const char *run_dir,
                       const apq_progress *progress) {
    /* Before hours of training: a target that is missing, of another space or
     * too small, and budgets that cannot be met. */
    APQ_TRY(apq_app_search_check(recipe, progress));
    APQ_TRY(apq_app_train(recipe, run_dir, progress));
    APQ_TRY(apq_app_collect(recipe, run_dir, progress));
    APQ_TRY(apq_app_predictor_fit(recipe, run_dir, progress));
    APQ_TRY(search_step(recipe, run_dir, progress));
    APQ_TRY(apq_app_finetune(recipe, run_dir, progress));
    return write_report(recipe, run_dir);
}
