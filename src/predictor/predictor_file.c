/* Predictor files: safetensors with the tensor names of the released
 * predictors, weights row-major [out][in]. docs/formats/predictor.md. */
#include "predictor/predictor.h"

#include "base/file.h"
#include "base/memory.h"
#include "predictor/predictor_private.h"
#include "tensor/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 64 };

/* How a part lies in the file. */
typedef struct part_format {
    apq_predictor_part part;
    const char *name;
    int rank;
    int64_t shape[2];
    bool is_transposed; /* in memory */
    bool is_optional;
} part_format;

static void describe(const apq_predictor *p, part_format out[APQ_N_PARTS]) {
    int64_t h = p->hidden;
    const part_format formats[APQ_N_PARTS] = {
        {APQ_PART_W0, "layers.0.0.weight", 2, {h, p->n_arch}, true, false},
        {APQ_PART_B0, "layers.0.0.bias", 1, {h}, false, false},
        {APQ_PART_WQ, "quantize_fc.weight", 2, {h, p->n_bits}, true, true},
        {APQ_PART_BQ, "quantize_fc.bias", 1, {h}, false, true},
        {APQ_PART_W1, "layers.1.0.weight", 2, {h, h}, false, false},
        {APQ_PART_B1, "layers.1.0.bias", 1, {h}, false, false},
        {APQ_PART_W2, "layers.2.0.weight", 2, {h, h}, false, false},
        {APQ_PART_B2, "layers.2.0.bias", 1, {h}, false, false},
        {APQ_PART_W, "regressor.weight", 2, {1, h}, false, false},
        {APQ_PART_B, "regressor.bias", 1, {1}, false, false},
    };
    memcpy(out, formats, sizeof formats);
}

/* y (cols, rows) = transpose of x (rows, cols). */
static void transpose(const float *x, size_t rows, size_t cols, float *y) {
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < cols; j++) {
            y[j * rows + i] = x[i * cols + j];
        }
    }
}

static const apq_file_tensor *find(const apq_tensor_file *file,
                                   const char *name, apq_file_tensor *out) {
    for (size_t i = 0; i < apq_tensor_file_length(file); i++) {
        *out = apq_tensor_file_at(file, i);
        if (strcmp(out->name, name) == 0) {
            return out;
        }
    }
    return NULL;
}

static apq_status read_part(apq_predictor *p, const apq_tensor_file *file,
                            const char *path, const part_format *format) {
    const void *data = NULL;
    apq_file_tensor tensor;
    if (format->is_optional && find(file, format->name, &tensor) == NULL) {
        return APQ_OK; /* stays zero */
    }
    APQ_TRY(apq_tensor_file_get(file, format->name, APQ_F32, format->rank,
                                format->shape, &data));
    const float *values = data;
    size_t n = p->begin[format->part + 1] - p->begin[format->part];
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) {
            APQ_FAIL(APQ_ERR_FORMAT, "%s: tensor '%s': value %zu is not finite",
                     path, format->name, i);
        }
    }
    float *part = apq_part(p, p->params, format->part);
    if (format->is_transposed) {
        transpose(values, (size_t)format->shape[0], (size_t)format->shape[1],
                  part);
    } else {
        memcpy(part, values, n * sizeof *part);
    }
    return APQ_OK;
}

/* The names in the file: those of other members have a prefix. */
static void rename_part(int member, part_format *format,
                        char name[NAME_MAX_BYTES]) {
    if (member > 0) {
        (void)snprintf(name, NAME_MAX_BYTES, "members.%d.%s", member,
                       format->name);
        format->name = name;
    }
}

/* The file's number of inputs must be the space's. */
static apq_status check_inputs(const apq_tensor_file *file, const char *path,
                               const char *name, const apq_space *space,
                               int n_inputs, int *hidden) {
    apq_file_tensor tensor;
    if (find(file, name, &tensor) == NULL) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: tensor '%s' is missing", path, name);
    }
    if (tensor.dtype != APQ_F32 || tensor.rank != 2 || tensor.shape[0] < 1 ||
        tensor.shape[0] > APQ_PREDICTOR_MAX_HIDDEN) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: tensor '%s' is no float matrix of 1 to %d rows", path,
                 name, APQ_PREDICTOR_MAX_HIDDEN);
    }
    if (tensor.shape[1] != n_inputs) {
        APQ_FAIL(APQ_ERR_MISMATCH,
                 "%s: tensor '%s' has %lld inputs, space '%s' encodes %d", path,
                 name, (long long)tensor.shape[1], space->name, n_inputs);
    }
    *hidden = (int)tensor.shape[0];
    return APQ_OK;
}

/* Files of old have the hash of the space with the data's classes. */
static bool is_hash_with(const apq_space *space, int n_classes,
                         const char *expected) {
    apq_space other = *space;
    char hash[APQ_HASH_MAX];
    other.own_classes = n_classes;
    apq_space_hash(&other, hash);
    return strcmp(expected, hash) == 0;
}

static apq_status resolve_space(const apq_tensor_file *file, const char *path,
                                const apq_space *given, apq_space *out) {
    if (given != NULL) {
        *out = *given;
    } else {
        const char *name = apq_tensor_file_meta(file, "space");
        if (name == NULL) {
            APQ_FAIL(APQ_ERR_FORMAT,
                     "%s: metadata name no space, name one yourself", path);
        }
        apq_status st = apq_space_load_builtin(name, out);
        if (st != APQ_OK) {
            return APQ_ERROR(st, "%s: %s", path, apq_error_message());
        }
    }
    int n_classes = out->n_classes;
    APQ_TRY(apq_tensor_file_meta_int(file, "n_classes", 1, APQ_MAX_CLASSES,
                                     &n_classes));
    if (given == NULL) {
        apq_space_set_classes(out, n_classes);
    }
    const char *expected = apq_tensor_file_meta(file, "space_hash");
    char hash[APQ_HASH_MAX];
    apq_space_hash(out, hash);
    if (expected != NULL && strcmp(expected, hash) != 0 &&
        !is_hash_with(out, n_classes, expected)) {
        const char *name = apq_tensor_file_meta(file, "space");
        APQ_FAIL(APQ_ERR_MISMATCH,
                 "%s: made for space '%s' (hash %s), used with '%s' (%s)", path,
                 name == NULL ? "?" : name, expected, out->name, hash);
    }
    return APQ_OK;
}

static apq_status read_member(apq_predictor *p, int member,
                              const apq_tensor_file *file, const char *path) {
    apq_predictor *self = apq_predictor_member(p, member);
    part_format formats[APQ_N_PARTS];
    char name[NAME_MAX_BYTES];
    describe(self, formats);
    for (int i = 0; i < APQ_N_PARTS; i++) {
        rename_part(member, &formats[i], name);
        APQ_TRY(read_part(self, file, path, &formats[i]));
    }
    self->is_fitted = true;
    apq_predictor_repack(self);
    return APQ_OK;
}

/* One that is too long to be of ours is taken as not known. */
static void keep_hash(const apq_tensor_file *file, const char *key,
                      char out[APQ_HASH_MAX]) {
    const char *hash = apq_tensor_file_meta(file, key);
    if (hash != NULL && strlen(hash) < APQ_HASH_MAX) {
        (void)strcpy(out, hash);
    }
}

/* Before memory is taken for all members: are their largest tensors there? */
static apq_status check_hidden(const apq_tensor_file *file, const char *path,
                               int hidden, int n_members) {
    static const char *const names[] = {"layers.1.0.weight",
                                        "layers.2.0.weight"};
    for (int i = 0; i < 2 * n_members; i++) {
        part_format format = {.name = names[i % 2]};
        char name[NAME_MAX_BYTES];
        apq_file_tensor tensor;
        rename_part(i / 2, &format, name);
        if (find(file, format.name, &tensor) == NULL || tensor.rank != 2 ||
            tensor.shape[0] != hidden || tensor.shape[1] != hidden) {
            APQ_FAIL(APQ_ERR_FORMAT, "%s: tensor '%s' is no matrix of %d x %d",
                     path, format.name, hidden, hidden);
        }
    }
    return APQ_OK;
}

static apq_status read_predictor(const apq_tensor_file *file, const char *path,
                                 const apq_space *given, apq_predictor **out) {
    apq_space space;
    APQ_TRY(resolve_space(file, path, given, &space));
    int n_arch = apq_encode_float_dim(&space), hidden = 0, bit_hidden = 0;
    APQ_TRY(
        check_inputs(file, path, "layers.0.0.weight", &space, n_arch, &hidden));
    apq_file_tensor tensor;
    if (find(file, "quantize_fc.weight", &tensor) != NULL) {
        APQ_TRY(check_inputs(file, path, "quantize_fc.weight", &space,
                             apq_encode_dim(&space) - n_arch, &bit_hidden));
    }
    apq_predictor *p = NULL;
    int n_members = 1;
    APQ_TRY(apq_tensor_file_meta_int(file, "ensemble", 1,
                                     APQ_PREDICTOR_MAX_MEMBERS, &n_members));
    APQ_TRY(check_hidden(file, path, hidden, n_members));
    APQ_TRY(apq_predictor_new_members(&space, hidden, n_members, &p));
    apq_status st = APQ_OK;
    for (int i = 0; i < n_members && st == APQ_OK; i++) {
        st = read_member(p, i, file, path);
    }
    if (st != APQ_OK) {
        apq_predictor_destroy(p);
        return st;
    }
    keep_hash(file, "supernet_hash", p->supernet_hash);
    keep_hash(file, "records_hash", p->records_hash);
    *out = p;
    return APQ_OK;
}

apq_status apq_predictor_load(const char *path, const apq_space *space,
                              apq_predictor **out) {
    apq_tensor_file *file = NULL;
    APQ_TRY(apq_tensor_file_load(path, &file));
    apq_status st = read_predictor(file, path, space, out);
    apq_tensor_file_destroy(file);
    return st;
}

static apq_status put_part(const apq_predictor *p, apq_tensor_file *file,
                           const part_format *format) {
    const float *part = apq_part(p, p->params, format->part);
    if (!format->is_transposed) {
        return apq_tensor_file_put(file, format->name, APQ_F32, format->rank,
                                   format->shape, part);
    }
    size_t rows = (size_t)format->shape[1], cols = (size_t)format->shape[0];
    float *values = apq_calloc(rows * cols, sizeof *values);
    if (values == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "tensor '%s': out of memory", format->name);
    }
    transpose(part, rows, cols, values);
    apq_status st = apq_tensor_file_put(file, format->name, APQ_F32,
                                        format->rank, format->shape, values);
    free(values);
    return st;
}

static apq_status put_member(const apq_predictor *p, int member,
                             apq_tensor_file *file) {
    const apq_predictor *self = member == 0 ? p : p->others[member - 1];
    part_format formats[APQ_N_PARTS];
    char name[NAME_MAX_BYTES];
    describe(self, formats);
    for (int i = 0; i < APQ_N_PARTS; i++) {
        rename_part(member, &formats[i], name);
        APQ_TRY(put_part(self, file, &formats[i]));
    }
    return APQ_OK;
}

static apq_status put_metas(const apq_predictor *p, apq_tensor_file *file,
                            const apq_predictor_meta *metas, size_t n_metas) {
    for (size_t i = 0; i < n_metas; i++) {
        APQ_TRY(apq_tensor_file_put_meta(file, metas[i].key, metas[i].value));
    }
    if (p->n_others > 0) {
        char count[16];
        (void)snprintf(count, sizeof count, "%d", p->n_others + 1);
        APQ_TRY(apq_tensor_file_put_meta(file, "ensemble", count));
    }
    char hash[APQ_HASH_MAX], classes[16];
    apq_space_hash(&p->space, hash);
    (void)snprintf(classes, sizeof classes, "%d", p->space.n_classes);
    APQ_TRY(apq_tensor_file_put_meta(file, "space", p->space.name));
    APQ_TRY(apq_tensor_file_put_meta(file, "space_hash", hash));
    return apq_tensor_file_put_meta(file, "n_classes", classes);
}

apq_status apq_predictor_save(const apq_predictor *predictor, const char *path,
                              const apq_predictor_meta *metas, size_t n_metas) {
    apq_tensor_file *file = NULL;
    APQ_TRY(apq_tensor_file_create(&file));
    apq_status st = put_metas(predictor, file, metas, n_metas);
    for (int i = 0; i <= predictor->n_others && st == APQ_OK; i++) {
        st = put_member(predictor, i, file);
    }
    if (st == APQ_OK) {
        st = apq_tensor_file_save(file, path);
    }
    apq_tensor_file_destroy(file);
    return st;
}
