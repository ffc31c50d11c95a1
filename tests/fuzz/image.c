/* JPEG and PNG images, turned upright by EXIF: header and pixels agree on the
 * size, and what is taken fits any resolution. */
#include "fuzz/fuzz.h"

#include "base/file.h"
#include "data/data_internal.h"
#include "unit/data/make.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_PIXELS = 1 << 18, SIDE = 40, EXIF_BYTES = 36 };

static void check_fit(data_decoder *decoder, int resolution) {
    static uint8_t hwc[3 * SIDE * SIDE];
    FUZZ_CHECK(apq_data_fit(decoder, resolution, hwc) == APQ_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char root[] = "folder", path[] = "image";
    uint8_t *bytes = (uint8_t *)fuzz_text(data, size);
    const data_listing listing = {.root = root};
    const data_item item = {.encoding = DATA_ENCODED,
                            .path = path,
                            .bytes = bytes,
                            .n_bytes = size};
    data_decoder decoder = {.jpeg = NULL};
    bool took = fuzz_took(apq_data_decode(&decoder, &listing, &item, 0, true));
    int width = decoder.native_width, height = decoder.native_height;
    /* Larger ones are legal and only take long. */
    if (took && (int64_t)width * height <= MAX_PIXELS) {
        if (fuzz_took(apq_data_decode(&decoder, &listing, &item, 0, false))) {
            FUZZ_CHECK(decoder.width == width && decoder.height == height);
            check_fit(&decoder, 4);
            check_fit(&decoder, SIDE);
        }
        if (fuzz_took(apq_data_decode(&decoder, &listing, &item, 5, false))) {
            FUZZ_CHECK(decoder.native_width == width);
            check_fit(&decoder, 4);
        }
    }
    apq_data_decoder_fini(&decoder);
    free(bytes);
    return 0;
}

/* The file with an EXIF segment that tells the orientation. */
static void give_turned(const char *path, uint8_t orientation, fuzz_give *give,
                        void *ctx) {
    const uint8_t segment[EXIF_BYTES] = {
        0xff,        0xe1, 0,   EXIF_BYTES - 2,
        'E',         'x',  'i', 'f',
        0,           0,    'I', 'I',
        42,          0,    8,   0,
        0,           0,    1,   0, /* one entry, at 8 */
        0x12,        1,    3,   0,
        1,           0,    0,   0,
        orientation, 0,    0,   0,
        0,           0,    0,   0};
    char *bytes;
    size_t n_bytes;
    FUZZ_CHECK(apq_file_read(path, &bytes, &n_bytes) == APQ_OK);
    char *turned = malloc(n_bytes + EXIF_BYTES);
    FUZZ_CHECK(turned != NULL);
    memcpy(turned, bytes, 2);
    memcpy(turned + 2, segment, EXIF_BYTES);
    memcpy(turned + 2 + EXIF_BYTES, bytes + 2, n_bytes - 2);
    give(ctx, turned, n_bytes + EXIF_BYTES);
    free(turned);
    free(bytes);
}

void fuzz_seeds(fuzz_give *give, void *ctx) {
    enum { WIDTH = 12, HEIGHT = 9 };
    uint8_t rgb[3 * WIDTH * HEIGHT];
    for (int i = 0; i < 3 * WIDTH * HEIGHT; i++) {
        rgb[i] = (uint8_t)(i * i % 251);
    }
    const char *path = fuzz_path("seed");
    write_png(path, rgb, WIDTH, HEIGHT);
    fuzz_give_file(path, give, ctx);
    write_jpeg(path, rgb, WIDTH, HEIGHT);
    fuzz_give_file(path, give, ctx);
    give_turned(path, 3, give, ctx);
    give_turned(path, 6, give, ctx);
}
