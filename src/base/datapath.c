/* Where shipped files are found: from an override, from a source tree, beside
 * a build folder, and after installation, in that order. */
#include "base/datapath.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Folder above the one of the running program; false where the system does
 * not tell. */
static bool program_parent(char out[APQ_PATH_MAX]) {
    char link[APQ_PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", link, sizeof link - 1);
    if (n <= 0) {
        return false;
    }
    link[n] = '\0';
    char *slash = strrchr(link, '/');
    if (slash == NULL) {
        return false;
    }
    *slash = '\0';
    return apq_path_join(out, link, "..") == APQ_OK;
}

apq_status apq_data_path(const char *relative, char out[APQ_PATH_MAX]) {
    const char *override = getenv("APQ_DATA_DIR");
    char parent[APQ_PATH_MAX];
    const char *folders[] = {
        override != NULL && override[0] != '\0' ? override : NULL,
        ".",
        program_parent(parent) ? parent : NULL,
        APQ_INSTALL_DATADIR,
    };
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        if (folders[i] == NULL) {
            continue;
        }
        APQ_TRY(apq_path_join(out, folders[i], relative));
        if (apq_file_exists(out)) {
            return APQ_OK;
        }
    }
    APQ_FAIL(APQ_ERR_IO,
             "%s: not found in $APQ_DATA_DIR, the current folder, above the "
             "program's folder or %s; set APQ_DATA_DIR",
             relative, APQ_INSTALL_DATADIR);
}
