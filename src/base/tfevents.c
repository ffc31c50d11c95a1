/* TensorBoard's event files: TFRecord framing around Event messages, written
 * as protocol buffers by hand, since all we need are five fields.
 * Source: docs/formats/events.md. */
#include "base/tfevents.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    /* Field numbers and wire types: number << 3 | type. */
    EVENT_WALL_TIME = 1 << 3 | 1,
    EVENT_STEP = 2 << 3 | 0,
    EVENT_FILE_VERSION = 3 << 3 | 2,
    EVENT_SUMMARY = 5 << 3 | 2,
    EVENT_SESSION_LOG = 7 << 3 | 2,
    SUMMARY_VALUE = 1 << 3 | 2,
    VALUE_TAG = 1 << 3 | 2,
    VALUE_SIMPLE = 2 << 3 | 5,
    SESSION_STATUS = 1 << 3 | 0,
    SESSION_START = 1,

    RECORD_HEAD = 12, /* length and its checksum */
    RECORD_TAIL = 4,  /* checksum of the message */
    MOST_EVENT = 64,  /* an event without its tags and values */
    MOST_VALUE = 32,  /* a value without its tag */
};

/* Bytes in a buffer that the caller made large enough. */
typedef struct writer {
    uint8_t *bytes;
    size_t n;
} writer;

static void put_byte(writer *w, unsigned byte) {
    w->bytes[w->n++] = (uint8_t)(byte & 0xff);
}

static void put_fixed(writer *w, uint64_t value, int n_bytes) {
    for (int i = 0; i < n_bytes; i++) {
        put_byte(w, (unsigned)(value >> (8 * i)) & 0xff);
    }
}

static void put_varint(writer *w, uint64_t value) {
    for (; value >= 0x80; value >>= 7) {
        put_byte(w, (unsigned)(value & 0x7f) | 0x80);
    }
    put_byte(w, (unsigned)value);
}

static void put_bytes(writer *w, unsigned field, const void *bytes, size_t n) {
    put_byte(w, field);
    put_varint(w, n);
    memcpy(w->bytes + w->n, bytes, n);
    w->n += n;
}

static size_t varint_size(uint64_t value) {
    size_t n = 1;
    for (; value >= 0x80; value >>= 7) {
        n++;
    }
    return n;
}

uint32_t apq_tfevents_crc(const void *bytes, size_t n_bytes) {
    const uint8_t *p = bytes;
    uint32_t crc = 0xffffffffU;
    for (size_t i = 0; i < n_bytes; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78U : 0);
        }
    }
    crc = ~crc;
    return (crc >> 15 | crc << 17) + 0xa282ead8U;
}

static uint64_t bits_of_double(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* A record begins where its message is to be written. */
static size_t begin_record(writer *w) {
    size_t start = w->n;
    w->n += RECORD_HEAD;
    return start;
}

static void end_record(writer *w, size_t start) {
    writer head = {w->bytes + start, 0};
    const uint8_t *message = head.bytes + RECORD_HEAD;
    size_t n = w->n - start - RECORD_HEAD;
    put_fixed(&head, n, 8);
    put_fixed(&head, apq_tfevents_crc(head.bytes, 8), 4);
    put_fixed(w, apq_tfevents_crc(message, n), 4);
}

static void put_wall_time(writer *w, double wall_s) {
    put_byte(w, EVENT_WALL_TIME);
    put_fixed(w, bits_of_double(wall_s), 8);
}

static void put_header(writer *w, double wall_s) {
    static const char version[] = "brain.Event:2";
    size_t start = begin_record(w);
    put_wall_time(w, wall_s);
    put_bytes(w, EVENT_FILE_VERSION, version, sizeof version - 1);
    end_record(w, start);
}

static void put_restart(writer *w, double wall_s, int64_t step) {
    static const uint8_t log[] = {SESSION_STATUS, SESSION_START};
    size_t start = begin_record(w);
    put_wall_time(w, wall_s);
    put_byte(w, EVENT_STEP);
    put_varint(w, (uint64_t)step);
    put_bytes(w, EVENT_SESSION_LOG, log, sizeof log);
    end_record(w, start);
}

/* Of a Value message: tag and float. */
static size_t value_size(const apq_scalar *scalar) {
    size_t n = strlen(scalar->tag);
    return 1 + varint_size(n) + n + 1 + 4;
}

static void put_scalars(writer *w, double wall_s, int64_t step,
                        const apq_scalar *scalars, size_t n_scalars) {
    size_t start = begin_record(w);
    put_wall_time(w, wall_s);
    put_byte(w, EVENT_STEP);
    put_varint(w, (uint64_t)step);
    size_t n = 0;
    for (size_t i = 0; i < n_scalars; i++) {
        size_t size = value_size(&scalars[i]);
        n += 1 + varint_size(size) + size;
    }
    put_byte(w, EVENT_SUMMARY);
    put_varint(w, n);
    for (size_t i = 0; i < n_scalars; i++) {
        float value = (float)scalars[i].value;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        put_byte(w, SUMMARY_VALUE);
        put_varint(w, value_size(&scalars[i]));
        put_bytes(w, VALUE_TAG, scalars[i].tag, strlen(scalars[i].tag));
        put_byte(w, VALUE_SIMPLE);
        put_fixed(w, bits, 4);
    }
    end_record(w, start);
}

/* One write, so that a reader meets whole records. */
static apq_status append(const char *path, const writer *w) {
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    ssize_t n = fd < 0 ? -1 : write(fd, w->bytes, w->n);
    int cause = n >= 0 && (size_t)n < w->n ? ENOSPC : errno;
    bool ok = n == (ssize_t)w->n;
    if (fd >= 0 && close(fd) != 0 && ok) {
        ok = false;
        cause = errno;
    }
    if (!ok) {
        APQ_FAIL(APQ_ERR_WRITE, "%s: cannot write: %s", path, strerror(cause));
    }
    return APQ_OK;
}

apq_status apq_tfevents_append(const char *path, double wall_s, int64_t step,
                               const apq_scalar *scalars, size_t n_scalars) {
    APQ_ASSERT(step >= 0);
    size_t most = (size_t)2 * MOST_EVENT;
    for (size_t i = 0; i < n_scalars; i++) {
        most += MOST_VALUE + strlen(scalars[i].tag);
    }
    writer w = {malloc(most), 0};
    if (w.bytes == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", path);
    }
    if (!apq_file_exists(path)) {
        put_header(&w, wall_s);
    }
    put_scalars(&w, wall_s, step, scalars, n_scalars);
    apq_status st = append(path, &w);
    free(w.bytes);
    return st;
}

static uint64_t get_fixed(const uint8_t *p, int n_bytes) {
    uint64_t value = 0;
    for (int i = 0; i < n_bytes; i++) {
        value |= (uint64_t)p[i] << (8 * i);
    }
    return value;
}

/* Bytes of the whole records that a file begins with. */
static size_t whole_records(const uint8_t *bytes, size_t n) {
    size_t at = 0;
    while (n - at >= RECORD_HEAD + RECORD_TAIL) {
        const uint8_t *head = bytes + at;
        uint64_t length = get_fixed(head, 8);
        if (get_fixed(head + 8, 4) != apq_tfevents_crc(head, 8) ||
            length > n - at - RECORD_HEAD - RECORD_TAIL) {
            break;
        }
        const uint8_t *message = head + RECORD_HEAD;
        if (get_fixed(message + length, 4) !=
            apq_tfevents_crc(message, (size_t)length)) {
            break;
        }
        at += RECORD_HEAD + (size_t)length + RECORD_TAIL;
    }
    return at;
}

apq_status apq_tfevents_resume(const char *path, double wall_s, int64_t step) {
    APQ_ASSERT(step >= 0);
    if (!apq_file_exists(path)) {
        return APQ_OK;
    }
    char *bytes;
    size_t n;
    APQ_TRY(apq_file_read(path, &bytes, &n));
    size_t good = whole_records((const uint8_t *)bytes, n);
    free(bytes);
    if (good < n && truncate(path, (off_t)good) != 0) {
        APQ_FAIL(APQ_ERR_IO, "%s: cannot shorten: %s", path, strerror(errno));
    }
    uint8_t buffer[2 * MOST_EVENT];
    writer w = {buffer, 0};
    if (good == 0) {
        put_header(&w, wall_s);
    }
    put_restart(&w, wall_s, step);
    return append(path, &w);
}
