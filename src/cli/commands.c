/* The table of commands. A new one is its cmd_NAME.c and a row here; help,
 * man pages and completion follow. */
#include "cli/commands.h"

static const apq_command *const commands[] = {
    &apq_command_search,    &apq_command_cost,     &apq_command_lut,
    &apq_command_encode,    &apq_command_policy,   &apq_command_predict,
    &apq_command_run,       &apq_command_train,    &apq_command_collect,
    &apq_command_predictor, &apq_command_finetune, &apq_command_export,
    &apq_command_verify,    &apq_command_eval,     &apq_command_infer,
    &apq_command_report,    &apq_command_bench,    &apq_command_data,
    &apq_command_list,      &apq_command_doctor,   NULL,
};

const apq_command apq_program = {
    .name = "",
    .brief = "search networks and their bit-widths together",
    .usage = "apq COMMAND [options]\n"
             "       apq help [COMMAND]\n"
             "       apq version | --version",
    .summary = "apq searches architecture, channels and bit-widths of a "
               "network together\nunder a budget of the target hardware.",
    .examples =
        "  apq search --space cifar10 --target bitfusion --latency-ms 0.5\n"
        "  apq run recipes/tiny.yaml --run runs/tiny\n"
        "  apq cost --space imagenet-apq --specs policies.jsonl --json\n",
    .options = apq_no_options,
    .parts = commands,
};
