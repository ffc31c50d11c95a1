/* apq verify: an export run by its runtime, beside the network. */
#include "cli/commands.h"
#include "base/path.h"
#include "cli/export_print.h"

static const apq_option table[] = {
    APQ_EXPORT_TABLE,
    {.name = NULL},
};

/* Words behind the first are a recipe, a file, and settings of it. */
static bool is_another_export(const char *word) {
    return apq_dir_exists(word) || apq_path_has_ending(word, ".onnx");
}

static int run(const apq_command *self, int argc, char **argv) {
    apq_export_options options = {.images = 1000};
    int code = apq_cli_parse(self, argc, argv, &options);
    if (code >= 0) {
        return code;
    }
    if (options.step.common.n_words == 0) {
        (void)APQ_ERROR(APQ_ERR_ARG, "which export? give its file or folder");
        return apq_cli_usage(self);
    }
    for (int i = 1; i < options.step.common.n_words; i++) {
        const char *word = options.step.common.words[i];
        if (is_another_export(word)) {
            (void)APQ_ERROR(APQ_ERR_ARG, "%s: one export is verified at a time",
                            word);
            return apq_cli_usage(self);
        }
    }
    return apq_export_command(
        &options, &(apq_export_request){.path = options.step.common.words[0]},
        1, apq_app_verify);
}

const apq_command apq_command_verify = {
    .name = "verify",
    .brief = "run an export beside the network",
    .usage = "apq verify PATH [RECIPE] [options]",
    .summary = "Runs an export in its runtime and compares it with the network "
               "that it was\nmade from; PATH is its file or folder. Status 5 "
               "where they do not agree.",
    .examples =
        "  apq verify runs/first/exports/onnx --run runs/first \\\n"
        "    --runtime libonnxruntime.so\n"
        "  APQ_ORT=libonnxruntime.so apq verify net.onnx --data data/cifar10\n",
    .options = table,
    .max_words = APQ_STEP_MAX_WORDS,
    .is_parallel = true,
    .run = run,
};
