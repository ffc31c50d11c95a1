/* apq collect: measures accuracies for the predictor. */
#include "cli/step.h"

#include "app/app.h"

static const apq_command_help help = {
    .usage = "apq collect [RECIPE] [KEY=VALUE ...] --run DIR [options]",
    .summary =
        "Measures sub-networks of the supernet, the predictor's training data.",
    .examples =
        "  apq collect --run runs/first\n  apq collect --run "
        "runs/first collect.quantised_records=3000\n  apq collect --run "
        "runs/first collect.quantiser=lsq collect.distill=largest\n",
};

int apq_cmd_collect(int argc, char **argv) {
    return apq_step_team_command(&help, argc, argv, apq_app_collect_together,
                                 "run.db");
}
