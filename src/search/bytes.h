#ifndef APQ_SEARCH_BYTES_H
#define APQ_SEARCH_BYTES_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A growing run of bytes, written at its end and read from its front: the
 * state of a search on its way to a file. Layout and byte order are the
 * machine's; a state is read where it was written. */
typedef struct apq_bytes {
    unsigned char *data; /* owned when written, borrowed when read */
    size_t n, cap;
    size_t at; /* read so far */
} apq_bytes;

/* Zero-initialise before the first put; release `data` with free(). */
APQ_NODISCARD apq_status apq_bytes_put(apq_bytes *bytes, const void *from,
                                       size_t n);
/* APQ_ERR_FORMAT when fewer than n are left. */
APQ_NODISCARD apq_status apq_bytes_get(apq_bytes *bytes, void *to, size_t n);

/* Before the first put: what the bytes are, 8 characters, and whose. */
APQ_NODISCARD apq_status apq_bytes_begin(apq_bytes *bytes, const char *magic,
                                         uint64_t key);
/* After the last put: a checksum of all. */
APQ_NODISCARD apq_status apq_bytes_end(apq_bytes *bytes);
/* Were they begun like this, and are they whole? Then the first get reads what
 * the first put wrote. */
bool apq_bytes_check(apq_bytes *bytes, const char *magic, uint64_t key);

#endif
