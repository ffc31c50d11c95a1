/* What commands share: exit codes, JSON output, reading policies, recipes. */
#include "cli/command.h"

#include "app/network_file.h"
#include "app/run_space.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int exit_code(apq_status st) {
    switch (st) {
    case APQ_OK:
        return APQ_EXIT_OK;
    case APQ_ERR_ARG:
    case APQ_ERR_FORMAT:
    case APQ_ERR_IO:
        return APQ_EXIT_INPUT;
    case APQ_ERR_INFEASIBLE:
        return APQ_EXIT_INFEASIBLE;
    case APQ_ERR_MISMATCH:
        return APQ_EXIT_MISMATCH;
    case APQ_ERR_INTERRUPTED:
        return APQ_EXIT_INTERRUPTED;
    case APQ_ERR_NOMEM:
    case APQ_ERR_UNSUPPORTED:
    case APQ_ERR_EXTERNAL:
    case APQ_ERR_NUMERIC:
    case APQ_ERR_WRITE: /* not the input's fault */
        break;
    }
    return APQ_EXIT_FAILURE;
}

int apq_cli_exit(apq_status st) {
    if (st != APQ_OK) {
        const char *message = apq_error_message();
        (void)fflush(stdout);
        (void)fprintf(stderr, "apq: %s\n",
                      message[0] != '\0' ? message : apq_status_text(st));
    }
    return exit_code(st);
}

int apq_cli_usage(const apq_command *self) {
    (void)fprintf(stderr, "apq %s: %s (see apq %s --help)\n", self->name,
                  apq_error_message(), self->name);
    return APQ_EXIT_USAGE;
}

static void print_help(const apq_command *self) {
    printf("Examples:\n%s\n%s\n\nUsage: %s\n", self->examples, self->summary,
           self->usage);
    if (self->parts != NULL) {
        printf("\nCommands:\n");
        for (const apq_command *const *p = self->parts; *p != NULL; p++) {
            printf("  %-22s %s\n", (*p)->name, (*p)->brief);
        }
    }
    if (self->options->name != NULL) {
        printf("\nOptions:\n");
        apq_options_print(self->options);
    }
    printf("\nCommon options:\n");
    apq_options_print(apq_common_table);
}

int apq_cli_parse(const apq_command *self, int argc, char **argv,
                  void *target) {
    if (apq_options_parse(self->options, argc, argv, 1, self->max_words,
                          target) != APQ_OK) {
        return apq_cli_usage(self);
    }
    if (((const apq_common_options *)target)->help) {
        print_help(self);
        return APQ_EXIT_OK;
    }
    /* A mistyped one would only be found by what it lacks. */
    const char *run = ((const apq_common_options *)target)->run;
    if (run != NULL && !self->makes_run && !self->finds_run) {
        int code = apq_cli_exit(apq_rundir_check_folder(run));
        return code == APQ_EXIT_OK ? -1 : code;
    }
    return -1;
}

/* "lut build" -> "build" */
static const char *part_word(const apq_command *part) {
    const char *space = strrchr(part->name, ' ');
    return space == NULL ? part->name : space + 1;
}

int apq_cli_run(const apq_command *command, int argc, char **argv) {
    const apq_command *const *p = command->parts;
    for (; argc > 1 && p != NULL && *p != NULL; p++) {
        if (strcmp(argv[1], part_word(*p)) == 0) {
            return (*p)->run(*p, argc - 1, argv + 1);
        }
    }
    return command->run(command, argc, argv);
}

int apq_cli_name_parts(const apq_command *self, int argc, char **argv) {
    apq_common_options options = {.run = NULL};
    if (argc > 1 && argv[1][0] == '-') {
        int code = apq_cli_parse(self, argc, argv, &options);
        if (code >= 0) {
            return code;
        }
    }
    char names[128] = "";
    for (const apq_command *const *p = self->parts; *p != NULL; p++) {
        size_t used = strlen(names);
        (void)snprintf(names + used, sizeof names - used, "%s%s",
                       used == 0 ? "" : ", ", part_word(*p));
    }
    (void)APQ_ERROR(APQ_ERR_ARG, "%s what? one of %s", self->name, names);
    return apq_cli_usage(self);
}

void apq_cli_print_json(json_t *value, bool is_line) {
    size_t flags = JSON_ENCODE_ANY | JSON_REAL_PRECISION(15);
    flags |= is_line ? JSON_COMPACT : JSON_INDENT(2);
    (void)json_dumpf(value, stdout, flags);
    (void)fputc('\n', stdout);
    json_decref(value);
}

void apq_cli_print_number(int width, int digits, double value) {
    if (isfinite(value)) {
        printf(" %*.*g", width, digits, value);
    } else {
        printf(" %*s", width, "-");
    }
}

static size_t count_lines(const char *text, size_t n) {
    size_t lines = 0;
    for (size_t i = 0; i < n; i++) {
        lines += text[i] == '\n';
    }
    return lines;
}

static apq_status each_document(const char *path, char *text, size_t n,
                                apq_spec_fn *fn, void *ctx) {
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    size_t line = 1, count = 0, at = 0;
    for (;;) {
        size_t blank = strspn(text + at, " \t\r\n");
        line += count_lines(text + at, blank);
        at += blank;
        if (at >= n) {
            break;
        }
        json_error_t error;
        json_t *value =
            json_loadb(text + at, n - at,
                       JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, &error);
        if (value == NULL) {
            APQ_FAIL(APQ_ERR_FORMAT, "%s:%zu: not JSON: %s", name,
                     line + (size_t)(error.line > 0 ? error.line - 1 : 0),
                     error.text);
        }
        json_decref(value);
        size_t used = (size_t)error.position;
        char where[APQ_PATH_MAX + 32];
        (void)snprintf(where, sizeof where, "%s:%zu", name, line);
        char after = text[at + used];
        text[at + used] = '\0';
        apq_status st = fn(text + at, where, count++, ctx);
        text[at + used] = after;
        APQ_TRY(st);
        line += count_lines(text + at, used);
        at += used;
    }
    if (count == 0) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: no policy in it", name);
    }
    return APQ_OK;
}

apq_status apq_cli_each_document(const char *path, apq_spec_fn *fn, void *ctx) {
    char *text = NULL;
    size_t n = 0;
    APQ_TRY(apq_file_read(path, &text, &n));
    apq_status st = each_document(path, text, n, fn, ctx);
    free(text);
    return st;
}

typedef struct spec_callback {
    apq_spec_fn *fn;
    void *ctx;
} spec_callback;

/* Rows that carry their policy beside other members, as best.json does. */
static apq_status unwrap(const char *text, const char *where, size_t i,
                         void *ctx) {
    static const char *const keys[] = {"policy", "spec"};
    const spec_callback *self = ctx;
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    char *inner = NULL;
    for (size_t k = 0; inner == NULL && k < sizeof keys / sizeof keys[0]; k++) {
        inner = json_dumps(json_object_get(value, keys[k]), JSON_ENCODE_ANY);
    }
    json_decref(value);
    apq_status st = self->fn(inner != NULL ? inner : text, where, i, self->ctx);
    free(inner);
    return st;
}

apq_status apq_cli_each_spec(const char *path, apq_spec_fn *fn, void *ctx) {
    spec_callback self = {.fn = fn, .ctx = ctx};
    return apq_cli_each_document(path, unwrap, &self);
}

apq_status apq_cli_policy(const apq_space *space, const char *text,
                          const char *where, apq_policy *out) {
    apq_status st = apq_policy_from_json(space, text, where, out);
    return st == APQ_ERR_MISMATCH ? APQ_ERR_FORMAT : st;
}

/* The run's run.json; an empty path without one. */
static apq_status find_run_json(const apq_common_options *common,
                                char out[APQ_PATH_MAX]) {
    out[0] = '\0';
    if (common->run == NULL) {
        return APQ_OK;
    }
    APQ_TRY(apq_path_join(out, common->run, "run.json"));
    if (!apq_file_exists(out)) {
        out[0] = '\0';
    }
    return APQ_OK;
}

static apq_status load_run_json(const apq_common_options *common,
                                const char *path, apq_recipe *out) {
    APQ_TRY(apq_recipe_load(path, out));
    return apq_run_space_find(common->run, out->space);
}

apq_status apq_cli_run_recipe(const apq_common_options *common,
                              apq_recipe *out) {
    char path[APQ_PATH_MAX];
    if (common->run != NULL) {
        APQ_TRY(apq_rundir_need(common->run, "run.json", path));
    }
    return apq_cli_recipe(common, NULL, out);
}

apq_status apq_cli_open_space(const apq_common_options *common,
                              const char *given, apq_space *out) {
    apq_recipe recipe;
    APQ_TRY(apq_cli_run_recipe(common, &recipe));
    return apq_run_space_load(given != NULL ? given : recipe.space, common->run,
                              out);
}

apq_status apq_cli_run_space(const apq_common_options *common,
                             const char *given, apq_recipe *recipe,
                             const char **out) {
    char path[APQ_PATH_MAX];
    *out = given;
    APQ_TRY(find_run_json(common, path));
    if (given == NULL && path[0] != '\0') {
        APQ_TRY(load_run_json(common, path, recipe));
        *out = recipe->space;
    }
    return APQ_OK;
}

apq_status apq_cli_recipe(const apq_common_options *common, const char *path,
                          apq_recipe *out) {
    char run_json[APQ_PATH_MAX];
    apq_recipe_default(out);
    APQ_TRY(find_run_json(common, run_json));
    if (path != NULL) {
        APQ_TRY(apq_recipe_load(path, out));
    } else if (run_json[0] != '\0') {
        APQ_TRY(load_run_json(common, run_json, out));
    }
    if (common->has_seed) {
        out->seed = common->seed;
    }
    if (common->has_threads) {
        out->threads = common->threads;
    }
    return APQ_OK;
}

void apq_cli_note_stale(const apq_recipe *recipe, const char *run,
                        const char *model) {
    if (run != NULL && model == NULL &&
        apq_network_file_is_stale(recipe, run)) {
        (void)fprintf(stderr,
                      "%s/network.safetensors: of an earlier search than "
                      "%s/best.json, whose network `apq finetune --run %s` "
                      "makes\n",
                      run, run, run);
    }
}
