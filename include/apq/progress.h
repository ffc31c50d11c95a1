#ifndef APQ_PROGRESS_H
#define APQ_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where long work reports and asks whether to go on. The library never prints:
 * the program gives an implementation (a terminal line, a window, nothing). A
 * NULL pointer or NULL slot is silence. Called on the thread that called the
 * library; the text lives for the call only. */
typedef struct apq_progress {
    void *ctx;
    /* A sentence worth keeping, without newline. */
    void (*note)(void *ctx, const char *line);
    /* `done` of `total` units of `what`; `detail` is the best so far. */
    void (*update)(void *ctx, const char *what, uint64_t done, uint64_t total,
                   const char *detail);
    /* A measured value of a series, e.g. an accuracy in percent, at `at` of its
     * own units, e.g. epochs; those of a series come in ascending order. */
    void (*measure)(void *ctx, const char *series, double at, double value);
    /* True when the user asked to stop. */
    bool (*stop_requested)(void *ctx);
} apq_progress;

#ifdef __cplusplus
}
#endif

#endif
