/* apq train: trains the supernet of a run. */
#include "cli/step.h"
#include "cli/commands.h"

#include "app/app.h"

static int run(const apq_command *self, int argc, char **argv) {
    return apq_step_team_command(self, argc, argv, apq_app_train_together,
                                 "supernet.safetensors");
}

const apq_command apq_command_train = {
    .name = "train",
    .brief = "train the supernet",
    .usage = "apq train [RECIPE] [KEY=VALUE ...] --run DIR [options]",
    .summary =
        "Trains the supernet; an interrupted training goes on where it "
        "stopped.\n"
        "train.schedule=sandwich trains all sizes in every step,\n"
        "train.schedule=progressive the largest first, then ever smaller "
        "ones,\n"
        "train.schedule=alone only the network of train.policy.\n"
        "--bits shared learns steps for all bit-widths beside the weights, "
        "and\n"
        "train.from=RUN starts from the weights of another run.\n"
        "The run's train.jsonl, and events for TensorBoard, tell each epoch,\n"
        "with accuracies every train.eval_epochs. All keys: docs/training.md.",
    .examples = "  apq train recipes/cifar10-quick.yaml --run runs/first\n  "
                "apq train recipes/tiny.yaml train.schedule=progressive "
                "--run runs/tiny\n  "
                "apq train recipes/cifar10-quick.yaml --bits shared "
                "train.from=runs/first --run runs/shared\n  "
                "mpirun -n 4 apq train --run runs/first\n",
    .options = apq_train_table,
    .max_words = APQ_STEP_MAX_WORDS,
    .is_parallel = true,
    .makes_run = true,
    .run = run,
};
