#ifndef APQ_STORE_EFFORT_H
#define APQ_STORE_EFFORT_H

#include "base/file.h"
#include "base/status.h"

#include <stddef.h>

/* cost.jsonl of a run directory: what its steps spent, one line for each
 * interval of work. Lines are only added, so a killed process loses the
 * interval it was in and nothing else. The format is in
 * docs/formats/run-directory.md. */
enum { APQ_EFFORT_STEP_MAX = 24, APQ_EFFORT_TEXT_MAX = 128 };

typedef struct apq_effort {
    char step[APQ_EFFORT_STEP_MAX]; /* "train", ... */
    char input[APQ_HASH_MAX];       /* of the step, as in the manifest; "" */
    double wall_s, core_s;          /* core_s: processor time of all threads */
    double gpu_s;
    double energy_j; /* of processor and memory, measured; NaN: not */
    double flop;     /* operations of the whole step so far trained; 0: not
                        counted */
    int threads;
    char version[32];                /* of apq */
    char cpu[APQ_EFFORT_TEXT_MAX];   /* model name */
    char ended[APQ_EFFORT_STEP_MAX]; /* UTC, "2024-01-31T12:00:00Z" */
} apq_effort;

/* Appends one line, durable on return; a file that cannot take the whole line
 * keeps none of it. The line of a writer that was cut off is removed. Writes
 * the present to the line when `ended` is empty. */
APQ_NODISCARD apq_status apq_effort_append(const char *path,
                                           const apq_effort *effort);

/* All lines in order (malloc'd, not NULL even for *n == 0). A missing file
 * has none; a last line without its end is left out. Errors: APQ_ERR_FORMAT
 * with the line. */
APQ_NODISCARD apq_status apq_effort_read(const char *path, apq_effort **out,
                                         size_t *n);

#endif
