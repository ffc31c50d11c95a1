#ifndef APQ_TENSOR_SAFETENSORS_H
#define APQ_TENSOR_SAFETENSORS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Named tensors in one safetensors file: 8 bytes little-endian header length,
 * a JSON header, then data. Metadata is a flat map of strings. */
typedef enum apq_dtype {
    APQ_F32,
    APQ_I64,
    APQ_U8,
    APQ_I8,
    APQ_I32,
} apq_dtype;

typedef struct apq_tensor_file apq_tensor_file;

/* A tensor of a file: borrowed until the file is destroyed. */
typedef struct apq_file_tensor {
    const char *name;
    apq_dtype dtype;
    int rank; /* 0..4 */
    int64_t shape[4];
    size_t n_bytes;
    const void *data;
} apq_file_tensor;

/* For writing: start empty, put tensors and metadata (both copied), save. */
APQ_NODISCARD apq_status apq_tensor_file_create(apq_tensor_file **out);
APQ_NODISCARD apq_status apq_tensor_file_put(apq_tensor_file *file,
                                             const char *name, apq_dtype dtype,
                                             int rank, const int64_t *shape,
                                             const void *data);
APQ_NODISCARD apq_status apq_tensor_file_put_meta(apq_tensor_file *file,
                                                  const char *key,
                                                  const char *value);
/* Atomic (apq_file_write). A checksum of the data goes into the metadata. */
APQ_NODISCARD apq_status apq_tensor_file_save(const apq_tensor_file *file,
                                              const char *path);

/* For reading: header, offsets, sizes and checksum are verified; a file cut
 * short or altered is refused with its name and what is wrong. */
APQ_NODISCARD apq_status apq_tensor_file_load(const char *path,
                                              apq_tensor_file **out);
/* The same of bytes in memory; `path` is what messages call them. */
APQ_NODISCARD apq_status apq_tensor_file_parse(const char *path,
                                               const char *bytes,
                                               size_t n_bytes,
                                               apq_tensor_file **out);
void apq_tensor_file_destroy(apq_tensor_file *file);

size_t apq_tensor_file_length(const apq_tensor_file *file);
apq_file_tensor apq_tensor_file_at(const apq_tensor_file *file, size_t i);
/* A tensor that must have this type and shape. */
APQ_NODISCARD apq_status apq_tensor_file_get(const apq_tensor_file *file,
                                             const char *name, apq_dtype dtype,
                                             int rank, const int64_t *shape,
                                             const void **data);
/* NULL when absent. */
const char *apq_tensor_file_meta(const apq_tensor_file *file, const char *key);
/* A decimal integer in low..high among the metadata; *out is left as it is
 * where the key is absent. Errors: FORMAT for another text. */
APQ_NODISCARD apq_status apq_tensor_file_meta_int(const apq_tensor_file *file,
                                                  const char *key, int low,
                                                  int high, int *out);
/* The metadata "format" must be "KIND N", N in 1..newest; `what` says in words
 * what such a file is ("a supernet"). Errors: FORMAT for another kind and for a
 * newer version. */
APQ_NODISCARD apq_status
apq_tensor_file_check_format(const apq_tensor_file *file, const char *kind,
                             const char *what, int newest);

#endif
