/* Bytes of a saved search. Doubling growth; reading never passes the end, and a
 * key and a checksum tell bytes of another search and damaged ones. */
#include "search/bytes.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

enum { MAGIC_BYTES = 8 };

apq_status apq_bytes_put(apq_bytes *bytes, const void *from, size_t n) {
    if (n > bytes->cap - bytes->n) {
        size_t cap = 2 * bytes->cap + n + 64;
        unsigned char *data = realloc(bytes->data, cap);
        if (data == NULL) {
            APQ_FAIL(APQ_ERR_NOMEM, "search: no memory for %zu bytes of state",
                     cap);
        }
        bytes->data = data;
        bytes->cap = cap;
    }
    if (n > 0) {
        memcpy(bytes->data + bytes->n, from, n);
        bytes->n += n;
    }
    return APQ_OK;
}

apq_status apq_bytes_get(apq_bytes *bytes, void *to, size_t n) {
    if (n > bytes->n - bytes->at) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "saved search ends at byte %zu, %zu more wanted", bytes->n,
                 n - (bytes->n - bytes->at));
    }
    if (n > 0) {
        memcpy(to, bytes->data + bytes->at, n);
        bytes->at += n;
    }
    return APQ_OK;
}

apq_status apq_bytes_begin(apq_bytes *bytes, const char *magic, uint64_t key) {
    APQ_TRY(apq_bytes_put(bytes, magic, MAGIC_BYTES));
    return apq_bytes_put(bytes, &key, sizeof key);
}

apq_status apq_bytes_end(apq_bytes *bytes) {
    uint64_t sum = apq_hash64(bytes->data, bytes->n);
    return apq_bytes_put(bytes, &sum, sizeof sum);
}

bool apq_bytes_check(apq_bytes *bytes, const char *magic, uint64_t key) {
    uint64_t found, sum;
    if (bytes->n < MAGIC_BYTES + sizeof found + sizeof sum ||
        memcmp(bytes->data, magic, MAGIC_BYTES) != 0) {
        return false;
    }
    memcpy(&found, bytes->data + MAGIC_BYTES, sizeof found);
    memcpy(&sum, bytes->data + bytes->n - sizeof sum, sizeof sum);
    if (found != key || sum != apq_hash64(bytes->data, bytes->n - sizeof sum)) {
        return false;
    }
    bytes->n -= sizeof sum;
    bytes->at = MAGIC_BYTES + sizeof found;
    return true;
}
