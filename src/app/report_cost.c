/* What the steps of a run spent: sums over cost.jsonl, then electricity, CO2e
 * and price by the formula of report/footprint.h. What is spent once for all
 * searches is kept apart from what every further search spends; the latter
 * counts the fine-tuning of its winner. */
#include "app/report.h"

#include "report/footprint.h"
#include "store/effort.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum group {
    GROUP_ONE_OFF,
    GROUP_SCENARIO,
    GROUP_OTHER,    /* comparison and evaluation */
    GROUP_REPLACED, /* of inputs that are no longer those of the run */
    GROUP_TOTAL,
    N_GROUPS,
} group;
static const char *const group_names[N_GROUPS] = {"one_off", "per_scenario",
                                                  "other", "replaced", "total"};

typedef struct step_row {
    const char *step;
    const char *finished_as; /* its entry in the manifest's steps, or NULL */
    group group;
} step_row;
static const step_row known_steps[] = {
    {"train", "train", GROUP_ONE_OFF},
    {"collect", "collect", GROUP_ONE_OFF},
    {"predictor", "predictor", GROUP_ONE_OFF},
    {"search", "search", GROUP_SCENARIO},
    {"finetune", "finetune", GROUP_SCENARIO},
    {"baseline", "finetune", GROUP_OTHER},
    {"eval", NULL, GROUP_OTHER},
    {"sweep", NULL, GROUP_OTHER},
};
enum { N_STEPS = sizeof known_steps / sizeof known_steps[0] };

/* Sums of one step. */
typedef struct spent {
    size_t n_lines;
    double wall_s, core_s, gpu_s, energy_j; /* NaN energy: not all measured */
    int threads;                            /* largest */
    double flop;                            /* last one stated */
} spent;

/* A sum's price. */
typedef struct priced {
    double wall_s, core_hours, gpu_hours, v100_hours;
    apq_footprint footprint;
} priced;

static void add_line(spent *sum, const apq_effort *line) {
    sum->n_lines++;
    sum->wall_s += line->wall_s;
    sum->core_s += line->core_s;
    sum->gpu_s += line->gpu_s;
    sum->energy_j += line->energy_j;
    sum->threads = line->threads > sum->threads ? line->threads : sum->threads;
    sum->flop = line->flop > 0 ? line->flop : sum->flop;
}

/* `per_core_s`: operations in a second of processor time; 0: not known, which
 * leaves v100_hours NaN. GPU time counts as it is. */
static priced price(const apq_footprint_rates *rates, const spent *sum,
                    double per_core_s) {
    apq_footprint_use use = {.wall_hours = sum->wall_s / 3600,
                             .core_hours = sum->core_s / 3600,
                             .gpu_hours = sum->gpu_s / 3600};
    double v100_hours =
        per_core_s > 0
            ? apq_footprint_v100_hours(rates, use.core_hours, per_core_s)
            : (double)NAN;
    return (priced){
        .wall_s = sum->wall_s,
        .core_hours = use.core_hours,
        .gpu_hours = use.gpu_hours,
        .v100_hours = v100_hours + use.gpu_hours,
        .footprint = isnan(sum->energy_j)
                         ? apq_footprint_estimate(rates, &use)
                         : apq_footprint_measured(rates, &use, sum->energy_j),
    };
}

static void add_priced(priced *sum, const priced *part) {
    sum->wall_s += part->wall_s;
    sum->core_hours += part->core_hours;
    sum->gpu_hours += part->gpu_hours;
    sum->v100_hours += part->v100_hours;
    sum->footprint.kwh += part->footprint.kwh;
    sum->footprint.co2_lbs += part->footprint.co2_lbs;
    sum->footprint.co2_kg += part->footprint.co2_kg;
    sum->footprint.usd_low += part->footprint.usd_low;
    sum->footprint.usd_high += part->footprint.usd_high;
}

static json_t *priced_json(const priced *p) {
    return json_pack(
        "{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "wall_s", p->wall_s,
        "core_hours", p->core_hours, "gpu_hours", p->gpu_hours, "kwh",
        p->footprint.kwh, "co2_lbs", p->footprint.co2_lbs, "co2_kg",
        p->footprint.co2_kg, "usd_low", p->footprint.usd_low, "usd_high",
        p->footprint.usd_high, "v100_hours",
        isnan(p->v100_hours) ? json_null() : json_real(p->v100_hours));
}

static json_t *rates_json(const apq_footprint_rates *r) {
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
                     "pue", r->pue, "grid_lbs_per_kwh", r->grid_lbs_per_kwh,
                     "core_watts", r->core_watts, "dram_watts", r->dram_watts,
                     "gpu_watts", r->gpu_watts, "core_hour_usd_low",
                     r->core_hour_usd_low, "core_hour_usd_high",
                     r->core_hour_usd_high, "gpu_hour_usd_low",
                     r->gpu_hour_usd_low, "gpu_hour_usd_high",
                     r->gpu_hour_usd_high, "v100_tflops", r->v100_tflops);
}

/* Was the line's work for an input that a later one took the place of? The
 * manifest still names a fine-tuning as finished when the policy it was made
 * from is replaced. */
static bool is_replaced(const apq_report_source *source, const json_t *steps,
                        const step_row *row, const apq_effort *line) {
    if (row->finished_as == NULL) {
        return false;
    }
    const char *input = json_string_value(
        json_object_get(json_object_get(steps, row->finished_as), "input"));
    bool is_same = input == NULL || strcmp(input, line->input) == 0;
    bool is_stale = strcmp(row->finished_as, "finetune") == 0 &&
                    apq_report_is_stale(source);
    return is_stale ? is_same : !is_same;
}

static size_t find_step(const char *step) {
    size_t i = 0;
    while (i < N_STEPS && strcmp(known_steps[i].step, step) != 0) {
        i++;
    }
    return i;
}

/* One row a step; steps of later versions come under their group "other". */
static json_t *sums_json(const apq_report_source *source, const json_t *steps,
                         const apq_effort *lines, size_t n) {
    const apq_footprint_rates *rates = &source->recipe.footprint;
    spent sums[N_STEPS + 1] = {{0}}, replaced = {0};
    priced groups[N_GROUPS] = {{0}};
    for (size_t i = 0; i < n; i++) {
        size_t s = find_step(lines[i].step);
        bool is_old = s < N_STEPS &&
                      is_replaced(source, steps, &known_steps[s], &lines[i]);
        add_line(is_old ? &replaced : &sums[s], &lines[i]);
    }
    double per_core_s =
        sums[0].core_s > 0 ? sums[0].flop / sums[0].core_s : 0; /* training */
    json_t *rows = json_array();
    for (size_t s = 0; s <= N_STEPS; s++) {
        if (sums[s].n_lines == 0) {
            continue;
        }
        group g = s < N_STEPS ? known_steps[s].group : GROUP_OTHER;
        priced p = price(rates, &sums[s], per_core_s);
        add_priced(&groups[g], &p);
        json_t *row = priced_json(&p);
        (void)json_object_set_new(
            row, "step",
            json_string(s < N_STEPS ? known_steps[s].step : "further"));
        (void)json_object_set_new(row, "group", json_string(group_names[g]));
        (void)json_object_set_new(row, "threads",
                                  json_integer(sums[s].threads));
        (void)json_object_set_new(row, "energy_j",
                                  isnan(sums[s].energy_j)
                                      ? json_null()
                                      : json_real(sums[s].energy_j));
        (void)json_array_append_new(rows, row);
    }
    groups[GROUP_REPLACED] = price(rates, &replaced, per_core_s);
    for (int g = 0; g < GROUP_TOTAL; g++) {
        add_priced(&groups[GROUP_TOTAL], &groups[g]);
    }
    json_t *out = json_pack("{s:o}", "steps", rows);
    for (int g = 0; g < N_GROUPS; g++) {
        (void)json_object_set_new(out, group_names[g], priced_json(&groups[g]));
    }
    (void)json_object_set_new(out, "training_flop",
                              sums[0].flop > 0 ? json_real(sums[0].flop)
                                               : json_null());
    (void)json_object_set_new(out, "training_flop_per_core_s",
                              per_core_s > 0 ? json_real(per_core_s)
                                             : json_null());
    return out;
}

/* Distinct texts of a field, in order of appearance. */
static void add_text(json_t *texts, const char *text) {
    size_t i;
    const json_t *value;
    json_array_foreach(texts, i, value) {
        if (strcmp(json_string_value(value), text) == 0) {
            return;
        }
    }
    (void)json_array_append_new(texts, json_string(text));
}

apq_status apq_report_cost_json(const apq_report_source *source, json_t **out) {
    char path[APQ_PATH_MAX], manifest_path[APQ_PATH_MAX];
    *out = json_null();
    APQ_TRY(apq_path_join(path, source->dir, "cost.jsonl"));
    APQ_TRY(apq_path_join(manifest_path, source->dir, "manifest.json"));
    apq_effort *lines;
    size_t n;
    APQ_TRY(apq_effort_read(path, &lines, &n));
    if (n == 0) {
        free(lines);
        return APQ_OK;
    }
    /* Checked when the run directory was opened. */
    json_t *manifest = json_load_file(manifest_path, 0, NULL);
    json_t *cost =
        sums_json(source, json_object_get(manifest, "steps"), lines, n);
    json_decref(manifest);
    json_t *versions = json_array(), *cpus = json_array();
    for (size_t i = 0; i < n; i++) {
        add_text(versions, lines[i].version);
        add_text(cpus, lines[i].cpu);
    }
    (void)json_object_set_new(cost, "versions", versions);
    (void)json_object_set_new(cost, "cpus", cpus);
    (void)json_object_set_new(cost, "rates",
                              rates_json(&source->recipe.footprint));
    free(lines);
    *out = cost;
    return APQ_OK;
}
