#ifndef APQ_REPORT_PAGE_H
#define APQ_REPORT_PAGE_H

#include "base/status.h"
#include "report/plot.h"
#include "report/table.h"

#include <stdbool.h>
#include <stdio.h>

/* A report being written, as Markdown or as HTML: sections are written once
 * for both. Texts may hold **bold** and `code`; everything else in them is
 * literal and escaped. Running out of memory shows at the end. */
typedef struct apq_page apq_page;

/* Links lead to `files`, the folder of the files told of; "": that of the page.
 * It stays the caller's. NULL when memory is out. */
apq_page *apq_page_create(bool is_html, const char *files);
/* NULL is fine. */
void apq_page_destroy(apq_page *page);
bool apq_page_is_html(const apq_page *page);

/* Of a section; the HTML page links to it at its head. */
void apq_page_heading(apq_page *page, const char *title);
/* Goes on with a paragraph, or begins one. */
void apq_page_put(apq_page *page, const char *format, ...) APQ_PRINTF(2, 3);
/* Goes on with a link to a file; in Markdown. */
void apq_page_link(apq_page *page, const char *name);
/* Ends the paragraph. */
void apq_page_end(apq_page *page);
/* Prints and releases; NULL is fine. */
void apq_page_table(apq_page *page, apq_table *table);
/* As it is, lines and all. */
void apq_page_code(apq_page *page, const char *text);
/* A number to be seen first; only in HTML. */
void apq_page_tile(apq_page *page, const char *name, const char *value,
                   const char *note);
void apq_page_tiles_end(apq_page *page);

/* A chart; only in HTML. The plot's title becomes a caption.
 *
 *   hover (n_series): NULL, or (n) texts, each NULL or what a point is; NULL:
 *   none at all. Lines of a text are parted by " | ".
 *
 * Errors: those of apq_plot_svg; NOMEM. */
APQ_NODISCARD apq_status apq_page_chart(apq_page *page, const apq_plot *plot,
                                        const char *const *const *hover,
                                        const char *note);
/* Where HTML of one's own goes; NULL in Markdown. */
FILE *apq_page_html(apq_page *page);
/* Text for HTML: also fit for attributes in double quotes. Control characters
 * become spaces. */
void apq_page_escape(FILE *out, const char *text);

/* The whole page, malloc'd. Errors: NOMEM. */
APQ_NODISCARD apq_status apq_page_finish(apq_page *page, const char *title,
                                         char **text);

#endif
