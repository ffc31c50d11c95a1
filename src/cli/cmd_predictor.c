/* apq predictor: fit in a run, judge on measured policies, compare with and
 * without transfer, import a file. */
#include "cli/cmd_predictor.h"

#include "app/app.h"
#include "app/json.h"
#include "app/judge.h"
#include "cli/commands.h"
#include "cli/step.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The command line of eval and import. */
typedef struct predictor_options {
    apq_step_options step;
    const char *predictor, *records, *out, *plot;
    bool is_float;
} predictor_options;

#define AT(member) offsetof(predictor_options, member)
static const apq_option eval_table[] = {
    APQ_STEP_TABLE,
    {.name = "predictor",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "predictor to judge; else the run's",
     .offset = AT(predictor)},
    {.name = "records",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "measured policies, one JSON a line",
     .offset = AT(records)},
    {.name = "plot",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "predicted over measured, as FILE.svg, .png and .pdf",
     .offset = AT(plot)},
    {.name = "float",
     .type = APQ_OPTION_FLAG,
     .help = "the records are of networks without quantisation",
     .offset = AT(is_float)},
    {.name = NULL},
};
static const apq_option import_table[] = {
    {.name = "predictor",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "predictor to import",
     .offset = AT(predictor),
     .is_required = true},
    APQ_ROW_SPACE(AT(step.space)),
    {.name = "out",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "the file to write; -o is short for it",
     .offset = AT(out),
     .is_required = true},
    {.name = NULL},
};

typedef struct sample_list {
    const apq_space *space;
    const char *supernet_hash; /* of the predictor; empty: not known */
    bool is_float;             /* which records are wanted */
    apq_predictor_sample *samples;
    size_t n, capacity;
} sample_list;

static apq_status grow(sample_list *list, const char *where) {
    if (list->n < list->capacity) {
        return APQ_OK;
    }
    size_t capacity = list->capacity == 0 ? 256 : 2 * list->capacity;
    apq_predictor_sample *grown =
        realloc(list->samples, capacity * sizeof *grown);
    if (grown == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", where);
    }
    list->samples = grown;
    list->capacity = capacity;
    return APQ_OK;
}

static apq_status check_weights(const sample_list *list, const json_t *row,
                                const char *where) {
    const char *hash = json_string_value(json_object_get(row, "weights_hash"));
    if (hash != NULL && list->supernet_hash[0] != '\0' &&
        strcmp(hash, list->supernet_hash) != 0) {
        APQ_FAIL(APQ_ERR_MISMATCH,
                 "%s: measured with the supernet of hash %s, the predictor was "
                 "fitted to %s",
                 where, hash, list->supernet_hash);
    }
    return APQ_OK;
}

static apq_status read_sample(const sample_list *list, const json_t *row,
                              const char *where, apq_predictor_sample *out) {
    const json_t *policy = json_object_get(row, "policy");
    const json_t *spec = json_object_get(row, "spec");
    const json_t *accuracy = json_object_get(row, "accuracy");
    const json_t *count = json_object_get(row, "count");
    APQ_TRY(check_weights(list, row, where));
    char *text = json_dumps(policy != NULL ? policy : spec, JSON_ENCODE_ANY);
    double value =
        json_is_number(accuracy) ? json_number_value(accuracy) : (double)NAN;
    if (text == NULL || isnan(value)) {
        free(text);
        APQ_FAIL(APQ_ERR_FORMAT, "%s: a record needs policy and accuracy",
                 where);
    }
    if (value < 0 || value > 1) {
        free(text);
        APQ_FAIL(APQ_ERR_FORMAT, "%s: accuracy %g, legal 0 ... 1", where,
                 value);
    }
    out->accuracy = value;
    out->count = json_integer_value(count);
    apq_status st =
        apq_policy_from_json(list->space, text, where, &out->policy);
    free(text);
    if (st == APQ_OK && count != NULL && out->count < 1) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: count is no number of images from 1",
                 where);
    }
    return st;
}

/* Records as exported say what they are of. */
static bool is_wanted(const sample_list *list, const json_t *row) {
    const char *kind = json_string_value(json_object_get(row, "kind"));
    return kind == NULL || (strcmp(kind, "float") == 0) == list->is_float;
}

static apq_status add_sample(const char *text, const char *where, size_t i,
                             void *ctx) {
    (void)i;
    sample_list *list = ctx;
    APQ_TRY(grow(list, where));
    json_t *row = json_loads(text, 0, NULL);
    apq_status st = APQ_OK;
    if (is_wanted(list, row)) {
        st = read_sample(list, row, where, &list->samples[list->n]);
        list->n += st == APQ_OK;
    }
    json_decref(row);
    return st;
}

/* Intervals of one record, and order where all are alike, are not known. */
static void print_score(const char *name, apq_interval score, double scale,
                        int digits, const char *unit) {
    if (isnan(score.value)) {
        printf("%s not known: no two records differ\n", name);
    } else if (isnan(score.low)) {
        printf("%s %.*f%s\n", name, digits, scale * score.value, unit);
    } else {
        printf("%s %.*f%s [%.*f, %.*f]\n", name, digits, scale * score.value,
               unit, digits, scale * score.low, digits, scale * score.high);
    }
}

static void print_gaps(const apq_gap gaps[APQ_N_GAPS]) {
    for (int g = 0; g < APQ_N_GAPS; g++) {
        double low = 100 * gaps[g].low, high = 100 * gaps[g].high;
        if (gaps[g].n_pairs == 0) {
            continue;
        }
        if (isfinite(high)) {
            printf("  of pairs %.2f to %.2f points apart", low, high);
        } else {
            printf("  of pairs further apart");
        }
        printf(": %.2f %% (%llu)\n", 100 * gaps[g].accuracy,
               (unsigned long long)gaps[g].n_pairs);
    }
}

static void print_judgement(const apq_judgement *j) {
    const apq_quality *q = &j->quality;
    printf("%zu records (95 %% intervals in brackets)\n", q->n);
    print_score("pairwise accuracy", q->pairwise_accuracy, 100, 2, " %");
    if (j->has_noise) {
        print_gaps(j->gaps);
    }
    print_score("Kendall tau", q->kendall_tau, 1, 4, "");
    print_score("RMSE", q->rmse, 100, 2, " points");
    if (j->has_noise) {
        apq_cli_print_noise(&j->noise);
    }
}

void apq_cli_print_noise(const apq_label_noise *noise) {
    printf("labels: standard error %.2f points, accuracies spread by %.2f; if "
           "the errors were\nindependent, the truth itself would order %.1f "
           "%% of the pairs (more when the\nimages are the same)\n",
           100 * noise->noise, 100 * noise->spread, 100 * noise->ceiling);
}

static apq_status load(const predictor_options *o, apq_predictor **out) {
    apq_space space;
    apq_recipe recipe;
    const char *name;
    APQ_TRY(apq_cli_run_space(&o->step.common, o->step.space, &recipe, &name));
    if (name != NULL) {
        APQ_TRY(apq_space_load(name, &space));
    }
    return apq_predictor_load(o->predictor, name != NULL ? &space : NULL, out);
}

static apq_status eval_records(const predictor_options *o, apq_judgement *out) {
    apq_predictor *predictor = NULL;
    APQ_TRY(load(o, &predictor));
    sample_list list = {.space = apq_predictor_space(predictor),
                        .supernet_hash = apq_predictor_supernet_hash(predictor),
                        .is_float = o->is_float};
    apq_status st = apq_cli_each_document(o->records, add_sample, &list);
    if (st == APQ_OK) {
        st = apq_judge(predictor, list.samples, list.n, !o->is_float, 0,
                       o->step.common.seed, o->plot, out);
    }
    free(list.samples);
    apq_predictor_destroy(predictor);
    return st;
}

/* --seed is of the intervals here: what was held out is the run's business. */
static apq_status eval_run(const predictor_options *o, apq_judgement *out) {
    apq_step_options step = o->step;
    apq_recipe recipe;
    step.common.has_seed = false;
    APQ_TRY(apq_step_recipe(&step, 0, &recipe));
    const apq_judge_request request = {
        .run_dir = step.common.run,
        .predictor = o->predictor,
        .plot = o->plot,
        .with_bits = !o->is_float,
        .seed = o->step.common.has_seed ? o->step.common.seed : recipe.seed,
    };
    return apq_judge_run(&recipe, &request, out);
}

static apq_status judge(const predictor_options *o) {
    apq_judgement judgement;
    APQ_TRY(o->records != NULL ? eval_records(o, &judgement)
                               : eval_run(o, &judgement));
    if (o->step.common.json) {
        apq_cli_print_json(apq_judgement_json(&judgement), false);
    } else {
        print_judgement(&judgement);
    }
    return APQ_OK;
}

static apq_status take_over(const predictor_options *o) {
    apq_predictor *predictor = NULL;
    APQ_TRY(load(o, &predictor));
    char hash[APQ_HASH_MAX];
    apq_status st = apq_file_hash(o->predictor, hash);
    if (st == APQ_OK) {
        apq_predictor_meta metas[5] = {{"imported_hash", hash},
                                       {"metric", "top1"},
                                       {"tool_version", APQ_VERSION}};
        size_t n = 3;
        const char *supernet = apq_predictor_supernet_hash(predictor);
        const char *records = apq_predictor_records_hash(predictor);
        if (supernet[0] != '\0') {
            metas[n++] = (apq_predictor_meta){"supernet_hash", supernet};
        }
        if (records[0] != '\0') {
            metas[n++] = (apq_predictor_meta){"records_hash", records};
        }
        st = apq_predictor_save(predictor, o->out, metas, n);
    }
    apq_predictor_destroy(predictor);
    if (st == APQ_OK) {
        apq_cli_print_json(
            json_pack("{s:o}", "predictor", apq_json_text(o->out)), true);
    }
    return st;
}

static int fit(const apq_command *self, int argc, char **argv) {
    return apq_step_command(self, argc, argv, apq_app_predictor_fit,
                            "predictor.safetensors", "predictor");
}

static int eval(const apq_command *self, int argc, char **argv) {
    predictor_options o = {.records = NULL};
    int code = apq_cli_parse(self, argc, argv, &o);
    if (code >= 0) {
        return code;
    }
    if (o.records != NULL ? o.predictor == NULL : o.step.common.run == NULL) {
        (void)APQ_ERROR(APQ_ERR_ARG,
                        o.records != NULL
                            ? "--records needs --predictor FILE"
                            : "--records FILE or --run DIR is required");
        return apq_cli_usage(self);
    }
    return apq_cli_exit(judge(&o));
}

static int import(const apq_command *self, int argc, char **argv) {
    predictor_options o = {.records = NULL};
    int code = apq_cli_parse(self, argc, argv, &o);
    return code >= 0 ? code : apq_cli_exit(take_over(&o));
}

static const apq_command fit_command = {
    .name = "predictor fit",
    .brief = "fit the accuracy predictor of a run",
    .usage = "apq predictor fit [RECIPE] [KEY=VALUE ...] --run DIR [options]",
    .summary = "Fits the accuracy predictor of a run to its records. All keys: "
               "docs/predictor.md.",
    .examples = "  apq predictor fit --run runs/first\n"
                "  apq predictor fit --run runs/first predictor.ensemble=5\n",
    .options = apq_step_table,
    .max_words = APQ_STEP_MAX_WORDS,
    .run = fit,
};

static const apq_command eval_command = {
    .name = "predictor eval",
    .brief = "judge a predictor on measured policies",
    .usage = "apq predictor eval --predictor P --records F [options]\n"
             "       apq predictor eval --run DIR [options]",
    .summary =
        "Judges a predictor on measured policies (JSON lines with policy and "
        "accuracy,\nfor the ceiling of label noise also count; those of "
        "another "
        "kind are left out) or\non the records held out from its fit. Scores "
        "have 95 % bootstrap intervals.",
    .examples =
        "  apq predictor eval --run runs/first --plot eval.svg\n"
        "  apq predictor eval --predictor p.safetensors --records r.jsonl\n",
    .options = eval_table,
    .run = eval,
};

static const apq_command import_command = {
    .name = "predictor import",
    .brief = "give a foreign predictor the metadata of a space",
    .usage = "apq predictor import --predictor P --space S --out FILE",
    .summary = "Gives a foreign predictor the metadata of a space.",
    .examples = "  apq predictor import --predictor theirs.safetensors --space "
                "imagenet-apq --out p.safetensors\n",
    .options = import_table,
    .run = import,
};

static const apq_command *const parts[] = {&fit_command, &eval_command,
                                           &apq_command_predictor_curve,
                                           &import_command, NULL};

const apq_command apq_command_predictor = {
    .name = "predictor",
    .brief = "fit, eval or import a predictor",
    .usage = "apq predictor fit|eval|curve|import ... [options]",
    .summary =
        "Fits the accuracy predictor of a run; judges one; compares fits with "
        "and without\ntransfer from float records; imports a foreign one.",
    .examples =
        "  apq predictor fit --run runs/first predictor.ensemble=5\n"
        "  apq predictor eval --run runs/first --plot eval.svg\n"
        "  apq predictor curve --run runs/first --sizes 100,250 --seeds 5 "
        "--plot curve\n"
        "  apq predictor import --predictor theirs.safetensors --space "
        "imagenet-apq --out p.safetensors\n",
    .options = apq_no_options,
    .parts = parts,
    .is_parallel = true,
    .run = apq_cli_name_parts,
};
