/* apq train: trains the supernet of a run. */
#include "cli/step.h"

#include "app/app.h"

static const apq_command_help help = {
    .usage = "apq train [RECIPE] [KEY=VALUE ...] --run DIR [options]",
    .summary = "Trains the supernet; an interrupted training goes on where it "
               "stopped.",
    .examples = "  apq train recipes/cifar10-quick.yaml --run runs/first\n  "
                "apq train --run runs/first train.epochs=60\n",
};

int apq_cmd_train(int argc, char **argv) {
    return apq_step_command(&help, argc, argv, apq_app_train,
                            "supernet.safetensors");
}
