#ifndef APQ_REPORT_MARKDOWN_H
#define APQ_REPORT_MARKDOWN_H

#include "base/status.h"

#include <jansson.h>

/* A report document (docs/formats/report.md) as GitHub-flavoured Markdown,
 * with tables padded so that they read well as plain text too. Members that
 * are null appear as "not recorded". *text is malloc'd.
 * Errors: APQ_ERR_NOMEM. */
APQ_NODISCARD apq_status apq_report_markdown(const json_t *document,
                                             char **text);

#endif
