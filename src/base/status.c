/* Status codes and the thread-local message of the last failure. */
#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local char message[1024];

const char *apq_status_text(apq_status status) {
    static const char *const texts[] = {
#define APQ_STATUS_TEXT(code, text) text,
        APQ_STATUS_LIST(APQ_STATUS_TEXT)
#undef APQ_STATUS_TEXT
    };
    size_t i = (size_t)status;
    return i < sizeof texts / sizeof texts[0] ? texts[i] : "unknown status";
}

/* File names may hold line feeds and escape sequences; a message is one line
 * and harmless on a terminal. */
static void replace_controls(char *text) {
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == '\177') {
            *text = '?';
        }
    }
}

apq_status apq_error_set(apq_status status, const char *file, int line,
                         const char *format, ...) {
    (void)file;
    (void)line;
    char text[sizeof message];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    replace_controls(text);
    (void)snprintf(message, sizeof message, "%s", text);
    return status;
}

const char *apq_error_message(void) {
    return message;
}

void apq_assert_fail(const char *expr, const char *file, int line) {
    (void)fprintf(stderr, "apq: bug: %s:%d: assertion failed: %s\n", file, line,
                  expr);
    abort();
}

apq_status apq_errno_status(int error) {
    bool is_full = error == ENOSPC || error == EDQUOT || error == EROFS;
    return is_full ? APQ_ERR_WRITE : APQ_ERR_IO;
}
