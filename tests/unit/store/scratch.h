#ifndef APQ_TESTS_UNIT_STORE_SCRATCH_H
#define APQ_TESTS_UNIT_STORE_SCRATCH_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A fresh folder for one test; cmocka set-up and tear-down. *state is its
 * path. */
static inline int scratch_make(void **state) {
    static const char pattern[] = "/tmp/apq-store-XXXXXX";
    char *path = malloc(sizeof pattern);
    if (path == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof pattern, "%s", pattern);
    *state = path;
    return mkdtemp(path) == NULL ? -1 : 0;
}

static inline int scratch_remove(void **state) {
    char *path = *state;
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char file[512];
        (void)snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        (void)unlink(file); /* "." and ".." refuse */
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    int failed = rmdir(path);
    free(path);
    return failed;
}

#endif
