#ifndef APQ_CLI_COMMAND_H
#define APQ_CLI_COMMAND_H

#include "app/parts.h"
#include "app/recipe.h"
#include "base/status.h"
#include "cli/options.h"
#include "cli/progress.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Exit codes: docs/automation.md. */
typedef enum apq_exit {
    APQ_EXIT_OK = 0,
    APQ_EXIT_FAILURE = 1,
    APQ_EXIT_USAGE = 2,
    APQ_EXIT_INPUT = 3,
    APQ_EXIT_INFEASIBLE = 4,
    APQ_EXIT_VERIFICATION = 5,
    APQ_EXIT_MISMATCH = 6,
    APQ_EXIT_INTERRUPTED = 130,
} apq_exit;

typedef struct apq_command apq_command;

/* Runs a command whose options begin at argv[1]. Returns an exit code. */
typedef int apq_command_fn(const apq_command *self, int argc, char **argv);

/* All that is known of a command: it drives parsing, help, man pages and
 * completion. */
struct apq_command {
    const char *name;          /* after "apq": "search", "lut build" */
    const char *brief;         /* half a line, for lists of commands */
    const char *usage;         /* "apq search --space S ...", lines */
    const char *summary;       /* sentences, lines */
    const char *examples;      /* lines, each indented by two spaces */
    const apq_option *options; /* own rows, without the common ones */
    int max_words;             /* arguments that are not options */
    const char *const *words;  /* what the first may be; NULL: files, text */
    const apq_command *const *parts; /* "lut build" of "lut", or NULL */
    bool is_parallel;                /* computes with threads for long */
    bool makes_run;                  /* --run DIR need not be there yet */
    bool finds_run; /* it looks for DIR by itself: processes agree on it */
    apq_command_fn *run;
};

/* apq itself, without a name; its parts are the commands. */
extern const apq_command apq_program;

/* Runs a command, or its part that argv[1] names. */
int apq_cli_run(const apq_command *command, int argc, char **argv);
/* The `run` of commands that have only parts: says which there are. */
apq_command_fn apq_cli_name_parts;

/* Exit code of a status; a failure is printed on standard error. */
int apq_cli_exit(apq_status st);
/* The same for a wrong command line, pointing to the command's help. */
int apq_cli_usage(const apq_command *self);

/* Parses into `target` as apq_options_parse; returns -1 to go on, else the
 * exit code (help shown, wrong usage, or a run directory that is not there). */
int apq_cli_parse(const apq_command *self, int argc, char **argv, void *target);

/* Prints one JSON value and a newline and releases it; `is_line` is the
 * compact form. */
void apq_cli_print_json(json_t *value, bool is_line);
/* A space and a number of so many digits in a column; a dash for one that is
 * not known (NaN). */
void apq_cli_print_number(int width, int digits, double value);

/* Calls `fn` with each JSON document of a file ("-" is standard input), one a
 * line or spread over lines, in order. `where` is "file:line". */
typedef apq_status apq_spec_fn(const char *text, const char *where, size_t i,
                               void *ctx);
APQ_NODISCARD apq_status apq_cli_each_spec(const char *path, apq_spec_fn *fn,
                                           void *ctx);

/* The same with the documents as they are. apq_cli_each_spec passes only the
 * "policy" or "spec" member of objects that have one. */
APQ_NODISCARD apq_status apq_cli_each_document(const char *path,
                                               apq_spec_fn *fn, void *ctx);

/* A policy of such a document. One of another space is bad input, not a run
 * that does not fit: FORMAT in place of MISMATCH. */
APQ_NODISCARD apq_status apq_cli_policy(const apq_space *space,
                                        const char *text, const char *where,
                                        apq_policy *out);

/* For commands that take a space or a target and no recipe: what is not given
 * is that of the run, which must have its run.json, else of the default recipe.
 * Errors: IO, FORMAT. */
APQ_NODISCARD apq_status apq_cli_run_recipe(const apq_common_options *common,
                                            apq_recipe *out);
/* The space of these commands, with the run's classes. */
APQ_NODISCARD apq_status apq_cli_open_space(const apq_common_options *common,
                                            const char *given, apq_space *out);
/* For commands that read the space from a file of their own: the one given,
 * else the run's, held in `recipe`; NULL without both. */
APQ_NODISCARD apq_status apq_cli_run_space(const apq_common_options *common,
                                           const char *given,
                                           apq_recipe *recipe,
                                           const char **out);

/* The recipe of a command: the file given, else the run directory's run.json,
 * else the defaults; --seed and --threads overwrite it. */
APQ_NODISCARD apq_status apq_cli_recipe(const apq_common_options *common,
                                        const char *path, apq_recipe *out);
/* Says on standard error, to --quiet too, where the network of the run is of an
 * earlier search; run NULL, or a model that is named in its place: nothing. */
void apq_cli_note_stale(const apq_recipe *recipe, const char *run,
                        const char *model);

#endif
