/* Position metadata of checkpoints. */
#include "train/checkpoint.h"

#include "base/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

apq_status apq_checkpoint_put_position(apq_tensor_file *file,
                                       const apq_train_position *position) {
    char text[32];
    if (position->input != NULL) {
        APQ_TRY(apq_tensor_file_put_meta(file, "input", position->input));
    }
    (void)snprintf(text, sizeof text, "%" PRIu64, position->seed);
    APQ_TRY(apq_tensor_file_put_meta(file, "seed", text));
    (void)snprintf(text, sizeof text, "%" PRId64, position->step);
    APQ_TRY(apq_tensor_file_put_meta(file, "step", text));
    (void)snprintf(text, sizeof text, "%" PRId64, position->n_steps);
    return apq_tensor_file_put_meta(file, "n_steps", text);
}

static apq_status meta_int(const apq_tensor_file *file, const char *path,
                           const char *key, uint64_t *out) {
    const char *text = apq_tensor_file_meta(file, key);
    char *end = NULL;
    if (text != NULL) {
        *out = strtoull(text, &end, 10);
    }
    if (text == NULL || end == text || *end != '\0') {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: checkpoint without a valid '%s'", path,
                 key);
    }
    return APQ_OK;
}

static bool is_made_from(const apq_tensor_file *file, const char *input) {
    const char *recorded = apq_tensor_file_meta(file, "input");
    return recorded != NULL && strcmp(recorded, input) == 0;
}

static apq_status read_is_other(const char *path, const char *input,
                                bool *is_other) {
    apq_tensor_file *file;
    APQ_TRY(apq_tensor_file_load(path, &file));
    *is_other = !is_made_from(file, input);
    apq_tensor_file_destroy(file);
    return APQ_OK;
}

static apq_status drop(const char *path) {
    if (unlink(path) != 0) {
        APQ_FAIL(APQ_ERR_IO, "%s: cannot remove: %s", path, strerror(errno));
    }
    return APQ_OK;
}

apq_status apq_checkpoint_drop_other(const char *path, const char *input,
                                     bool *is_dropped) {
    *is_dropped = false;
    if (!apq_file_exists(path)) {
        return APQ_OK;
    }
    APQ_TRY(read_is_other(path, input, is_dropped));
    return *is_dropped ? drop(path) : APQ_OK;
}

apq_status apq_checkpoint_drop_own(const char *path, const char *input) {
    bool is_other = false;
    if (!apq_file_exists(path)) {
        return APQ_OK;
    }
    apq_status st = read_is_other(path, input, &is_other);
    if (st != APQ_OK && st != APQ_ERR_FORMAT) {
        return st;
    }
    return is_other ? APQ_OK : drop(path);
}

apq_status apq_checkpoint_get_position(const apq_tensor_file *file,
                                       const char *path,
                                       const apq_train_position *expected,
                                       int64_t *step) {
    uint64_t seed = 0, at = 0, n_steps = 0;
    APQ_TRY(meta_int(file, path, "seed", &seed));
    APQ_TRY(meta_int(file, path, "step", &at));
    APQ_TRY(meta_int(file, path, "n_steps", &n_steps));
    if (expected->input != NULL && !is_made_from(file, expected->input)) {
        const char *recorded = apq_tensor_file_meta(file, "input");
        APQ_FAIL(APQ_ERR_MISMATCH, "%s: made from input %s, now %s", path,
                 recorded == NULL ? "unknown" : recorded, expected->input);
    }
    if (seed != expected->seed) {
        APQ_FAIL(APQ_ERR_MISMATCH,
                 "%s: made with seed %" PRIu64 ", now %" PRIu64, path, seed,
                 expected->seed);
    }
    if ((int64_t)n_steps != expected->n_steps || at > n_steps) {
        APQ_FAIL(APQ_ERR_MISMATCH,
                 "%s: made for %" PRIu64 " steps, now %" PRId64, path, n_steps,
                 expected->n_steps);
    }
    *step = (int64_t)at;
    return APQ_OK;
}
