#ifndef APQ_APP_RUN_SPACE_H
#define APQ_APP_RUN_SPACE_H

#include "base/file.h"
#include "base/status.h"
#include "space/space.h"
#include "store/rundir.h"

/* Loads the space; with the number of classes of the run's supernet, where
 * there is one of this space, so that networks are priced as they will be made.
 * run_dir may be NULL. A damaged supernet, or one of another space, is left to
 * the steps that use it. Errors: those of apq_space_load. */
APQ_NODISCARD apq_status apq_run_space_load(const char *name_or_path,
                                            const char *run_dir,
                                            apq_space *out);

/* Keeps the text of a user's space in the run, as space.yaml, so that the run
 * can be used from any folder. NULL, of a built-in space, is fine. Errors: IO,
 * WRITE. */
APQ_NODISCARD apq_status apq_run_space_keep(const apq_rundir *dir,
                                            const char *text_or_null);

/* Of the space that run.json names: where that is a file that is not there, the
 * copy that the run keeps takes its place, if there is one. Errors: MISMATCH
 * where the copy is not the space that the run is bound to; those of
 * apq_space_load. */
APQ_NODISCARD apq_status apq_run_space_find(const char *run_dir,
                                            char name_or_path[APQ_PATH_MAX]);

/* Undoes that for a recipe that becomes run.json in place of an `earlier` one:
 * it goes on naming the user's file. */
void apq_run_space_restore(const char *run_dir,
                           const char earlier[APQ_PATH_MAX],
                           char name_or_path[APQ_PATH_MAX]);

#endif
