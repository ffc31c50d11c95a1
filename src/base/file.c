/* Whole-file reading, atomic replacing, logs of lines and content hashes. */
#include "base/file.h"

#include "base/path.h"
#include "base/temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

/* What a pipe or a device may give: some never end. */
enum { MAX_STREAM_BYTES = 1 << 30 };

static bool is_regular(FILE *file) {
    struct stat info;
    return fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode);
}

apq_status apq_file_read(const char *path, char **bytes, size_t *n_bytes) {
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "rb");
    if (file == NULL) {
        APQ_FAIL(APQ_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    }
    apq_status st = APQ_OK;
    size_t used = 0, capacity = 1 << 16;
    char *buffer = malloc(capacity);
    while (buffer != NULL) {
        used += fread(buffer + used, 1, capacity - used - 1, file);
        if (used < capacity - 1 ||
            (capacity > MAX_STREAM_BYTES && !is_regular(file))) {
            break;
        }
        char *grown = realloc(buffer, capacity * 2);
        if (grown == NULL) {
            free(buffer);
        }
        buffer = grown;
        capacity *= 2;
    }
    if (buffer == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "%s: out of memory", path);
    } else if (ferror(file)) {
        st =
            APQ_ERROR(APQ_ERR_IO, "%s: cannot read: %s", path, strerror(errno));
        free(buffer);
    } else if (used > MAX_STREAM_BYTES && !is_regular(file)) {
        st = APQ_ERROR(APQ_ERR_IO, "%s: a stream above %d bytes", path,
                       (int)MAX_STREAM_BYTES);
        free(buffer);
    } else {
        buffer[used] = '\0';
        *bytes = buffer;
        *n_bytes = used;
    }
    if (!is_stdin) {
        (void)fclose(file);
    }
    return st;
}

static bool write_all(int fd, const char *bytes, size_t n_bytes) {
    while (n_bytes > 0) {
        ssize_t n = write(fd, bytes, n_bytes);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        bytes += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

static void sync_folder_of(const char *path) {
    char folder[APQ_PATH_MAX];
    apq_path_folder(path, folder);
    int fd = open(folder, O_RDONLY | O_DIRECTORY);
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
}

/* A device or a pipe is written, never replaced. */
static apq_status write_in_place(const char *path, const char *bytes,
                                 size_t n_bytes) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write_all(fd, bytes, n_bytes);
    int error = errno;
    if (fd >= 0 && close(fd) != 0 && ok) {
        ok = false;
        error = errno;
    }
    if (!ok) {
        APQ_FAIL(APQ_ERR_WRITE, "%s: cannot write: %s", path, strerror(error));
    }
    return APQ_OK;
}

apq_status apq_file_write(const char *path, const void *bytes, size_t n_bytes) {
    char temporary[APQ_PATH_MAX];
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode) &&
        !S_ISDIR(info.st_mode)) {
        return write_in_place(path, bytes, n_bytes);
    }
    int fd;
    APQ_TRY(apq_temporary_create(path, temporary, &fd));
    bool ok = write_all(fd, bytes, n_bytes) && fsync(fd) == 0 &&
              rename(temporary, path) == 0;
    int error = errno;
    if (!ok) {
        (void)unlink(temporary);
    }
    (void)close(fd); /* and with it the lock */
    if (!ok) {
        APQ_FAIL(APQ_ERR_WRITE, "%s: cannot write: %s", path, strerror(error));
    }
    sync_folder_of(path);
    return APQ_OK;
}

apq_status apq_file_write_text(const char *path, const char *text) {
    size_t n = strlen(text);
    if (n > 0 && text[n - 1] == '\n') {
        return apq_file_write(path, text, n);
    }
    char *ended = malloc(n + 1);
    if (ended == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", path);
    }
    memcpy(ended, text, n);
    ended[n] = '\n';
    apq_status st = apq_file_write(path, ended, n + 1);
    free(ended);
    return st;
}

apq_status apq_file_check_write(const char *path_or_null) {
    char folder[APQ_PATH_MAX];
    struct stat info;
    if (path_or_null == NULL ||
        (stat(path_or_null, &info) == 0 && !S_ISREG(info.st_mode) &&
         !S_ISDIR(info.st_mode))) {
        return APQ_OK;
    }
    if (strlen(path_or_null) >= sizeof folder) {
        APQ_FAIL(APQ_ERR_ARG, "%s: path too long", path_or_null);
    }
    apq_path_folder(path_or_null, folder);
    if (access(folder, W_OK | X_OK) != 0) {
        APQ_FAIL(apq_errno_status(errno), "%s: cannot create: %s", path_or_null,
                 strerror(errno));
    }
    return APQ_OK;
}

enum { MAX_LINE_BYTES = 4096 };

/* End of the last whole line: where the next one begins. What stands there may
 * be no rest of ours, and longer than a line. */
static bool find_end(int fd, off_t *end) {
    char part[MAX_LINE_BYTES];
    off_t at = lseek(fd, 0, SEEK_END);
    for (ssize_t n = 0; n == 0 && at > 0;) {
        off_t from = at > MAX_LINE_BYTES ? at - MAX_LINE_BYTES : 0;
        n = pread(fd, part, (size_t)(at - from), from);
        if (n <= 0) {
            return false;
        }
        while (n > 0 && part[n - 1] != '\n') {
            n--;
        }
        at = from + n;
    }
    *end = at;
    return at >= 0;
}

static bool append(int fd, const char *bytes, size_t n) {
    off_t end;
    if (!find_end(fd, &end) || ftruncate(fd, end) != 0) {
        return false;
    }
    ssize_t written = write(fd, bytes, n);
    if (written != (ssize_t)n || fsync(fd) != 0) {
        int cause = written >= 0 && written < (ssize_t)n ? ENOSPC : errno;
        (void)!ftruncate(fd, end);
        errno = cause;
        return false;
    }
    return true;
}

apq_status apq_file_append_line(const char *path, const char *line) {
    char bytes[MAX_LINE_BYTES];
    size_t n = strlen(line);
    APQ_ASSERT(n < sizeof bytes);
    memcpy(bytes, line, n);
    bytes[n] = '\n';
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    /* Of two processes, one would take the other's line for a rest. */
    if (fd >= 0) {
        (void)flock(fd, LOCK_EX);
    }
    bool ok = fd >= 0 && append(fd, bytes, n + 1);
    int cause = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (!ok) {
        APQ_FAIL(APQ_ERR_WRITE, "%s: cannot write: %s", path, strerror(cause));
    }
    return APQ_OK;
}

bool apq_file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool apq_dir_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

apq_status apq_dir_make(const char *path) {
    char part[APQ_PATH_MAX];
    int n = snprintf(part, sizeof part, "%s", path);
    if (n <= 0 || (size_t)n >= sizeof part) {
        APQ_FAIL(APQ_ERR_ARG, "%s: path empty or too long", path);
    }
    for (char *p = part + 1;; p++) {
        if (*p != '/' && *p != '\0') {
            continue;
        }
        bool last = *p == '\0';
        *p = '\0';
        if (mkdir(part, 0755) != 0 && errno != EEXIST) {
            APQ_FAIL(apq_errno_status(errno), "%s: cannot make folder: %s",
                     part, strerror(errno));
        }
        if (last) {
            break;
        }
        *p = '/';
    }
    if (!apq_dir_exists(path)) {
        APQ_FAIL(APQ_ERR_IO, "%s: is not a folder", path);
    }
    return APQ_OK;
}

apq_status apq_path_join(char out[APQ_PATH_MAX], const char *a, const char *b) {
    int n = snprintf(out, APQ_PATH_MAX, "%s/%s", a, b);
    if (n < 0 || n >= APQ_PATH_MAX) {
        APQ_FAIL(APQ_ERR_ARG, "%s/%s: path too long", a, b);
    }
    return APQ_OK;
}

uint64_t apq_hash64(const void *bytes, size_t n_bytes) {
    return XXH3_64bits(bytes, n_bytes);
}

void apq_hash_hex(const void *bytes, size_t n_bytes, char out[APQ_HASH_MAX]) {
    (void)snprintf(out, APQ_HASH_MAX, "%016" PRIx64,
                   apq_hash64(bytes, n_bytes));
}

apq_status apq_file_hash(const char *path, char out[APQ_HASH_MAX]) {
    char *bytes;
    size_t n_bytes;
    APQ_TRY(apq_file_read(path, &bytes, &n_bytes));
    apq_hash_hex(bytes, n_bytes, out);
    free(bytes);
    return APQ_OK;
}
