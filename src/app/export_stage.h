#ifndef APQ_APP_EXPORT_STAGE_H
#define APQ_APP_EXPORT_STAGE_H

#include "base/file.h"
#include "base/status.h"

#include <stdbool.h>

/* Where the files of an export wait until all of them are written: a folder in
 * that of the export, so that nothing but renaming is left to be done. */
typedef struct apq_export_stage {
    char dir[APQ_PATH_MAX];  /* of the export */
    char path[APQ_PATH_MAX]; /* .apq-export-XXXXXX in it; "": there is none */
    int lock;                /* of the stage: it is in use; -1: none */
} apq_export_stage;

/* `dir` is there. Errors: IO, ARG. */
APQ_NODISCARD apq_status apq_export_stage_open(apq_export_stage *self,
                                               const char *dir);

/* Moves the staged files to the export, in place of those of their names; other
 * files there stay. manifest.json is the first that goes and the last that
 * comes. Then removes what killed exports have left in that folder. Errors: IO;
 * all files of the export are the old ones. */
APQ_NODISCARD apq_status apq_export_stage_commit(const apq_export_stage *self);

/* Whether a folder is called as stages are. */
bool apq_export_stage_has_name(const char *name);

/* Removes the stage with what is in it. */
void apq_export_stage_close(apq_export_stage *self);

#endif
