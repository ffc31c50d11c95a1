/* Progress callbacks and the monotonic clock. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

void apq_note(const apq_progress *progress, const char *format, ...) {
    if (progress == NULL || progress->note == NULL) {
        return;
    }
    char line[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    progress->note(progress->ctx, line);
}

void apq_progress_update(const apq_progress *progress, const char *what,
                         uint64_t done, uint64_t total, const char *detail) {
    if (progress != NULL && progress->update != NULL) {
        progress->update(progress->ctx, what, done, total, detail);
    }
}

void apq_progress_measure(const apq_progress *progress, const char *series,
                          double at, double value) {
    if (progress != NULL && progress->measure != NULL) {
        progress->measure(progress->ctx, series, at, value);
    }
}

bool apq_stop_requested(const apq_progress *progress) {
    return progress != NULL && progress->stop_requested != NULL &&
           progress->stop_requested(progress->ctx);
}

double apq_now_s(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void apq_utc_now(char out[APQ_UTC_MAX]) {
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc) == NULL ||
        strftime(out, APQ_UTC_MAX, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) {
        out[0] = '\0';
    }
}
