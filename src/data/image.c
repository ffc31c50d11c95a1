/* Single images, read and fitted as those of a dataset are. */
#include "data/data_internal.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

static apq_status check_resolution(int resolution) {
    if (resolution < DATA_MIN_RESOLUTION || resolution > DATA_MAX_RESOLUTION) {
        APQ_FAIL(APQ_ERR_ARG, "resolution %d is not in %d..%d", resolution,
                 DATA_MIN_RESOLUTION, DATA_MAX_RESOLUTION);
    }
    return APQ_OK;
}

static apq_status decode_into(data_decoder *decoder, data_item *item,
                              const char *path, int resolution, uint8_t *hwc) {
    char root[] = ""; /* of a dataset; nothing here */
    const data_listing listing = {.root = root};
    apq_status st = apq_data_decode(decoder, &listing, item,
                                    apq_image_largest_side(resolution), false);
    if (decoder->reason[0] != '\0') { /* by the name that was given */
        return APQ_ERROR(st, "%s: %s", path, decoder->reason);
    }
    return st == APQ_OK ? apq_data_fit(decoder, resolution, hwc) : st;
}

apq_status apq_image_read(const char *path, int resolution, uint8_t *hwc) {
    APQ_TRY(check_resolution(resolution));
    char *bytes;
    size_t n_bytes;
    APQ_TRY(apq_file_read(path, &bytes, &n_bytes));
    data_item item = {.encoding = DATA_ENCODED,
                      .path = strdup(path),
                      .bytes = (uint8_t *)bytes,
                      .n_bytes = n_bytes};
    data_decoder decoder = {0};
    apq_status st = item.path == NULL
                        ? APQ_ERROR(APQ_ERR_NOMEM, "%s: out of memory", path)
                        : decode_into(&decoder, &item, path, resolution, hwc);
    apq_data_decoder_fini(&decoder);
    free(item.path);
    free(bytes);
    return st;
}

apq_status apq_image_fit(const uint8_t *rgb, int width, int height,
                         int resolution, uint8_t *hwc) {
    APQ_TRY(check_resolution(resolution));
    if (width < 1 || height < 1 || width > DATA_MAX_SIDE ||
        height > DATA_MAX_SIDE) {
        APQ_FAIL(APQ_ERR_ARG, "%d x %d pixels, a side is not in 1..%d", width,
                 height, DATA_MAX_SIDE);
    }
    size_t n_bytes = 3 * (size_t)width * (size_t)height;
    data_decoder decoder = {.width = width, .height = height};
    decoder.pixels = malloc(n_bytes);
    if (decoder.pixels == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "image of %d x %d pixels: out of memory", width,
                 height);
    }
    memcpy(decoder.pixels, rgb, n_bytes);
    apq_status st = apq_data_fit(&decoder, resolution, hwc);
    apq_data_decoder_fini(&decoder);
    return st;
}
