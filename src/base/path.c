/* The two parts of a path, as text: nothing is looked up, and a slash at the
 * end counts like any other. */
#include "base/path.h"

#include <stdio.h>
#include <string.h>

void apq_path_folder(const char *path, char out[APQ_PATH_MAX]) {
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        (void)snprintf(out, APQ_PATH_MAX, ".");
    } else {
        int n = slash == path ? 1 : (int)(slash - path);
        (void)snprintf(out, APQ_PATH_MAX, "%.*s", n, path);
    }
}

const char *apq_path_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}
