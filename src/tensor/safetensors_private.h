#ifndef APQ_TENSOR_SAFETENSORS_PRIVATE_H
#define APQ_TENSOR_SAFETENSORS_PRIVATE_H

#include "tensor/safetensors.h"

#include <stdbool.h>

/* Shared by the writing and the reading half. */
enum { APQ_TENSOR_MAX_RANK = 4, APQ_TENSOR_LENGTH_BYTES = 8 };

#define APQ_TENSOR_CHECKSUM_KEY "xxh3"

typedef struct apq_tensor_slot {
    char *name;
    apq_dtype dtype;
    int rank;
    int64_t shape[APQ_TENSOR_MAX_RANK];
    size_t n_bytes;
    void *data; /* owned, 64-byte aligned */
} apq_tensor_slot;

typedef struct apq_tensor_meta {
    char *key, *value;
} apq_tensor_meta;

struct apq_tensor_file {
    char *path; /* of the file read, for messages; NULL when written */
    apq_tensor_slot *slots;
    size_t n_slots, slots_capacity;
    apq_tensor_meta *metas;
    size_t n_metas, metas_capacity;
};

const char *apq_dtype_name(apq_dtype dtype);
/* False when the text is no supported type. */
bool apq_dtype_parse(const char *text, apq_dtype *out);
size_t apq_dtype_size(apq_dtype dtype);
/* Bytes of a tensor; false on a bad rank, a negative extent or overflow. */
bool apq_tensor_bytes(apq_dtype dtype, int rank, const int64_t *shape,
                      size_t *n_bytes);
/* As put, of a name that is known to be no other tensor's: a file of many
 * tensors is read in linear time. */
APQ_NODISCARD apq_status apq_tensor_add(apq_tensor_file *file, const char *name,
                                        apq_dtype dtype, int rank,
                                        const int64_t *shape, const void *data);
/* As put_meta, the checksum key included. */
APQ_NODISCARD apq_status apq_tensor_set_meta(apq_tensor_file *file,
                                             const char *key,
                                             const char *value);

#endif
