#ifndef APQ_BASE_TEMPORARY_H
#define APQ_BASE_TEMPORARY_H

#include "base/path.h"
#include "base/status.h"

/* Files on their way to another name. Their writer holds a lock on them, so
 * that what a killed one has left can be told from what is being written, by
 * processes of other containers, too. */

/* A new file beside `path`, PATH.NUMBER.tmp, open to write and locked until
 * *fd is closed; leaves its name. Errors: ARG name too long; WRITE, IO. */
APQ_NODISCARD apq_status apq_temporary_create(const char *path,
                                              char name[APQ_PATH_MAX], int *fd);

/* Removes those of a folder that nobody writes. Failure is harmless: they are
 * only in the way of the reader's eye. */
void apq_temporary_sweep(const char *folder);

#endif
