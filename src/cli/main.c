/* apq: a table of commands. Results go to standard output, everything else to
 * standard error. */
#include "base/words.h"
#include "cli/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_COMMANDS = 64 };

static void print_help(FILE *out) {
    (void)fprintf(out, "Examples:\n%s\n%s\n\nUsage: %s\n\nCommands:\n",
                  apq_program.examples, apq_program.summary, apq_program.usage);
    for (const apq_command *const *c = apq_program.parts; *c != NULL; c++) {
        (void)fprintf(out, "  %-10s %s\n", (*c)->name, (*c)->brief);
    }
    (void)fprintf(out, "\napq COMMAND --help shows its options.\n");
}

static int unknown_command(const char *name) {
    const char *names[MAX_COMMANDS + 1];
    size_t n = 0;
    for (; n < MAX_COMMANDS && apq_program.parts[n] != NULL; n++) {
        names[n] = apq_program.parts[n]->name;
    }
    names[n] = NULL;
    const char *nearest = apq_nearest_word(name, names);
    (void)fprintf(stderr,
                  "apq: unknown command \"%s\"%s%s%s (see apq --help)\n", name,
                  nearest != NULL ? "; did you mean " : "",
                  nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
    return APQ_EXIT_USAGE;
}

/* Waiting threads of OpenMP spin by default: on a machine that others use too
 * this makes training many times slower. The run-time library reads its
 * policy before main, so the program starts itself again with it set; a policy
 * given by the user stays. */
static void wait_without_spinning(char **argv) {
    if (getenv("OMP_WAIT_POLICY") == NULL && getenv("GOMP_SPINCOUNT") == NULL &&
        setenv("OMP_WAIT_POLICY", "passive", 1) == 0) {
        /* Comes back only on failure; then the default policy serves. */
        (void)execv("/proc/self/exe", argv);
    }
}

static int dispatch(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return APQ_EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ||
        (strcmp(name, "help") == 0 && argc == 2)) {
        print_help(stdout);
        return APQ_EXIT_OK;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        printf("apq %s\n", APQ_VERSION);
        return APQ_EXIT_OK;
    }
    bool is_help = strcmp(name, "help") == 0;
    char show_help[] = "--help";
    char *help_argv[] = {is_help ? argv[2] : NULL, show_help, NULL};
    if (is_help) {
        name = argv[2];
    }
    for (const apq_command *const *c = apq_program.parts; *c != NULL; c++) {
        if (strcmp((*c)->name, name) == 0) {
            if ((*c)->is_parallel && !is_help) {
                wait_without_spinning(argv);
            }
            return is_help ? apq_cli_run(*c, 2, help_argv)
                           : apq_cli_run(*c, argc - 1, argv + 1);
        }
    }
    return unknown_command(name);
}

/* The exit code once all results are written. A reader that has seen enough,
 * such as head, is no failure to tell of: the end is that of other tools. */
static int finish(int code) {
    int error = fflush(stdout) == 0 ? 0 : errno;
    if (error == 0 && !ferror(stdout)) {
        return code;
    }
    /* Of an earlier write only its failure is known: one more says why. */
    if (error == 0 && write(STDOUT_FILENO, "\n", 1) < 0) {
        error = errno;
    }
    if (error == EPIPE && code == APQ_EXIT_OK) {
        apq_cli_end_by_pipe();
    }
    (void)fprintf(stderr, "apq: cannot write to standard output%s%s\n",
                  error != 0 ? ": " : "", error != 0 ? strerror(error) : "");
    return code == APQ_EXIT_OK ? APQ_EXIT_FAILURE : code;
}

int main(int argc, char **argv) {
    apq_cli_catch_signals();
    return finish(dispatch(argc, argv));
}
