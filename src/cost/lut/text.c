/* A growing text for files of many short lines; doubles are written so that
 * they read back exactly. */
#include "cost/lut/text.h"

#include "base/file.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BYTES = 1 << 16, MAX_PIECE = 4096 };

void apq_text_add(apq_text *text, const char *format, ...) {
    if (text->capacity - text->n < MAX_PIECE) {
        size_t capacity =
            text->capacity == 0 ? FIRST_BYTES : 2 * text->capacity;
        char *grown = text->failed ? NULL : realloc(text->bytes, capacity);
        if (grown == NULL) {
            text->failed = true;
            return;
        }
        text->bytes = grown;
        text->capacity = capacity;
    }
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text->bytes + text->n, MAX_PIECE, format, arguments);
    va_end(arguments);
    if (n < 0 || n >= MAX_PIECE) {
        text->failed = true;
    } else {
        text->n += (size_t)n;
    }
}

void apq_text_number(apq_text *text, double value) {
    if (!isfinite(value)) {
        apq_text_add(text, "null");
        return;
    }
    char digits[40];
    for (int precision = 15; precision <= 17; precision++) {
        (void)snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value) {
            break;
        }
    }
    apq_text_add(text, "%s", digits);
}

apq_status apq_text_write(apq_text *text, const char *path) {
    apq_status st = text->failed
                        ? APQ_ERROR(APQ_ERR_NOMEM, "%s: out of memory", path)
                        : apq_file_write(path, text->bytes, text->n);
    free(text->bytes);
    *text = (apq_text){.bytes = NULL};
    return st;
}
