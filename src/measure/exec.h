#ifndef APQ_MEASURE_EXEC_H
#define APQ_MEASURE_EXEC_H

#include "base/log.h"
#include "cost/capability.h"
#include "cost/lut/sample.h"
#include "cost/measured/measured.h"

/* Asks the target's command, one JSON object a line, as described in
 * docs/measured-targets.md. */
typedef struct apq_exec apq_exec;

/* All are borrowed until closed; progress, which may end a wait, may be NULL.
 * Errors: those of the child. */
APQ_NODISCARD apq_status apq_exec_open(const apq_measured_config *config,
                                       const char *name,
                                       const apq_progress *progress,
                                       apq_exec **out);
void apq_exec_close(apq_exec *exec);

/* Every field but the containers. Errors: UNSUPPORTED when the command says
 * so, after which it can be asked on; FORMAT for an answer that is no JSON or
 * has an illegal number; EXTERNAL when it died or was late; INTERRUPTED. */
APQ_NODISCARD apq_status apq_exec_layer(apq_exec *exec,
                                        const apq_ir_layer *layer,
                                        int weight_container_bits,
                                        int act_container_bits,
                                        apq_lut_sample *out);
APQ_NODISCARD apq_status apq_exec_network(apq_exec *exec,
                                          const apq_ir_network *network,
                                          const apq_capability *capability,
                                          apq_lut_sample *out);

#endif
