/* apq finetune: fine-tunes the policy that was found. */
#include "cli/step.h"
#include "cli/commands.h"

#include "app/app.h"

static int run(const apq_command *self, int argc, char **argv) {
    return apq_step_command(self, argc, argv, apq_app_finetune, "finetune.json",
                            "finetune");
}

const apq_command apq_command_finetune = {
    .name = "finetune",
    .brief = "fine-tune the policy that was found",
    .usage = "apq finetune [RECIPE] [KEY=VALUE ...] --run DIR [options]",
    .summary =
        "Fine-tunes the found policy in its bits, and a uniform baseline;\n"
        "or finetune.policy: largest, smallest, random:SEED or a JSON file.",
    .examples =
        "  apq finetune --run runs/first\n  apq finetune --run "
        "runs/first finetune.epochs=30\n  apq finetune --run runs/first "
        "finetune.quantiser=lsq finetune.distill=largest\n  apq finetune "
        "--run runs/first finetune.policy=mine.json\n",
    .options = apq_step_table,
    .max_words = APQ_STEP_MAX_WORDS,
    .is_parallel = true,
    .run = run,
};
