#ifndef APQ_APP_RECORDS_IO_H
#define APQ_APP_RECORDS_IO_H

#include "base/status.h"

#include <stddef.h>

/* Records of a run in and out of it. Forms: docs/formats/records.md. */

/* NULL-terminated: "jsonl", "csv", "authors". */
extern const char *const apq_records_formats[];

typedef struct apq_records_export {
    const char *run_dir;
    const char *space;        /* name or file; for "authors" */
    const char *format;       /* of apq_records_formats */
    const char *kind_or_null; /* only these; "authors" needs one where there are
                                 several */
} apq_records_export;

/* Malloc'd text of n_bytes, with a NUL behind. Errors: IO no run or no records
 * file; FORMAT a damaged one; ARG an unknown format or kind, or none of several
 * for "authors"; MISMATCH the run is of another space. */
APQ_NODISCARD apq_status apq_app_records_export(
    const apq_records_export *request, char **text, size_t *n_bytes);

typedef struct apq_records_import {
    const char *run_dir;
    const char *space; /* name or file */
    const char *path;  /* JSON lines as exported; "-": standard input */
} apq_records_import;

/* Adds to the run's records what is not there yet: all of the file or, on an
 * error, nothing. Errors: FORMAT with file and line; MISMATCH records of other
 * weights, or another one in the place of one; IO. */
APQ_NODISCARD apq_status apq_app_records_import(
    const apq_records_import *request, size_t *n_read, size_t *n_new);

#endif
