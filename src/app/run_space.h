#ifndef APQ_APP_RUN_SPACE_H
#define APQ_APP_RUN_SPACE_H

#include "base/status.h"
#include "space/space.h"

/* Loads the space; with the number of classes of the run's supernet, where
 * there is one of this space, so that networks are priced as they will be made.
 * run_dir may be NULL. A damaged supernet, or one of another space, is left to
 * the steps that use it. Errors: those of apq_space_load. */
APQ_NODISCARD apq_status apq_run_space_load(const char *name_or_path,
                                            const char *run_dir,
                                            apq_space *out);

#endif
