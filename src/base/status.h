#ifndef APQ_BASE_STATUS_H
#define APQ_BASE_STATUS_H

#include <stddef.h>

/* Every fallible function returns apq_status. The message of the last failure
 * is thread-local text, recorded once, where the cause is known. */
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
    X(APQ_ERR_INTERRUPTED, "interrupted, state saved")

typedef enum apq_status {
#define APQ_STATUS_ENUM(code, text) code,
    APQ_STATUS_LIST(APQ_STATUS_ENUM)
#undef APQ_STATUS_ENUM
} apq_status;

#define APQ_NODISCARD __attribute__((warn_unused_result))
#define APQ_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Text of a code, static storage. */
const char *apq_status_text(apq_status status);

/* Records a printf-style message for this thread and returns `status`. */
apq_status apq_error_set(apq_status status, const char *file, int line,
                         const char *format, ...) APQ_PRINTF(4, 5);

/* Message of the last failure on this thread; valid until the next one. */
const char *apq_error_message(void);

#define APQ_ERROR(st, ...) apq_error_set((st), __FILE__, __LINE__, __VA_ARGS__)
#define APQ_FAIL(st, ...)  return APQ_ERROR((st), __VA_ARGS__)
#define APQ_TRY(expr)                                                          \
    do {                                                                       \
        apq_status try_st_ = (expr);                                           \
        if (try_st_ != APQ_OK) {                                               \
            return try_st_;                                                    \
        }                                                                      \
    } while (0)

/* A broken precondition is a bug: report and abort, in every build. */
_Noreturn void apq_assert_fail(const char *expr, const char *file, int line);
#define APQ_ASSERT(expr)                                                       \
    ((expr) ? (void)0 : apq_assert_fail(#expr, __FILE__, __LINE__))

#endif
