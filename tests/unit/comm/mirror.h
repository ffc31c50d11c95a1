#ifndef APQ_UNIT_COMM_MIRROR_H
#define APQ_UNIT_COMM_MIRROR_H

#include "comm/ops.h"

/* Process 1 of two, without a second process: its peer does the same, so a sum
 * doubles and a broadcast changes nothing. Tests replace what they need. */
extern const apq_comm_ops mirror_ops;

#endif
