#ifndef APQ_STORE_RECORDS_INTERNAL_H
#define APQ_STORE_RECORDS_INTERNAL_H

#include "store/records.h"

#include <sqlite3.h>

/* Shared by records.c (opening, adding) and records_read.c (reading). */
struct apq_records {
    sqlite3 *db;
    sqlite3_stmt *insert;
    char path[]; /* for messages */
};

/* Raises the present SQLite error: "PATH: cannot DOING: ...". */
apq_status apq_records_failed(const apq_records *records, const char *doing);
/* Compiles `sql`; *out is released with sqlite3_finalize(). */
APQ_NODISCARD apq_status apq_records_prepare(apq_records *records,
                                             const char *sql,
                                             sqlite3_stmt **out);

#endif
