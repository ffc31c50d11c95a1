/* Networks as points for the report: what the search kept, and the measured
 * records beside what the predictor says of them. */
#include "app/report.h"

#include "app/json.h"
#include "app/samples.h"
#include "base/memory.h"
#include "report/thin.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RECORDS = 1000, NETWORK_MAX = 1024 };

/* "k3 80 pw6/6 dw4/8; ... | ...": blocks with kernel, middle channels and bits
 * of weights and activations; '|' begins a stage. */
static void network_text(const apq_space *space, const apq_policy *policy,
                         char out[NETWORK_MAX]) {
    int stage = -1;
    size_t used = 0;
    out[0] = '\0';
    for (int b = 0; b < space->n_blocks && used < NETWORK_MAX; b++) {
        if (!apq_space_block_active(space, policy, b)) {
            continue;
        }
        int own = space->blocks[b].stage;
        const char *joint = stage < 0 ? "" : own != stage ? " | " : "; ";
        stage = own;
        used += (size_t)snprintf(
            out + used, NETWORK_MAX - used, "%sk%d %d pw%d/%d dw%d/%d", joint,
            policy->kernel[b], policy->channels[b],
            policy->bits[APQ_PW_WEIGHT][b], policy->bits[APQ_PW_ACT][b],
            policy->bits[APQ_DW_WEIGHT][b], policy->bits[APQ_DW_ACT][b]);
    }
}

/* Replaces an entry's policy by its text, which is a tenth as long. */
static apq_status shorten(const apq_report_source *source, const char *where,
                          json_t *entry) {
    json_t *policy = json_object_get(entry, "policy");
    char text[NETWORK_MAX] = "";
    if (source->has_space && json_is_object(policy)) {
        apq_policy parsed;
        APQ_TRY(apq_json_to_policy(&source->space, policy, where, &parsed));
        network_text(&source->space, &parsed, text);
    }
    (void)json_object_del(entry, "policy");
    (void)json_object_set_new(
        entry, "network", text[0] == '\0' ? json_null() : json_string(text));
    return APQ_OK;
}

apq_status apq_report_entries_json(const apq_report_source *source,
                                   const char *where, const json_t *entries,
                                   json_t **out) {
    *out = json_null();
    if (!json_is_array(entries)) {
        return APQ_OK;
    }
    json_t *rows = json_deep_copy(entries);
    size_t i;
    json_t *entry;
    json_array_foreach(rows, i, entry) {
        apq_status st = shorten(source, where, entry);
        if (st != APQ_OK) {
            json_decref(rows);
            return st;
        }
    }
    *out = rows;
    return APQ_OK;
}

/* A record with what the predictor and the target say of it. */
typedef struct judged {
    double predicted;
    apq_cost cost;
    bool is_held_out, is_shown;
} judged;

/* Which samples the fit was never shown: the split of `apq predictor fit`
 * once more, if it gives the numbers that predictor.json tells. */
static apq_status mark_held_out(const apq_report_source *source,
                                const apq_sample_set *set, judged *rows,
                                bool *is_known) {
    size_t n = set->n;
    const json_t *report = json_object_get(source->predictor, "quantised");
    apq_predictor_fit_options options =
        apq_recipe_fit_options(&source->recipe, true);
    apq_predictor_parts parts;
    *is_known = false;
    uint32_t *order = apq_calloc(n, sizeof *order);
    if (order == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "report: out of memory");
    }
    apq_status st = !source->has_recipe || n == 0
                        ? APQ_ERR_ARG
                        : apq_predictor_split(&options, &source->space,
                                              set->samples, n, order, &parts);
    if (st == APQ_OK &&
        json_integer_value(json_object_get(report, "n_train")) ==
            (json_int_t)parts.n_train &&
        json_integer_value(json_object_get(report, "n_test")) ==
            (json_int_t)parts.n_test) {
        for (size_t i = n - parts.n_test; i < n; i++) {
            rows[order[i]].is_held_out = true;
        }
        *is_known = true;
    }
    free(order);
    return APQ_OK; /* a recipe that leaves none to train on: not known */
}

static apq_status predict(const apq_report_source *source,
                          const apq_sample_set *set, judged *rows) {
    char path[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(path, source->dir, "predictor.safetensors"));
    for (size_t i = 0; i < set->n; i++) {
        rows[i].predicted = (double)NAN;
    }
    apq_predictor *predictor = NULL;
    if (!apq_file_exists(path) || set->n == 0) {
        return APQ_OK;
    }
    apq_status st = apq_predictor_load(path, &source->space, &predictor);
    if (st != APQ_OK) {
        return apq_report_leave_out(source, st);
    }
    apq_policy *policies = apq_calloc(set->n, sizeof *policies);
    double *values = apq_calloc(set->n, sizeof *values);
    if (policies == NULL || values == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "report: out of memory");
    }
    if (st == APQ_OK) {
        for (size_t i = 0; i < set->n; i++) {
            policies[i] = set->samples[i].policy;
        }
        st = apq_predictor_predict(predictor, policies, set->n, true, values);
    }
    for (size_t i = 0; st == APQ_OK && i < set->n; i++) {
        rows[i].predicted = values[i];
    }
    free(values);
    free(policies);
    apq_predictor_destroy(predictor);
    return st;
}

/* What a target cannot execute has no price, but a size. */
static apq_status price(const apq_report_source *source,
                        const apq_policy *policy, apq_cost *out) {
    apq_ir_network network;
    APQ_TRY(apq_policy_lower(&source->space, policy, &network));
    return apq_cost_network(source->target, &network, out) == APQ_OK
               ? APQ_OK
               : apq_cost_network(NULL, &network, out);
}

/* The front of accuracy over latency stays; so do all held-out records. */
static apq_status choose_shown(const apq_sample_set *set, judged *rows) {
    double *xy = apq_calloc(2 * set->n, sizeof *xy);
    bool *keep = apq_calloc(set->n, sizeof *keep);
    apq_status st = xy == NULL || keep == NULL
                        ? APQ_ERROR(APQ_ERR_NOMEM, "report: out of memory")
                        : APQ_OK;
    for (size_t i = 0; st == APQ_OK && i < set->n; i++) {
        double latency_ms = rows[i].cost.latency_ms;
        xy[i] = isfinite(latency_ms) ? latency_ms : 0;
        xy[set->n + i] = set->samples[i].accuracy;
    }
    if (st == APQ_OK) {
        st = apq_thin(xy, xy + set->n, set->n, MAX_RECORDS, keep);
    }
    for (size_t i = 0; st == APQ_OK && i < set->n; i++) {
        rows[i].is_shown = keep[i] || rows[i].is_held_out;
    }
    free(keep);
    free(xy);
    return st;
}

static json_t *rows_json(const apq_report_source *source,
                         const apq_sample_set *set, const judged *rows,
                         bool is_split_known) {
    json_t *out = json_array();
    for (size_t i = 0; i < set->n; i++) {
        if (!rows[i].is_shown) {
            continue;
        }
        const apq_predictor_sample *s = &set->samples[i];
        const apq_cost *c = &rows[i].cost;
        double p = s->accuracy;
        char text[NETWORK_MAX];
        network_text(&source->space, &s->policy, text);
        (void)json_array_append_new(
            out,
            json_pack(
                "{s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "accuracy", p,
                "standard_error",
                apq_json_number(sqrt(p * (1 - p) / (double)s->count)),
                "predicted", apq_json_number(rows[i].predicted), "is_held_out",
                is_split_known ? json_boolean(rows[i].is_held_out)
                               : json_null(),
                "latency_ms", apq_json_number(c->latency_ms), "energy_mj",
                apq_json_number(c->energy_mj), "size_kb",
                apq_json_number(1e-3 * c->weight_bytes), "network", text));
    }
    return out;
}

static apq_status judge(const apq_report_source *source,
                        const apq_sample_set *set, json_t **out) {
    judged *rows = apq_calloc(set->n, sizeof *rows);
    bool is_split_known = false;
    if (rows == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "report: out of memory");
    }
    apq_status st = mark_held_out(source, set, rows, &is_split_known);
    if (st == APQ_OK) {
        st = predict(source, set, rows);
    }
    for (size_t i = 0; st == APQ_OK && i < set->n; i++) {
        st = price(source, &set->samples[i].policy, &rows[i].cost);
    }
    if (st == APQ_OK) {
        st = choose_shown(set, rows);
    }
    if (st == APQ_OK) {
        *out = json_pack("{s:I, s:o}", "count", (json_int_t)set->n, "rows",
                         rows_json(source, set, rows, is_split_known));
    }
    free(rows);
    return st;
}

apq_status apq_report_records_json(const apq_report_source *source,
                                   json_t **out) {
    char path[APQ_PATH_MAX];
    *out = json_null();
    APQ_TRY(apq_path_join(path, source->dir, "run.db"));
    if (!source->has_space || !apq_file_exists(path)) {
        return APQ_OK;
    }
    apq_records *records;
    apq_status st = apq_records_open_read(path, &records);
    if (st == APQ_ERR_IO) {
        return APQ_OK; /* as for the labels */
    }
    APQ_TRY(st);
    apq_sample_set set = {0};
    st = apq_samples_add_all(&source->space, records, true, INT64_MAX, &set);
    apq_records_close(records);
    if (st == APQ_OK && set.n > 0) {
        st = judge(source, &set, out);
    }
    apq_samples_release(&set);
    return st;
}
