#ifndef APQ_REPORT_PAGE_INTERNAL_H
#define APQ_REPORT_PAGE_INTERNAL_H

#include "report/page.h"

/* Between the files that write pages. */

/* Number of the next chart, from 1. */
int apq_page_next_chart(apq_page *page);
/* HTML of a text with its inline marks. */
void apq_page_inline(FILE *out, const char *text);
/* The table as HTML; in table.c, which knows its cells. */
void apq_table_print_html(const apq_table *table, FILE *out);

#endif
