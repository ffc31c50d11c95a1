#ifndef APQ_APQ_H
#define APQ_APQ_H

/* The public interface of libapq: joint search of architecture, pruning and
 * quantisation policy. */
#include <apq/export.h>
#include <apq/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "MAJOR.MINOR.PATCH" of the library in use, static storage. */
APQ_API const char *apq_version(void);

#ifdef __cplusplus
}
#endif

#endif
