/* apq finetune: fine-tunes the policy that was found. */
#include "cli/step.h"

#include "app/app.h"

static const apq_command_help help = {
    .usage = "apq finetune [RECIPE] [KEY=VALUE ...] --run DIR [options]",
    .summary =
        "Fine-tunes the found policy in its bits, and a uniform baseline.",
    .examples =
        "  apq finetune --run runs/first\n  apq finetune --run "
        "runs/first finetune.epochs=30\n  apq finetune --run runs/first "
        "finetune.quantiser=lsq finetune.distill=largest\n",
};

int apq_cmd_finetune(int argc, char **argv) {
    return apq_step_command(&help, argc, argv, apq_app_finetune,
                            "finetune.json");
}
