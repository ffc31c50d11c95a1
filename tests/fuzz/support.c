/* Scratch files and checks that the targets share. */
#include "fuzz/fuzz.h"

#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 256, N_PATHS = 8 };

_Noreturn void fuzz_fail(const char *what, const char *file, int line) {
    (void)fprintf(stderr, "%s:%d: not so: %s\nlast message: %s\n", file, line,
                  what, apq_error_message());
    abort();
}

static size_t n_taken;

size_t fuzz_n_taken(void) {
    return n_taken;
}

bool fuzz_took(apq_status st) {
    if (st == APQ_OK) {
        n_taken++;
        return true;
    }
    const char *message = apq_error_message();
    FUZZ_CHECK(st != APQ_ERR_NOMEM);
    FUZZ_CHECK(message[0] != '\0');
    for (; *message != '\0'; message++) {
        FUZZ_CHECK((unsigned char)*message >= ' ' && *message != '\177');
    }
    return false;
}

static void remove_tree(const char *path) {
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char child[PATH_BYTES + sizeof entry->d_name];
        (void)snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 &&
            strcmp(entry->d_name, "..") != 0 && remove(child) != 0) {
            remove_tree(child);
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    (void)remove(path);
}

static char scratch[PATH_BYTES];
static pid_t owner; /* libFuzzer may run as several processes */

static void remove_scratch(void) {
    if (getpid() == owner) {
        remove_tree(scratch);
    }
}

/* In memory where there is such a place: every input is written there. */
static void make_scratch(void) {
    const char *base = getenv("TMPDIR");
    if (base == NULL) {
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    }
    int n = snprintf(scratch, sizeof scratch, "%s/apq-fuzz-XXXXXX", base);
    FUZZ_CHECK(n > 0 && (size_t)n < sizeof scratch / 2);
    FUZZ_CHECK(mkdtemp(scratch) != NULL);
    owner = getpid();
    FUZZ_CHECK(atexit(remove_scratch) == 0);
}

const char *fuzz_path(const char *name) {
    static char paths[N_PATHS][PATH_BYTES];
    static unsigned last;
    if (scratch[0] == '\0') {
        make_scratch();
    }
    char *path = paths[last++ % N_PATHS];
    int n = snprintf(path, PATH_BYTES, "%s/%s", scratch, name);
    FUZZ_CHECK(n > 0 && n < PATH_BYTES);
    return path;
}

const char *fuzz_fresh_folder(const char *name) {
    const char *path = fuzz_path(name);
    remove_tree(path);
    FUZZ_CHECK(mkdir(path, 0755) == 0);
    return path;
}

void fuzz_write(const char *path, const void *bytes, size_t n_bytes) {
    FILE *file = fopen(path, "wb");
    FUZZ_CHECK(file != NULL);
    FUZZ_CHECK(n_bytes == 0 || fwrite(bytes, n_bytes, 1, file) == 1);
    FUZZ_CHECK(fclose(file) == 0);
}

char *fuzz_text(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    FUZZ_CHECK(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    return text;
}

static char *read_file(const char *path, size_t *n_bytes) {
    char *bytes = NULL;
    FUZZ_CHECK(apq_file_read(path, &bytes, n_bytes) == APQ_OK);
    return bytes;
}

void fuzz_give_file(const char *path, fuzz_give *give, void *ctx) {
    size_t n_bytes;
    char *bytes = read_file(path, &n_bytes);
    give(ctx, bytes, n_bytes);
    free(bytes);
}

void fuzz_give_tensors(const char *path, fuzz_give *give, void *ctx) {
    static const char key[] = "\"xxh3\"";
    size_t n_bytes;
    char *bytes = read_file(path, &n_bytes);
    give(ctx, bytes, n_bytes);
    for (size_t i = 0; i + sizeof key <= n_bytes; i++) {
        if (memcmp(bytes + i, key, sizeof key - 1) == 0) {
            bytes[i + 4] = '?'; /* some other metadata */
            give(ctx, bytes, n_bytes);
            break;
        }
    }
    free(bytes);
}
