/* Event files: bytes as TensorBoard's own writer makes them, records that a
 * reader finds whole, and what is left of a file that was cut off. */
#include "base/tfevents.h"

#include "base/file.h"
#include "unit/store/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* By RecordWriter and event_pb2 of TensorBoard 2.21.0: an event with version
 * "brain.Event:2", one of step 300 with val/a = 0.5 and loss = -3, both at 2.25
 * seconds, and one of step 7 at 4 seconds with a session log that starts. */
static const uint8_t expected[] = {
    0x18, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xa3, 0x7f, 0x4b, 0x22,
    0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x40, 0x1a, 0x0d, 0x62,
    0x72, 0x61, 0x69, 0x6e, 0x2e, 0x45, 0x76, 0x65, 0x6e, 0x74, 0x3a, 0x32,
    0x8c, 0x26, 0xa3, 0xd6, 0x29, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x37, 0xff, 0x5f, 0x00, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
    0x40, 0x10, 0xac, 0x02, 0x2a, 0x1b, 0x0a, 0x0c, 0x0a, 0x05, 0x76, 0x61,
    0x6c, 0x2f, 0x61, 0x15, 0x00, 0x00, 0x00, 0x3f, 0x0a, 0x0b, 0x0a, 0x04,
    0x6c, 0x6f, 0x73, 0x73, 0x15, 0x00, 0x00, 0x40, 0xc0, 0x08, 0x9a, 0x62,
    0x7d, 0x0f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x6d, 0x53, 0x2b,
    0x09, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x40, 0x10, 0x07,
    0x3a, 0x02, 0x08, 0x01, 0xed, 0x78, 0x36, 0xde,
};

static void append_example(const char *path) {
    const apq_scalar scalars[] = {{"val/a", 0.5}, {"loss", -3.0}};
    assert_int_equal(apq_tfevents_append(path, 2.25, 300, scalars, 2), APQ_OK);
}

static void path_in(const char *folder, char out[APQ_PATH_MAX]) {
    assert_int_equal(apq_path_join(out, folder, "events"), APQ_OK);
}

static void bytes_are_tensorboards(void **state) {
    char path[APQ_PATH_MAX], *bytes = NULL;
    size_t n = 0;
    path_in(*state, path);
    append_example(path);
    assert_int_equal(apq_tfevents_resume(path, 4.0, 7), APQ_OK);
    assert_int_equal(apq_file_read(path, &bytes, &n), APQ_OK);
    assert_int_equal(n, sizeof expected);
    assert_memory_equal(bytes, expected, n);
    free(bytes);
}

/* The check value of the CRC catalogue, masked. */
static void checksums_are_the_published_ones(void **state) {
    (void)state;
    uint32_t crc = 0xe3069283U;
    uint32_t masked = (crc >> 15 | crc << 17) + 0xa282ead8U;
    assert_int_equal(apq_tfevents_crc("123456789", 9), masked);
    assert_int_equal(apq_tfevents_crc("", 0), 0xa282ead8U);
}

/* What a reader sees of a file; restarts forget later steps. */
typedef struct view {
    int n_headers, n_restarts, n_points;
    struct {
        int64_t step;
        char tag[32];
        float value;
    } points[64];
} view;

static uint64_t varint(const uint8_t **p) {
    uint64_t value = 0;
    int shift = 0;
    uint8_t byte;
    do {
        byte = *(*p)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while ((byte & 0x80) != 0);
    return value;
}

static void read_value(const uint8_t *p, int64_t step, view *out) {
    int k = out->n_points++;
    assert_true(k < 64);
    out->points[k].step = step;
    assert_int_equal(*p++, 0x0a);
    size_t n = (size_t)varint(&p);
    assert_true(n < sizeof out->points[k].tag);
    memcpy(out->points[k].tag, p, n);
    out->points[k].tag[n] = '\0';
    assert_int_equal(p[n], 0x15);
    memcpy(&out->points[k].value, p + n + 1, 4); /* little-endian hosts */
}

static void read_summary(const uint8_t *p, size_t n, int64_t step, view *out) {
    for (const uint8_t *end = p + n; p < end;) {
        assert_int_equal(*p++, 0x0a);
        size_t size = (size_t)varint(&p);
        read_value(p, step, out);
        p += size;
    }
}

static void forget(view *v, int64_t step) {
    int kept = 0;
    for (int i = 0; i < v->n_points; i++) {
        if (v->points[i].step < step) {
            v->points[kept++] = v->points[i];
        }
    }
    v->n_points = kept;
}

static void read_event(const uint8_t *p, size_t n, view *out) {
    const uint8_t *end = p + n;
    int64_t step = 0;
    assert_int_equal(*p, 0x09);
    for (p += 9; p < end;) {
        uint8_t field = *p++;
        uint64_t value = varint(&p);
        if (field == 0x10) {
            step = (int64_t)value;
            continue;
        }
        if (field == 0x1a) {
            out->n_headers++;
        } else if (field == 0x2a) {
            read_summary(p, (size_t)value, step, out);
        } else {
            assert_int_equal(field, 0x3a);
            out->n_restarts++;
            forget(out, step);
        }
        p += value;
    }
    assert_ptr_equal(p, end);
}

static view read_file(const char *path) {
    view v = {0};
    char *text = NULL;
    size_t n = 0;
    assert_int_equal(apq_file_read(path, &text, &n), APQ_OK);
    const uint8_t *bytes = (const uint8_t *)text;
    size_t at = 0;
    while (at < n) {
        uint64_t length;
        uint32_t head, tail;
        assert_true(n - at >= 16);
        memcpy(&length, bytes + at, 8);
        memcpy(&head, bytes + at + 8, 4);
        assert_int_equal(head, apq_tfevents_crc(bytes + at, 8));
        assert_true(length <= n - at - 16);
        memcpy(&tail, bytes + at + 12 + length, 4);
        assert_int_equal(tail, apq_tfevents_crc(bytes + at + 12, length));
        read_event(bytes + at + 12, length, &v);
        at += 16 + length;
    }
    free(text);
    return v;
}

static void a_reader_finds_every_point(void **state) {
    char path[APQ_PATH_MAX], tag[32];
    path_in(*state, path);
    for (int64_t step = 0; step < 20; step++) {
        (void)snprintf(tag, sizeof tag, "group/%lld", (long long)step);
        const apq_scalar scalars[] = {{tag, (double)step / 4},
                                      {"nan", (double)NAN}};
        int64_t far = step * 1000000007;
        assert_int_equal(apq_tfevents_append(path, 1e9, far, scalars, 2),
                         APQ_OK);
    }
    view v = read_file(path);
    assert_int_equal(v.n_headers, 1);
    assert_int_equal(v.n_points, 40);
    for (int i = 0; i < 20; i++) {
        (void)snprintf(tag, sizeof tag, "group/%d", i);
        assert_string_equal(v.points[2 * i].tag, tag);
        assert_int_equal(v.points[2 * i].step, i * INT64_C(1000000007));
        assert_true(v.points[2 * i].value == (float)i / 4);
        assert_true(isnan(v.points[2 * i + 1].value));
    }
}

/* At every length that a kill can leave: whole records stay, what is told
 * again replaces what was told before. */
static void a_torn_file_is_resumed(void **state) {
    char path[APQ_PATH_MAX];
    path_in(*state, path);
    assert_int_equal(apq_tfevents_resume(path, 1, 1), APQ_OK);
    assert_false(apq_file_exists(path));
    const apq_scalar scalar = {"x", 1};
    size_t size[4] = {0};
    for (int i = 1; i <= 3; i++) {
        char *text = NULL;
        assert_int_equal(apq_tfevents_append(path, 1, i, &scalar, 1), APQ_OK);
        assert_int_equal(apq_file_read(path, &text, &size[i]), APQ_OK);
        free(text);
    }
    char *whole = NULL;
    size_t n = 0;
    assert_int_equal(apq_file_read(path, &whole, &n), APQ_OK);
    for (size_t cut = 0; cut <= n; cut++) {
        assert_int_equal(apq_file_write(path, whole, cut), APQ_OK);
        assert_int_equal(apq_tfevents_resume(path, 2, 2), APQ_OK);
        const apq_scalar again = {"x", 2};
        assert_int_equal(apq_tfevents_append(path, 2, 2, &again, 1), APQ_OK);
        view v = read_file(path);
        int kept = cut >= size[1];
        assert_int_equal(v.n_headers, 1);
        assert_int_equal(v.n_restarts, 1);
        assert_int_equal(v.n_points, kept + 1);
        assert_int_equal(v.points[kept].step, 2);
        assert_true(v.points[kept].value == 2);
    }
    /* Another byte in the middle: what follows is no longer trusted. */
    whole[size[2] - 6] ^= 1;
    assert_int_equal(apq_file_write(path, whole, n), APQ_OK);
    assert_int_equal(apq_tfevents_resume(path, 2, 9), APQ_OK);
    assert_int_equal(read_file(path).n_points, 1);
    free(whole);
}

static void unusable_paths_are_refused(void **state) {
    const apq_scalar scalar = {"x", 1};
    assert_int_equal(apq_tfevents_append(*state, 1, 1, &scalar, 1),
                     APQ_ERR_WRITE);
    assert_non_null(strstr(apq_error_message(), *state));
}

#define IN_SCRATCH(test)                                                       \
    cmocka_unit_test_setup_teardown(test, scratch_make, scratch_remove)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_SCRATCH(bytes_are_tensorboards),
        cmocka_unit_test(checksums_are_the_published_ones),
        IN_SCRATCH(a_reader_finds_every_point),
        IN_SCRATCH(a_torn_file_is_resumed),
        IN_SCRATCH(unusable_paths_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
