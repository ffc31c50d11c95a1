/* Reading of safetensors files. Nothing in the header is trusted: lengths,
 * types, shapes, offsets and (where present) the checksum are verified, and
 * the data must be covered exactly, without holes or overlap. */
#include "tensor/safetensors.h"

#include "base/file.h"
#include "tensor/safetensors_private.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

typedef struct span {
    size_t begin, end;
    const char *name;
} span;

/* The parts of a file being read. */
typedef struct source {
    const char *path;
    const char *data;
    size_t n_data;
} source;

static apq_status split_header(const char *path, const char *bytes,
                               size_t n_bytes, size_t *n_header) {
    if (n_bytes < APQ_TENSOR_LENGTH_BYTES) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: %zu bytes are too few for a safetensors file", path,
                 n_bytes);
    }
    uint64_t n = 0;
    for (unsigned i = 0; i < APQ_TENSOR_LENGTH_BYTES; i++) {
        n |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
    }
    size_t left = n_bytes - APQ_TENSOR_LENGTH_BYTES;
    if (n > left) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: header of %llu bytes, but only %zu bytes follow "
                 "(cut short or no safetensors file)",
                 path, (unsigned long long)n, left);
    }
    *n_header = (size_t)n;
    return APQ_OK;
}

enum { MAX_METAS = 4096 }; /* they are searched one by one */

static apq_status read_meta(apq_tensor_file *file, const source *from,
                            json_t *meta) {
    if (!json_is_object(meta)) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: __metadata__ is not an object",
                 from->path);
    }
    if (json_object_size(meta) > MAX_METAS) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: %zu entries of metadata, at most %d",
                 from->path, json_object_size(meta), MAX_METAS);
    }
    const char *key;
    json_t *value;
    json_object_foreach(meta, key, value) {
        const char *text = json_string_value(value);
        if (text == NULL) {
            APQ_FAIL(APQ_ERR_FORMAT, "%s: metadata '%s' is not a string",
                     from->path, key);
        }
        APQ_TRY(apq_tensor_set_meta(file, key, text));
    }
    return APQ_OK;
}

static apq_status read_shape(const source *from, const char *name,
                             json_t *array, int *rank, int64_t *shape) {
    size_t n = json_array_size(array);
    if (!json_is_array(array) || n > APQ_TENSOR_MAX_RANK) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: tensor '%s': shape is no array of 0 to %d extents",
                 from->path, name, APQ_TENSOR_MAX_RANK);
    }
    for (size_t i = 0; i < n; i++) {
        json_t *extent = json_array_get(array, i);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0) {
            APQ_FAIL(APQ_ERR_FORMAT,
                     "%s: tensor '%s': extent %zu of the shape is no "
                     "non-negative integer",
                     from->path, name, i);
        }
        shape[i] = json_integer_value(extent);
    }
    *rank = (int)n;
    return APQ_OK;
}

static apq_status read_span(const source *from, const char *name,
                            json_t *offsets, span *out) {
    json_t *begin = json_array_get(offsets, 0);
    json_t *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) ||
        !json_is_integer(end)) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: tensor '%s': data_offsets are not two integers",
                 from->path, name);
    }
    json_int_t b = json_integer_value(begin), e = json_integer_value(end);
    if (b < 0 || e < b || (uint64_t)e > from->n_data) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: tensor '%s': offsets %lld..%lld outside the data of "
                 "%zu bytes (cut short?)",
                 from->path, name, (long long)b, (long long)e, from->n_data);
    }
    *out = (span){(size_t)b, (size_t)e, name};
    return APQ_OK;
}

static apq_status read_tensor(apq_tensor_file *file, const source *from,
                              const char *name, json_t *entry, span *where) {
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    apq_dtype dtype = APQ_F32;
    if (type == NULL || !apq_dtype_parse(type, &dtype)) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: tensor '%s': type %s is not F32, I64, I32, U8 or I8",
                 from->path, name, type == NULL ? "(none)" : type);
    }
    int rank = 0;
    int64_t shape[APQ_TENSOR_MAX_RANK] = {0};
    APQ_TRY(
        read_shape(from, name, json_object_get(entry, "shape"), &rank, shape));
    APQ_TRY(
        read_span(from, name, json_object_get(entry, "data_offsets"), where));
    size_t n_bytes = 0;
    if (!apq_tensor_bytes(dtype, rank, shape, &n_bytes) ||
        n_bytes != where->end - where->begin) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: tensor '%s': %zu bytes of data do not fit its shape",
                 from->path, name, where->end - where->begin);
    }
    /* The copy aligns what another writer may have left unaligned. */
    return apq_tensor_add(file, name, dtype, rank, shape,
                          from->data + where->begin);
}

static int by_begin(const void *left, const void *right) {
    const span *a = left, *b = right;
    if (a->begin != b->begin) {
        return a->begin < b->begin ? -1 : 1;
    }
    return (a->end > b->end) - (a->end < b->end);
}

static apq_status check_cover(const source *from, span *spans, size_t n) {
    qsort(spans, n, sizeof *spans, by_begin);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (spans[i].begin != at) {
            APQ_FAIL(APQ_ERR_FORMAT,
                     "%s: tensor '%s': starts at byte %zu of the data, "
                     "expected %zu (%s)",
                     from->path, spans[i].name, spans[i].begin, at,
                     spans[i].begin < at ? "overlap" : "hole");
        }
        at = spans[i].end;
    }
    if (at != from->n_data) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: %zu bytes follow the last tensor",
                 from->path, from->n_data - at);
    }
    return APQ_OK;
}

static apq_status check_sum(const apq_tensor_file *file, const source *from) {
    const char *expected = apq_tensor_file_meta(file, APQ_TENSOR_CHECKSUM_KEY);
    if (expected == NULL) {
        return APQ_OK; /* written by another program */
    }
    char hash[APQ_HASH_MAX];
    apq_hash_hex(from->data, from->n_data, hash);
    if (strcmp(hash, expected) != 0) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: checksum of the data is %s, expected %s (damaged file)",
                 from->path, hash, expected);
    }
    return APQ_OK;
}

static apq_status read_header(apq_tensor_file *file, const source *from,
                              json_t *header) {
    size_t n = 0;
    span *spans = malloc((json_object_size(header) + 1) * sizeof *spans);
    if (spans == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", from->path);
    }
    apq_status st = APQ_OK;
    const char *name;
    json_t *entry;
    json_object_foreach(header, name, entry) {
        if (strcmp(name, "__metadata__") == 0) {
            st = read_meta(file, from, entry);
        } else {
            st = read_tensor(file, from, name, entry, &spans[n]);
            n++;
        }
        if (st != APQ_OK) {
            break;
        }
    }
    if (st == APQ_OK) {
        st = check_cover(from, spans, n);
    }
    if (st == APQ_OK) {
        st = check_sum(file, from);
    }
    free(spans);
    return st;
}

static apq_status parse(apq_tensor_file *file, const char *path,
                        const char *bytes, size_t n_bytes) {
    size_t n_header = 0;
    APQ_TRY(split_header(path, bytes, n_bytes, &n_header));
    const char *text = bytes + APQ_TENSOR_LENGTH_BYTES;
    json_error_t error;
    json_t *header = json_loadb(text, n_header, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(header)) {
        json_decref(header);
        APQ_FAIL(APQ_ERR_FORMAT, "%s: header is no JSON object: %s", path,
                 header == NULL ? error.text : "another JSON value");
    }
    source from = {path, text + n_header,
                   n_bytes - APQ_TENSOR_LENGTH_BYTES - n_header};
    apq_status st = read_header(file, &from, header);
    json_decref(header);
    return st;
}

apq_status apq_tensor_file_parse(const char *path, const char *bytes,
                                 size_t n_bytes, apq_tensor_file **out) {
    *out = NULL;
    apq_tensor_file *file = NULL;
    APQ_TRY(apq_tensor_file_create(&file));
    file->path = strdup(path);
    apq_status st = parse(file, path, bytes, n_bytes);
    if (st != APQ_OK) {
        apq_tensor_file_destroy(file);
        return st;
    }
    *out = file;
    return APQ_OK;
}

apq_status apq_tensor_file_load(const char *path, apq_tensor_file **out) {
    *out = NULL;
    char *bytes = NULL;
    size_t n_bytes = 0;
    APQ_TRY(apq_file_read(path, &bytes, &n_bytes));
    apq_status st = apq_tensor_file_parse(path, bytes, n_bytes, out);
    free(bytes);
    return st;
}
