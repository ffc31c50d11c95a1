/* apq report: what a run directory holds, as Markdown, JSON or a page. */
#include "cli/commands.h"

#include "app/report.h"
#include "base/path.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct report_options {
    apq_common_options common;
    const char *space, *out, *targets;
    bool markdown;
} report_options;

#define AT(member) offsetof(report_options, member)
static const apq_option table[] = {
    {.name = "markdown",
     .type = APQ_OPTION_FLAG,
     .help = "Markdown; this is the default",
     .offset = AT(markdown)},
    {.name = "out",
     .type = APQ_OPTION_TEXT,
     .argument = "FILE",
     .help = "write FILE.html, FILE.md or FILE.json instead of standard "
             "output; -o is short for it",
     .offset = AT(out)},
    {.name = "space",
     .type = APQ_OPTION_TEXT,
     .argument = "SPACE",
     .help = "without --run: whose shipped artefacts",
     .offset = AT(space)},
    {.name = "targets",
     .type = APQ_OPTION_TEXT,
     .argument = "LIST",
     .help = "price the network on these targets too: names or files, "
             "separated by commas",
     .offset = AT(targets)},
    {.name = NULL},
};

/* The form is that of the file's name, if there is one. */
static apq_status choose_form(const report_options *o, apq_report_form *form) {
    static const struct {
        const char *ending;
        apq_report_form form;
    } endings[] = {{".md", APQ_REPORT_MARKDOWN},
                   {".json", APQ_REPORT_JSON},
                   {".html", APQ_REPORT_HTML}};
    enum { N_ENDINGS = sizeof endings / sizeof endings[0] };
    if (o->common.json && o->markdown) {
        APQ_FAIL(APQ_ERR_ARG, "either --json or --markdown");
    }
    *form = o->common.json ? APQ_REPORT_JSON : APQ_REPORT_MARKDOWN;
    if (o->out == NULL) {
        return APQ_OK;
    }
    size_t i = 0;
    while (i < N_ENDINGS && !apq_path_has_ending(o->out, endings[i].ending)) {
        i++;
    }
    if (i == N_ENDINGS) {
        APQ_FAIL(APQ_ERR_ARG,
                 "--out \"%s\": only HTML (.html), Markdown (.md) and JSON "
                 "(.json) can be written",
                 o->out);
    }
    if ((o->common.json || o->markdown) && *form != endings[i].form) {
        APQ_FAIL(APQ_ERR_ARG, "--out \"%s\" is not the form asked for", o->out);
    }
    *form = endings[i].form;
    return APQ_OK;
}

static int run(const apq_command *self, int argc, char **argv) {
    report_options options = {.space = "cifar10"};
    int code = apq_cli_parse(self, argc, argv, &options);
    if (code >= 0) {
        return code;
    }
    apq_report_form form = APQ_REPORT_MARKDOWN;
    if (choose_form(&options, &form) != APQ_OK) {
        return apq_cli_usage(self);
    }
    char *text = NULL, folder[APQ_PATH_MAX];
    apq_path_folder(options.out != NULL ? options.out : "", folder);
    apq_cli_progress progress;
    apq_cli_progress_init(&progress, options.common.quiet);
    apq_status st = apq_app_report(
        &(apq_report_request){.run_dir = options.common.run,
                              .space = options.space,
                              .settings = options.common.words,
                              .n_settings = options.common.n_words,
                              .targets = options.targets,
                              .form = form,
                              .folder = folder,
                              .progress = &progress.base},
        &text);
    apq_cli_progress_end(&progress);
    if (st == APQ_OK && options.out != NULL) {
        st = apq_file_write_text(options.out, text);
    } else if (st == APQ_OK) {
        (void)fputs(text, stdout);
    }
    free(text);
    return apq_cli_exit(st);
}

const apq_command apq_command_report = {
    .name = "report",
    .brief = "what a run asked, found and spent",
    .usage = "apq report [--run DIR] [footprint.KEY=VALUE ...] [options]",
    .summary = "What was asked, found and spent; without --run, of the shipped "
               "artefacts.",
    .examples = "  apq report --run runs/first\n"
                "  apq report --run runs/first --json | jq "
                ".search_cost.per_scenario\n"
                "  apq report --run runs/first -o report.html "
                "--targets cpu.jsonl\n"
                "  apq report --run runs/first -o report.md "
                "footprint.core_watts=20\n",
    .options = table,
    .max_words = 16,
    .run = run,
};
