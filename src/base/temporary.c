/* Temporary files that outlive nobody: PATH.NUMBER.tmp under flock(2). */
#include "base/temporary.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static const char suffix[] = ".tmp";

/* Process numbers alone repeat from container to container. */
static uint64_t draw_number(void) {
    uint64_t number = 0;
    return getrandom(&number, sizeof number, 0) == (ssize_t)sizeof number
               ? number
               : (uint64_t)getpid();
}

/* False when a sweep took the file between its creation and its lock. File
 * systems without locks have no sweeps either. */
static bool keep(int fd) {
    struct stat info;
    (void)flock(fd, LOCK_EX | LOCK_NB);
    return fstat(fd, &info) != 0 || info.st_nlink > 0;
}

apq_status apq_temporary_create(const char *path, char name[APQ_PATH_MAX],
                                int *fd) {
    for (;;) {
        int n = snprintf(name, APQ_PATH_MAX, "%s.%" PRIu64 "%s", path,
                         draw_number(), suffix);
        if (n < 0 || n >= APQ_PATH_MAX) {
            APQ_FAIL(APQ_ERR_ARG, "%s: path too long", path);
        }
        *fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (*fd >= 0 && keep(*fd)) {
            return APQ_OK;
        }
        if (*fd >= 0) {
            (void)close(*fd);
        } else if (errno != EEXIST) {
            APQ_FAIL(apq_errno_status(errno), "%s: cannot create: %s", path,
                     strerror(errno));
        }
    }
}

static bool is_temporary(const char *name) {
    size_t n = strlen(name), n_suffix = sizeof suffix - 1;
    if (n <= n_suffix || strcmp(name + n - n_suffix, suffix) != 0) {
        return false;
    }
    size_t digits = n - n_suffix;
    while (digits > 0 && strchr("0123456789", name[digits - 1]) != NULL) {
        digits--;
    }
    return digits < n - n_suffix && digits > 1 && name[digits - 1] == '.';
}

static void remove_unlocked(const char *path) {
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        (void)unlink(path);
    }
    (void)close(fd);
}

void apq_temporary_sweep(const char *folder) {
    DIR *open_folder = opendir(folder);
    const struct dirent *entry;
    while (open_folder != NULL && (entry = readdir(open_folder)) != NULL) {
        char path[APQ_PATH_MAX];
        if (is_temporary(entry->d_name) &&
            apq_path_join(path, folder, entry->d_name) == APQ_OK) {
            remove_unlocked(path);
        }
    }
    if (open_folder != NULL) {
        (void)closedir(open_folder);
    }
}
