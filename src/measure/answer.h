#ifndef APQ_MEASURE_ANSWER_H
#define APQ_MEASURE_ANSWER_H

#include "base/status.h"
#include "cost/lut/sample.h"

/* For messages: who answers, for which target, and what was asked. */
typedef struct apq_answer_source {
    const char *command, *target, *what;
} apq_answer_source;

/* One line of a measuring command, as docs/measured-targets.md says, into
 * every field but the containers. Errors, *out is then left as it was: FORMAT
 * no JSON object, or an illegal number; UNSUPPORTED the command says so. */
APQ_NODISCARD apq_status apq_answer_read(const char *text,
                                         const apq_answer_source *from,
                                         apq_lut_sample *out);

#endif
