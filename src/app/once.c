/* Notes are few, a line an epoch at most: a list of hashes is enough. */
#include "app/once.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

static bool was_said(const apq_once *once, uint64_t hash) {
    for (size_t i = 0; i < once->n; i++) {
        if (once->said[i] == hash) {
            return true;
        }
    }
    return false;
}

/* Without memory it may be said again. */
static void remember(apq_once *once, uint64_t hash) {
    if (once->n == once->capacity) {
        size_t capacity = once->capacity == 0 ? 64 : 2 * once->capacity;
        uint64_t *grown = realloc(once->said, capacity * sizeof *grown);
        if (grown == NULL) {
            return;
        }
        once->said = grown;
        once->capacity = capacity;
    }
    once->said[once->n++] = hash;
}

static void note(void *ctx, const char *line) {
    apq_once *once = ctx;
    uint64_t hash = apq_hash64(line, strlen(line));
    if (!was_said(once, hash)) {
        remember(once, hash);
        apq_note(once->outer, "%s", line);
    }
}

static void update(void *ctx, const char *what, uint64_t done, uint64_t total,
                   const char *detail) {
    const apq_once *once = ctx;
    apq_progress_update(once->outer, what, done, total, detail);
}

static void measure(void *ctx, const char *series, double at, double value) {
    const apq_once *once = ctx;
    apq_progress_measure(once->outer, series, at, value);
}

static bool stop_requested(void *ctx) {
    const apq_once *once = ctx;
    return apq_stop_requested(once->outer);
}

void apq_once_start(apq_once *once, const apq_progress *outer) {
    *once = (apq_once){.base = {.ctx = once,
                                .note = note,
                                .update = update,
                                .measure = measure,
                                .stop_requested = stop_requested},
                       .outer = outer};
}

void apq_once_fini(apq_once *once) {
    free(once->said);
    once->said = NULL;
}
