/* apq data check: layout, classes, counts and defects of a dataset. */
#include "cli/commands.h"

#include "app/json.h"
#include "app/parts.h"

#include <stdio.h>
#include <string.h>

enum { MAX_THREADS = 16 /* of apq_data_options */ };

typedef struct data_options {
    apq_common_options common;
    const char *data;
    int64_t n_val;
} data_options;

/* A name from the file system, which may hold anything, in one line. */
static const char *printable(char *name) {
    for (char *c = name; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == '\177') {
            *c = '?';
        }
    }
    return name;
}

static json_t *report_json(const apq_data_report *report) {
    json_t *classes = json_array();
    size_t n[APQ_N_SPLITS] = {0};
    for (int c = 0; c < report->n_classes; c++) {
        const apq_data_class_report *row = &report->classes[c];
        for (int s = 0; s < APQ_N_SPLITS; s++) {
            n[s] += row->n[s];
        }
        (void)json_array_append_new(
            classes,
            json_pack("{s:o, s:I, s:I, s:I}", "name", apq_json_text(row->name),
                      "train", (json_int_t)row->n[APQ_SPLIT_TRAIN], "val",
                      (json_int_t)row->n[APQ_SPLIT_VAL], "test",
                      (json_int_t)row->n[APQ_SPLIT_TEST]));
    }
    json_t *defects = json_array();
    for (size_t i = 0; i < report->n_defects; i++) {
        (void)json_array_append_new(
            defects, json_pack("{s:o, s:o}", "path",
                               apq_json_text(report->defects[i].path), "reason",
                               apq_json_text(report->defects[i].reason)));
    }
    const char *example = report->duplicate_example;
    return json_pack(
        "{s:s, s:i, s:{s:I, s:I, s:I}, s:o, s:o, s:I, s:o, s:{s:[i,i], "
        "s:[i,i]}, s:b, s:b, s:s}",
        "layout", report->layout, "n_classes", report->n_classes, "counts",
        "train", (json_int_t)n[APQ_SPLIT_TRAIN], "val",
        (json_int_t)n[APQ_SPLIT_VAL], "test", (json_int_t)n[APQ_SPLIT_TEST],
        "classes", classes, "defects", defects, "duplicates",
        (json_int_t)report->n_duplicates, "duplicate_example",
        example == NULL ? json_null() : apq_json_text(example), "size", "width",
        report->min_width, report->max_width, "height", report->min_height,
        report->max_height, "test_carved", report->test_carved,
        "val_folder_as_test", report->val_folder_as_test, "hash", report->hash);
}

static void print_report(const apq_data_report *report) {
    printf("layout   %s\nclasses  %d\n", report->layout, report->n_classes);
    printf("images   %dx%d to %dx%d pixels\n\n", report->min_width,
           report->min_height, report->max_width, report->max_height);
    printf("%-28s %8s %8s %8s\n", "class", "train", "val", "test");
    for (int c = 0; c < report->n_classes; c++) {
        const apq_data_class_report *row = &report->classes[c];
        printf("%-28s %8zu %8zu %8zu\n", printable(row->name),
               row->n[APQ_SPLIT_TRAIN], row->n[APQ_SPLIT_VAL],
               row->n[APQ_SPLIT_TEST]);
    }
    if (report->test_carved) {
        printf("\nno test images: 10 %% of the training images serve\n");
    }
    if (report->val_folder_as_test) {
        printf("\nthe folder val/ serves as the test split\n");
    }
    if (report->n_duplicates > 0) {
        printf("\n%zu test images are also training or validation images, "
               "e.g. %s\n",
               report->n_duplicates, printable(report->duplicate_example));
    }
    printf("\n%zu defect%s\n", report->n_defects,
           report->n_defects == 1 ? "" : "s");
    for (size_t i = 0; i < report->n_defects; i++) {
        printf("  %s: %s\n", printable(report->defects[i].path),
               report->defects[i].reason);
    }
}

#define AT(member) offsetof(data_options, member)
static const apq_option table[] = {
    {.name = "data",
     .type = APQ_OPTION_TEXT,
     .argument = "PATH",
     .help = "folder, archive or builtin: name (apq list datasets)",
     .offset = AT(data),
     .is_required = true},
    {.name = "n-val",
     .type = APQ_OPTION_COUNT,
     .argument = "N",
     .help = "validation images; -1 chooses",
     .offset = AT(n_val),
     .low = -1,
     .high = 1e9},
    {.name = NULL},
};

static int run(const apq_command *self, int argc, char **argv) {
    data_options options = {.n_val = -1};
    int code = apq_cli_parse(self, argc, argv, &options);
    if (code >= 0) {
        return code;
    }
    if (options.common.n_words != 1 ||
        strcmp(options.common.words[0], "check") != 0) {
        (void)APQ_ERROR(APQ_ERR_ARG, "data what? only check is known");
        return apq_cli_usage(self);
    }
    apq_cli_progress progress;
    apq_cli_progress_init(&progress, options.common.quiet);
    apq_data_options open_options = APQ_DATA_OPTIONS_INIT;
    open_options.n_val = options.n_val;
    int threads = options.common.threads;
    open_options.n_threads = threads < MAX_THREADS ? threads : MAX_THREADS;
    open_options.progress = &progress.base;
    if (options.common.has_seed) {
        open_options.split_seed = options.common.seed;
    }
    apq_data_report *report = NULL;
    apq_status st = apq_data_check(options.data, &open_options, &report);
    apq_cli_progress_end(&progress);
    if (st != APQ_OK) {
        return apq_cli_exit(st);
    }
    bool is_sound = report->n_defects == 0;
    if (options.common.json) {
        apq_cli_print_json(report_json(report), false);
    } else {
        print_report(report);
    }
    apq_data_report_destroy(report);
    return is_sound ? APQ_EXIT_OK : APQ_EXIT_INPUT;
}

static const char *const verbs[] = {"check", NULL};

const apq_command apq_command_data = {
    .name = "data",
    .brief = "check a dataset",
    .usage = "apq data check --data PATH [--n-val N] [options]",
    .summary = "Reads every image of a dataset and reports what is wrong.",
    .examples = "  apq data check --data data/cifar10\n"
                "  apq data check --data 'builtin:shapes?train=600' --json\n",
    .options = table,
    .max_words = 1,
    .words = verbs,
    .run = run,
};
