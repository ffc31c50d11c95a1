/* A run's space as its networks are made: with the classes of its data, which
 * after training are found in the supernet. And the run's copy of its file. */
#include "app/run_space.h"

#include "base/path.h"
#include "tensor/safetensors.h"

#include <stdlib.h>
#include <string.h>

static const char copy_name[] = "space.yaml";

static void take_classes(const apq_tensor_file *file, apq_space *space) {
    const char *made_for = apq_tensor_file_meta(file, "space_hash");
    char hash[APQ_HASH_MAX];
    int n_classes = 0;
    apq_space_hash(space, hash);
    if (made_for != NULL && strcmp(made_for, hash) == 0 &&
        apq_tensor_file_meta_int(file, "classes", 1, APQ_MAX_CLASSES,
                                 &n_classes) == APQ_OK &&
        n_classes > 0) {
        apq_space_set_classes(space, n_classes);
    }
}

apq_status apq_run_space_load(const char *name_or_path, const char *run_dir,
                              apq_space *out) {
    char path[APQ_PATH_MAX];
    APQ_TRY(apq_space_load(name_or_path, out));
    if (run_dir == NULL) {
        return APQ_OK;
    }
    apq_tensor_file *file = NULL;
    APQ_TRY(apq_path_join(path, run_dir, "supernet.safetensors"));
    if (apq_file_exists(path) && apq_tensor_file_load(path, &file) == APQ_OK) {
        take_classes(file, out);
        apq_tensor_file_destroy(file);
    }
    return APQ_OK;
}

static bool has_text(const char *path, const char *text) {
    char *old = NULL;
    size_t n_bytes;
    bool is_equal = apq_file_exists(path) &&
                    apq_file_read(path, &old, &n_bytes) == APQ_OK &&
                    strcmp(old, text) == 0;
    free(old);
    return is_equal;
}

apq_status apq_run_space_keep(const apq_rundir *dir, const char *text_or_null) {
    char path[APQ_PATH_MAX];
    if (text_or_null == NULL) {
        return APQ_OK;
    }
    APQ_TRY(apq_rundir_file(dir, copy_name, path));
    return has_text(path, text_or_null)
               ? APQ_OK
               : apq_file_write(path, text_or_null, strlen(text_or_null));
}

/* Of a run without a manifest nothing is known. */
static apq_status check_copy(const char *run_dir, const char *path) {
    char manifest[APQ_PATH_MAX], hash[APQ_HASH_MAX];
    apq_space space;
    apq_rundir *dir = NULL;
    APQ_TRY(apq_space_load(path, &space));
    apq_space_hash(&space, hash);
    APQ_TRY(apq_path_join(manifest, run_dir, "manifest.json"));
    if (!apq_file_exists(manifest)) {
        return APQ_OK;
    }
    APQ_TRY(apq_rundir_open_read(run_dir, &dir));
    apq_status st = apq_rundir_check(dir, "space_hash", hash);
    apq_rundir_close(dir);
    return st == APQ_OK ? st
                        : APQ_ERROR(st, "%s: %s", path, apq_error_message());
}

apq_status apq_run_space_find(const char *run_dir,
                              char name_or_path[APQ_PATH_MAX]) {
    char path[APQ_PATH_MAX];
    if (!apq_space_is_file(name_or_path) || apq_file_exists(name_or_path)) {
        return APQ_OK;
    }
    APQ_TRY(apq_path_join(path, run_dir, copy_name));
    if (apq_file_exists(path)) {
        APQ_TRY(check_copy(run_dir, path));
        (void)strcpy(name_or_path, path);
    }
    return APQ_OK;
}

void apq_run_space_restore(const char *run_dir,
                           const char earlier[APQ_PATH_MAX],
                           char name_or_path[APQ_PATH_MAX]) {
    char path[APQ_PATH_MAX];
    if (apq_path_join(path, run_dir, copy_name) == APQ_OK &&
        strcmp(path, name_or_path) == 0) {
        memcpy(name_or_path, earlier, APQ_PATH_MAX);
    }
}
