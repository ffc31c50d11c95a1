/* The shape of every command that works in a run directory: recipe, progress,
 * one call of the application, a short result. */
#include "cli/step.h"

#include "cli/team.h"

#include "app/app.h"

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

static apq_status print_result(const apq_step_options *options,
                               const char *command, const char *result_file,
                               double seconds) {
    const char *run = options->common.run;
    char path[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(path, run, result_file));
    if (!options->common.json) {
        printf("%s: done in %.1f s, %s\n", command, seconds, path);
        return APQ_OK;
    }
    json_t *document =
        json_pack("{s:o, s:o, s:f}", "run", apq_cli_json_path(run), "result",
                  apq_cli_json_path(path), "seconds", seconds);
    const char *ending = strstr(result_file, ".json");
    if (ending != NULL) {
        json_t *result = json_load_file(path, 0, NULL);
        char stem[64];
        (void)snprintf(stem, sizeof stem, "%.*s", (int)(ending - result_file),
                       result_file);
        (void)json_object_set_new(document, stem,
                                  result == NULL ? json_null() : result);
    }
    apq_cli_print_json(document, false);
    return APQ_OK;
}

/* One of the two functions, and what it leaves. */
typedef struct step {
    const apq_command *command;
    apq_step_fn *fn;
    apq_team_step_fn *team_fn;
    apq_comm *comm;
    const char *result_file;
} step;

static apq_status call(const step *self, const apq_recipe *recipe,
                       const char *run_dir, const apq_progress *progress) {
    return self->fn != NULL
               ? self->fn(recipe, run_dir, progress)
               : self->team_fn(recipe, run_dir, self->comm, progress);
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
    apq_status st = apq_step_recipe(&options, 0, &recipe);
    st = st == APQ_OK ? apq_recipe_check_search(&recipe, NULL) : st;
    st = apq_comm_agree(self->comm, st);
    if (st == APQ_OK) {
        st = call(self, &recipe, options.common.run, &progress.base);
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
        st = print_result(&options, self->command->name, self->result_file,
                          apq_now_s() - start_s);
    }
    return apq_cli_exit(st);
}

int apq_step_command(const apq_command *self, int argc, char **argv,
                     apq_step_fn *fn, const char *result_file) {
    const step one = {.command = self, .fn = fn, .result_file = result_file};
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
