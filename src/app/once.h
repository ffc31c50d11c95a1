#ifndef APQ_APP_ONCE_H
#define APQ_APP_ONCE_H

#include "base/log.h"

#include <stddef.h>

/* Progress for several steps on end, each of which would say again what the
 * ones before said of their common inputs: passes every note once. */
typedef struct apq_once {
    apq_progress base; /* give this to the steps */
    const apq_progress *outer;
    uint64_t *said; /* (n) hashes of notes */
    size_t n, capacity;
} apq_once;

void apq_once_start(apq_once *once, const apq_progress *outer);
void apq_once_fini(apq_once *once);

#endif
