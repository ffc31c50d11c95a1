#ifndef APQ_STATUS_H
#define APQ_STATUS_H

#include <apq/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Every fallible function returns apq_status; APQ_OK is 0. */
#define APQ_STATUS_LIST(X)                                                     \
    X(APQ_OK, "success")                                                       \
    X(APQ_ERR_NOMEM, "out of memory")                                          \
    X(APQ_ERR_ARG, "invalid argument")                                         \
    X(APQ_ERR_IO, "input/output error")                                        \
    X(APQ_ERR_FORMAT, "malformed or unsupported file")                         \
    X(APQ_ERR_UNSUPPORTED, "not supported here")                               \
    X(APQ_ERR_EXTERNAL, "a library call failed")                               \
    X(APQ_ERR_NUMERIC, "non-finite or diverged value")                         \
    X(APQ_ERR_INFEASIBLE, "no candidate meets the constraint")                 \
    X(APQ_ERR_MISMATCH, "files do not belong together")                        \
    X(APQ_ERR_INTERRUPTED, "interrupted, state saved")                         \
    X(APQ_ERR_WRITE, "cannot write, as to a full disk")

typedef enum apq_status {
#define APQ_STATUS_ENUM(code, text) code,
    APQ_STATUS_LIST(APQ_STATUS_ENUM)
#undef APQ_STATUS_ENUM
} apq_status;

/* Text of a code, static storage. */
APQ_API const char *apq_status_text(apq_status status);

/* Message of the last failure on this thread; valid until the next one. */
APQ_API const char *apq_error_message(void);

#ifdef __cplusplus
}
#endif

#endif
