#ifndef APQ_BASE_DATAPATH_H
#define APQ_BASE_DATAPATH_H

#include "base/file.h"
#include "base/status.h"

/* Finds a file that comes with the program, such as "configs/spaces/x.yaml".
 * Tried in this order: $APQ_DATA_DIR, the current folder, the parent of the
 * program's own folder, the folder given at installation. APQ_ERR_IO names
 * all of them when none has it. */
APQ_NODISCARD apq_status apq_data_path(const char *relative,
                                       char out[APQ_PATH_MAX]);

#endif
