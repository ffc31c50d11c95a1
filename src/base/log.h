#ifndef APQ_BASE_LOG_H
#define APQ_BASE_LOG_H

#include "base/status.h"

#include <apq/progress.h>

#include <stdbool.h>
#include <stdint.h>

/* apq_progress is public; these accept NULL and empty slots. */
void apq_note(const apq_progress *progress, const char *format, ...)
    APQ_PRINTF(2, 3);
void apq_progress_update(const apq_progress *progress, const char *what,
                         uint64_t done, uint64_t total, const char *detail);
void apq_progress_measure(const apq_progress *progress, const char *series,
                          double at, double value);
bool apq_stop_requested(const apq_progress *progress);

/* Monotonic seconds. */
double apq_now_s(void);
/* The present as 2026-11-22T16:45:00Z. */
enum { APQ_UTC_MAX = 24 };
void apq_utc_now(char out[APQ_UTC_MAX]);

#endif
