#ifndef APQ_CLI_BENCH_PROCESS_H
#define APQ_CLI_BENCH_PROCESS_H

#include "app/recipe.h"

#include <jansson.h>

/* Appends to `rows` the seconds of whole `apq search` processes, from start to
 * exit on one thread, under the two budgets of the paper's comparison, each
 * beside the number asked for. Only for imagenet-apq on bitfusion; nothing is
 * appended otherwise. The predictor, of random weights, is written to a folder
 * of its own under $TMPDIR for the time.
 * Errors: IO the folder; EXTERNAL the process failed. */
APQ_NODISCARD apq_status apq_bench_processes(const apq_recipe *recipe,
                                             json_t *rows);

#endif
