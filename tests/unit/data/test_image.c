/* Single images: as those of a dataset, and upright whatever their EXIF
 * orientation. */
#include "unit/data/make.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WIDTH = 48, HEIGHT = 32, SIDE = 32 };

typedef struct colour {
    uint8_t rgb[3];
} colour;

static const colour RED = {{220, 20, 20}}, GREEN = {{20, 220, 20}},
                    BLUE = {{20, 20, 220}}, WHITE = {{235, 235, 235}};

/* Quarters a b / c d of a (height, width, 3) image. */
static void paint(uint8_t *rgb, int width, int height, colour a, colour b,
                  colour c, colour d) {
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            colour left = y < height / 2 ? a : c;
            colour right = y < height / 2 ? b : d;
            memcpy(rgb + 3 * (y * width + x),
                   x < width / 2 ? left.rgb : right.rgb, 3);
        }
    }
}

static void assert_colour(const uint8_t *hwc, int x, int y, colour expected,
                          const char *what) {
    for (int c = 0; c < 3; c++) {
        int value = hwc[3 * (y * SIDE + x) + c];
        if (abs(value - expected.rgb[c]) > 24) {
            fail_msg("%s: pixel %d %d channel %d is %d, expected %d", what, x,
                     y, c, value, expected.rgb[c]);
        }
    }
}

static void assert_quarters(const uint8_t *hwc, const colour q[4],
                            const char *what) {
    assert_colour(hwc, 4, 4, q[0], what);
    assert_colour(hwc, SIDE - 5, 4, q[1], what);
    assert_colour(hwc, 4, SIDE - 5, q[2], what);
    assert_colour(hwc, SIDE - 5, SIDE - 5, q[3], what);
}

/* The JPEG `path` again, with an EXIF segment that begins with a foreign tag
 * and a fill byte before its marker. */
static void add_orientation(const char *path, const char *out, int orientation,
                            bool is_big) {
    static const uint8_t big[] = {
        'M', 'M', 0,   42, 0, 0, 0, 8,    0, 2, 1, 0x0f, 0, 2, 0, 0,
        0,   4,   'a', 0,  0, 0, 1, 0x12, 0, 3, 0, 0,    0, 1, 0, 0 /* value */,
        0,   0,   0,   0,  0, 0};
    static const uint8_t little[] = {'I',
                                     'I',
                                     42,
                                     0,
                                     8,
                                     0,
                                     0,
                                     0,
                                     2,
                                     0,
                                     0x0f,
                                     1,
                                     2,
                                     0,
                                     4,
                                     0,
                                     0,
                                     0,
                                     'a',
                                     0,
                                     0,
                                     0,
                                     0x12,
                                     1,
                                     3,
                                     0,
                                     1,
                                     0,
                                     0,
                                     0,
                                     0 /* value */,
                                     0,
                                     0,
                                     0,
                                     0,
                                     0,
                                     0,
                                     0};
    char *bytes;
    size_t n;
    assert_int_equal(apq_file_read(path, &bytes, &n), APQ_OK);
    uint8_t *all = malloc(n + 64);
    assert_non_null(all);
    size_t at = 0;
    memcpy(all, bytes, 2);
    at += 2;
    static const uint8_t head[] = {
        0xff, 0xff, 0xe1, 0, 2 + 6 + sizeof big, 'E', 'x', 'i', 'f', 0, 0};
    memcpy(all + at, head, sizeof head);
    at += sizeof head;
    memcpy(all + at, is_big ? big : little, sizeof big);
    all[at + (is_big ? 31 : 30)] = (uint8_t)orientation;
    at += sizeof big;
    memcpy(all + at, bytes + 2, n - 2);
    write_bytes(out, all, at + n - 2);
    free(all);
    free(bytes);
}

static void test_orientations(void **state) {
    (void)state;
    /* How the quarters red green / blue white are looked at. */
    const colour upright[9][4] = {
        {RED, GREEN, BLUE, WHITE}, /* 0: not legal, as it is */
        {RED, GREEN, BLUE, WHITE}, {GREEN, RED, WHITE, BLUE},
        {WHITE, BLUE, GREEN, RED}, {BLUE, WHITE, RED, GREEN},
        {RED, BLUE, GREEN, WHITE}, {BLUE, RED, WHITE, GREEN},
        {WHITE, GREEN, BLUE, RED}, {GREEN, WHITE, RED, BLUE},
    };
    char root[PATH_BYTES], plain[PATH_BYTES], turned[PATH_BYTES];
    static uint8_t rgb[WIDTH * HEIGHT * 3], hwc[SIDE * SIDE * 3];
    make_temporary(root);
    path_in(plain, root, "plain.jpg");
    path_in(turned, root, "turned.jpg");
    paint(rgb, WIDTH, HEIGHT, RED, GREEN, BLUE, WHITE);
    write_jpeg(plain, rgb, WIDTH, HEIGHT);
    for (int o = 0; o < 9; o++) {
        for (int is_big = 0; is_big < 2; is_big++) {
            char what[32];
            (void)snprintf(what, sizeof what, "orientation %d", o);
            add_orientation(plain, turned, o, is_big);
            assert_int_equal(apq_image_read(turned, SIDE, hwc), APQ_OK);
            assert_quarters(hwc, upright[o], what);
        }
    }
    remove_tree(root);
}

static void put_number(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

/* The checksum of PNG chunks. */
static uint32_t crc(const uint8_t *bytes, size_t n) {
    uint32_t sum = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        sum ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            sum = sum >> 1 ^ (sum & 1 ? 0xedb88320U : 0);
        }
    }
    return ~sum;
}

/* A PNG tells its orientation in a chunk behind the header. */
static void test_png_orientation(void **state) {
    (void)state;
    enum { HEADER_END = 33, CHUNK = 12 + 26 };
    uint8_t chunk[CHUNK] = {0, 0,  0, 26, 'e', 'X', 'I', 'f', 'M', 'M',
                            0, 42, 0, 0,  0,   8,   0,   1,   1,   0x12,
                            0, 3,  0, 0,  0,   1,   0,   6};
    char root[PATH_BYTES], path[PATH_BYTES], *bytes;
    static uint8_t rgb[WIDTH * HEIGHT * 3], hwc[SIDE * SIDE * 3];
    const colour plain[4] = {RED, GREEN, BLUE, WHITE};
    const colour upright[4] = {BLUE, RED, WHITE, GREEN};
    size_t n;
    make_temporary(root);
    path_in(path, root, "a.png");
    paint(rgb, WIDTH, HEIGHT, RED, GREEN, BLUE, WHITE);
    write_png(path, rgb, WIDTH, HEIGHT);
    assert_int_equal(apq_file_read(path, &bytes, &n), APQ_OK);
    uint8_t *all = malloc(n + CHUNK);
    assert_non_null(all);
    put_number(chunk + CHUNK - 4, crc(chunk + 4, CHUNK - 8));
    memcpy(all, bytes, HEADER_END);
    memcpy(all + HEADER_END, chunk, CHUNK);
    memcpy(all + HEADER_END + CHUNK, bytes + HEADER_END, n - HEADER_END);
    write_bytes(path, all, n + CHUNK);
    assert_int_equal(apq_image_read(path, SIDE, hwc), APQ_OK);
    assert_quarters(hwc, upright, "PNG");
    all[HEADER_END + CHUNK - 1] ^= 1; /* a damaged chunk tells nothing */
    write_bytes(path, all, n + CHUNK);
    assert_int_equal(apq_image_read(path, SIDE, hwc), APQ_OK);
    assert_quarters(hwc, plain, "PNG with a damaged chunk");
    free(all);
    free(bytes);
    remove_tree(root);
}

/* A segment cut short, or with numbers that point outside, tells nothing. */
static void test_damaged_orientation(void **state) {
    (void)state;
    char root[PATH_BYTES], plain[PATH_BYTES], turned[PATH_BYTES];
    static uint8_t rgb[WIDTH * HEIGHT * 3], hwc[SIDE * SIDE * 3];
    make_temporary(root);
    path_in(plain, root, "plain.jpg");
    path_in(turned, root, "turned.jpg");
    paint(rgb, WIDTH, HEIGHT, RED, GREEN, BLUE, WHITE);
    write_jpeg(plain, rgb, WIDTH, HEIGHT);
    add_orientation(plain, turned, 6, true);
    char *bytes;
    size_t n;
    assert_int_equal(apq_file_read(turned, &bytes, &n), APQ_OK);
    const colour q[4] = {RED, GREEN, BLUE, WHITE};
    /* Bytes of the TIFF header and of the first directory's count and tag. */
    for (size_t i = 13; i < 45; i++) {
        char old = bytes[i];
        bytes[i] = (char)0xff;
        write_bytes(turned, bytes, n);
        assert_int_equal(apq_image_read(turned, SIDE, hwc), APQ_OK);
        bytes[i] = old;
        if (i < 21) {
            assert_quarters(hwc, q, "damaged header");
        }
    }
    free(bytes);
    remove_tree(root);
}

/* What a dataset delivers, from a file and from pixels. */
static void test_as_dataset(void **state) {
    (void)state;
    enum { BIG_W = 200, BIG_H = 120 };
    char root[PATH_BYTES], path[PATH_BYTES];
    static uint8_t rgb[BIG_W * BIG_H * 3], a[SIDE * SIDE * 3],
        b[SIDE * SIDE * 3];
    for (size_t i = 0; i < sizeof rgb; i++) {
        rgb[i] = (uint8_t)((i * i / 97 + i) & 0xff);
    }
    make_temporary(root);
    for (int c = 0; c < 2; c++) {
        path_in(path, root, "train/class%d/0.png", c);
        write_png(path, rgb, BIG_W, BIG_H);
        path_in(path, root, "test/class%d/0.png", c);
        write_png(path, rgb, BIG_W, BIG_H);
    }
    apq_data_options options = APQ_DATA_OPTIONS_INIT;
    options.resolution = SIDE;
    options.n_val = 0;
    apq_dataset *dataset = must_open(root, &options);
    assert_int_equal(apq_dataset_image(dataset, APQ_SPLIT_TEST, 0, a), APQ_OK);
    assert_int_equal(apq_image_read(path, SIDE, b), APQ_OK);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(apq_image_fit(rgb, BIG_W, BIG_H, SIDE, b), APQ_OK);
    assert_memory_equal(a, b, sizeof a);
    apq_dataset_destroy(dataset);
    remove_tree(root);
}

static void test_errors(void **state) {
    (void)state;
    char root[PATH_BYTES], path[PATH_BYTES];
    static uint8_t hwc[SIDE * SIDE * 3];
    make_temporary(root);
    path_in(path, root, "a.png");
    assert_int_equal(apq_image_read(path, SIDE, hwc), APQ_ERR_IO);
    write_bytes(path, "no image", 8);
    assert_int_equal(apq_image_read(path, SIDE, hwc), APQ_ERR_FORMAT);
    assert_ptr_equal(strstr(apq_error_message(), path), apq_error_message());
    assert_int_equal(apq_image_read(path, 3, hwc), APQ_ERR_ARG);
    assert_int_equal(apq_image_fit(hwc, 0, SIDE, SIDE, hwc), APQ_ERR_ARG);
    assert_int_equal(apq_image_fit(hwc, SIDE, 16385, SIDE, hwc), APQ_ERR_ARG);
    remove_tree(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orientations),
        cmocka_unit_test(test_png_orientation),
        cmocka_unit_test(test_damaged_orientation),
        cmocka_unit_test(test_as_dataset),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
