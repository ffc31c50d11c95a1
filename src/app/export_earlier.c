/* Which files in the folder of an export are of earlier exports: those that
 * the manifest there names. An export that was killed may have left its files
 * without one; the manifests in its stage tell then. */
#include "app/export_earlier.h"

#include "app/json.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

/* NULL: it is none of an export. The caller's. */
static json_t *read_manifest(const char *dir, const char *name) {
    char path[APQ_PATH_MAX];
    json_t *root = NULL;
    if (apq_path_join(path, dir, name) != APQ_OK || !apq_file_exists(path) ||
        apq_json_read(path, &root) != APQ_OK) {
        return NULL;
    }
    if (!json_is_string(json_object_get(root, "file"))) {
        json_decref(root);
        return NULL;
    }
    return root;
}

/* In `dir`, the manifest of this name tells of the file, or is it. */
static bool is_named(const char *dir, const char *manifest, const char *name) {
    json_t *root = read_manifest(dir, manifest);
    const char *file = json_string_value(json_object_get(root, "file"));
    bool is = root != NULL &&
              (strcmp(name, "manifest.json") == 0 || strcmp(name, file) == 0 ||
               json_object_get(json_object_get(root, "files"), name) != NULL);
    json_decref(root);
    return is;
}

/* The export of this stage has brought the file to its place. A stage that was
 * left before that names the file, too, hence its hash. Of the present stage
 * it says that the file holds what is written anyway. */
static bool is_moved(const char *stage, const char *name, const char *place) {
    char hash[APQ_HASH_MAX];
    json_t *root = read_manifest(stage, "manifest.json");
    const char *known = json_string_value(
        json_object_get(json_object_get(root, "files"), name));
    bool is = known != NULL && apq_file_exists(place) &&
              apq_file_hash(place, hash) == APQ_OK && strcmp(known, hash) == 0;
    json_decref(root);
    return is;
}

static bool is_of_killed(const char *dir, const char *name, const char *place) {
    bool is = false;
    DIR *folder = opendir(dir);
    const struct dirent *entry;
    while (!is && folder != NULL && (entry = readdir(folder)) != NULL) {
        char stage[APQ_PATH_MAX];
        is = apq_export_stage_has_name(entry->d_name) &&
             apq_path_join(stage, dir, entry->d_name) == APQ_OK &&
             (is_named(stage, "manifest.json.old", name) ||
              is_moved(stage, name, place));
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return is;
}

static bool is_same(const char *a, const char *b) {
    struct stat of_a, of_b;
    return stat(a, &of_a) == 0 && stat(b, &of_b) == 0 &&
           of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

/* What is neither a file nor a link is told by the stage. */
static apq_status check_place(const char *dir, const char *name,
                              const char *network) {
    char place[APQ_PATH_MAX];
    struct stat info;
    APQ_TRY(apq_path_join(place, dir, name));
    if (lstat(place, &info) != 0 ||
        (!S_ISREG(info.st_mode) && !S_ISLNK(info.st_mode))) {
        return APQ_OK;
    }
    if (is_same(place, network)) {
        APQ_FAIL(APQ_ERR_ARG,
                 "%s: is the network that is exported; give the export a "
                 "folder of its own",
                 place);
    }
    if (!is_named(dir, "manifest.json", name) &&
        !is_of_killed(dir, name, place)) {
        APQ_FAIL(APQ_ERR_ARG,
                 "%s: is there already, and of no earlier export; give this "
                 "one a folder of its own",
                 place);
    }
    return APQ_OK;
}

apq_status apq_export_earlier_check(const apq_export_stage *stage,
                                    const char *network) {
    apq_status st = APQ_OK;
    DIR *folder = opendir(stage->path);
    if (folder == NULL) {
        APQ_FAIL(APQ_ERR_IO, "%s: cannot open: %s", stage->path,
                 strerror(errno));
    }
    const struct dirent *entry;
    while (st == APQ_OK && (entry = readdir(folder)) != NULL) {
        st = check_place(stage->dir, entry->d_name, network);
    }
    (void)closedir(folder);
    return st;
}
