#ifndef APQ_REPORT_RENDER_H
#define APQ_REPORT_RENDER_H

#include "base/status.h"

#include <jansson.h>

/* A report document (docs/formats/report.md) for people. Nothing but the
 * document is read; members that are null appear as "not recorded" or leave
 * their section out. *text is malloc'd. Errors: NOMEM; EXTERNAL cairo. */

/* GitHub-flavoured Markdown, with tables padded so that they read well as
 * plain text too. Links lead to `files`, the folder of the run as seen from
 * where the text will be; "": the same. */
APQ_NODISCARD apq_status apq_report_markdown(const json_t *document,
                                             const char *files, char **text);

/* One HTML page without outside parts: style, scripts, figures and tables. It
 * follows the reader's light or dark setting and can be printed; without
 * scripts it shows the figures as they are printed. Texts of the document are
 * escaped. */
APQ_NODISCARD apq_status apq_report_html(const json_t *document, char **text);

/* Version of the chart library inside, or NULL: the build had none, and pages
 * have the figures only. Static. */
const char *apq_report_chart_version(void);

#endif
