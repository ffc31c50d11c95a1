#ifndef APQ_BASE_PATH_H
#define APQ_BASE_PATH_H

#include "base/file.h"

#include <stdbool.h>

/* The folder that a file is in: what stands before the last slash; "/" for a
 * file of the root, "." for a bare name. Paths of APQ_PATH_MAX bytes or more
 * are cut. */
void apq_path_folder(const char *path, char out[APQ_PATH_MAX]);
/* What stands after the last slash; points into `path`. */
const char *apq_path_name(const char *path);
/* With something before the ending. */
bool apq_path_has_ending(const char *path, const char *ending);
/* What leads from `folder` to `path`, both seen from the current folder: "../b"
 * from "a" to "b", "" from a folder to itself. The whole path where ".." in
 * `folder` or one that is absolute leaves no shorter way. */
void apq_path_from(const char *folder, const char *path,
                   char out[APQ_PATH_MAX]);

#endif
