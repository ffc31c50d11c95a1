/* apq: a table of commands. Results go to standard output, everything else to
 * standard error. */
#include "base/yaml.h"
#include "cli/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef APQ_VERSION
#define APQ_VERSION "0.1.0"
#endif

typedef struct command {
    const char *name;
    apq_command_fn *run;
    const char *summary;
    bool is_parallel; /* computes with threads for long */
} command;

static const command commands[] = {
    {"search", apq_cmd_search, "find the best policy under a budget", true},
    {"cost", apq_cmd_cost, "price policies on a target", false},
    {"lut", apq_cmd_lut, "tables of layer costs", true},
    {"encode", apq_cmd_encode, "predictor input of policies", false},
    {"policy", apq_cmd_policy, "policies by name or in another form", false},
    {"predict", apq_cmd_predict, "predicted accuracy of policies", false},
    {"run", apq_cmd_run, "all steps of a recipe, from data to the network",
     true},
    {"train", apq_cmd_train, "train the supernet", true},
    {"collect", apq_cmd_collect, "measure accuracies for the predictor", true},
    {"predictor", apq_cmd_predictor, "fit, eval or import a predictor", true},
    {"finetune", apq_cmd_finetune, "fine-tune the policy that was found", true},
    {"export", apq_cmd_export, "the network for other runtimes: ONNX", true},
    {"verify", apq_cmd_verify, "run an export beside the network", true},
    {"eval", apq_cmd_eval, "accuracy of a sub-network", true},
    {"report", apq_cmd_report, "what a run asked, found and spent", false},
    {"bench", apq_cmd_bench, "speed of training, evaluation, search, cost",
     true},
    {"data", apq_cmd_data, "check a dataset", false},
    {"list", apq_cmd_list, "spaces, targets, strategies, datasets, backends",
     false},
    {"doctor", apq_cmd_doctor, "what this build and this machine can do",
     false},
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(FILE *out) {
    (void)fprintf(
        out,
        "Examples:\n"
        "  apq search --space cifar10 --target bitfusion --latency-ms 0.5\n"
        "  apq run recipes/tiny.yaml --run runs/tiny\n"
        "  apq cost --space imagenet-apq --specs policies.jsonl --json\n\n"
        "apq searches architecture, channels and bit-widths of a network "
        "together\nunder a budget of the target hardware.\n\n"
        "Usage: apq COMMAND [options]\n\nCommands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++) {
        (void)fprintf(out, "  %-10s %s\n", commands[i].name,
                      commands[i].summary);
    }
    (void)fprintf(out, "\napq COMMAND --help shows its options.\n");
}

static int unknown_command(const char *name) {
    const char *names[N_COMMANDS + 1];
    for (size_t i = 0; i < N_COMMANDS; i++) {
        names[i] = commands[i].name;
    }
    names[N_COMMANDS] = NULL;
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
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            if (commands[i].is_parallel && !is_help) {
                wait_without_spinning(argv);
            }
            return is_help ? commands[i].run(2, help_argv)
                           : commands[i].run(argc - 1, argv + 1);
        }
    }
    return unknown_command(name);
}

int main(int argc, char **argv) {
    apq_cli_catch_signals();
    int code = dispatch(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        (void)fprintf(stderr, "apq: cannot write to standard output\n");
        return code == APQ_EXIT_OK ? APQ_EXIT_FAILURE : code;
    }
    return code;
}
