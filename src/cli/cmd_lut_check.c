/* apq lut check: asks a target again for rows of a table and prints what was
 * found; disagreement is exit 5. */
#include "cli/commands.h"

#include "app/json.h"
#include "app/lut.h"
#include "app/parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_ROWS = 200 };

typedef struct check_options {
    apq_common_options common;
    const char *target, *space;
    int64_t rows, networks;
    double tolerance;
    bool all_layers;
} check_options;

#define AT(member) offsetof(check_options, member)
static const apq_option check_table[] = {
    {.name = "target",
     .type = APQ_OPTION_TEXT,
     .argument = "TARGET",
     .help = "asked again; else the table's own, where it is built in",
     .offset = AT(target)},
    {.name = "space",
     .type = APQ_OPTION_TEXT,
     .argument = "SPACE",
     .help = "whose layers must be there; else the run's, else the table's own",
     .offset = AT(space)},
    {.name = "rows",
     .type = APQ_OPTION_COUNT,
     .argument = "N",
     .help = "rows asked again, drawn by --seed; 0 is all, else 200",
     .offset = AT(rows),
     .low = 0,
     .high = 1e9},
    {.name = "networks",
     .type = APQ_OPTION_COUNT,
     .argument = "N",
     .help = "whole random networks to measure against sums of rows; else 0",
     .offset = AT(networks),
     .low = 0,
     .high = 1e6},
    {.name = "tolerance",
     .type = APQ_OPTION_REAL,
     .argument = "X",
     .help = "relative difference allowed beside three times both spreads",
     .offset = AT(tolerance),
     .low = 0,
     .high = 10},
    {.name = "all-layers",
     .type = APQ_OPTION_FLAG,
     .help = "also layers that the space does not price must be there",
     .offset = AT(all_layers)},
    {.name = NULL},
};
static bool is_listed(const char *const *names, const char *name) {
    for (; *names != NULL; names++) {
        if (strcmp(*names, name) == 0) {
            return true;
        }
    }
    return false;
}

typedef struct check_report {
    apq_lut_check_report rows;
    size_t n_networks;
    apq_measure_agreement networks; /* of n_networks > 0 */
} check_report;

static json_t *report_json(const check_report *report) {
    const apq_lut_check_report *r = &report->rows;
    json_t *document = json_pack(
        "{s:I, s:I, s:o, s:o}", "rows", (json_int_t)r->n_rows, "asked",
        (json_int_t)r->n_asked, "max_latency_difference",
        apq_json_number(r->max_latency_difference), "max_energy_difference",
        apq_json_number(r->max_energy_difference));
    for (int f = 0; f < APQ_LUT_N_FINDINGS; f++) {
        json_t *examples = json_array();
        for (size_t i = 0; i < r->counts[f] && i < APQ_LUT_MAX_EXAMPLES; i++) {
            (void)json_array_append_new(examples,
                                        json_string(r->examples[f][i]));
        }
        (void)json_object_set_new(
            document, apq_lut_finding_name((apq_lut_finding)f),
            json_pack("{s:I, s:o}", "count", (json_int_t)r->counts[f],
                      "examples", examples));
    }
    if (report->n_networks > 0) {
        const apq_measure_agreement *a = &report->networks;
        (void)json_object_set_new(
            document, "networks",
            json_pack("{s:I, s:o, s:o, s:o}", "count",
                      (json_int_t)report->n_networks, "median_error",
                      apq_json_number(a->median_error), "max_error",
                      apq_json_number(a->max_error), "kendall_tau",
                      apq_json_number(a->kendall_tau)));
    }
    return document;
}

/* A dash where there was nothing to compare. */
static void print_percent(double fraction) {
    if (isfinite(fraction)) {
        printf(" %.3g %%", 100 * fraction);
    } else {
        printf(" -");
    }
}

static void print_report(const check_report *report) {
    const apq_lut_check_report *r = &report->rows;
    static const char *const titles[APQ_LUT_N_FINDINGS] = {
        [APQ_LUT_DISAGREES] = "rows that differ beyond the spread",
        [APQ_LUT_MISSING] = "layers of the space that are missing",
        [APQ_LUT_INTERPOLATED] = "layers of the space that are interpolated",
        [APQ_LUT_WIDER_FASTER] = "wider layers that are faster",
        [APQ_LUT_FEWER_BITS_SLOWER] = "layers that fewer bits make slower",
    };
    printf("%zu rows, %zu asked again: largest difference", r->n_rows,
           r->n_asked);
    print_percent(r->max_latency_difference);
    printf(" in latency,");
    print_percent(r->max_energy_difference);
    printf(" in energy\n");
    for (int f = 0; f < APQ_LUT_N_FINDINGS; f++) {
        printf("%zu %s\n", r->counts[f], titles[f]);
        for (size_t i = 0; i < r->counts[f] && i < APQ_LUT_MAX_EXAMPLES; i++) {
            printf("  %s\n", r->examples[f][i]);
        }
    }
    if (report->n_networks > 0) {
        const apq_measure_agreement *a = &report->networks;
        printf("%zu networks against sums of their rows: median error",
               report->n_networks);
        print_percent(a->median_error);
        printf(", largest");
        print_percent(a->max_error);
        if (isfinite(a->kendall_tau)) {
            printf(", Kendall tau %.3f\n", a->kendall_tau);
        } else {
            printf(", Kendall tau -\n");
        }
    }
}

static apq_status check_networks(const check_options *o,
                                 const apq_lut_check_options *rows,
                                 const apq_progress *progress,
                                 check_report *out) {
    const apq_lut_networks_options options = {.path = rows->path,
                                              .target = rows->target,
                                              .space = rows->space,
                                              .n = (size_t)o->networks,
                                              .seed = rows->seed};
    out->n_networks = options.n;
    return apq_app_lut_networks(&options, progress, &out->networks);
}

static apq_status check(const check_options *o, const apq_progress *progress,
                        check_report *out) {
    apq_lut_check_options options = {
        .path = o->common.words[0],
        .target = o->target,
        .n_asked = (size_t)o->rows,
        .tolerance = o->tolerance,
        .seed = o->common.has_seed ? o->common.seed : 0,
        .all_layers = o->all_layers,
    };
    apq_recipe recipe;
    apq_lut *lut = NULL;
    APQ_TRY(apq_cli_run_space(&o->common, o->space, &recipe, &options.space));
    APQ_TRY(apq_lut_load(options.path, &lut));
    const apq_lut_header *h = apq_lut_header_of(lut);
    if (options.target == NULL && is_listed(apq_target_names(), h->target)) {
        options.target = h->target;
    } else if (options.target == NULL) {
        apq_note(progress,
                 "target %s is not built in: give --target to ask "
                 "it again",
                 h->target);
    }
    if (options.space == NULL && is_listed(apq_space_names(), h->space)) {
        options.space = h->space;
    }
    apq_status st = APQ_OK;
    if (o->networks > 0 && (options.target == NULL || options.space == NULL)) {
        st = APQ_ERROR(APQ_ERR_ARG, "--networks needs --target and --space");
    }
    if (st == APQ_OK) { /* may take long */
        st = apq_app_lut_check(&options, progress, &out->rows);
    }
    if (st == APQ_OK && o->networks > 0) {
        st = check_networks(o, &options, progress, out);
    }
    apq_lut_destroy(lut);
    return st;
}

static int run(const apq_command *self, int argc, char **argv) {
    check_options o = {.rows = DEFAULT_ROWS};
    int code = apq_cli_parse(self, argc, argv, &o);
    if (code >= 0) {
        return code;
    }
    if (o.common.n_words == 0) {
        (void)APQ_ERROR(APQ_ERR_ARG, "the table to check is missing");
        return apq_cli_usage(self);
    }
    check_report *report = calloc(1, sizeof *report);
    if (report == NULL) {
        return apq_cli_exit(APQ_ERROR(APQ_ERR_NOMEM, "check: out of memory"));
    }
    apq_cli_progress progress;
    apq_cli_progress_init(&progress, o.common.quiet);
    apq_status st = check(&o, &progress.base, report);
    apq_cli_progress_end(&progress);
    code = apq_cli_exit(st);
    if (st == APQ_OK) {
        if (o.common.json) {
            apq_cli_print_json(report_json(report), false);
        } else {
            print_report(report);
        }
        const size_t *counts = report->rows.counts;
        code = counts[APQ_LUT_DISAGREES] + counts[APQ_LUT_MISSING] > 0
                   ? APQ_EXIT_VERIFICATION
                   : APQ_EXIT_OK;
    }
    free(report);
    return code;
}

const apq_command apq_command_lut_check = {
    .name = "lut check",
    .brief = "ask a target again for rows of a table",
    .usage = "apq lut check TABLE [--target T] [--space S] [options]",
    .summary =
        "Asks the target again for rows of a table, and looks for layers of "
        "the space that\nare missing; exit 5 when rows differ beyond the "
        "spread or layers are missing. Also\ncounts neighbours where more "
        "channels or bits cost less, which is no fault: it is\nso on real "
        "hardware.",
    .examples = "  apq lut check bitfusion.jsonl --rows 0\n"
                "  apq lut check cpu.jsonl --networks 30\n"
                "  apq lut check board.jsonl --target other.jsonl --tolerance "
                "0.05\n",
    .options = check_table,
    .max_words = 1,
    .run = run,
};
