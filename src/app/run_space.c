/* A run's space as its networks are made: with the classes of its data, which
 * after training are found in the supernet. */
#include "app/run_space.h"

#include "base/file.h"
#include "base/path.h"
#include "tensor/safetensors.h"

#include <string.h>

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
