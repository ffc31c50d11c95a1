#ifndef APQ_APP_EXPORT_EARLIER_H
#define APQ_APP_EXPORT_EARLIER_H

#include "app/export_stage.h"

/* May the staged files take their places? Only those of earlier exports give
 * way, as their manifests name them, also those of exports that were killed.
 * `network` is the file that is exported. Errors: ARG for another file in the
 * way, or the network; IO. */
APQ_NODISCARD apq_status apq_export_earlier_check(const apq_export_stage *stage,
                                                  const char *network);

#endif
