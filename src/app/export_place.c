/* Folders of exports, made and held by flock(2), which leaves no file behind
 * and needs no right to write. File systems without locks hold nothing. */
#include "app/export_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Length of the first part of the path that is no folder; 0: all are. */
static size_t first_missing(const char *dir) {
    char part[APQ_PATH_MAX];
    for (size_t n = 1;; n++) {
        if (dir[n] != '/' && dir[n] != '\0') {
            continue;
        }
        (void)snprintf(part, sizeof part, "%.*s", (int)n, dir);
        if (!apq_dir_exists(part)) {
            return n;
        }
        if (dir[n] == '\0') {
            return 0;
        }
    }
}

static apq_status take_lock(apq_export_place *self) {
    self->lock = open(self->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->lock >= 0 && flock(self->lock, LOCK_EX | LOCK_NB) != 0 &&
        errno == EWOULDBLOCK) {
        (void)close(self->lock);
        self->lock = -1;
        self->n_first = 0; /* what is missing no more is the other one's */
        APQ_FAIL(APQ_ERR_IO,
                 "%s: in use by another export or verification of this folder",
                 self->dir);
    }
    return APQ_OK;
}

/* Removed by the one that had made and held it. */
static bool is_gone(const apq_export_place *self) {
    struct stat held, there;
    return self->lock >= 0 && fstat(self->lock, &held) == 0 &&
           (stat(self->dir, &there) != 0 || held.st_dev != there.st_dev ||
            held.st_ino != there.st_ino);
}

static apq_status make_and_take(apq_export_place *self) {
    do {
        apq_export_place_close(self);
        size_t first = first_missing(self->dir);
        if (first > 0 && (self->n_first == 0 || first < self->n_first)) {
            self->n_first = first; /* and not more in a later round */
        }
        APQ_TRY(apq_dir_make(self->dir));
        APQ_TRY(take_lock(self));
    } while (is_gone(self));
    return APQ_OK;
}

apq_status apq_export_place_take(apq_export_place *self, const char *dir) {
    *self = (apq_export_place){.lock = -1};
    (void)snprintf(self->dir, sizeof self->dir, "%s", dir);
    return take_lock(self);
}

apq_status apq_export_place_make(apq_export_place *self, const char *dir) {
    *self = (apq_export_place){.lock = -1};
    (void)snprintf(self->dir, sizeof self->dir, "%s", dir);
    apq_status st = make_and_take(self);
    if (st != APQ_OK) {
        apq_export_place_abandon(self);
    }
    return st;
}

void apq_export_place_close(apq_export_place *self) {
    if (self->lock >= 0) {
        (void)close(self->lock);
        self->lock = -1;
    }
}

/* Fails where there is something in them. */
static void remove_made(apq_export_place *self) {
    if (self->n_first == 0) {
        return;
    }
    (void)rmdir(self->dir);
    char *slash;
    while ((slash = strrchr(self->dir, '/')) != NULL &&
           (size_t)(slash - self->dir) >= self->n_first) {
        *slash = '\0';
        (void)rmdir(self->dir);
    }
}

void apq_export_place_abandon(apq_export_place *self) {
    remove_made(self);
    apq_export_place_close(self);
}
