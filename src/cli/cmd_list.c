/* apq list: what the names on the command line may be. */
#include "cli/command.h"

#include "app/app.h"
#include "app/parts.h"

#include <stdio.h>
#include <string.h>

typedef struct list_options {
    apq_common_options common;
} list_options;

static void add(json_t *rows, const char *name, const char *summary) {
    (void)json_array_append_new(
        rows, json_pack("{s:s, s:s}", "name", name, "summary", summary));
}

static void list_spaces(json_t *rows) {
    for (const char *const *name = apq_space_names(); *name != NULL; name++) {
        apq_space space;
        char summary[160] = "cannot be read";
        if (apq_space_load(*name, &space) == APQ_OK) {
            (void)snprintf(summary, sizeof summary,
                           "%d blocks, %dx%d, %d classes, 10^%.1f networks",
                           space.n_blocks, space.resolution, space.resolution,
                           space.n_classes, apq_space_log10_size(&space));
        }
        add(rows, *name, summary);
    }
}

static void list_targets(json_t *rows) {
    for (const char *const *name = apq_target_names(); *name != NULL; name++) {
        apq_target *target = NULL;
        bool is_ready = apq_target_load(*name, &target) == APQ_OK;
        apq_target_destroy(target);
        add(rows, *name, is_ready ? "ready" : "cannot be read");
    }
}

static void list_strategies(json_t *rows) {
    const char *const *names = apq_strategy_names();
    for (; *names != NULL; names++) {
        add(rows, *names, apq_strategy_summary(*names));
    }
}

static void list_datasets(json_t *rows) {
    static const char *const layouts[][2] = {
        {"DIR (train/CLASS/NAME.jpg)", "image folder of JPEG or PNG"},
        {"DIR (data_batch_1.bin)", "CIFAR-10, binary version"},
        {"DIR (train.bin, test.bin)", "CIFAR-100, binary version"},
        {"DIR (train-images-idx3-ubyte)", "IDX, plain or .gz (MNIST)"},
        {"FILE.tar, .tar.gz, .tar.zst", "archive of an image folder"},
        {"builtin:shapes?train=2000&test=500&size=32&seed=1",
         "drawn images, no files needed"},
    };
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        add(rows, layouts[i][0], layouts[i][1]);
    }
}

static void list_backends(json_t *rows) {
    for (const apq_backend *const *b = apq_backend_list(); *b != NULL; b++) {
        char summary[160];
        (void)snprintf(summary, sizeof summary, "%s%s", (*b)->summary,
                       (*b)->is_available() ? "" : " (not on this machine)");
        add(rows, (*b)->name, summary);
    }
}

static const struct {
    const char *name;
    void (*fill)(json_t *rows);
} kinds[] = {
    {"spaces", list_spaces},         {"targets", list_targets},
    {"strategies", list_strategies}, {"datasets", list_datasets},
    {"backends", list_backends},
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

static void print_rows(const json_t *rows) {
    size_t i;
    const json_t *row;
    size_t width = 0;
    json_array_foreach(rows, i, row) {
        size_t n = strlen(json_string_value(json_object_get(row, "name")));
        width = n > width ? n : width;
    }
    json_array_foreach(rows, i, row) {
        printf("%-*s  %s\n", (int)width,
               json_string_value(json_object_get(row, "name")),
               json_string_value(json_object_get(row, "summary")));
    }
}

static const apq_command_help help = {
    .usage = "apq list spaces|targets|strategies|datasets|backends",
    .summary = "The names that other commands take.",
    .examples = "  apq list spaces\n  apq list targets --json\n",
};
static const apq_option table[] = {{.name = NULL}};

int apq_cmd_list(int argc, char **argv) {
    list_options options = {.common = {0}};
    int code = apq_cli_parse(&help, table, argc, argv, 1, &options);
    if (code >= 0) {
        return code;
    }
    for (size_t i = 0; i < N_KINDS; i++) {
        if (options.common.n_words == 1 &&
            strcmp(kinds[i].name, options.common.words[0]) == 0) {
            json_t *rows = json_array();
            kinds[i].fill(rows);
            if (options.common.json) {
                apq_cli_print_json(rows, false);
            } else {
                print_rows(rows);
                json_decref(rows);
            }
            return APQ_EXIT_OK;
        }
    }
    (void)APQ_ERROR(APQ_ERR_ARG,
                    "list what? one of spaces, targets, strategies, "
                    "datasets, backends");
    return apq_cli_usage("list");
}
