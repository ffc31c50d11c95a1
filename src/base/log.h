#ifndef APQ_BASE_LOG_H
#define APQ_BASE_LOG_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* Where long work reports. The library never prints: the command line gives
 * an implementation (terminal line, plain lines, or nothing). A NULL pointer
 * or NULL slot is silence. */
typedef struct apq_progress {
    void *ctx;
    /* A sentence worth keeping, without newline. */
    void (*note)(void *ctx, const char *line);
    /* `done` of `total` units of `what`; `detail` is the best so far. */
    void (*update)(void *ctx, const char *what, uint64_t done, uint64_t total,
                   const char *detail);
    /* True when the user asked to stop (SIGINT, SIGTERM). */
    bool (*stop_requested)(void *ctx);
} apq_progress;

void apq_note(const apq_progress *progress, const char *format, ...)
    APQ_PRINTF(2, 3);
void apq_progress_update(const apq_progress *progress, const char *what,
                         uint64_t done, uint64_t total, const char *detail);
bool apq_stop_requested(const apq_progress *progress);

/* Monotonic seconds. */
double apq_now_s(void);

#endif
