#ifndef APQ_APQ_H
#define APQ_APQ_H

/* The public interface of libapq: joint search of architecture, pruning and
 * quantisation policy. One header a noun; docs/libapq.md shows their use.
 *
 * Everywhere: pointers are not NULL unless their comment says so; *out is
 * written on success only and is the caller's; a returned pointer is borrowed;
 * the message of a failure is apq_error_message(). */
#include <apq/classifier.h>
#include <apq/export.h>
#include <apq/predictor.h>
#include <apq/progress.h>
#include <apq/search.h>
#include <apq/space.h>
#include <apq/status.h>
#include <apq/target.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "MAJOR.MINOR.PATCH" of the library in use, static storage. */
APQ_API const char *apq_version(void);

#ifdef __cplusplus
}
#endif

#endif
