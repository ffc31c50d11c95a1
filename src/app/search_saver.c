/* The checkpoint of a search, replaced atomically. Two processes in one run
 * directory would write the same trace, so no lock is held while searching. */
#include "app/search_saver.h"

#include <stdio.h>

static apq_status save(void *ctx, const void *bytes, size_t n) {
    const apq_search_file *file = ctx;
    APQ_TRY(apq_dir_make(file->dir));
    return apq_file_write(file->path, bytes, n);
}

static apq_status load(void *ctx, void **bytes, size_t *n) {
    const apq_search_file *file = ctx;
    char *text = NULL;
    *bytes = NULL;
    *n = 0;
    if (apq_file_exists(file->path)) {
        APQ_TRY(apq_file_read(file->path, &text, n));
        *bytes = text;
    }
    return APQ_OK;
}

apq_status apq_search_file_init(apq_search_file *out, const char *run_dir,
                                const char *name, const char *key,
                                double interval_s) {
    APQ_TRY(apq_path_join(out->path, run_dir, name));
    (void)snprintf(out->dir, sizeof out->dir, "%s", run_dir);
    (void)snprintf(out->key, sizeof out->key, "%s", key);
    out->base = (apq_search_saver){
        .ctx = out,
        .save = save,
        .load = load,
        .interval_s = interval_s,
        .key = out->key,
    };
    return APQ_OK;
}

void apq_search_file_remove(const apq_search_file *file) {
    (void)remove(file->path);
}
