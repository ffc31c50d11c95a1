#ifndef APQ_REPORT_THIN_H
#define APQ_REPORT_THIN_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* Which of n points to show when they are more than `max`: those of the front
 * (no other point has a smaller x and a larger y) first, then evenly spaced
 * ones of the others. Values that are not finite are never kept.
 *
 *   x, y (n); keep (n) is written, at most `max` of them true.
 *
 * Errors: NOMEM. */
APQ_NODISCARD apq_status apq_thin(const double *x, const double *y, size_t n,
                                  size_t max, bool *keep);

#endif
