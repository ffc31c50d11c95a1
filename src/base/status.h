#ifndef APQ_BASE_STATUS_H
#define APQ_BASE_STATUS_H

#include <apq/status.h>

#include <stddef.h>

/* The codes, apq_status_text() and apq_error_message() are public. The message
 * of the last failure is thread-local text, recorded once, where the cause is
 * known. */
#define APQ_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Records a printf-style message for this thread and returns `status`. */
apq_status apq_error_set(apq_status status, const char *file, int line,
                         const char *format, ...) APQ_PRINTF(4, 5);

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

/* Of a file that could not be made: WRITE where the disk takes nothing more,
 * IO for all that its name may be the reason of. */
apq_status apq_errno_status(int error);

#endif
