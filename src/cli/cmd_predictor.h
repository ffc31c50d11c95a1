#ifndef APQ_CLI_CMD_PREDICTOR_H
#define APQ_CLI_CMD_PREDICTOR_H

#include "cli/step.h"

#include "app/curve.h"

/* The command line of eval, curve and import. */
typedef struct apq_predictor_command {
    apq_step_options step;
    const char *predictor, *records, *out, *plot, *sizes;
    int n_seeds;
    bool is_float;
} apq_predictor_command;

/* `apq predictor curve`. */
APQ_NODISCARD apq_status
apq_cli_predictor_curve(const apq_predictor_command *o);

/* One line for people. */
void apq_cli_print_noise(const apq_label_noise *noise);

#endif
