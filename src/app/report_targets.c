/* The networks of the report on other targets, and how far the prices of the
 * search's own target can be trusted. */
#include "app/report.h"

#include "app/json.h"
#include "base/sort.h"
#include "cost/lut/lut.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A batch at which weights are loaded once for many images: another machine,
 * as far as bits and widths are concerned. */
enum { SERVER_BATCH = 16 };

static bool lower(const apq_report_source *source, const json_t *holder,
                  apq_ir_network *out) {
    apq_policy policy;
    return apq_json_to_policy(&source->space, json_object_get(holder, "policy"),
                              "best.json", &policy) == APQ_OK &&
           apq_policy_lower(&source->space, &policy, out) == APQ_OK;
}

/* A network that the target cannot execute has no cost, and a reason. */
static void add_network(const apq_report_source *source, apq_target *target,
                        const char *name, const json_t *holder, json_t *out) {
    apq_ir_network network;
    apq_cost cost;
    if (!lower(source, holder, &network)) {
        return;
    }
    bool is_priced = apq_cost_network(target, &network, &cost) == APQ_OK;
    (void)json_array_append_new(
        out, json_pack("{s:s, s:o, s:o}", "name", name, "cost",
                       is_priced ? apq_json_cost(&cost) : json_null(), "why",
                       is_priced ? json_null()
                                 : apq_json_text(apq_error_message())));
}

static json_t *target_json(const apq_report_source *source,
                           apq_target *target) {
    json_t *networks = json_array();
    bool is_priced = apq_target_measured(target) == NULL;
    if (is_priced) {
        add_network(source, target, "found", source->best, networks);
        const char *name;
        json_t *baseline;
        json_object_foreach(json_object_get(source->best, "baselines"), name,
                            baseline) {
            if (json_is_object(baseline)) {
                add_network(source, target, name, baseline, networks);
            }
        }
    }
    return json_pack("{s:s, s:s, s:i, s:b, s:o}", "target",
                     apq_target_name(target), "hash", apq_target_hash(target),
                     "batch", apq_target_batch(target), "is_priced", is_priced,
                     "networks", networks);
}

/* One image at a time, unless that is the search's own target, and, where the
 * target leaves the choice, a batch. */
static apq_status add_target(const apq_report_source *source, const char *name,
                             json_t *out) {
    apq_target *target = NULL;
    char hash[APQ_HASH_MAX];
    APQ_TRY(apq_target_load(name, &target));
    apq_space_layers_hash(&source->space, hash);
    apq_status st = apq_target_check_space(target, source->space.name, hash);
    bool is_own =
        source->target != NULL &&
        strcmp(apq_target_hash(target), apq_target_hash(source->target)) == 0;
    if (st == APQ_OK && !is_own) {
        (void)json_array_append_new(out, target_json(source, target));
    }
    if (st == APQ_OK && apq_target_measured(target) == NULL &&
        apq_target_batch(target) != SERVER_BATCH &&
        apq_target_set_batch(target, SERVER_BATCH) == APQ_OK) {
        (void)json_array_append_new(out, target_json(source, target));
    }
    apq_target_destroy(target);
    return st;
}

/* Names by commas. */
static apq_status add_asked(const apq_report_source *source, const char *list,
                            json_t *out) {
    while (list != NULL && *list != '\0') {
        char name[APQ_PATH_MAX];
        size_t n = strcspn(list, ",");
        if (n == 0 || n >= sizeof name) {
            APQ_FAIL(APQ_ERR_ARG, "--targets: not names separated by commas");
        }
        (void)snprintf(name, sizeof name, "%.*s", (int)n, list);
        APQ_TRY(add_target(source, name, out));
        list += n + (list[n] == ',');
    }
    return APQ_OK;
}

apq_status apq_report_targets_json(const apq_report_source *source,
                                   const char *asked_or_null, json_t **out) {
    *out = json_null();
    if (source->best == NULL || !source->has_space) {
        return APQ_OK;
    }
    json_t *targets = json_array();
    if (source->target != NULL) {
        (void)json_array_append_new(targets,
                                    target_json(source, source->target));
    }
    apq_status st = APQ_OK;
    for (const char *const *name = apq_target_names();
         st == APQ_OK && *name != NULL; name++) {
        st = add_target(source, *name, targets);
    }
    if (st == APQ_OK) {
        st = add_asked(source, asked_or_null, targets);
    }
    if (st != APQ_OK) {
        json_decref(targets);
        return st;
    }
    *out = targets;
    return APQ_OK;
}

/* What a table says of itself: rows and how far measurements of a layer were
 * apart. */
static apq_status table_json(const char *path, json_t *out) {
    apq_lut *lut = NULL;
    APQ_TRY(apq_lut_load(path, &lut));
    const apq_lut_header *header = apq_lut_header_of(lut);
    size_t n = apq_lut_n_rows(lut), n_priced = 0;
    double *spread = calloc(n + 1, sizeof *spread);
    if (spread == NULL) {
        apq_lut_destroy(lut);
        APQ_FAIL(APQ_ERR_NOMEM, "report: out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        const apq_lut_row *row = apq_lut_row_at(lut, i);
        if (row->is_supported && row->sample.latency_ms > 0) {
            spread[n_priced++] =
                row->sample.latency_spread_ms / row->sample.latency_ms;
        }
    }
    apq_sort_doubles(spread, n_priced);
    bool has_any = n_priced > 0;
    (void)json_object_set_new(
        out, "table",
        json_pack("{s:I, s:I, s:i, s:s, s:s, s:o, s:o}", "rows", (json_int_t)n,
                  "unsupported", (json_int_t)(n - n_priced), "width_step",
                  header->width_step, "date", header->date, "tool_version",
                  header->tool_version, "median_spread",
                  has_any ? json_real(spread[n_priced / 2]) : json_null(),
                  "max_spread",
                  has_any ? json_real(spread[n_priced - 1]) : json_null()));
    free(spread);
    apq_lut_destroy(lut);
    return APQ_OK;
}

apq_status apq_report_cost_model_json(const apq_report_source *source,
                                      json_t **out) {
    char path[APQ_PATH_MAX];
    *out = json_null();
    if (source->target == NULL) {
        return APQ_OK;
    }
    const char *name = source->recipe.target;
    size_t n = strlen(name);
    bool is_table = source->is_recipe_target && n > 6 &&
                    strcmp(name + n - 6, ".jsonl") == 0;
    json_t *model = json_pack("{s:s, s:s, s:i, s:b, s:n, s:n}", "target",
                              apq_target_name(source->target), "hash",
                              apq_target_hash(source->target), "batch",
                              apq_target_batch(source->target), "is_table",
                              is_table, "table", "check");
    apq_status st = is_table ? table_json(name, model) : APQ_OK;
    if (st == APQ_OK) {
        st = apq_path_join(path, source->dir, "lut-check.json");
    }
    json_t *check = NULL;
    if (st == APQ_OK && apq_file_exists(path)) {
        st = apq_json_read(path, &check);
    }
    if (check != NULL) {
        (void)json_object_set_new(model, "check", check);
    }
    if (st != APQ_OK) {
        json_decref(model);
        return st;
    }
    *out = model;
    return APQ_OK;
}
