/* Exports are written beside their place and then moved to it, so that an
 * error leaves all old files or all new ones. Files that are replaced are put
 * into the stage first, from where they can be taken back. A stage is under
 * flock(2) while it is in use, which tells it from what a kill has left. */
#include "app/export_stage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Folders ----------------------------------------------------------------- */

/* With the files in it, as far as that is allowed. */
static void remove_folder(const char *path) {
    DIR *folder = opendir(path);
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char file[APQ_PATH_MAX];
        int n = snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (n > 0 && (size_t)n < sizeof file) {
            (void)unlink(file); /* not "." and "..": they are folders */
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    (void)rmdir(path);
}

/* Stages ------------------------------------------------------------------ */

/* As mkdtemp(3) makes them of this. */
static const char stage_name[] = ".apq-export-XXXXXX";

bool apq_export_stage_has_name(const char *name) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t n = sizeof stage_name - 1, n_prefix = n - 6;
    return strlen(name) == n && strncmp(name, stage_name, n_prefix) == 0 &&
           strspn(name + n_prefix, letters) == n - n_prefix;
}

/* -1: in use, or none. */
static int lock_stage(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void remove_left_stages(const char *dir) {
    DIR *folder = opendir(dir);
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char path[APQ_PATH_MAX];
        if (!apq_export_stage_has_name(entry->d_name) ||
            apq_path_join(path, dir, entry->d_name) != APQ_OK) {
            continue;
        }
        int lock = lock_stage(path);
        if (lock >= 0) {
            remove_folder(path);
            (void)close(lock);
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
}

/* Anew where an older apq, which locks no folder, took it for a left one before
 * it was locked. File systems without locks have no such removals either. */
static apq_status make_stage(apq_export_stage *self) {
    do {
        char path[APQ_PATH_MAX];
        APQ_TRY(apq_path_join(path, self->dir, stage_name));
        if (mkdtemp(path) == NULL) {
            APQ_FAIL(apq_errno_status(errno),
                     "%s: cannot make a folder in it: %s", self->dir,
                     strerror(errno));
        }
        memcpy(self->path, path, sizeof path);
        self->lock = lock_stage(path);
    } while (!apq_dir_exists(self->path));
    return APQ_OK;
}

apq_status apq_export_stage_open(apq_export_stage *self, const char *dir) {
    *self = (apq_export_stage){.lock = -1};
    (void)snprintf(self->dir, sizeof self->dir, "%s", dir);
    return make_stage(self);
}

void apq_export_stage_close(apq_export_stage *self) {
    if (self->path[0] != '\0') {
        remove_folder(self->path);
        self->path[0] = '\0';
    }
    if (self->lock >= 0) {
        (void)close(self->lock);
        self->lock = -1;
    }
}

/* Moving ------------------------------------------------------------------ */

enum { MAX_FILES = 16 };

/* A staged file and its place; where there is one already, `old` keeps it. */
typedef struct move {
    char staged[APQ_PATH_MAX], place[APQ_PATH_MAX], old[APQ_PATH_MAX];
    bool has_old, is_done;
} move;

static apq_status add_move(const apq_export_stage *s, const char *name,
                           move *m) {
    char kept[NAME_MAX + 1];
    struct stat info;
    (void)snprintf(kept, sizeof kept, "%.200s.old", name);
    APQ_TRY(apq_path_join(m->staged, s->path, name));
    APQ_TRY(apq_path_join(m->place, s->dir, name));
    APQ_TRY(apq_path_join(m->old, s->path, kept));
    m->has_old = m->is_done = false;
    if (lstat(m->place, &info) == 0 && !S_ISREG(info.st_mode) &&
        !S_ISLNK(info.st_mode)) {
        APQ_FAIL(APQ_ERR_IO, "%s: in the way of the export, and no file",
                 m->place);
    }
    return APQ_OK;
}

/* The manifest becomes the first. */
static apq_status list_moves(const apq_export_stage *s, move *moves,
                             size_t *n) {
    apq_status st = APQ_OK;
    *n = 0;
    DIR *folder = opendir(s->path);
    if (folder == NULL) {
        APQ_FAIL(APQ_ERR_IO, "%s: cannot open: %s", s->path, strerror(errno));
    }
    const struct dirent *entry;
    while (st == APQ_OK && (entry = readdir(folder)) != NULL) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
            continue;
        }
        APQ_ASSERT(*n < MAX_FILES);
        st = add_move(s, name, &moves[*n]);
        if (strcmp(name, "manifest.json") == 0) {
            move manifest = moves[*n];
            moves[*n] = moves[0];
            moves[0] = manifest;
        }
        ++*n;
    }
    (void)closedir(folder);
    return st;
}

static bool move_all(move *moves, size_t n) {
    for (size_t i = 0; i < n; i++) {
        moves[i].has_old = rename(moves[i].place, moves[i].old) == 0;
        if (!moves[i].has_old && errno != ENOENT) {
            return false;
        }
    }
    for (size_t i = n; i > 0; i--) {
        moves[i - 1].is_done =
            rename(moves[i - 1].staged, moves[i - 1].place) == 0;
        if (!moves[i - 1].is_done) {
            return false;
        }
    }
    return true;
}

static void take_back(const move *moves, size_t n) {
    for (size_t i = n; i > 0; i--) {
        const move *m = &moves[i - 1];
        if (m->is_done) {
            (void)unlink(m->place);
        }
        if (m->has_old) {
            (void)rename(m->old, m->place);
        }
    }
}

static void sync_folder(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY);
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
}

apq_status apq_export_stage_commit(const apq_export_stage *self) {
    move *moves = calloc(MAX_FILES, sizeof *moves);
    if (moves == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", self->dir);
    }
    size_t n;
    apq_status st = list_moves(self, moves, &n);
    if (st == APQ_OK && !move_all(moves, n)) {
        st = APQ_ERROR(APQ_ERR_WRITE, "%s: cannot write: %s", self->dir,
                       strerror(errno));
        take_back(moves, n);
    } else if (st == APQ_OK) {
        remove_left_stages(self->dir);
    }
    sync_folder(self->dir);
    free(moves);
    return st;
}
