/* Bytes of a saved search. Doubling growth; reading never passes the end. */
#include "search/bytes.h"

#include <stdlib.h>
#include <string.h>

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
