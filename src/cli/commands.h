#ifndef APQ_CLI_COMMANDS_H
#define APQ_CLI_COMMANDS_H

#include "cli/command.h"

/* Each is defined in its cmd_NAME.c. */
extern const apq_command apq_command_bench, apq_command_collect,
    apq_command_cost, apq_command_data, apq_command_doctor, apq_command_encode,
    apq_command_eval, apq_command_export, apq_command_finetune,
    apq_command_infer, apq_command_list, apq_command_lut, apq_command_policy,
    apq_command_predict, apq_command_predictor, apq_command_report,
    apq_command_run, apq_command_search, apq_command_train, apq_command_verify;

/* Parts that have a file of their own. */
extern const apq_command apq_command_lut_check, apq_command_lut_show,
    apq_command_predictor_curve;

#endif
