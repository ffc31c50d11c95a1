#ifndef APQ_STORE_RECORDS_INTERNAL_H
#define APQ_STORE_RECORDS_INTERNAL_H

#include "store/records.h"

#include <sqlite3.h>
#include <stdbool.h>

/* Shared by records.c (opening, adding), records_read.c (reading) and claims.c
 * (several processes). */
struct apq_records {
    sqlite3 *db;
    sqlite3_stmt *insert; /* NULL: read only */
    bool is_read_only;
    bool is_old; /* version 1, opened to read: without what version 2 added */
    char path[]; /* for messages */
};

/* Raises the present SQLite error: "PATH: cannot DOING: ...". */
apq_status apq_records_failed(const apq_records *records, const char *doing);
/* A transaction; end commits what went well and rolls back what did not, and
 * returns the first failure. */
APQ_NODISCARD apq_status apq_records_begin(apq_records *records);
APQ_NODISCARD apq_status apq_records_end(apq_records *records, apq_status st);
/* Compiles `sql`; *out is released with sqlite3_finalize(). */
APQ_NODISCARD apq_status apq_records_prepare(apq_records *records,
                                             const char *sql,
                                             sqlite3_stmt **out);

#endif
