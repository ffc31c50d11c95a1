/* Where shipped files are found: from an override, from a source tree, beside
 * a build folder, and after installation, in that order. */
#include "base/datapath.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "folder of `file`" + "/" + relative; false when there is no such folder. */
static bool beside(const char *file, const char *relative,
                   char out[APQ_PATH_MAX]) {
    const char *slash = strrchr(file, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - file);
    char folder[APQ_PATH_MAX];
    if (n == 0 || n >= sizeof folder) {
        return false;
    }
    memcpy(folder, file, n);
    folder[n] = '\0';
    return apq_path_join(out, folder, relative) == APQ_OK;
}

/* The running program's file; false where the system does not tell. */
static bool program_file(char out[APQ_PATH_MAX]) {
    ssize_t n = readlink("/proc/self/exe", out, APQ_PATH_MAX - 1);
    if (n <= 0) {
        return false;
    }
    out[n] = '\0';
    return true;
}

/* A shared libapq's file; the program's when libapq is static. */
static const char *library_file(void) {
    static const char anchor;
    Dl_info info;
    return dladdr(&anchor, &info) != 0 ? info.dli_fname : NULL;
}

apq_status apq_data_path(const char *relative, char out[APQ_PATH_MAX]) {
    const char *override = getenv("APQ_DATA_DIR");
    const char *library = library_file();
    char program[APQ_PATH_MAX];
    char tree[APQ_PATH_MAX], by_program[APQ_PATH_MAX], by_library[APQ_PATH_MAX];
    bool has_program = program_file(program);
    const char *folders[] = {
        override != NULL && override[0] != '\0' ? override : NULL,
        ".",
        has_program && beside(program, "..", tree) ? tree : NULL,
        has_program && beside(program, APQ_DATADIR_FROM_BINDIR, by_program)
            ? by_program
            : NULL,
        library != NULL && beside(library, APQ_DATADIR_FROM_LIBDIR, by_library)
            ? by_library
            : NULL,
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
             "program's folder, in share/apq of its installation or in %s; "
             "set APQ_DATA_DIR",
             relative, APQ_INSTALL_DATADIR);
}
