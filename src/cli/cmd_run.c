/* apq run: all steps of a recipe. */
#include "cli/step.h"
#include "cli/commands.h"

#include "app/app.h"

static int run(const apq_command *self, int argc, char **argv) {
    return apq_step_command(self, argc, argv, apq_app_run, "report.json",
                            "report");
}

const apq_command apq_command_run = {
    .name = "run",
    .brief = "all steps of a recipe, from data to the network",
    .usage = "apq run [RECIPE] [KEY=VALUE ...] --run DIR [options]",
    .summary = "All steps from data to the fine-tuned network; finished steps "
               "are skipped.",
    .examples =
        "  apq run recipes/tiny.yaml --run runs/tiny\n  apq run "
        "recipes/cifar10-quick.yaml --run runs/first --data data/cifar10\n",
    .options = apq_train_table,
    .max_words = APQ_STEP_MAX_WORDS,
    .is_parallel = true,
    .makes_run = true,
    .run = run,
};
