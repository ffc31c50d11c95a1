/* apq lut: tables of layer costs: built from a target, or brought in from and
 * sent out to other formats. */
#include "cli/commands.h"

#include "app/json.h"
#include "app/lut.h"
#include "app/parts.h"
#include "base/log.h"

#include <apq/apq.h>

#include <stdio.h>
#include <string.h>

typedef struct lut_options {
    apq_common_options common;
    const char *space, *target, *out, *format;
    int width_step;
    double save_s;
    bool all_layers;
} lut_options;

#define AT(member) offsetof(lut_options, member)
#define OUT_ROW                                                                \
    {                                                                          \
        .name = "out", .type = APQ_OPTION_TEXT, .argument = "FILE",            \
        .help = "the file to write; -o is short for it", .offset = AT(out),    \
        .is_required = true                                                    \
    }

static const apq_option build_table[] = {
    APQ_ROW_SPACE(AT(space)),
    APQ_ROW_TARGET(AT(target)),
    {.name = "width-step",
     .type = APQ_OPTION_INT,
     .argument = "N",
     .help = "channels between widths asked for; else all",
     .offset = AT(width_step),
     .low = 1,
     .high = 4096},
    {.name = "save-every",
     .type = APQ_OPTION_REAL,
     .argument = "S",
     .help = "seconds between writes of FILE.part; else 3",
     .offset = AT(save_s),
     .low = 0,
     .high = 1e6},
    {.name = "all-layers",
     .type = APQ_OPTION_FLAG,
     .help = "also layers that the space does not price",
     .offset = AT(all_layers)},
    OUT_ROW,
    {.name = NULL},
};

static const char *const import_formats[] = {"apq-dict", NULL};
static const apq_option import_table[] = {
    {.name = "format",
     .type = APQ_OPTION_CHOICE,
     .argument = "FORMAT",
     .help = "of the file read",
     .offset = AT(format),
     .choices = import_formats},
    {.name = "space",
     .type = APQ_OPTION_TEXT,
     .argument = "SPACE",
     .help = "the space it is of; else the run's, else imagenet-apq",
     .offset = AT(space)},
    {.name = "target",
     .type = APQ_OPTION_TEXT,
     .argument = "NAME",
     .help = "the target it is of; else bitfusion",
     .offset = AT(target)},
    OUT_ROW,
    {.name = NULL},
};

static const char *const export_formats[] = {"apq-dict", "csv", NULL};
static const apq_option export_table[] = {
    {.name = "format",
     .type = APQ_OPTION_CHOICE,
     .argument = "FORMAT",
     .help = "of the file written",
     .offset = AT(format),
     .choices = export_formats,
     .is_required = true},
    OUT_ROW,
    {.name = NULL},
};

static json_t *error_json(const apq_lut_error *e) {
    return json_pack("{s:I, s:o, s:o, s:o}", "layers", (json_int_t)e->n,
                     "median", apq_json_number(e->median), "p95",
                     apq_json_number(e->p95), "max", apq_json_number(e->max));
}

static void print_error(const char *before, const char *between,
                        const apq_lut_error *e) {
    if (e->n > 0) {
        printf("%s of %zu layers%s by %.2f %% (median), %.2f %% (p95), %.2f %% "
               "(max)\n",
               before, e->n, between, 100 * e->median, 100 * e->p95,
               100 * e->max);
    }
}

/* What was measured is not asked for again: rows are guessed in the place of
 * the widths left out, of which there may be none. */
static void print_errors(const apq_lut_build_report *r) {
    if (!r->is_measured) {
        print_error("interpolated latency", " is off", &r->latency_error);
        print_error("interpolated energy", " is off", &r->energy_error);
        return;
    }
    if (r->latency_error.n > 0) {
        printf("%zu layers of the space are interpolated; rows guessed from "
               "their neighbours would be off:\n",
               r->n_interpolated);
    }
    print_error("  latency", "", &r->latency_error);
    print_error("  energy", "", &r->energy_error);
}

static void print_build(const lut_options *o, const apq_lut_build_report *r) {
    if (o->common.json) {
        apq_cli_print_json(
            json_pack("{s:o, s:I, s:I, s:I, s:b, s:f, s:{s:o, s:o}}", "table",
                      apq_json_text(o->out), "rows", (json_int_t)r->n_rows,
                      "unsupported", (json_int_t)r->n_unsupported, "resumed",
                      (json_int_t)r->n_resumed, "built_before",
                      (int)r->is_built_before, "seconds", r->seconds,
                      "interpolation", "latency_ms",
                      error_json(&r->latency_error), "energy_mj",
                      error_json(&r->energy_error)),
            false);
        return;
    }
    printf("%s: %s%zu layers, %zu of them not executed by the target, %.2f s\n",
           o->out, r->is_built_before ? "built before, " : "", r->n_rows,
           r->n_unsupported, r->seconds);
    print_errors(r);
}

static apq_status ask_target(const lut_options *o, const apq_progress *progress,
                             apq_lut_build_report *out) {
    char date[APQ_UTC_MAX];
    apq_recipe recipe;
    apq_utc_now(date);
    APQ_TRY(apq_cli_run_recipe(&o->common, &recipe));
    const apq_lut_build_options options = {
        .space = o->space != NULL ? o->space : recipe.space,
        .target = o->target != NULL ? o->target : recipe.target,
        .run_dir = o->common.run,
        .path = o->out,
        .date = date,
        .width_step = o->width_step,
        .save_s = o->save_s,
        .all_layers = o->all_layers || recipe.search.all_layers};
    return apq_app_lut_build(&options, progress, out);
}

static int build(const apq_command *self, int argc, char **argv) {
    lut_options o = {.save_s = 3};
    int code = apq_cli_parse(self, argc, argv, &o);
    if (code >= 0) {
        return code;
    }
    apq_cli_progress progress;
    apq_cli_progress_init(&progress, o.common.quiet);
    apq_lut_build_report report;
    apq_status st = ask_target(&o, &progress.base, &report);
    apq_cli_progress_end(&progress);
    if (st == APQ_OK) {
        print_build(&o, &report);
    }
    return apq_cli_exit(st);
}

static apq_status import_file(const lut_options *o, apq_lut **out) {
    apq_space space;
    apq_recipe recipe;
    apq_lut_header header = {.batch = 1, .is_complete = true};
    const char *name;
    APQ_TRY(apq_cli_run_space(&o->common, o->space, &recipe, &name));
    APQ_TRY(apq_space_load(name != NULL ? name : "imagenet-apq", &space));
    if (strlen(o->target) >= sizeof header.target) {
        APQ_FAIL(APQ_ERR_ARG, "target name of %zu bytes, at most %zu",
                 strlen(o->target), sizeof header.target - 1);
    }
    (void)snprintf(header.target, sizeof header.target, "%s", o->target);
    (void)snprintf(header.space, sizeof header.space, "%s", space.name);
    apq_space_layers_hash(&space, header.space_hash);
    (void)snprintf(header.tool_version, sizeof header.tool_version, "%s",
                   apq_version());
    apq_utc_now(header.date);
    header.width_step = space.channel_step;
    APQ_TRY(apq_dict_load(o->common.words[0], &header, out));
    return apq_lut_save(*out, o->out);
}

static int finish(const lut_options *o, apq_lut *lut, apq_status st) {
    if (st == APQ_OK && o->common.json) {
        apq_cli_print_json(json_pack("{s:o, s:I}", "file",
                                     apq_json_text(o->out), "rows",
                                     (json_int_t)apq_lut_n_rows(lut)),
                           false);
    } else if (st == APQ_OK) {
        printf("%s: %zu layers\n", o->out, apq_lut_n_rows(lut));
    }
    apq_lut_destroy(lut);
    int code = apq_cli_exit(st);
    /* A table that a format cannot hold is a fault of the input. */
    return st == APQ_ERR_UNSUPPORTED ? APQ_EXIT_INPUT : code;
}

static int need_file(const apq_command *self, const lut_options *o) {
    if (o->common.n_words == 1) {
        return -1;
    }
    (void)APQ_ERROR(APQ_ERR_ARG, "the file to read is missing");
    return apq_cli_usage(self);
}

static int import(const apq_command *self, int argc, char **argv) {
    lut_options o = {.target = "bitfusion"};
    int code = apq_cli_parse(self, argc, argv, &o);
    if (code < 0) {
        code = need_file(self, &o);
    }
    if (code >= 0) {
        return code;
    }
    apq_lut *lut = NULL;
    apq_status st = import_file(&o, &lut);
    return finish(&o, lut, st);
}

static int export(const apq_command *self, int argc, char **argv) {
    lut_options o = {.space = NULL};
    int code = apq_cli_parse(self, argc, argv, &o);
    if (code < 0) {
        code = need_file(self, &o);
    }
    if (code >= 0) {
        return code;
    }
    apq_lut *lut = NULL;
    apq_status st = apq_lut_load(o.common.words[0], &lut);
    if (st == APQ_OK) {
        st = strcmp(o.format, "csv") == 0 ? apq_lut_save_csv(lut, o.out)
                                          : apq_dict_save(lut, o.out);
    }
    return finish(&o, lut, st);
}

static const apq_command build_command = {
    .name = "lut build",
    .brief = "price every layer of a space on a target",
    .usage = "apq lut build --space S --target T -o FILE [options]",
    .summary =
        "Asks a target for every distinct layer that a policy of the space "
        "can contain\nand writes the table. Stopped or killed, it goes on "
        "from FILE.part when it is\nstarted again; a FILE that is finished "
        "is left as it is, and another one in its\nplace is refused: remove "
        "it to build anew. With --width-step fewer widths are\nasked for; the "
        "others are interpolated, and the error of that is reported. Space\n"
        "and target that are not given are those of --run, else cifar10 and "
        "bitfusion.",
    .examples = "  apq lut build --space imagenet-apq --target bitfusion -o "
                "bitfusion.jsonl\n"
                "  apq lut build --space cifar10 --target bitfusion "
                "--width-step 16 -o coarse.jsonl\n"
                "  apq search --space imagenet-apq --target bitfusion.jsonl "
                "--latency-ms 8.4\n",
    .options = build_table,
    .run = build,
};

static const apq_command import_command = {
    .name = "lut import",
    .brief = "read a table of another format",
    .usage = "apq lut import [--format apq-dict] FILE -o TABLE [options]",
    .summary = "Turns a table of the APQ authors (.dict) into one of apq. "
               "Layers that it lacks\nare interpolated over width, or refused "
               "when they are needed.",
    .examples = "  apq lut import --format apq-dict BitFusion_new.b1.dict -o "
                "authors.jsonl\n"
                "  apq cost --space imagenet-apq --target authors.jsonl "
                "--specs policies.jsonl\n",
    .options = import_table,
    .max_words = 1,
    .run = import,
};

static const apq_command export_command = {
    .name = "lut export",
    .brief = "write a table in another format",
    .usage = "apq lut export --format apq-dict|csv TABLE -o FILE",
    .summary = "Writes a table in the format of the APQ authors, or as CSV.",
    .examples = "  apq lut export --format apq-dict bitfusion.jsonl -o "
                "bitfusion.dict\n"
                "  apq lut export --format csv bitfusion.jsonl -o "
                "bitfusion.csv\n",
    .options = export_table,
    .max_words = 1,
    .run = export,
};

static const apq_command *const parts[] = {
    &build_command,  &apq_command_lut_check, &apq_command_lut_show,
    &import_command, &export_command,        NULL,
};

const apq_command apq_command_lut = {
    .name = "lut",
    .brief = "tables of layer costs",
    .usage = "apq lut build|check|show|import|export ... [options]",
    .summary =
        "Tables of layer costs. A table is a target: --target FILE.jsonl "
        "wherever a target\nis taken. build asks a target for every layer of "
        "a space, check asks again and\nlooks for what is odd or missing, "
        "show sums a table up, import and export speak\nother formats.",
    .examples =
        "  apq lut build --space imagenet-apq --target bitfusion -o t.jsonl\n"
        "  apq lut check t.jsonl\n"
        "  apq lut show t.jsonl --kind depthwise --kernel 5\n"
        "  apq lut import --format apq-dict BitFusion_new.b1.dict -o a.jsonl\n"
        "  apq lut export --format csv t.jsonl -o t.csv\n",
    .options = apq_no_options,
    .parts = parts,
    .is_parallel = true,
    .run = apq_cli_name_parts,
};
