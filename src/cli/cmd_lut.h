#ifndef APQ_CLI_CMD_LUT_H
#define APQ_CLI_CMD_LUT_H

#include "cli/command.h"

/* The parts of `apq lut` that read tables; argv[0] is "lut show" and
 * "lut check". */
apq_command_fn apq_cmd_lut_show, apq_cmd_lut_check;

#endif
