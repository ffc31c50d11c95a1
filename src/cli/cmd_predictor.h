#ifndef APQ_CLI_CMD_PREDICTOR_H
#define APQ_CLI_CMD_PREDICTOR_H

#include "app/curve.h"

/* One line for people. */
void apq_cli_print_noise(const apq_label_noise *noise);

#endif
