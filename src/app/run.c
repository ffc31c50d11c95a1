/* `apq run`: every step in order, each skipped when it is done, then a
 * report over what they left in the run directory. */
#include "app/app.h"

#include "app/once.h"
#include "app/report.h"
#include "app/run_space.h"
#include "app/search.h"
#include "app/session.h"

#include <stdio.h>
#include <stdlib.h>

static apq_status search_step(const apq_recipe *recipe, const char *run_dir,
                              const apq_progress *progress,
                              const apq_progress *results) {
    apq_app_search_result *result = calloc(1, sizeof *result);
    if (result == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "search: out of memory");
    }
    apq_status st = apq_app_search(recipe, run_dir, NULL, progress, result);
    if (st == APQ_OK) {
        apq_results_search(&result->best, results);
    }
    apq_app_search_fini(result);
    free(result);
    return st;
}

static bool has_trained(const char *run_dir) {
    char path[APQ_PATH_MAX];
    apq_rundir *dir = NULL;
    bool has = apq_path_join(path, run_dir, "manifest.json") == APQ_OK &&
               apq_file_exists(path) &&
               apq_rundir_open_read(run_dir, &dir) == APQ_OK &&
               apq_rundir_bound(dir, "train_input") != NULL;
    apq_rundir_close(dir);
    return has;
}

/* A later step has no say in what the supernet was trained with. */
static void restore_training(const char *path, const apq_recipe *earlier,
                             const apq_progress *progress, apq_recipe *recipe) {
    char changes[512];
    apq_session_changes(earlier, recipe, "train", changes, sizeof changes);
    if (changes[0] != '\0') {
        apq_note(progress, "%s: not kept, the run is trained: %s", path,
                 changes);
        recipe->train = earlier->train;
    }
}

apq_status apq_app_keep_recipe(const apq_recipe *recipe, const char *run_dir,
                               bool has_trained_with,
                               const apq_progress *progress) {
    char path[APQ_PATH_MAX];
    apq_recipe kept = *recipe, earlier;
    APQ_TRY(apq_dir_make(run_dir));
    APQ_TRY(apq_path_join(path, run_dir, "run.json"));
    if (apq_file_exists(path) && apq_recipe_load(path, &earlier) == APQ_OK) {
        apq_run_space_restore(run_dir, earlier.space, kept.space);
        if (!has_trained_with && has_trained(run_dir)) {
            restore_training(path, &earlier, progress, &kept);
        }
    }
    char *text = apq_recipe_to_json(&kept);
    if (text == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", path);
    }
    apq_status st = apq_file_write_text(path, text);
    free(text);
    return st;
}

/* report.json, .md and .html over what the steps left. The recipe in the
 * directory may be an earlier one: the command line keeps this at the end. */
static apq_status write_report(const apq_recipe *recipe, const char *run_dir) {
    static const struct {
        const char *name;
        apq_report_form form;
    } files[] = {{"report.json", APQ_REPORT_JSON},
                 {"report.md", APQ_REPORT_MARKDOWN},
                 {"report.html", APQ_REPORT_HTML}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[APQ_PATH_MAX], *text;
        APQ_TRY(apq_path_join(path, run_dir, files[i].name));
        APQ_TRY(apq_app_report(&(apq_report_request){.run_dir = run_dir,
                                                     .recipe = recipe,
                                                     .folder = run_dir,
                                                     .form = files[i].form},
                               &text));
        apq_status st = apq_file_write_text(path, text);
        free(text);
        APQ_TRY(st);
    }
    return APQ_OK;
}

static apq_status run_steps(const apq_recipe *recipe, const char *run_dir,
                            const apq_progress *progress,
                            const apq_progress *results) {
    /* Before hours of training: a target that is missing, of another space or
     * too small, and budgets that cannot be met. */
    APQ_TRY(apq_app_search_check(recipe, run_dir, progress));
    APQ_TRY(apq_app_train(recipe, run_dir, progress));
    APQ_TRY(apq_app_collect(recipe, run_dir, progress));
    APQ_TRY(apq_app_predictor_fit(recipe, run_dir, progress, results));
    APQ_TRY(search_step(recipe, run_dir, progress, results));
    APQ_TRY(apq_app_finetune(recipe, run_dir, progress, results));
    return write_report(recipe, run_dir);
}

apq_status apq_app_run(const apq_recipe *recipe, const char *run_dir,
                       const apq_progress *progress,
                       const apq_progress *results) {
    apq_once once;
    apq_once_start(&once, progress);
    apq_status st = run_steps(recipe, run_dir, &once.base, results);
    apq_once_fini(&once);
    return st;
}
