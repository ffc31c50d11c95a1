/* Paths as text: no link is followed, and of their two parts a slash at the end
 * counts like any other. */
#include "base/path.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

bool apq_path_has_ending(const char *path, const char *ending) {
    size_t n = strlen(path), n_ending = strlen(ending);
    return n > n_ending && strcmp(path + n - n_ending, ending) == 0;
}

/* The first name of *path, of *n bytes, 0 at its end; "." is none. *path goes
 * on behind it. */
static const char *take_name(const char **path, size_t *n) {
    const char *name = *path + strspn(*path, "/");
    while (name[0] == '.' && (name[1] == '/' || name[1] == '\0')) {
        name++;
        name += strspn(name, "/");
    }
    *n = strcspn(name, "/");
    *path = name + *n;
    return name;
}

/* Goes over the names that both begin with. */
static void skip_common(const char **a, const char **b) {
    const char *left = *a, *right = *b;
    size_t n, m;
    const char *name = take_name(&left, &n), *other = take_name(&right, &m);
    while (n > 0 && n == m && memcmp(name, other, n) == 0) {
        *a = left;
        *b = right;
        name = take_name(&left, &n);
        other = take_name(&right, &m);
    }
}

/* "../" for each name; false where one of them is "..", whose other way is not
 * known. */
static bool put_ways_up(const char *names, char out[APQ_PATH_MAX]) {
    size_t used = 0, n;
    for (const char *name = take_name(&names, &n); n > 0;
         name = take_name(&names, &n)) {
        if ((n == 2 && memcmp(name, "..", 2) == 0) || used + 4 > APQ_PATH_MAX) {
            return false;
        }
        used += (size_t)snprintf(out + used, APQ_PATH_MAX - used, "../");
    }
    return true;
}

static void make_absolute(const char *path, char out[APQ_PATH_MAX]) {
    char folder[APQ_PATH_MAX];
    if (path[0] == '/' || getcwd(folder, sizeof folder) == NULL ||
        apq_path_join(out, folder, path) != APQ_OK) {
        (void)snprintf(out, APQ_PATH_MAX, "%s", path);
    }
}

void apq_path_from(const char *folder, const char *path,
                   char out[APQ_PATH_MAX]) {
    const char *from = folder, *to = path;
    size_t n;
    bool is_alike = (folder[0] == '/') == (path[0] == '/');
    out[0] = '\0';
    if (is_alike) {
        skip_common(&from, &to);
    }
    if (is_alike && put_ways_up(from, out)) {
        size_t used = strlen(out);
        (void)snprintf(out + used, APQ_PATH_MAX - used, "%s",
                       take_name(&to, &n));
    } else {
        make_absolute(path, out);
    }
    for (n = strlen(out); n > 1 && out[n - 1] == '/'; n--) {
        out[n - 1] = '\0';
    }
}
