#ifndef APQ_APP_EXPORT_PLACE_H
#define APQ_APP_EXPORT_PLACE_H

#include "base/file.h"
#include "base/status.h"

#include <stddef.h>

/* The folder of an export, which one export or verification holds at a time:
 * the manifest that it writes last is of the files that it has seen. */
typedef struct apq_export_place {
    char dir[APQ_PATH_MAX];
    int lock;       /* -1: none, where the system gives none */
    size_t n_first; /* bytes of the first part of `dir` that was missing; 0:
                       none was */
} apq_export_place;

/* Takes the folder that is there, or makes it. Errors: IO where another one
 * holds it; IO, ARG, WRITE where it cannot be made, and nothing is left. */
APQ_NODISCARD apq_status apq_export_place_take(apq_export_place *self,
                                               const char *dir);
APQ_NODISCARD apq_status apq_export_place_make(apq_export_place *self,
                                               const char *dir);

/* Gives it up. */
void apq_export_place_close(apq_export_place *self);
/* After an error: also removes the folders that were made, if empty. */
void apq_export_place_abandon(apq_export_place *self);

#endif
