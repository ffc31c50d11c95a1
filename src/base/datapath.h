#ifndef APQ_BASE_DATAPATH_H
#define APQ_BASE_DATAPATH_H

#include "base/file.h"
#include "base/status.h"

/* Finds a file that comes with the program, such as "configs/spaces/x.yaml".
 * Tried in this order: $APQ_DATA_DIR; the current folder; the parent of the
 * program's own folder (a build in the source tree); share/apq of the
 * installation that the program, or else a shared libapq, is part of; the
 * folder given when apq was configured. APQ_ERR_IO names them when none has
 * it. */
APQ_NODISCARD apq_status apq_data_path(const char *relative,
                                       char out[APQ_PATH_MAX]);

#endif
