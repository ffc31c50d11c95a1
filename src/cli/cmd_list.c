/* apq list: what the names on the command line may be. */
#include "cli/commands.h"

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

/* Ascending list of the bits in a set. */
static json_t *bits_json(const bool bits[APQ_CAPABILITY_MAX_BITS + 1]) {
    json_t *list = json_array();
    for (int b = 0; b <= APQ_CAPABILITY_MAX_BITS; b++) {
        if (bits[b]) {
            (void)json_array_append_new(list, json_integer(b));
        }
    }
    return list;
}

/* As in target files; null where the target's model alone decides, those of its
 * rows where it is a table. */
static json_t *capabilities_json(const apq_capability *c) {
    if (!c->is_given) {
        return json_null();
    }
    json_t *operators = json_object();
    for (int kind = 0; kind < APQ_IR_N_KINDS; kind++) {
        json_t *list = json_array();
        for (size_t i = 0; i < c->n_rows[kind]; i++) {
            const apq_capability_row *row = &c->rows[kind][i];
            json_t *object = json_pack("{s:o, s:o}", "weight_bits",
                                       bits_json(row->weight_bits), "act_bits",
                                       bits_json(row->act_bits));
            if (row->weight_container_bits != 0) {
                (void)json_object_set_new(object, "container_bits",
                                          json_pack("[i, i]",
                                                    row->weight_container_bits,
                                                    row->act_container_bits));
            }
            (void)json_array_append_new(list, object);
        }
        (void)json_object_set_new(operators,
                                  apq_ir_kind_name((apq_ir_kind)kind), list);
    }
    return operators;
}

static json_t *table_json(const char *name, const apq_lut *lut) {
    const apq_lut_header *h = apq_lut_header_of(lut);
    char summary[256];
    apq_capability bits;
    apq_lut_bits(lut, &bits);
    (void)snprintf(summary, sizeof summary,
                   "table of %zu layers of space %s, %s", apq_lut_n_rows(lut),
                   h->space, h->date);
    return json_pack("{s:s, s:s, s:o}", "name", name, "summary", summary,
                     "capabilities", capabilities_json(&bits));
}

static json_t *target_json(const char *name, const apq_target *target) {
    const apq_lut *lut = apq_target_table_of(target);
    if (lut != NULL) {
        return table_json(name, lut);
    }
    return json_pack("{s:s, s:s, s:o}", "name", name, "summary",
                     apq_target_measured(target) == NULL
                         ? "computed"
                         : "measured; needs a table: apq lut build",
                     "capabilities",
                     capabilities_json(apq_target_capability(target)));
}

static void list_targets(json_t *rows) {
    for (const char *const *name = apq_target_names(); *name != NULL; name++) {
        apq_target *target = NULL;
        if (apq_target_load(*name, &target) == APQ_OK) {
            (void)json_array_append_new(rows, target_json(*name, target));
        } else {
            add(rows, *name, "cannot be read");
        }
        apq_target_destroy(target);
    }
}

/* [4, 6, 8] -> "4 6 8" */
static void print_numbers(const char *before, const json_t *list) {
    printf("%s", before);
    size_t i;
    const json_t *number;
    json_array_foreach(list, i, number) {
        printf("%s%" JSON_INTEGER_FORMAT, i > 0 ? " " : "",
               json_integer_value(number));
    }
}

static void print_target(const json_t *target) {
    printf("%s: %s\n", json_string_value(json_object_get(target, "name")),
           json_string_value(json_object_get(target, "summary")));
    for (int kind = 0; kind < APQ_IR_N_KINDS; kind++) {
        const char *name = apq_ir_kind_name((apq_ir_kind)kind);
        const json_t *rows =
            json_object_get(json_object_get(target, "capabilities"), name);
        if (json_array_size(rows) == 0) {
            printf("  %-9s  %s\n", name,
                   rows == NULL ? "as its model decides" : "none");
        }
        size_t i;
        const json_t *row;
        json_array_foreach(rows, i, row) {
            printf("  %-9s", i == 0 ? name : "");
            print_numbers("  weights ", json_object_get(row, "weight_bits"));
            print_numbers(", activations ", json_object_get(row, "act_bits"));
            const json_t *container = json_object_get(row, "container_bits");
            if (container != NULL) {
                print_numbers(", executed as ", container);
            }
            printf("\n");
        }
    }
}

/* One target, also one in a file. */
static int list_target(const char *name, bool is_json) {
    apq_target *target = NULL;
    apq_status st = apq_target_load(name, &target);
    if (st == APQ_OK) {
        json_t *object = target_json(apq_target_name(target), target);
        if (is_json) {
            apq_cli_print_json(object, false);
        } else {
            print_target(object);
            json_decref(object);
        }
    }
    apq_target_destroy(target);
    return apq_cli_exit(st);
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

static const char *const kinds[] = {"spaces",   "targets",  "strategies",
                                    "datasets", "backends", NULL};
static void (*const fill[])(json_t *rows) = {
    list_spaces, list_targets, list_strategies, list_datasets, list_backends};
enum { N_KINDS = sizeof fill / sizeof fill[0] };

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

static int run(const apq_command *self, int argc, char **argv) {
    list_options options = {.common = {0}};
    int code = apq_cli_parse(self, argc, argv, &options);
    if (code >= 0) {
        return code;
    }
    if (options.common.n_words == 2 &&
        strcmp(options.common.words[0], "targets") == 0) {
        return list_target(options.common.words[1], options.common.json);
    }
    for (size_t i = 0; i < N_KINDS; i++) {
        if (options.common.n_words == 1 &&
            strcmp(kinds[i], options.common.words[0]) == 0) {
            json_t *rows = json_array();
            fill[i](rows);
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
    return apq_cli_usage(self);
}

const apq_command apq_command_list = {
    .name = "list",
    .brief = "spaces, targets, strategies, datasets, backends",
    .usage = "apq list spaces|targets [TARGET]|strategies|datasets|backends",
    .summary = "The names that other commands take; of one target, which bits "
               "each operator\nexecutes, of a table those that its rows have.",
    .examples = "  apq list spaces\n  apq list targets --json\n"
                "  apq list targets bitfusion\n"
                "  apq list targets board.jsonl\n",
    .options = apq_no_options,
    .max_words = 2,
    .words = kinds,
    .run = run,
};
