/* apq predict: predicted accuracy of policies, in the order they are given. */
#include "cli/commands.h"

#include "app/app.h"
#include "app/fit.h"
#include "app/parts.h"

#include <stdio.h>

typedef struct predict_options {
    apq_common_options common;
    const char *predictor, *space, *specs;
    bool is_float;
} predict_options;

typedef struct predict_context {
    const predict_options *options;
    apq_predictor *predictor;
} predict_context;

static apq_status predict(const char *text, const char *where, size_t i,
                          void *ctx) {
    (void)i;
    const predict_context *self = ctx;
    const apq_space *space = apq_predictor_space(self->predictor);
    apq_policy policy;
    double accuracy, deviation;
    APQ_TRY(apq_cli_policy(space, text, where, &policy));
    APQ_TRY(apq_predictor_spread(self->predictor, &policy, 1,
                                 !self->options->is_float, &accuracy,
                                 &deviation));
    if (apq_predictor_members(self->predictor) > 1) {
        printf("{\"accuracy\":%.9g,\"accuracy_std\":%.9g}\n", accuracy,
               deviation);
    } else {
        printf("{\"accuracy\":%.9g}\n", accuracy);
    }
    return APQ_OK;
}

#define AT(member) offsetof(predict_options, member)
static const apq_option table[] = {
    {.name = "predictor",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "else the run's, else the one shipped for --space",
     .offset = AT(predictor)},
    {.name = "space",
     .type = APQ_OPTION_TEXT,
     .argument = "SPACE",
     .help = "else that of the run, else the one the predictor names",
     .offset = AT(space)},
    APQ_ROW_SPECS(AT(specs)),
    {.name = "float",
     .type = APQ_OPTION_FLAG,
     .help = "accuracy without quantisation",
     .offset = AT(is_float)},
    {.name = NULL},
};

static apq_status open_predictor(const predict_options *o,
                                 apq_predictor **out) {
    char path[APQ_PATH_MAX];
    apq_space space;
    apq_recipe recipe;
    const char *file = o->predictor, *name;
    if (file == NULL) {
        APQ_TRY(apq_app_predictor_path(o->space != NULL ? o->space : "cifar10",
                                       o->common.run, path));
        file = path;
    }
    APQ_TRY(apq_cli_run_space(&o->common, o->space, &recipe, &name));
    if (name != NULL) {
        APQ_TRY(apq_space_load(name, &space));
    }
    apq_predictor *loaded = NULL;
    APQ_TRY(apq_predictor_load(file, name != NULL ? &space : NULL, &loaded));
    apq_status st = o->common.run == NULL
                        ? APQ_OK
                        : apq_fit_check_supernet(loaded, file, o->common.run);
    if (st != APQ_OK) {
        apq_predictor_destroy(loaded);
        return st;
    }
    *out = loaded;
    return APQ_OK;
}

static int run(const apq_command *self, int argc, char **argv) {
    predict_options options = {.space = NULL};
    int code = apq_cli_parse(self, argc, argv, &options);
    if (code >= 0) {
        return code;
    }
    predict_context context = {.options = &options};
    apq_status st = open_predictor(&options, &context.predictor);
    if (st == APQ_OK) {
        st = apq_cli_each_spec(options.specs, predict, &context);
    }
    apq_predictor_destroy(context.predictor);
    return apq_cli_exit(st);
}

const apq_command apq_command_predict = {
    .name = "predict",
    .brief = "predicted accuracy of policies",
    .usage = "apq predict --predictor P --specs F [options]",
    .summary =
        "Predicted accuracy of policies, one JSON a line; of an ensemble "
        "also its\nmembers' standard deviation, accuracy_std.",
    .examples =
        "  apq predict --predictor runs/first/predictor.safetensors --specs "
        "policies.jsonl\n"
        "  jq -c .policy best.json | apq predict --space cifar10 --specs -\n",
    .options = table,
    .run = run,
};
