/* apq run: all steps of a recipe. */
#include "cli/step.h"

#include "app/app.h"

static const apq_command_help help = {
    .usage = "apq run [RECIPE] [KEY=VALUE ...] --run DIR [options]",
    .summary = "All steps from data to the fine-tuned network; finished steps "
               "are skipped.",
    .examples =
        "  apq run recipes/tiny.yaml --run runs/tiny\n  apq run "
        "recipes/cifar10-quick.yaml --run runs/first --data data/cifar10\n",
};

int apq_cmd_run(int argc, char **argv) {
    return apq_step_command(&help, argc, argv, apq_app_run, "report.json");
}
