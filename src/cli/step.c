/* The shape of every command that works in a run directory: recipe, progress,
 * one call of the application, a short result. */
#include "cli/step.h"

#include "cli/team.h"

#include "app/app.h"
#include "app/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const dtypes[] = {"float32", "bfloat16", NULL};
static const char *const bit_modes[] = {"float", "shared", NULL};
const apq_option apq_step_table[] = {APQ_STEP_TABLE, {.name = NULL}};
const apq_option apq_train_table[] = {
    APQ_STEP_TABLE,
    {.name = "dtype",
     .type = APQ_OPTION_TEXT,
     .argument = "TYPE",
     .help = "train.dtype, supernet training",
     .offset = APQ_STEP_AT(dtype),
     .choices = dtypes},
    {.name = "bits",
     .type = APQ_OPTION_TEXT,
     .argument = "MODE",
     .help = "train.bits, supernet training",
     .offset = APQ_STEP_AT(bits),
     .choices = bit_modes},
    {.name = NULL},
};

static apq_status apply_word(apq_recipe *recipe, const char *word) {
    char path[64];
    size_t n = strcspn(word, "=");
    if (n >= sizeof path) {
        APQ_FAIL(APQ_ERR_ARG, "recipe has no \"%.60s...\"", word);
    }
    (void)snprintf(path, sizeof path, "%.*s", (int)n, word);
    return apq_recipe_set(recipe, path, word + n + 1);
}

static apq_status set_if(apq_recipe *recipe, const char *path,
                         const char *value) {
    return value == NULL ? APQ_OK : apq_recipe_set(recipe, path, value);
}

apq_status apq_step_recipe(const apq_step_options *options, int first_word,
                           apq_recipe *out) {
    const apq_common_options *common = &options->common;
    const char *file = options->recipe;
    for (int i = first_word; i < common->n_words; i++) {
        if (strchr(common->words[i], '=') == NULL) {
            if (file != NULL) {
                APQ_FAIL(APQ_ERR_ARG, "two recipes: %s and %s", file,
                         common->words[i]);
            }
            file = common->words[i];
        }
    }
    APQ_TRY(apq_cli_recipe(common, file, out));
    for (int i = first_word; i < common->n_words; i++) {
        if (strchr(common->words[i], '=') != NULL) {
            APQ_TRY(apply_word(out, common->words[i]));
        }
    }
    APQ_TRY(set_if(out, "space", options->space));
    APQ_TRY(set_if(out, "target", options->target));
    APQ_TRY(set_if(out, "data", options->data));
    APQ_TRY(set_if(out, "backend", options->backend));
    APQ_TRY(set_if(out, "train.dtype", options->dtype));
    return set_if(out, "train.bits", options->bits);
}

/* DIR/NAME.json as the member NAME. */
static apq_status add_content(const char *run, const char *name,
                              json_t *document) {
    char file[64], path[APQ_PATH_MAX];
    (void)snprintf(file, sizeof file, "%s.json", name);
    APQ_TRY(apq_path_join(path, run, file));
    json_t *content = json_load_file(path, 0, NULL);
    (void)json_object_set_new(document, name,
                              content == NULL ? json_null() : content);
    return APQ_OK;
}

/* One of the two functions, and what it leaves. */
typedef struct step {
    const apq_command *command;
    apq_step_fn *fn;
    apq_team_step_fn *team_fn;
    apq_comm *comm;
    const char *result_file;
    const char *content; /* of the JSON document: NAME of NAME.json, or NULL */
} step;

static apq_status print_result(const step *self,
                               const apq_step_options *options,
                               double seconds) {
    const char *run = options->common.run;
    char path[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(path, run, self->result_file));
    if (!options->common.json) {
        printf("%s: done in %.1f s, %s\n", self->command->name, seconds, path);
        return APQ_OK;
    }
    json_t *document =
        json_pack("{s:o, s:o, s:f}", "run", apq_json_text(run), "result",
                  apq_json_text(path), "seconds", seconds);
    apq_status st = self->content == NULL
                        ? APQ_OK
                        : add_content(run, self->content, document);
    apq_cli_print_json(document, false);
    return st;
}

static void print_line(void *ctx, const char *line) {
    apq_cli_progress_end(ctx);
    printf("%s\n", line);
    (void)fflush(stdout); /* the next step may take hours */
}

static apq_status call(const step *self, const apq_recipe *recipe,
                       const apq_step_options *options,
                       apq_cli_progress *progress) {
    const char *run_dir = options->common.run;
    if (self->fn == NULL) {
        return self->team_fn(recipe, run_dir, self->comm, &progress->base);
    }
    /* The JSON document has it all. */
    const apq_progress results = {
        .ctx = progress, .note = options->common.json ? NULL : print_line};
    return self->fn(recipe, run_dir, &progress->base, &results);
}

static int run_step(const step *self, int argc, char **argv) {
    apq_step_options options = {.recipe = NULL};
    int code = apq_cli_parse(self->command, argc, argv, &options);
    if (code >= 0) {
        return code;
    }
    if (options.common.run == NULL) {
        (void)APQ_ERROR(APQ_ERR_ARG, "--run DIR is required");
        return apq_cli_usage(self->command);
    }
    apq_cli_progress progress;
    apq_cli_progress_init(&progress, options.common.quiet);
    apq_recipe recipe;
    double start_s = apq_now_s();
    apq_status st = self->command->finds_run
                        ? apq_rundir_check_folder(options.common.run)
                        : APQ_OK;
    st = st == APQ_OK ? apq_step_recipe(&options, 0, &recipe) : st;
    st = st == APQ_OK ? apq_recipe_check_search(&recipe, NULL) : st;
    st = apq_comm_agree(self->comm, st);
    if (st == APQ_OK) {
        st = call(self, &recipe, &options, &progress);
    }
    apq_cli_progress_end(&progress);
    if (apq_comm_rank(self->comm) > 0) {
        return apq_cli_exit(st);
    }
    /* After the step: a refused recipe must not replace the run's own. */
    if (st == APQ_OK || st == APQ_ERR_INTERRUPTED) {
        const char *name = self->command->name;
        bool has_trained_with =
            strcmp(name, "train") == 0 || strcmp(name, "run") == 0;
        apq_status kept = apq_app_keep_recipe(&recipe, options.common.run,
                                              has_trained_with, &progress.base);
        st = st == APQ_OK ? kept : st;
    }
    if (st == APQ_OK) {
        st = print_result(self, &options, apq_now_s() - start_s);
    }
    return apq_cli_exit(st);
}

int apq_step_command(const apq_command *self, int argc, char **argv,
                     apq_step_fn *fn, const char *result_file,
                     const char *content) {
    const step one = {.command = self,
                      .fn = fn,
                      .result_file = result_file,
                      .content = content};
    return run_step(&one, argc, argv);
}

int apq_step_team_command(const apq_command *self, int argc, char **argv,
                          apq_team_step_fn *fn, const char *result_file) {
    apq_cli_team team;
    apq_status st = apq_cli_team_open(&team);
    if (st != APQ_OK) {
        return apq_cli_exit(st);
    }
    const step together = {.command = self,
                           .team_fn = fn,
                           .comm = team.comm,
                           .result_file = result_file};
    return apq_cli_team_close(&team, run_step(&together, argc, argv));
}
