/* Named tensors in memory and written to a safetensors file: length, JSON
 * header padded to 8 bytes, data without holes. Larger element types go first
 * so that every tensor is aligned in the file. Source: safetensors format. */
#include "tensor/safetensors.h"

#include "base/file.h"
#include "base/memory.h"
#include "tensor/safetensors_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [APQ_F32] = {"F32", 4}, [APQ_I64] = {"I64", 8}, [APQ_U8] = {"U8", 1},
    [APQ_I8] = {"I8", 1},   [APQ_I32] = {"I32", 4},
};
enum { N_DTYPES = sizeof dtypes / sizeof dtypes[0] };

const char *apq_dtype_name(apq_dtype dtype) {
    return dtypes[dtype].name;
}

size_t apq_dtype_size(apq_dtype dtype) {
    return dtypes[dtype].size;
}

bool apq_dtype_parse(const char *text, apq_dtype *out) {
    for (size_t i = 0; i < N_DTYPES; i++) {
        if (strcmp(dtypes[i].name, text) == 0) {
            *out = (apq_dtype)i;
            return true;
        }
    }
    return false;
}

bool apq_tensor_bytes(apq_dtype dtype, int rank, const int64_t *shape,
                      size_t *n_bytes) {
    if (rank < 0 || rank > APQ_TENSOR_MAX_RANK || (size_t)dtype >= N_DTYPES) {
        return false;
    }
    size_t n = dtypes[dtype].size;
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0 || __builtin_mul_overflow(n, (size_t)shape[i], &n)) {
            return false;
        }
    }
    *n_bytes = n;
    return true;
}

apq_status apq_tensor_file_create(apq_tensor_file **out) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "out of memory for a tensor file");
    }
    return APQ_OK;
}

void apq_tensor_file_destroy(apq_tensor_file *file) {
    if (file == NULL) {
        return;
    }
    for (size_t i = 0; i < file->n_slots; i++) {
        free(file->slots[i].name);
        free(file->slots[i].data);
    }
    for (size_t i = 0; i < file->n_metas; i++) {
        free(file->metas[i].key);
        free(file->metas[i].value);
    }
    free(file->slots);
    free(file->metas);
    free(file->path);
    free(file);
}

/* Room for one more element; false when memory is exhausted. */
static bool grow(void **items, size_t n, size_t *capacity, size_t size) {
    if (n < *capacity) {
        return true;
    }
    size_t wanted = *capacity == 0 ? 16 : *capacity * 2;
    void *grown = realloc(*items, wanted * size);
    if (grown == NULL) {
        return false;
    }
    *items = grown;
    *capacity = wanted;
    return true;
}

static const apq_tensor_slot *find(const apq_tensor_file *file,
                                   const char *name) {
    for (size_t i = 0; i < file->n_slots; i++) {
        if (strcmp(file->slots[i].name, name) == 0) {
            return &file->slots[i];
        }
    }
    return NULL;
}

apq_status apq_tensor_add(apq_tensor_file *file, const char *name,
                          apq_dtype dtype, int rank, const int64_t *shape,
                          const void *data) {
    size_t n_bytes = 0;
    if (!apq_tensor_bytes(dtype, rank, shape, &n_bytes)) {
        APQ_FAIL(APQ_ERR_ARG, "tensor '%s': illegal type, rank %d or shape",
                 name, rank);
    }
    void *items = file->slots;
    bool ok =
        grow(&items, file->n_slots, &file->slots_capacity, sizeof *file->slots);
    file->slots = items;
    char *copied_name = ok ? strdup(name) : NULL;
    void *copied_data = ok ? apq_calloc(n_bytes, 1) : NULL;
    if (copied_name == NULL || copied_data == NULL) {
        free(copied_name);
        free(copied_data);
        APQ_FAIL(APQ_ERR_NOMEM, "tensor '%s': no memory for %zu bytes", name,
                 n_bytes);
    }
    if (n_bytes > 0) {
        memcpy(copied_data, data, n_bytes);
    }
    apq_tensor_slot *slot = &file->slots[file->n_slots++];
    *slot = (apq_tensor_slot){.name = copied_name,
                              .dtype = dtype,
                              .rank = rank,
                              .n_bytes = n_bytes,
                              .data = copied_data};
    for (int i = 0; i < rank; i++) {
        slot->shape[i] = shape[i];
    }
    return APQ_OK;
}

apq_status apq_tensor_file_put(apq_tensor_file *file, const char *name,
                               apq_dtype dtype, int rank, const int64_t *shape,
                               const void *data) {
    if (find(file, name) != NULL || strcmp(name, "__metadata__") == 0) {
        APQ_FAIL(APQ_ERR_ARG, "tensor '%s': name is already taken", name);
    }
    return apq_tensor_add(file, name, dtype, rank, shape, data);
}

apq_status apq_tensor_set_meta(apq_tensor_file *file, const char *key,
                               const char *value) {
    char *copied_value = strdup(value);
    if (copied_value == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "metadata '%s': out of memory", key);
    }
    for (size_t i = 0; i < file->n_metas; i++) {
        if (strcmp(file->metas[i].key, key) == 0) {
            free(file->metas[i].value);
            file->metas[i].value = copied_value;
            return APQ_OK;
        }
    }
    void *items = file->metas;
    bool ok =
        grow(&items, file->n_metas, &file->metas_capacity, sizeof *file->metas);
    file->metas = items;
    char *copied_key = ok ? strdup(key) : NULL;
    if (copied_key == NULL) {
        free(copied_value);
        APQ_FAIL(APQ_ERR_NOMEM, "metadata '%s': out of memory", key);
    }
    file->metas[file->n_metas++] = (apq_tensor_meta){copied_key, copied_value};
    return APQ_OK;
}

apq_status apq_tensor_file_put_meta(apq_tensor_file *file, const char *key,
                                    const char *value) {
    if (strcmp(key, APQ_TENSOR_CHECKSUM_KEY) == 0) {
        APQ_FAIL(APQ_ERR_ARG, "metadata key '%s' is reserved for the checksum",
                 key);
    }
    return apq_tensor_set_meta(file, key, value);
}

/* Copies tensors whose elements have `size` bytes behind data[*used] and
 * describes them in the header; false when memory or UTF-8 fails. */
static bool place(const apq_tensor_file *file, size_t size, json_t *header,
                  char *data, size_t *used) {
    for (size_t i = 0; i < file->n_slots; i++) {
        const apq_tensor_slot *slot = &file->slots[i];
        if (dtypes[slot->dtype].size != size) {
            continue;
        }
        json_t *shape = json_array();
        bool ok = shape != NULL;
        for (int r = 0; ok && r < slot->rank; r++) {
            ok =
                json_array_append_new(shape, json_integer(slot->shape[r])) == 0;
        }
        json_t *entry =
            json_pack("{s:s, s:o, s:[I,I]}", "dtype", dtypes[slot->dtype].name,
                      "shape", shape, "data_offsets", (json_int_t)*used,
                      (json_int_t)(*used + slot->n_bytes));
        if (json_object_set_new(header, slot->name, entry) != 0 || !ok) {
            return false;
        }
        if (slot->n_bytes > 0) {
            memcpy(data + *used, slot->data, slot->n_bytes);
        }
        *used += slot->n_bytes;
    }
    return true;
}

static char *dump_header(const apq_tensor_file *file, char *data,
                         size_t n_data) {
    json_t *header = json_object();
    json_t *meta = json_object();
    bool ok = header != NULL && meta != NULL;
    for (size_t i = 0; ok && i < file->n_metas; i++) {
        ok = json_object_set_new(meta, file->metas[i].key,
                                 json_string(file->metas[i].value)) == 0;
    }
    /* The metadata come first in the file; the object is shared. */
    ok = ok && json_object_set(header, "__metadata__", meta) == 0;
    size_t used = 0;
    for (size_t size = 8; ok && size > 0; size /= 2) {
        ok = place(file, size, header, data, &used);
    }
    if (ok) {
        char hash[APQ_HASH_MAX];
        apq_hash_hex(data, n_data, hash);
        ok = json_object_set_new(meta, APQ_TENSOR_CHECKSUM_KEY,
                                 json_string(hash)) == 0;
    }
    char *text = ok ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(meta);
    json_decref(header);
    return text;
}

apq_status apq_tensor_file_save(const apq_tensor_file *file, const char *path) {
    size_t n_data = 0;
    for (size_t i = 0; i < file->n_slots; i++) {
        n_data += file->slots[i].n_bytes;
    }
    char *data = apq_calloc(n_data, 1);
    char *header = data == NULL ? NULL : dump_header(file, data, n_data);
    size_t n_header = header == NULL ? 0 : strlen(header);
    size_t n_padded = (n_header + 7) / 8 * 8;
    size_t n_total = APQ_TENSOR_LENGTH_BYTES + n_padded + n_data;
    char *bytes = header == NULL ? NULL : malloc(n_total);
    apq_status st = APQ_OK;
    if (bytes == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "%s: cannot build the header", path);
    } else {
        for (unsigned i = 0; i < APQ_TENSOR_LENGTH_BYTES; i++) {
            bytes[i] = (char)(unsigned char)((uint64_t)n_padded >> (8 * i));
        }
        char *cursor = bytes + APQ_TENSOR_LENGTH_BYTES;
        memset(cursor, ' ', n_padded);
        memcpy(cursor, header, n_header);
        memcpy(cursor + n_padded, data, n_data);
        st = apq_file_write(path, bytes, n_total);
    }
    free(bytes);
    free(header);
    free(data);
    return st;
}

size_t apq_tensor_file_length(const apq_tensor_file *file) {
    return file->n_slots;
}

apq_file_tensor apq_tensor_file_at(const apq_tensor_file *file, size_t i) {
    APQ_ASSERT(i < file->n_slots);
    const apq_tensor_slot *slot = &file->slots[i];
    apq_file_tensor tensor = {.name = slot->name,
                              .dtype = slot->dtype,
                              .rank = slot->rank,
                              .n_bytes = slot->n_bytes,
                              .data = slot->data};
    memcpy(tensor.shape, slot->shape, sizeof tensor.shape);
    return tensor;
}

static void shape_text(int rank, const int64_t *shape, char out[96]) {
    size_t used = 0;
    out[used++] = '[';
    for (int i = 0; i < rank; i++) {
        int n = snprintf(out + used, 95 - used, "%s%lld", i == 0 ? "" : ",",
                         (long long)shape[i]);
        used += (size_t)n;
    }
    out[used++] = ']';
    out[used] = '\0';
}

/* What messages call the file. */
static const char *path_of(const apq_tensor_file *file) {
    return file->path == NULL ? "tensors" : file->path;
}

apq_status apq_tensor_file_get(const apq_tensor_file *file, const char *name,
                               apq_dtype dtype, int rank, const int64_t *shape,
                               const void **data) {
    const char *path = path_of(file);
    const apq_tensor_slot *slot = find(file, name);
    if (slot == NULL) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: tensor '%s' is missing", path, name);
    }
    bool same = slot->dtype == dtype && slot->rank == rank;
    for (int i = 0; same && i < rank; i++) {
        same = slot->shape[i] == shape[i];
    }
    if (!same) {
        char has[96], wanted[96];
        shape_text(slot->rank, slot->shape, has);
        shape_text(rank, shape, wanted);
        APQ_FAIL(APQ_ERR_FORMAT, "%s: tensor '%s' is %s %s, expected %s %s",
                 path, name, dtypes[slot->dtype].name, has, dtypes[dtype].name,
                 wanted);
    }
    *data = slot->data;
    return APQ_OK;
}

const char *apq_tensor_file_meta(const apq_tensor_file *file, const char *key) {
    for (size_t i = 0; i < file->n_metas; i++) {
        if (strcmp(file->metas[i].key, key) == 0) {
            return file->metas[i].value;
        }
    }
    return NULL;
}

apq_status apq_tensor_file_meta_int(const apq_tensor_file *file,
                                    const char *key, int low, int high,
                                    int *out) {
    const char *text = apq_tensor_file_meta(file, key);
    if (text == NULL) {
        return APQ_OK;
    }
    char *end = NULL;
    long value = strtol(text, &end, 10); /* saturates beyond its range */
    if (end == text || *end != '\0' || value < low || value > high) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: metadata %s \"%.40s\" is not in %d..%d",
                 path_of(file), key, text, low, high);
    }
    *out = (int)value;
    return APQ_OK;
}

apq_status apq_tensor_file_check_format(const apq_tensor_file *file,
                                        const char *kind, const char *what,
                                        int newest) {
    const char *format = apq_tensor_file_meta(file, "format");
    size_t n = strlen(kind);
    char *end = NULL;
    long version = 0;
    if (format != NULL && strncmp(format, kind, n) == 0 && format[n] == ' ') {
        version = strtol(format + n, &end, 10);
    }
    if (version < 1 || *end != '\0') {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: not %s of apq", path_of(file), what);
    }
    if (version > newest) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: %s of a newer apq, format %ld, this one reads up to %d",
                 path_of(file), what, version, newest);
    }
    return APQ_OK;
}
