/* apq collect: measures accuracies for the predictor; its records in and out.
 */
#include "cli/step.h"

#include "app/app.h"
#include "app/records_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const apq_command_help help = {
    .usage = "apq collect [RECIPE] [KEY=VALUE ...] --run DIR [options]\n"
             "       apq collect export --run DIR --format jsonl|csv|authors "
             "[--kind K] [-o FILE]\n"
             "       apq collect import --run DIR --records FILE",
    .summary =
        "Measures sub-networks of the supernet, the predictor's training "
        "data:\ncollect.float_records in float, collect.quantised_records in "
        "random bits (with\ncollect.policies_per_architecture=P half of them "
        "as P settings of one\narchitecture), collect.active_records found by "
        "search. collect.repeats measures\nsome twice to tell the labels' "
        "noise. Several processes, by mpirun or by hand,\nmay be at one run. "
        "All keys: docs/formats/records.md.\n"
        "export writes records as JSON lines, CSV, or the info.dict of the "
        "authors' code;\nimport adds JSON lines of the same weights to a run.",
    .examples =
        "  apq collect --run runs/first\n"
        "  apq collect --run runs/first collect.quantised_records=3000\n"
        "  apq collect --run runs/first collect.quantiser=lsq "
        "collect.distill=largest\n"
        "  mpirun -n 4 apq collect --run runs/first --threads 1\n"
        "  apq collect export --run runs/first --format csv -o records.csv\n"
        "  apq collect export --run runs/first --format authors --kind qat -o "
        "info.dict\n"
        "  apq collect import --run runs/first --records other.jsonl\n",
};

typedef struct records_options {
    apq_common_options common;
    const char *space, *format, *kind, *out, *records;
} records_options;

static const char *const kinds[] = {"float", "quantised", "qat", NULL};

#define AT(member) offsetof(records_options, member)
static const apq_option table[] = {
    {.name = "format",
     .type = APQ_OPTION_CHOICE,
     .argument = "FORM",
     .help = "export: jsonl, csv or authors",
     .offset = AT(format),
     .choices = apq_records_formats},
    {.name = "kind",
     .type = APQ_OPTION_CHOICE,
     .argument = "KIND",
     .help = "export: only float, quantised or qat records",
     .offset = AT(kind),
     .choices = kinds},
    {.name = "out",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "export: file instead of standard output; -o is short for it",
     .offset = AT(out)},
    {.name = "records",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "import: JSON lines as exported; - is standard input",
     .offset = AT(records)},
    {.name = "space",
     .type = APQ_OPTION_TEXT,
     .argument = "SPACE",
     .help = "search space; else that of the run's run.json",
     .offset = AT(space)},
    {.name = NULL},
};

static apq_status export(const records_options *o, const char *space) {
    char *text;
    size_t n;
    APQ_TRY(
        apq_app_records_export(&(apq_records_export){.run_dir = o->common.run,
                                                     .space = space,
                                                     .format = o->format,
                                                     .kind_or_null = o->kind},
                               &text, &n));
    apq_status st = APQ_OK;
    if (o->out != NULL) {
        st = apq_file_write(o->out, text, n);
    } else {
        (void)fwrite(text, 1, n, stdout);
    }
    free(text);
    return st;
}

static apq_status import(const records_options *o, const char *space) {
    size_t n_read, n_new;
    APQ_TRY(apq_app_records_import(
        &(apq_records_import){
            .run_dir = o->common.run, .space = space, .path = o->records},
        &n_read, &n_new));
    if (o->common.json) {
        apq_cli_print_json(json_pack("{s:I, s:I}", "read", (json_int_t)n_read,
                                     "added", (json_int_t)n_new),
                           false);
    } else {
        printf("%zu records read, %zu added\n", n_read, n_new);
    }
    return APQ_OK;
}

static int usage(const char *what) {
    (void)APQ_ERROR(APQ_ERR_ARG, "%s", what);
    return apq_cli_usage("collect");
}

static int move_records(int argc, char **argv, bool is_export) {
    records_options o = {.format = NULL};
    int code = apq_cli_parse(&help, table, argc, argv, 1, &o);
    if (code >= 0) {
        return code;
    }
    if (o.common.run == NULL) {
        return usage("--run DIR is required");
    }
    if (is_export && o.format == NULL) {
        return usage("--format is required: jsonl, csv or authors");
    }
    if (!is_export && o.records == NULL) {
        return usage("--records FILE is required");
    }
    apq_recipe recipe;
    apq_status st = apq_cli_recipe(&o.common, NULL, &recipe);
    const char *space = o.space != NULL ? o.space : recipe.space;
    if (st == APQ_OK) {
        st = is_export ? export(&o, space) : import(&o, space);
    }
    return apq_cli_exit(st);
}

int apq_cmd_collect(int argc, char **argv) {
    bool is_export = argc > 1 && strcmp(argv[1], "export") == 0;
    if (is_export || (argc > 1 && strcmp(argv[1], "import") == 0)) {
        return move_records(argc, argv, is_export);
    }
    return apq_step_team_command(&help, argc, argv, apq_app_collect_together,
                                 "run.db");
}
