/* The run directory. The manifest is held as a JSON tree; a change is made on
 * a copy, written atomically, and only then becomes the tree in memory, so
 * memory and disk never disagree. The lock is flock(2) on a file of its own,
 * because the manifest itself is replaced at each change. Processes that share
 * a run hold it shared, and change the manifest under a second one, each from
 * what the others left. */
#include "store/rundir.h"

#include "base/temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <jansson.h>

enum { MANIFEST_VERSION = 1 };

struct apq_rundir {
    char path[APQ_PATH_MAX];
    char manifest_path[APQ_PATH_MAX];
    int lock_fd; /* -1: opened to read */
    bool is_shared;
    json_t *manifest;
};

static apq_status take_lock(apq_rundir *dir) {
    char path[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(path, dir->path, "lock"));
    dir->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (dir->lock_fd < 0) {
        APQ_FAIL(APQ_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    }
    char owner[24] = "";
    int kind = dir->is_shared ? LOCK_SH : LOCK_EX;
    if (flock(dir->lock_fd, kind | LOCK_NB) != 0) {
        int cause = errno;
        if (cause != EWOULDBLOCK) {
            APQ_FAIL(APQ_ERR_IO, "%s: cannot lock: %s", path, strerror(cause));
        }
        ssize_t n = pread(dir->lock_fd, owner, sizeof owner - 1, 0);
        owner[n > 0 ? n : 0] = '\0';
        owner[strcspn(owner, "\n")] = '\0';
        APQ_FAIL(APQ_ERR_IO,
                 "%s: run directory is in use by another process (%s)",
                 dir->path, owner[0] == '\0' ? "unknown" : owner);
    }
    /* The number only helps the reader of the message above. */
    int n = snprintf(owner, sizeof owner, "%ld\n", (long)getpid());
    if (ftruncate(dir->lock_fd, 0) != 0 ||
        pwrite(dir->lock_fd, owner, (size_t)n, 0) != n) {
        APQ_FAIL(APQ_ERR_WRITE, "%s: cannot write: %s", path, strerror(errno));
    }
    return APQ_OK;
}

static apq_status save(const apq_rundir *dir, const json_t *manifest) {
    char *text = json_dumps(manifest, JSON_INDENT(2) | JSON_SORT_KEYS);
    if (text == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", dir->manifest_path);
    }
    apq_status st = apq_file_write_text(dir->manifest_path, text);
    free(text);
    return st;
}

static bool holds_strings(json_t *object) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        if (!json_is_string(value)) {
            return false;
        }
    }
    return json_is_object(object);
}

static apq_status check_version(const apq_rundir *dir) {
    const json_t *version = json_object_get(dir->manifest, "version");
    json_int_t number = json_integer_value(version);
    if (number > MANIFEST_VERSION) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: run directory of a newer apq, version %lld, this one "
                 "reads %d",
                 dir->manifest_path, (long long)number, MANIFEST_VERSION);
    }
    if (number != MANIFEST_VERSION) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: version is not %d", dir->manifest_path,
                 MANIFEST_VERSION);
    }
    return APQ_OK;
}

static apq_status check_manifest(const apq_rundir *dir) {
    json_t *bound = json_object_get(dir->manifest, "bound");
    json_t *steps = json_object_get(dir->manifest, "steps");
    APQ_TRY(check_version(dir));
    if (!holds_strings(bound) || !json_is_object(steps)) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: no texts in bound, or no object steps",
                 dir->manifest_path);
    }
    const char *step;
    json_t *value;
    json_object_foreach(steps, step, value) {
        if (!holds_strings(value) || json_object_get(value, "input") == NULL ||
            json_object_get(value, "artefact") == NULL) {
            APQ_FAIL(APQ_ERR_FORMAT, "%s: step %s lacks input or artefact",
                     dir->manifest_path, step);
        }
    }
    return APQ_OK;
}

static apq_status load(apq_rundir *dir) {
    char *text;
    size_t n;
    APQ_TRY(apq_file_read(dir->manifest_path, &text, &n));
    json_error_t error;
    dir->manifest = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    free(text);
    if (dir->manifest == NULL) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: %s", dir->manifest_path, error.line,
                 error.text);
    }
    return check_manifest(dir);
}

static apq_status start(apq_rundir *dir) {
    dir->manifest = json_pack("{s:i, s:{}, s:{}}", "version", MANIFEST_VERSION,
                              "bound", "steps");
    if (dir->manifest == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", dir->manifest_path);
    }
    return save(dir, dir->manifest);
}

/* Until *fd is closed no other process that shares the run changes the
 * manifest; nothing to do in a run that is not shared. */
static apq_status lock_manifest(const apq_rundir *dir, int *fd) {
    *fd = -1;
    if (!dir->is_shared) {
        return APQ_OK;
    }
    char path[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(path, dir->path, "manifest.lock"));
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (*fd < 0) {
        APQ_FAIL(APQ_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    }
    while (flock(*fd, LOCK_EX) != 0) {
        if (errno != EINTR) {
            int cause = errno;
            (void)close(*fd);
            *fd = -1;
            APQ_FAIL(APQ_ERR_IO, "%s: cannot lock: %s", path, strerror(cause));
        }
    }
    return APQ_OK;
}

static void unlock_manifest(int fd) {
    if (fd >= 0) {
        (void)close(fd);
    }
}

static apq_status start_or_load(apq_rundir *dir, bool create) {
    int fd;
    APQ_TRY(lock_manifest(dir, &fd));
    /* Looked at again under the lock: another process may have made it. */
    apq_status st =
        create && !apq_file_exists(dir->manifest_path) ? start(dir) : load(dir);
    unlock_manifest(fd);
    return st;
}

apq_status apq_rundir_check_folder(const char *path) {
    if (!apq_dir_exists(path)) {
        APQ_FAIL(APQ_ERR_IO, "%s: no such run directory", path);
    }
    return APQ_OK;
}

apq_status apq_rundir_need(const char *path, const char *name,
                           char out[APQ_PATH_MAX]) {
    static const char *const makers[][2] = {
        {"run.json", "train"},   {"supernet.safetensors", "train"},
        {"run.db", "collect"},   {"predictor.safetensors", "predictor fit"},
        {"best.json", "search"}, {"network.safetensors", "finetune"},
    };
    enum { N_FILES = sizeof makers / sizeof makers[0] };
    size_t i = 0;
    while (i < N_FILES && strcmp(makers[i][0], name) != 0) {
        i++;
    }
    APQ_ASSERT(i < N_FILES);
    APQ_TRY(apq_path_join(out, path, name));
    if (!apq_file_exists(out)) {
        APQ_FAIL(APQ_ERR_IO, "%s is missing: run 'apq %s' first", out,
                 makers[i][1]);
    }
    return APQ_OK;
}

static apq_status open_in(apq_rundir *dir, const char *path, bool create,
                          bool lock) {
    int n = snprintf(dir->path, sizeof dir->path, "%s", path);
    if (n <= 0 || (size_t)n >= sizeof dir->path) {
        APQ_FAIL(APQ_ERR_ARG, "run directory: path empty or too long");
    }
    APQ_TRY(apq_path_join(dir->manifest_path, path, "manifest.json"));
    APQ_TRY(create ? apq_dir_make(path) : apq_rundir_check_folder(path));
    if (!create && !apq_file_exists(dir->manifest_path)) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: not a run directory: no manifest.json",
                 path);
    }
    if (lock) {
        APQ_TRY(take_lock(dir));
    }
    if (lock && !dir->is_shared) {
        apq_temporary_sweep(dir->path);
    }
    return start_or_load(dir, create);
}

static apq_status open_new(const char *path, bool create, bool lock,
                           bool is_shared, apq_rundir **out) {
    apq_rundir *dir = calloc(1, sizeof *dir);
    if (dir == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", path);
    }
    dir->lock_fd = -1;
    dir->is_shared = is_shared;
    apq_status st = open_in(dir, path, create, lock);
    if (st != APQ_OK) {
        apq_rundir_close(dir);
        return st;
    }
    *out = dir;
    return APQ_OK;
}

apq_status apq_rundir_open(const char *path, bool create, apq_rundir **out) {
    return open_new(path, create, true, false, out);
}

apq_status apq_rundir_open_read(const char *path, apq_rundir **out) {
    return open_new(path, false, false, false, out);
}

apq_status apq_rundir_open_shared(const char *path, bool create,
                                  apq_rundir **out) {
    return open_new(path, create, true, true, out);
}

void apq_rundir_close(apq_rundir *dir) {
    if (dir == NULL) {
        return;
    }
    json_decref(dir->manifest);
    if (dir->lock_fd >= 0) {
        (void)close(dir->lock_fd); /* releases the lock */
    }
    free(dir);
}

const char *apq_rundir_path(const apq_rundir *dir) {
    return dir->path;
}

apq_status apq_rundir_file(const apq_rundir *dir, const char *name,
                           char out[APQ_PATH_MAX]) {
    return apq_path_join(out, dir->path, name);
}

/* Reads again what other processes may have changed. */
static apq_status reload(apq_rundir *dir) {
    json_t *earlier = dir->manifest;
    dir->manifest = NULL;
    apq_status st = load(dir);
    if (st != APQ_OK) {
        json_decref(dir->manifest);
        dir->manifest = earlier;
        return st;
    }
    json_decref(earlier);
    return APQ_OK;
}

/* Puts `value` (its reference is taken) under section.key, on disk first. */
static apq_status put(apq_rundir *dir, const char *section, const char *key,
                      json_t *value) {
    json_t *next = json_deep_copy(dir->manifest);
    apq_status st = APQ_OK;
    /* Both calls give the reference away or drop it, also on failure. */
    if (json_object_set_new(json_object_get(next, section), key, value) != 0) {
        st = APQ_ERROR(APQ_ERR_ARG,
                       "%s: cannot store %s.%s: out of memory or not UTF-8",
                       dir->manifest_path, section, key);
    } else {
        st = save(dir, next);
    }
    if (st != APQ_OK) {
        json_decref(next);
        return st;
    }
    json_decref(dir->manifest);
    dir->manifest = next;
    return APQ_OK;
}

apq_status apq_rundir_check(apq_rundir *dir, const char *key,
                            const char *value) {
    const char *earlier = apq_rundir_bound(dir, key);
    if (earlier != NULL && strcmp(earlier, value) != 0) {
        APQ_FAIL(APQ_ERR_MISMATCH,
                 "run directory %s was made with %s %s, now %s", dir->path, key,
                 earlier, value);
    }
    return APQ_OK;
}

static apq_status bind_now(apq_rundir *dir, const char *key,
                           const char *value) {
    APQ_TRY(apq_rundir_check(dir, key, value));
    if (apq_rundir_bound(dir, key) != NULL || dir->lock_fd < 0) {
        return APQ_OK;
    }
    return put(dir, "bound", key, json_string(value));
}

/* bind_now or put, of what the manifest is now. */
static apq_status bind_locked(apq_rundir *dir, const char *key,
                              const char *value, bool may_replace) {
    int fd;
    APQ_TRY(lock_manifest(dir, &fd));
    apq_status st = dir->is_shared ? reload(dir) : APQ_OK;
    if (st == APQ_OK) {
        st = may_replace ? put(dir, "bound", key, json_string(value))
                         : bind_now(dir, key, value);
    }
    unlock_manifest(fd);
    return st;
}

apq_status apq_rundir_bind(apq_rundir *dir, const char *key,
                           const char *value) {
    return bind_locked(dir, key, value, false);
}

apq_status apq_rundir_rebind(apq_rundir *dir, const char *key,
                             const char *value) {
    return bind_locked(dir, key, value, true);
}

const char *apq_rundir_bound(const apq_rundir *dir, const char *key) {
    return json_string_value(
        json_object_get(json_object_get(dir->manifest, "bound"), key));
}

static const char *step_text(const apq_rundir *dir, const char *step,
                             const char *field) {
    const json_t *steps = json_object_get(dir->manifest, "steps");
    return json_string_value(
        json_object_get(json_object_get(steps, step), field));
}

bool apq_rundir_step_done(const apq_rundir *dir, const char *step,
                          const char *input_hash) {
    const char *input = step_text(dir, step, "input");
    return input != NULL && strcmp(input, input_hash) == 0;
}

const char *apq_rundir_step_artefact(const apq_rundir *dir, const char *step) {
    return step_text(dir, step, "artefact");
}

bool apq_rundir_step_made(const apq_rundir *dir, const char *step,
                          const char *path) {
    const char *artefact = apq_rundir_step_artefact(dir, step);
    char hash[APQ_HASH_MAX];
    return artefact != NULL && apq_file_exists(path) &&
           apq_file_hash(path, hash) == APQ_OK && strcmp(hash, artefact) == 0;
}

apq_status apq_rundir_step_mark(apq_rundir *dir, const char *step,
                                const char *input_hash,
                                const char *artefact_hash) {
    if (dir->lock_fd < 0) {
        APQ_FAIL(APQ_ERR_ARG, "%s: run directory is open to read only",
                 dir->path);
    }
    int fd;
    APQ_TRY(lock_manifest(dir, &fd));
    apq_status st = dir->is_shared ? reload(dir) : APQ_OK;
    if (st == APQ_OK) {
        st = put(dir, "steps", step,
                 json_pack("{s:s, s:s}", "input", input_hash, "artefact",
                           artefact_hash));
    }
    unlock_manifest(fd);
    return st;
}
