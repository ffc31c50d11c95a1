#ifndef APQ_MEASURE_PROGRAM_H
#define APQ_MEASURE_PROGRAM_H

#include "base/status.h"
#include "cost/measured/measured.h"
#include "ir/network.h"

#include <stddef.h>

/* A network with random weights that is ready to run on one image, in pieces:
 * time does not depend on the values as long as none is denormal. All memory
 * is taken at creation and by the first run. */
typedef struct apq_program apq_program;

/* Bits of the network are replaced by 8: what the integer engine executes.
 * Errors: UNSUPPORTED for a structure that the engine lacks; NOMEM. */
APQ_NODISCARD apq_status apq_program_create(const apq_ir_network *network,
                                            apq_measured_arithmetic arithmetic,
                                            apq_program **out);
void apq_program_destroy(apq_program *program);

/* Layers begin .. end - 1; earlier ones must have run. */
APQ_NODISCARD apq_status apq_program_run(apq_program *program, size_t begin,
                                         size_t end);

/* A small network that has `layer` in it, with the neighbours that make the
 * engine do the same work as in a whole one: a linear 1 x 1 layer adds a
 * residual, and keeps its output for one. *at is the layer's index. */
void apq_program_surround(const apq_ir_layer *layer, apq_ir_network *out,
                          size_t *at);

#endif
