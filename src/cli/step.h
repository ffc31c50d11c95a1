#ifndef APQ_CLI_STEP_H
#define APQ_CLI_STEP_H

#include "app/results.h"
#include "cli/command.h"
#include "comm/comm.h"

/* Options of the commands that work from a recipe. Words are a recipe file
 * and KEY=VALUE settings of its fields. */
typedef struct apq_step_options {
    apq_common_options common;
    const char *recipe, *space, *target, *data, *backend, *dtype, *bits;
} apq_step_options;

enum { APQ_STEP_MAX_WORDS = 64 };

#define APQ_STEP_AT(member) offsetof(apq_step_options, member)
#define APQ_STEP_TABLE                                                         \
    {.name = "recipe",                                                         \
     .type = APQ_OPTION_TEXT,                                                  \
     .argument = "FILE",                                                       \
     .help = "recipe; else run.json of the run directory, else defaults",      \
     .offset = APQ_STEP_AT(recipe)},                                           \
        APQ_ROW_SPACE(APQ_STEP_AT(space)),                                     \
        APQ_ROW_TARGET(APQ_STEP_AT(target)),                                   \
        {.name = "data",                                                       \
         .type = APQ_OPTION_TEXT,                                              \
         .argument = "PATH",                                                   \
         .help = "images: see apq list datasets",                              \
         .offset = APQ_STEP_AT(data)},                                         \
    {                                                                          \
        .name = "backend", .type = APQ_OPTION_TEXT, .argument = "BACKEND",     \
        .help = "arithmetic: auto, cpu or ref", .offset = APQ_STEP_AT(backend) \
    }

/* These rows. */
extern const apq_option apq_step_table[];
/* The same with --dtype and --bits, for what trains a supernet. */
extern const apq_option apq_train_table[];

/* The recipe these options make: file, then settings, then options. Words
 * from `first_word` on are read. */
APQ_NODISCARD apq_status apq_step_recipe(const apq_step_options *options,
                                         int first_word, apq_recipe *out);

typedef apq_status apq_step_fn(const apq_recipe *recipe, const char *run_dir,
                               const apq_progress *progress,
                               const apq_progress *results);
/* A whole command that runs one step in a run directory and keeps the recipe
 * there as run.json. Prints what the step came to; with --json, the
 * file CONTENT.json of the run as member CONTENT. */
int apq_step_command(const apq_command *self, int argc, char **argv,
                     apq_step_fn *fn, const char *result_file,
                     const char *content);

typedef apq_status apq_team_step_fn(const apq_recipe *recipe,
                                    const char *run_dir, apq_comm *comm,
                                    const apq_progress *progress);
/* The same for a step that all processes started by mpirun take together. */
int apq_step_team_command(const apq_command *self, int argc, char **argv,
                          apq_team_step_fn *fn, const char *result_file);

#endif
