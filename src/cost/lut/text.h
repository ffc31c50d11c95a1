#ifndef APQ_COST_LUT_TEXT_H
#define APQ_COST_LUT_TEXT_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* Text that grows, written to a file at the end. Start from a zeroed struct;
 * a failure is remembered and reported by apq_text_write. */
typedef struct apq_text {
    char *bytes;
    size_t n, capacity;
    bool failed;
} apq_text;

void apq_text_add(apq_text *text, const char *format, ...) APQ_PRINTF(2, 3);
/* As few digits as read back to the same double; null when not finite. */
void apq_text_number(apq_text *text, double value);
/* Replaces the file atomically and releases the text, also on failure. */
APQ_NODISCARD apq_status apq_text_write(apq_text *text, const char *path);

#endif
