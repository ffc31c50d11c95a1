/* `apq report`: collects what the steps left in a run directory into one
 * document, which src/report renders. */
#include "app/report.h"

#include "app/app.h"
#include "app/json.h"
#include "app/machine.h"
#include "app/run_space.h"
#include "base/path.h"
#include "report/render.h"

#include <apq/apq.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCHEMA_VERSION = 1 };

apq_status apq_report_leave_out(const apq_report_source *source,
                                apq_status st) {
    if (st == APQ_OK || st == APQ_ERR_NOMEM) {
        return st;
    }
    size_t i;
    json_t *known;
    json_t *problem = apq_json_text(apq_error_message());
    json_array_foreach(source->problems, i, known) {
        if (json_equal(known, problem)) {
            json_decref(problem);
            return APQ_OK;
        }
    }
    apq_note(source->progress, "%s: left out", apq_error_message());
    (void)json_array_append_new(source->problems, problem);
    return APQ_OK;
}

/* A file of the directory; *out stays NULL when it is missing. */
static apq_status load_file(const apq_report_source *source, const char *name,
                            json_t **out) {
    char path[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(path, source->dir, name));
    if (!apq_file_exists(path)) {
        return APQ_OK;
    }
    return apq_json_read(path, out);
}

static apq_status apply_settings(const apq_report_request *request,
                                 apq_recipe *recipe) {
    static const char prefix[] = "footprint.";
    for (int i = 0; i < request->n_settings; i++) {
        const char *word = request->settings[i];
        char path[64];
        size_t n = strcspn(word, "=");
        if (strncmp(word, prefix, sizeof prefix - 1) != 0 || word[n] == '\0' ||
            n >= sizeof path) {
            APQ_FAIL(APQ_ERR_ARG,
                     "%.100s: a report takes only footprint.KEY=VALUE", word);
        }
        (void)snprintf(path, sizeof path, "%.*s", (int)n, word);
        APQ_TRY(apq_recipe_set(recipe, path, word + n + 1));
    }
    return APQ_OK;
}

static apq_status open_recipe(const apq_recipe *recipe,
                              apq_report_source *source) {
    char path[APQ_PATH_MAX];
    if (recipe != NULL) {
        source->has_recipe = true;
        source->recipe = *recipe;
        return APQ_OK;
    }
    apq_recipe_default(&source->recipe);
    APQ_TRY(apq_path_join(path, source->dir, "run.json"));
    source->has_recipe = apq_file_exists(path);
    if (!source->has_recipe) {
        return APQ_OK;
    }
    APQ_TRY(apq_recipe_load(path, &source->recipe));
    return apq_run_space_find(source->dir, source->recipe.space);
}

/* The space the directory was made with. Without a recipe its name is all
 * that is known; a space the user wrote cannot be found by it, and the report
 * goes without. */
static apq_status open_space(apq_report_source *source, const char *fallback) {
    const char *name = source->recipe.space;
    char hash[APQ_HASH_MAX];
    if (!source->has_recipe) {
        const char *bound =
            source->run == NULL ? NULL : apq_rundir_bound(source->run, "space");
        name = bound != NULL ? bound : fallback;
    }
    apq_status st = apq_run_space_load(name, source->dir, &source->space);
    if (st != APQ_OK) {
        return source->has_recipe || source->is_shipped ? st : APQ_OK;
    }
    source->has_space = true;
    apq_space_hash(&source->space, hash);
    if (source->run != NULL) {
        APQ_TRY(apq_rundir_bind(source->run, "space", source->space.name));
        APQ_TRY(apq_rundir_bind(source->run, "space_hash", hash));
    }
    const char *made =
        json_string_value(json_object_get(source->best, "space"));
    if (made != NULL && strcmp(made, source->space.name) != 0) {
        APQ_FAIL(APQ_ERR_MISMATCH,
                 "%s/best.json was made with space %s, the run with %s",
                 source->dir, made, source->space.name);
    }
    return APQ_OK;
}

/* *out stays NULL where the target is priced by a table alone. */
static apq_status load_target(const char *name, apq_target **out) {
    apq_target *target = NULL;
    APQ_TRY(apq_target_load(name, &target));
    if (apq_target_measured(target) != NULL) {
        apq_target_destroy(target);
        target = NULL;
    }
    *out = target;
    return APQ_OK;
}

/* The target of the search: the recipe's, unless a search by hand used
 * another. One that is gone, or whose table nobody remembers, leaves the blocks
 * without prices. */
static apq_status open_target(apq_report_source *source) {
    const char *made =
        json_string_value(json_object_get(source->best, "target"));
    apq_status st = load_target(source->recipe.target, &source->target);
    APQ_TRY(apq_report_leave_out(source, st));
    source->is_recipe_target =
        source->target != NULL &&
        (made == NULL || strcmp(made, apq_target_name(source->target)) == 0);
    if (source->is_recipe_target || made == NULL) {
        return APQ_OK;
    }
    apq_target_destroy(source->target);
    source->target = NULL;
    if (load_target(made, &source->target) == APQ_OK &&
        source->target != NULL) {
        return APQ_OK;
    }
    if (st != APQ_OK) {
        return APQ_OK; /* told above */
    }
    return apq_report_leave_out(
        source, APQ_ERROR(APQ_ERR_IO,
                          "target %s, which %s/best.json was made with, is not "
                          "found: run.json names another",
                          made, source->dir));
}

static apq_status open_source(const apq_report_request *request,
                              apq_report_source *source) {
    source->is_shipped = request->run_dir == NULL;
    if (source->is_shipped) {
        APQ_TRY(apq_app_shipped_dir(request->space, source->dir));
    } else if (strlen(request->run_dir) >= sizeof source->dir) {
        APQ_FAIL(APQ_ERR_ARG, "--run is longer than %zu characters",
                 sizeof source->dir - 1);
    } else {
        (void)strcpy(source->dir, request->run_dir);
    }
    char manifest[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(manifest, source->dir, "manifest.json"));
    if (!source->is_shipped || apq_file_exists(manifest)) {
        APQ_TRY(apq_rundir_open_read(source->dir, &source->run));
    }
    APQ_TRY(open_recipe(request->recipe, source));
    APQ_TRY(apply_settings(request, &source->recipe));
    APQ_TRY(load_file(source, "best.json", &source->best));
    APQ_TRY(load_file(source, "finetune.json", &source->finetune));
    APQ_TRY(load_file(source, "predictor.json", &source->predictor));
    APQ_TRY(open_space(source, request->space));
    return open_target(source);
}

static void close_source(apq_report_source *source) {
    apq_rundir_close(source->run);
    apq_target_destroy(source->target);
    json_decref(source->best);
    json_decref(source->finetune);
    json_decref(source->predictor);
    json_decref(source->problems);
}

/* Another reference to a member, or null. */
static json_t *member(const json_t *object, const char *key) {
    json_t *value = json_object_get(object, key);
    return value == NULL ? json_null() : json_incref(value);
}

static json_t *bound_json(const apq_report_source *source, const char *key) {
    const char *text =
        source->run == NULL ? NULL : apq_rundir_bound(source->run, key);
    return text == NULL ? json_null() : json_string(text);
}

/* Folders without a manifest have it in their recipe alone. */
static json_t *seed_json(const apq_report_source *source) {
    json_t *bound = bound_json(source, "seed");
    if (json_is_string(bound) || !source->has_recipe) {
        return bound;
    }
    json_decref(bound);
    return json_sprintf("%" PRIu64, source->recipe.seed);
}

static json_t *asked_json(const apq_report_source *source) {
    const apq_recipe *r = &source->recipe;
    const apq_space *space = &source->space;
    json_t *asked = json_object();
    (void)json_object_set_new(
        asked, "space",
        !source->has_space
            ? json_null()
            : json_pack("{s:s, s:i, s:i, s:f}", "name", space->name, "blocks",
                        space->n_blocks, "resolution", space->resolution,
                        "log10_networks", apq_space_log10_size(space)));
    const char *made =
        json_string_value(json_object_get(source->best, "target"));
    (void)json_object_set_new(asked, "target",
                              made != NULL ? json_string(made)
                              : source->has_recipe && source->target != NULL
                                  ? json_string(apq_target_name(source->target))
                                  : json_null());
    (void)json_object_set_new(asked, "constraints",
                              member(source->best, "constraints"));
    (void)json_object_set_new(asked, "seed", seed_json(source));
    (void)json_object_set_new(asked, "space_hash",
                              bound_json(source, "space_hash"));
    (void)json_object_set_new(asked, "data_hash",
                              bound_json(source, "data_hash"));
    char *text = source->has_recipe ? apq_recipe_to_json(r) : NULL;
    (void)json_object_set_new(asked, "recipe",
                              text == NULL ? json_null()
                                           : json_loads(text, 0, NULL));
    free(text);
    return asked;
}

/* Version of the program, and of the compiler and libraries of this build. */
static json_t *program_json(void) {
    char *text = apq_machine_versions();
    json_t *libraries = text == NULL ? json_null() : json_loads(text, 0, NULL);
    free(text);
    return json_pack("{s:s, s:o}", "apq", apq_version(), "build", libraries);
}

static json_t *figures_json(const apq_report_source *source) {
    static const char *const names[] = {"search.svg", "search-policy.svg"};
    json_t *figures = json_array();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[APQ_PATH_MAX];
        if (apq_path_join(path, source->dir, names[i]) == APQ_OK &&
            apq_file_exists(path)) {
            (void)json_array_append_new(figures, json_string(names[i]));
        }
    }
    return figures;
}

/* Sets a list of networks of best.json. */
static apq_status set_entries(const apq_report_source *source, const char *key,
                              const json_t *entries, json_t *out) {
    json_t *rows;
    APQ_TRY(apq_report_entries_json(source, "best.json", entries, &rows));
    (void)json_object_set_new(out, key, rows);
    return APQ_OK;
}

static apq_status search_json(const apq_report_source *source, json_t *search) {
    static const char *const keys[] = {
        "strategy", "evaluations",    "seconds",           "is_complete",
        "range",    "predictor_hash", "measured_accuracy", "candidates"};
    const json_t *best = source->best;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        (void)json_object_set_new(search, keys[i], member(best, keys[i]));
    }
    APQ_TRY(set_entries(source, "top", json_object_get(best, "top"), search));
    APQ_TRY(
        set_entries(source, "front", json_object_get(best, "front"), search));
    return set_entries(
        source, "measured",
        json_object_get(json_object_get(best, "measured"), "networks"), search);
}

/* The answers to several budgets, from front.json. */
static apq_status sweep_json(const apq_report_source *source, json_t **out) {
    json_t *file = NULL, *points = NULL, *front = NULL;
    *out = json_null();
    APQ_TRY(load_file(source, "front.json", &file));
    if (file == NULL) {
        return APQ_OK;
    }
    apq_status st = apq_report_entries_json(
        source, "front.json", json_object_get(file, "points"), &points);
    if (st == APQ_OK) {
        st = apq_report_entries_json(source, "front.json",
                                     json_object_get(file, "front"), &front);
    }
    if (st != APQ_OK) {
        json_decref(points);
        json_decref(file);
        return st;
    }
    size_t i;
    json_t *point;
    json_array_foreach(points, i, point) {
        (void)json_object_del(point, "history");
        (void)json_object_del(point, "baselines");
    }
    *out = json_pack("{s:o, s:o, s:o}", "sweep", member(file, "sweep"),
                     "points", points, "front", front);
    json_decref(file);
    return APQ_OK;
}

/* Fits with and without transfer, from predictor-curve.json. */
static apq_status transfer_json(const apq_report_source *source, json_t **out) {
    json_t *curve = NULL;
    APQ_TRY(load_file(source, "predictor-curve.json", &curve));
    *out = curve != NULL ? curve : json_null();
    return APQ_OK;
}

/* Makes a member of the document. */
typedef apq_status (*make_part)(const apq_report_source *source, json_t **out);

static apq_status set_part(const apq_report_source *source, const char *key,
                           make_part make, json_t *root) {
    json_t *part = NULL;
    APQ_TRY(make(source, &part));
    (void)json_object_set_new(root, key, part);
    return APQ_OK;
}

static apq_status build_head(const apq_report_source *source, json_t *root) {
    json_t *manifest = NULL;
    APQ_TRY(load_file(source, "manifest.json", &manifest));
    (void)json_object_set_new(root, "schema_version",
                              json_integer(SCHEMA_VERSION));
    (void)json_object_set_new(root, "directory", apq_json_text(source->dir));
    (void)json_object_set_new(root, "is_shipped",
                              json_boolean(source->is_shipped));
    (void)json_object_set_new(root, "program", program_json());
    (void)json_object_set_new(root, "asked", asked_json(source));
    (void)json_object_set_new(root, "provenance",
                              manifest == NULL ? json_null() : manifest);
    return APQ_OK;
}

static apq_status build_search(const apq_report_source *source, json_t *root) {
    (void)json_object_set_new(root, "baselines",
                              apq_report_baselines_json(source));
    if (source->best == NULL) {
        (void)json_object_set_new(root, "search", json_null());
        return APQ_OK;
    }
    json_t *search = json_object();
    (void)json_object_set_new(root, "search", search);
    return search_json(source, search);
}

static apq_status build_curves(const apq_report_source *source, json_t *root) {
    json_t *curves = json_object();
    (void)json_object_set_new(root, "curves", curves);
    APQ_TRY(set_part(source, "train", apq_report_train_json, curves));
    (void)json_object_set_new(curves, "search",
                              member(source->best, "history"));
    return set_part(source, "finetune", apq_report_finetune_json, curves);
}

static apq_status build(const apq_report_source *source, const char *targets,
                        json_t *root) {
    APQ_TRY(build_head(source, root));
    APQ_TRY(set_part(source, "result", apq_report_result_json, root));
    APQ_TRY(build_search(source, root));
    APQ_TRY(set_part(source, "sweep", sweep_json, root));
    json_t *priced = NULL;
    APQ_TRY(apq_report_targets_json(source, targets, &priced));
    (void)json_object_set_new(root, "targets", priced);
    APQ_TRY(set_part(source, "cost_model", apq_report_cost_model_json, root));
    (void)json_object_set_new(root, "predictor",
                              source->predictor == NULL
                                  ? json_null()
                                  : json_incref(source->predictor));
    APQ_TRY(set_part(source, "transfer", transfer_json, root));
    APQ_TRY(set_part(source, "records", apq_report_records_json, root));
    APQ_TRY(set_part(source, "labels", apq_report_labels_json, root));
    APQ_TRY(build_curves(source, root));
    (void)json_object_set_new(root, "figures", figures_json(source));
    APQ_TRY(set_part(source, "exports", apq_report_exports_json, root));
    APQ_TRY(set_part(source, "search_cost", apq_report_cost_json, root));
    APQ_TRY(set_part(source, "files", apq_report_files_json, root));
    (void)json_object_set(root, "problems", source->problems);
    return APQ_OK;
}

static apq_status print_json(const json_t *root, char **text) {
    char *json = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    if (json == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "report: out of memory");
    }
    size_t n = strlen(json);
    char *ended = realloc(json, n + 2);
    if (ended == NULL) {
        free(json);
        APQ_FAIL(APQ_ERR_NOMEM, "report: out of memory");
    }
    (void)strcpy(ended + n, "\n");
    *text = ended;
    return APQ_OK;
}

static apq_status print(const apq_report_source *source,
                        const apq_report_request *request, const json_t *root,
                        char **text) {
    char files[APQ_PATH_MAX];
    switch (request->form) {
    case APQ_REPORT_HTML:
        return apq_report_html(root, text);
    case APQ_REPORT_JSON:
        return print_json(root, text);
    case APQ_REPORT_MARKDOWN:
        break;
    }
    apq_path_from(request->folder != NULL ? request->folder : ".", source->dir,
                  files);
    return apq_report_markdown(root, files, text);
}

apq_status apq_app_report(const apq_report_request *request, char **text) {
    apq_report_source source = {.problems = json_array(),
                                .progress = request->progress};
    json_t *root = json_object();
    apq_status st = open_source(request, &source);
    if (st == APQ_OK) {
        st = build(&source, request->targets, root);
    }
    if (st == APQ_OK) {
        st = print(&source, request, root, text);
    }
    json_decref(root);
    close_source(&source);
    return st;
}
