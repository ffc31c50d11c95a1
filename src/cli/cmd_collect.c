/* apq collect: measures accuracies for the predictor; its records in and out.
 */
#include "cli/step.h"
#include "cli/commands.h"

#include "app/app.h"
#include "app/records_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct records_options {
    apq_common_options common;
    const char *space, *format, *kind, *out, *records;
} records_options;

static const char *const kinds[] = {"float", "quantised", "qat", NULL};

#define AT(member) offsetof(records_options, member)
#define SPACE_ROW                                                              \
    {                                                                          \
        .name = "space", .type = APQ_OPTION_TEXT, .argument = "SPACE",         \
        .help = "search space; else that of the run's run.json",               \
        .offset = AT(space)                                                    \
    }

static const apq_option export_table[] = {
    {.name = "format",
     .type = APQ_OPTION_CHOICE,
     .argument = "FORM",
     .help = "of the records written",
     .offset = AT(format),
     .choices = apq_records_formats,
     .is_required = true},
    {.name = "kind",
     .type = APQ_OPTION_CHOICE,
     .argument = "KIND",
     .help = "only records of this kind",
     .offset = AT(kind),
     .choices = kinds},
    {.name = "out",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "file instead of standard output; -o is short for it",
     .offset = AT(out)},
    SPACE_ROW,
    {.name = NULL},
};
static const apq_option import_table[] = {
    {.name = "records",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "JSON lines as exported; - is standard input",
     .offset = AT(records),
     .is_required = true},
    SPACE_ROW,
    {.name = NULL},
};

static apq_status write_records(const records_options *o, const char *space) {
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

static apq_status read_records(const records_options *o, const char *space) {
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

static int move_records(const apq_command *self, int argc, char **argv,
                        apq_status (*move)(const records_options *o,
                                           const char *space)) {
    records_options o = {.format = NULL};
    int code = apq_cli_parse(self, argc, argv, &o);
    if (code >= 0) {
        return code;
    }
    if (o.common.run == NULL) {
        (void)APQ_ERROR(APQ_ERR_ARG, "--run DIR is required");
        return apq_cli_usage(self);
    }
    apq_recipe recipe;
    apq_status st = apq_cli_recipe(&o.common, NULL, &recipe);
    if (st == APQ_OK) {
        st = move(&o, o.space != NULL ? o.space : recipe.space);
    }
    return apq_cli_exit(st);
}

static int export(const apq_command *self, int argc, char **argv) {
    return move_records(self, argc, argv, write_records);
}

static int import(const apq_command *self, int argc, char **argv) {
    return move_records(self, argc, argv, read_records);
}

static int run(const apq_command *self, int argc, char **argv) {
    return apq_step_team_command(self, argc, argv, apq_app_collect_together,
                                 "run.db");
}

static const apq_command export_command = {
    .name = "collect export",
    .brief = "write a run's records",
    .usage = "apq collect export --run DIR --format FORM [--kind K] [-o FILE]",
    .summary = "Writes records as JSON lines, as CSV, or as the info.dict of "
               "the authors' code.",
    .examples =
        "  apq collect export --run runs/first --format csv -o records.csv\n"
        "  apq collect export --run runs/first --format authors --kind qat -o "
        "info.dict\n",
    .options = export_table,
    .run = export,
};

static const apq_command import_command = {
    .name = "collect import",
    .brief = "add records to a run",
    .usage = "apq collect import --run DIR --records FILE",
    .summary = "Adds JSON lines of the same weights to a run.",
    .examples = "  apq collect import --run runs/first --records other.jsonl\n",
    .options = import_table,
    .run = import,
};

static const apq_command *const parts[] = {&export_command, &import_command,
                                           NULL};

const apq_command apq_command_collect = {
    .name = "collect",
    .brief = "measure accuracies for the predictor",
    .usage = "apq collect [RECIPE] [KEY=VALUE ...] --run DIR [options]\n"
             "       apq collect export|import --run DIR ...",
    .summary = "Measures sub-networks of the supernet, the predictor's "
               "training data:\n"
               "collect.float_records in float, collect.quantised_records in "
               "random bits (with\n"
               "collect.policies_per_architecture=P half of them as P settings "
               "of one\n"
               "architecture), collect.active_records found by search. "
               "collect.quantised=shared\n"
               "measures them without training, if trained with --bits shared. "
               "collect.repeats\n"
               "measures some twice to tell the labels' noise. Several "
               "processes, by mpirun or\n"
               "by hand, may be at one run. All keys: docs/formats/records.md.",
    .examples =
        "  apq collect --run runs/first\n"
        "  apq collect --run runs/first collect.quantised_records=3000\n"
        "  apq collect --run runs/first collect.quantiser=lsq "
        "collect.distill=largest\n"
        "  mpirun -n 4 apq collect --run runs/first --threads 1\n"
        "  apq collect export --run runs/first --format csv -o records.csv\n"
        "  apq collect import --run runs/first --records other.jsonl\n",
    .options = apq_step_table,
    .max_words = APQ_STEP_MAX_WORDS,
    .parts = parts,
    .is_parallel = true,
    .finds_run = true,
    .run = run,
};
