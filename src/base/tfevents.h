#ifndef APQ_BASE_TFEVENTS_H
#define APQ_BASE_TFEVENTS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Event files of TensorBoard, which shows every file of a folder whose name
 * contains "tfevents": scalars by tag, step and wall time. Each call opens,
 * writes at the end and closes. Format: docs/formats/events.md. */
typedef struct apq_scalar {
    const char *tag; /* "group/name", UTF-8 */
    double value;    /* stored as float; not finite is fine */
} apq_scalar;

/* Adds the scalars of a step >= 0 in one write, after the file's header when
 * it is new. `wall_s` counts from the start of 1970. Errors: WRITE, NOMEM. */
APQ_NODISCARD apq_status apq_tfevents_append(const char *path, double wall_s,
                                             int64_t step,
                                             const apq_scalar *scalars,
                                             size_t n_scalars);

/* Before the first append of a program that may repeat what an earlier one
 * did: cuts off a record that was not written to its end, or anything else
 * that is none, and has readers forget what they know of `step` and later.
 * Without a file nothing is done. Errors: WRITE, NOMEM. */
APQ_NODISCARD apq_status apq_tfevents_resume(const char *path, double wall_s,
                                             int64_t step);

/* CRC-32C (Castagnoli) as the format masks it. */
uint32_t apq_tfevents_crc(const void *bytes, size_t n_bytes);

#endif
