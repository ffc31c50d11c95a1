#ifndef APQ_REPORT_TABLE_H
#define APQ_REPORT_TABLE_H

#include "base/status.h"

#include <stdio.h>

/* A Markdown table with padded columns, filled cell by cell. */
enum { APQ_TABLE_MAX_COLUMNS = 14, APQ_TABLE_CELL_MAX = 640 };

typedef struct apq_table apq_table;

/* `header`: column titles joined by '|'; a leading '>' aligns a column to the
 * right. NULL when memory is out. */
apq_table *apq_table_create(const char *header);
/* NULL is fine. */
void apq_table_destroy(apq_table *table);

/* The next cell, row by row; cut to APQ_TABLE_CELL_MAX bytes. '|' and control
 * characters are made harmless. Out of memory drops the row. */
void apq_table_cell(apq_table *table, const char *format, ...) APQ_PRINTF(2, 3);
/* Fills the row that was begun with empty cells. */
void apq_table_end_row(apq_table *table);
void apq_table_print(const apq_table *table, FILE *out);

#endif
