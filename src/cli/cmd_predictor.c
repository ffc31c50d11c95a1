/* apq predictor: fit in a run, judge on measured policies, import a file. */
#include "cli/step.h"

#include "app/app.h"
#include "app/parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const apq_command_help help = {
    .usage = "apq predictor fit [RECIPE] [KEY=VALUE ...] --run DIR\n"
             "       apq predictor eval --predictor P --records F\n"
             "       apq predictor import --predictor P --space S --out FILE",
    .summary = "Fits the accuracy predictor of a run, judges one on measured "
               "policies (JSON\nlines with policy and accuracy), or gives a "
               "foreign one the metadata of a space.",
    .examples =
        "  apq predictor fit --run runs/first\n"
        "  apq predictor eval --predictor p.safetensors --records r.jsonl\n"
        "  apq predictor import --predictor theirs.safetensors --space "
        "imagenet-apq --out p.safetensors\n",
};

typedef struct predictor_options {
    apq_step_options step;
    const char *predictor, *records, *out;
    bool is_float;
} predictor_options;

#define AT(member) offsetof(predictor_options, member)
static const apq_option table[] = {
    APQ_STEP_TABLE,
    {.name = "predictor",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "predictor to judge or import",
     .offset = AT(predictor)},
    {.name = "records",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "measured policies, one JSON a line",
     .offset = AT(records)},
    {.name = "out",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "imported predictor",
     .offset = AT(out)},
    {.name = "float",
     .type = APQ_OPTION_FLAG,
     .help = "the records are of networks without quantisation",
     .offset = AT(is_float)},
    {.name = NULL},
};

typedef struct sample_list {
    const apq_space *space;
    apq_predictor_sample *samples;
    size_t n, capacity;
} sample_list;

static apq_status add_sample(const char *text, const char *where, size_t i,
                             void *ctx) {
    (void)i;
    sample_list *list = ctx;
    if (list->n == list->capacity) {
        size_t capacity = list->capacity == 0 ? 256 : 2 * list->capacity;
        apq_predictor_sample *grown =
            realloc(list->samples, capacity * sizeof *grown);
        if (grown == NULL) {
            APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", where);
        }
        list->samples = grown;
        list->capacity = capacity;
    }
    json_t *row = json_loads(text, 0, NULL);
    const json_t *policy = json_object_get(row, "policy");
    const json_t *spec = json_object_get(row, "spec");
    const json_t *accuracy = json_object_get(row, "accuracy");
    char *policy_text =
        json_dumps(policy != NULL ? policy : spec, JSON_ENCODE_ANY);
    double value =
        json_is_number(accuracy) ? json_number_value(accuracy) : (double)NAN;
    json_decref(row);
    if (policy_text == NULL || !isfinite(value)) {
        free(policy_text);
        APQ_FAIL(APQ_ERR_FORMAT, "%s: a record needs policy and accuracy",
                 where);
    }
    apq_predictor_sample *sample = &list->samples[list->n];
    sample->accuracy = value;
    apq_status st =
        apq_policy_from_json(list->space, policy_text, where, &sample->policy);
    free(policy_text);
    APQ_TRY(st);
    list->n++;
    return APQ_OK;
}

static apq_status judge(apq_predictor *predictor, const sample_list *list,
                        const predictor_options *options) {
    apq_predictor_fit_options fit = apq_predictor_fit_defaults();
    apq_predictor_report report;
    /* No epochs and nothing held out: all samples are only reported on. */
    fit.epochs = 0;
    fit.validation_fraction = 0;
    fit.test_fraction = 0;
    fit.with_bits = !options->is_float;
    APQ_TRY(
        apq_predictor_fit(predictor, list->samples, list->n, &fit, &report));
    if (options->step.common.json) {
        apq_cli_print_json(json_pack("{s:I, s:f, s:f, s:f}", "count",
                                     (json_int_t)list->n, "pairwise_accuracy",
                                     report.pairwise_accuracy, "kendall_tau",
                                     report.kendall_tau, "rmse", report.rmse),
                           false);
    } else {
        printf("%zu records: pairwise accuracy %.2f %%, Kendall tau %.4f, "
               "RMSE %.2f points\n",
               list->n, 100 * report.pairwise_accuracy, report.kendall_tau,
               100 * report.rmse);
    }
    return APQ_OK;
}

static apq_status load(const predictor_options *o, apq_predictor **out) {
    apq_space space;
    if (o->step.space != NULL) {
        APQ_TRY(apq_space_load(o->step.space, &space));
    }
    return apq_predictor_load(o->predictor,
                              o->step.space != NULL ? &space : NULL, out);
}

static apq_status eval(const predictor_options *o) {
    apq_predictor *predictor = NULL;
    APQ_TRY(load(o, &predictor));
    sample_list list = {.space = apq_predictor_space(predictor)};
    apq_status st = apq_cli_each_document(o->records, add_sample, &list);
    if (st == APQ_OK) {
        st = judge(predictor, &list, o);
    }
    free(list.samples);
    apq_predictor_destroy(predictor);
    return st;
}

static apq_status import(const predictor_options *o) {
    apq_predictor *predictor = NULL;
    APQ_TRY(load(o, &predictor));
    char hash[APQ_HASH_MAX];
    apq_status st = apq_file_hash(o->predictor, hash);
    if (st == APQ_OK) {
        const apq_predictor_meta metas[] = {{"imported_hash", hash},
                                            {"tool_version", APQ_VERSION}};
        st = apq_predictor_save(predictor, o->out, metas, 2);
    }
    apq_predictor_destroy(predictor);
    if (st == APQ_OK) {
        printf("{\"predictor\":\"%s\"}\n", o->out);
    }
    return st;
}

static int usage(const char *what) {
    (void)APQ_ERROR(APQ_ERR_ARG, "%s", what);
    return apq_cli_usage("predictor");
}

int apq_cmd_predictor(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "fit") == 0) {
        return apq_step_command(&help, argc - 1, argv + 1,
                                apq_app_predictor_fit, "predictor.safetensors");
    }
    predictor_options options = {.predictor = NULL};
    int code = apq_cli_parse(&help, table, argc, argv, 1, &options);
    if (code >= 0) {
        return code;
    }
    const char *word =
        options.step.common.n_words == 1 ? options.step.common.words[0] : "";
    bool is_eval = strcmp(word, "eval") == 0;
    if (!is_eval && strcmp(word, "import") != 0) {
        return usage("predictor what? one of fit, eval, import");
    }
    if (options.predictor == NULL) {
        return usage("--predictor FILE is required");
    }
    if (is_eval && options.records == NULL) {
        return usage("--records FILE is required");
    }
    if (!is_eval && options.out == NULL) {
        return usage("--out FILE is required");
    }
    return apq_cli_exit(is_eval ? eval(&options) : import(&options));
}
