/* How a camera was held: the orientation that EXIF tells in a segment of a JPEG
 * or a chunk of a PNG, and pixels turned upright by it. Source: CIPA DC-008
 * (EXIF 2.32), 4.6.4 A and 4.5.4. */
#include "data/data_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    MARKER_SOS = 0xda,
    MARKER_APP1 = 0xe1,
    TAG_ORIENTATION = 0x0112,
    TYPE_SHORT = 3,
    ENTRY_BYTES = 12,
};

static uint32_t read_number(const uint8_t *at, size_t n, bool is_big) {
    uint32_t value = 0;
    for (size_t i = 0; i < n; i++) {
        value = value << 8 | at[is_big ? i : n - 1 - i];
    }
    return value;
}

int apq_data_tiff_orientation(const uint8_t *tiff, size_t n) {
    if (n < 8 || (memcmp(tiff, "MM", 2) != 0 && memcmp(tiff, "II", 2) != 0)) {
        return 1;
    }
    bool is_big = tiff[0] == 'M';
    size_t at = read_number(tiff + 4, 4, is_big); /* of the first directory */
    if (read_number(tiff + 2, 2, is_big) != 42 || at > n - 2) {
        return 1;
    }
    size_t n_entries = read_number(tiff + at, 2, is_big);
    at += 2;
    for (; n_entries > 0 && n - at >= ENTRY_BYTES; n_entries--) {
        const uint8_t *entry = tiff + at;
        if (read_number(entry, 2, is_big) == TAG_ORIENTATION) {
            uint32_t value = read_number(entry + 8, 2, is_big);
            bool is_legal =
                read_number(entry + 2, 2, is_big) == TYPE_SHORT && value <= 8;
            return is_legal && value > 0 ? (int)value : 1;
        }
        at += ENTRY_BYTES;
    }
    return 1;
}

int apq_data_jpeg_orientation(const uint8_t *bytes, size_t n_bytes) {
    static const uint8_t start[6] = {'E', 'x', 'i', 'f', 0, 0};
    size_t at = 2; /* behind the start of the image */
    while (at + 4 <= n_bytes && bytes[at] == 0xff &&
           bytes[at + 1] != MARKER_SOS) {
        uint8_t marker = bytes[at + 1];
        if (marker == 0xff) { /* a byte of filling */
            at++;
            continue;
        }
        size_t length = read_number(bytes + at + 2, 2, true);
        const uint8_t *segment = bytes + at + 4;
        if (length < 2 || length > n_bytes - at - 2) {
            return 1;
        }
        if (marker == MARKER_APP1 && length >= 2 + sizeof start &&
            memcmp(segment, start, sizeof start) == 0) {
            return apq_data_tiff_orientation(segment + sizeof start,
                                             length - 2 - sizeof start);
        }
        at += 2 + length;
    }
    return 1;
}

static void swap_sides(int *width, int *height) {
    int old = *width;
    *width = *height;
    *height = old;
}

void apq_data_orient_size(data_decoder *decoder, int orientation) {
    if (orientation >= 5) {
        swap_sides(&decoder->width, &decoder->height);
        swap_sides(&decoder->native_width, &decoder->native_height);
    }
}

apq_status apq_data_orient_pixels(data_decoder *decoder, int orientation) {
    if (orientation == 1) {
        return APQ_OK;
    }
    /* Each pixel of the upright image, and where it comes from. */
    size_t from_width = (size_t)decoder->width;
    size_t from_height = (size_t)decoder->height;
    bool is_transposed = orientation >= 5;
    bool flips_x = orientation == 2 || orientation == 3 || orientation == 7 ||
                   orientation == 8;
    bool flips_y = orientation == 3 || orientation == 4 || orientation == 6 ||
                   orientation == 7;
    size_t width = is_transposed ? from_height : from_width;
    size_t height = is_transposed ? from_width : from_height;
    uint8_t *upright = malloc(3 * width * height);
    if (upright == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "turning an image: out of memory");
    }
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x < width; x++) {
            size_t from_x = is_transposed ? y : x;
            size_t from_y = is_transposed ? x : y;
            from_x = flips_x ? from_width - 1 - from_x : from_x;
            from_y = flips_y ? from_height - 1 - from_y : from_y;
            memcpy(upright + 3 * (y * width + x),
                   decoder->pixels + 3 * (from_y * from_width + from_x), 3);
        }
    }
    free(decoder->pixels);
    decoder->pixels = upright;
    decoder->capacity = 3 * width * height;
    apq_data_orient_size(decoder, orientation);
    return APQ_OK;
}
