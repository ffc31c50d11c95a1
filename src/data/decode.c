/* One item to RGB pixels (TurboJPEG, libspng), and pixels to the square that
 * is delivered: a separable triangle filter, widened by the scale when
 * shrinking so that every source pixel counts. */
#include "data/data_internal.h"

#include "base/file.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spng.h>
#include <turbojpeg.h>
#include <xxhash.h>

void apq_data_decoder_fini(data_decoder *decoder) {
    if (decoder->jpeg != NULL) {
        (void)tjDestroy(decoder->jpeg);
    }
    free(decoder->file);
    free(decoder->pixels);
    free(decoder->rows);
    *decoder = (data_decoder){0};
}

APQ_PRINTF(5, 6)
static apq_status defect(data_decoder *decoder, const data_listing *listing,
                         const data_item *item, apq_status status,
                         const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(decoder->reason, sizeof decoder->reason, format, args);
    va_end(args);
    return APQ_ERROR(status, "%s/%s: %s", listing->root, item->path,
                     decoder->reason);
}

static bool reserve_pixels(data_decoder *decoder, size_t n_bytes) {
    if (n_bytes > decoder->capacity) {
        free(decoder->pixels);
        decoder->pixels = malloc(n_bytes);
        decoder->capacity = decoder->pixels == NULL ? 0 : n_bytes;
    }
    return decoder->pixels != NULL;
}

static bool set_size(data_decoder *decoder, int width, int height) {
    decoder->width = decoder->native_width = width;
    decoder->height = decoder->native_height = height;
    return width >= 1 && height >= 1 && width <= DATA_MAX_SIDE &&
           height <= DATA_MAX_SIDE;
}

/* Adobe writes CMYK inverted: each stored component is 255 minus ink. */
static void cmyk_to_rgb(uint8_t *pixels, size_t n) {
    for (size_t i = 0; i < n; i++) {
        unsigned k = pixels[4 * i + 3];
        for (size_t c = 0; c < 3; c++) {
            pixels[3 * i + c] = (uint8_t)((pixels[4 * i + c] * k + 127) / 255);
        }
    }
}

/* Halves the decoded size while the shorter side stays >= min_side. */
static void choose_scale(data_decoder *decoder, int min_side) {
    int width = decoder->native_width, height = decoder->native_height;
    for (int denominator = 2; min_side > 0 && denominator <= 8;
         denominator *= 2) {
        int w = (width + denominator - 1) / denominator;
        int h = (height + denominator - 1) / denominator;
        if ((w < h ? w : h) < min_side) {
            break;
        }
        decoder->width = w;
        decoder->height = h;
    }
}

static apq_status decode_jpeg(data_decoder *decoder,
                              const data_listing *listing,
                              const data_item *item, const uint8_t *bytes,
                              size_t n_bytes, int min_side, bool header_only) {
    if (decoder->jpeg == NULL) {
        decoder->jpeg = tjInitDecompress();
        if (decoder->jpeg == NULL) {
            APQ_FAIL(APQ_ERR_NOMEM, "JPEG decoder: out of memory");
        }
    }
    int width = 0, height = 0, subsampling = 0, space = 0;
    int error =
        tjDecompressHeader3(decoder->jpeg, bytes, (unsigned long)n_bytes,
                            &width, &height, &subsampling, &space);
    if (error != 0 || width < 1 || height < 1) { /* 0 x 0: ended early */
        return defect(decoder, listing, item, APQ_ERR_FORMAT,
                      "damaged JPEG header");
    }
    if (!set_size(decoder, width, height)) {
        return defect(decoder, listing, item, APQ_ERR_FORMAT,
                      "%d x %d pixels, a side is not in 1..%d", width, height,
                      DATA_MAX_SIDE);
    }
    int orientation = apq_data_jpeg_orientation(bytes, n_bytes);
    if (header_only) {
        apq_data_orient_size(decoder, orientation);
        return APQ_OK;
    }
    choose_scale(decoder, min_side);
    bool is_cmyk = space == TJCS_CMYK || space == TJCS_YCCK;
    size_t n = (size_t)decoder->width * (size_t)decoder->height;
    if (!reserve_pixels(decoder, n * (is_cmyk ? 4 : 3))) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", item->path);
    }
    if (tjDecompress2(decoder->jpeg, bytes, (unsigned long)n_bytes,
                      decoder->pixels, decoder->width, 0, decoder->height,
                      is_cmyk ? TJPF_CMYK : TJPF_RGB,
                      TJFLAG_ACCURATEDCT) != 0) {
        /* Warnings too: libjpeg fills what is missing with grey. */
        return defect(decoder, listing, item, APQ_ERR_FORMAT,
                      "truncated or damaged JPEG (%s)",
                      tjGetErrorStr2(decoder->jpeg));
    }
    if (is_cmyk) {
        cmyk_to_rgb(decoder->pixels, n);
    }
    return apq_data_orient_pixels(decoder, orientation);
}

static apq_status read_png(data_decoder *decoder, const data_listing *listing,
                           const data_item *item, spng_ctx *png,
                           bool header_only) {
    struct spng_ihdr header;
    int error = spng_get_ihdr(png, &header);
    if (error != 0) {
        return defect(decoder, listing, item, APQ_ERR_FORMAT,
                      "damaged PNG header (%s)", spng_strerror(error));
    }
    if (header.width > DATA_MAX_SIDE || header.height > DATA_MAX_SIDE ||
        !set_size(decoder, (int)header.width, (int)header.height)) {
        return defect(decoder, listing, item, APQ_ERR_FORMAT,
                      "%u x %u pixels, a side is not in 1..%d",
                      (unsigned)header.width, (unsigned)header.height,
                      DATA_MAX_SIDE);
    }
    struct spng_exif exif; /* an error here is met by the decoder, too */
    int orientation =
        spng_get_exif(png, &exif) == 0
            ? apq_data_tiff_orientation((const uint8_t *)exif.data, exif.length)
            : 1;
    if (header_only) {
        apq_data_orient_size(decoder, orientation);
        return APQ_OK;
    }
    size_t n_bytes = (size_t)header.width * header.height * 3;
    if (!reserve_pixels(decoder, n_bytes)) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", item->path);
    }
    error = spng_decode_image(png, decoder->pixels, n_bytes, SPNG_FMT_RGB8, 0);
    if (error == 0) {
        error = spng_decode_chunks(png); /* the end must be there as well */
    }
    if (error != 0) {
        return defect(decoder, listing, item, APQ_ERR_FORMAT,
                      "truncated or damaged PNG (%s)", spng_strerror(error));
    }
    return apq_data_orient_pixels(decoder, orientation);
}

static apq_status decode_png(data_decoder *decoder, const data_listing *listing,
                             const data_item *item, const uint8_t *bytes,
                             size_t n_bytes, bool header_only) {
    spng_ctx *png = spng_ctx_new(0);
    if (png == NULL || spng_set_png_buffer(png, bytes, n_bytes) != 0) {
        spng_ctx_free(png);
        APQ_FAIL(APQ_ERR_NOMEM, "PNG decoder: out of memory");
    }
    apq_status st = read_png(decoder, listing, item, png, header_only);
    spng_ctx_free(png);
    return st;
}

static void unpack_raw(const data_item *item, uint8_t *rgb) {
    size_t n = (size_t)item->width * (size_t)item->height;
    size_t channels = (size_t)item->n_channels;
    bool is_chw = item->encoding == DATA_RAW_CHW;
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < 3; c++) {
            size_t from = channels == 1 ? i : is_chw ? c * n + i : 3 * i + c;
            rgb[3 * i + c] = item->bytes[from];
        }
    }
}

static apq_status decode_pixels(data_decoder *decoder, const data_item *item,
                                uint64_t seed) {
    (void)set_size(decoder, item->width, item->height);
    size_t n_bytes = (size_t)item->width * (size_t)item->height * 3;
    if (!reserve_pixels(decoder, n_bytes)) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", item->path);
    }
    if (item->encoding == DATA_DRAWN) {
        apq_data_shapes_draw(seed, item->index, item->width, decoder->pixels);
    } else {
        unpack_raw(item, decoder->pixels);
    }
    decoder->hash = XXH3_64bits(decoder->pixels, n_bytes);
    return APQ_OK;
}

static apq_status read_item(data_decoder *decoder, const data_listing *listing,
                            const data_item *item, const uint8_t **bytes,
                            size_t *n_bytes) {
    *bytes = item->bytes;
    *n_bytes = item->n_bytes;
    if (item->encoding == DATA_FILE) {
        char path[APQ_PATH_MAX];
        APQ_TRY(apq_path_join(path, listing->root, item->path));
        free(decoder->file);
        decoder->file = NULL;
        char *content = NULL;
        apq_status st = apq_file_read(path, &content, n_bytes);
        if (st != APQ_OK) {
            (void)snprintf(decoder->reason, sizeof decoder->reason,
                           "cannot be read");
            return st;
        }
        decoder->file = (uint8_t *)content;
        *bytes = decoder->file;
    }
    return APQ_OK;
}

apq_status apq_data_decode(data_decoder *decoder, const data_listing *listing,
                           const data_item *item, int min_side,
                           bool header_only) {
    decoder->reason[0] = '\0';
    if (item->encoding >= DATA_RAW_HWC) {
        return decode_pixels(decoder, item, listing->shapes_seed);
    }
    static const uint8_t jpeg_start[3] = {0xff, 0xd8, 0xff};
    static const uint8_t png_start[4] = {0x89, 'P', 'N', 'G'};
    const uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    APQ_TRY(read_item(decoder, listing, item, &bytes, &n_bytes));
    decoder->hash = XXH3_64bits(bytes, n_bytes);
    if (n_bytes == 0) {
        return defect(decoder, listing, item, APQ_ERR_FORMAT, "zero bytes");
    }
    if (n_bytes >= 3 && memcmp(bytes, jpeg_start, 3) == 0) {
        return decode_jpeg(decoder, listing, item, bytes, n_bytes, min_side,
                           header_only);
    }
    if (n_bytes >= 4 && memcmp(bytes, png_start, 4) == 0) {
        return decode_png(decoder, listing, item, bytes, n_bytes, header_only);
    }
    return defect(decoder, listing, item, APQ_ERR_FORMAT,
                  "not a JPEG or PNG image");
}

int apq_image_largest_side(int resolution) {
    return resolution * 8 / 7;
}

/* Weights of the source samples below output sample `at` of a line that is
 * scaled by `scale` (source samples per output sample). */
static size_t filter_taps(double scale, double at, int n_source, int *first,
                          float *weights) {
    double support = scale > 1.0 ? scale : 1.0;
    double centre = (at + 0.5) * scale;
    int low = (int)floor(centre - support), high = (int)ceil(centre + support);
    low = low < 0 ? 0 : low;
    high = high > n_source ? n_source : high;
    double sum = 0.0;
    size_t n = 0;
    for (int j = low; j < high; j++) {
        double distance = fabs((double)j + 0.5 - centre) / support;
        double w = distance < 1.0 ? 1.0 - distance : 0.0;
        weights[n++] = (float)w;
        sum += w;
    }
    for (size_t k = 0; k < n; k++) {
        weights[k] = (float)((double)weights[k] / sum);
    }
    *first = low;
    return n;
}

typedef struct resize_plan {
    double scale_x, scale_y; /* source pixels per output pixel */
    int left, top;           /* of the crop, in output pixels */
    int side;
    size_t max_taps;
} resize_plan;

/* rows (height, side, 3): every source line, resized and cropped in x. */
static void resize_x(const data_decoder *decoder, const resize_plan *plan,
                     float *weights, float *rows) {
    size_t side = (size_t)plan->side, width = (size_t)decoder->width;
    for (size_t x = 0; x < side; x++) {
        int first = 0;
        size_t n = filter_taps(plan->scale_x, (double)x + plan->left,
                               decoder->width, &first, weights);
        for (size_t y = 0; y < (size_t)decoder->height; y++) {
            const uint8_t *in =
                decoder->pixels + 3 * (y * width + (size_t)first);
            float sum[3] = {0.0f, 0.0f, 0.0f};
            for (size_t k = 0; k < n; k++) {
                for (size_t c = 0; c < 3; c++) {
                    sum[c] += weights[k] * (float)in[3 * k + c];
                }
            }
            memcpy(rows + 3 * (y * side + x), sum, sizeof sum);
        }
    }
}

static void resize_y(const data_decoder *decoder, const resize_plan *plan,
                     float *weights, const float *rows, uint8_t *hwc) {
    size_t stride = 3 * (size_t)plan->side;
    for (size_t y = 0; y < (size_t)plan->side; y++) {
        int first = 0;
        size_t n = filter_taps(plan->scale_y, (double)y + plan->top,
                               decoder->height, &first, weights);
        const float *in = rows + (size_t)first * stride;
        for (size_t i = 0; i < stride; i++) {
            float sum = 0.5f;
            for (size_t k = 0; k < n; k++) {
                sum += weights[k] * in[k * stride + i];
            }
            hwc[y * stride + i] = (uint8_t)(sum > 255.0f ? 255.0f : sum);
        }
    }
}

static void crop(const data_decoder *decoder, int resolution, uint8_t *hwc) {
    size_t left = (size_t)(decoder->width - resolution) / 2;
    size_t top = (size_t)(decoder->height - resolution) / 2;
    size_t line = 3 * (size_t)resolution;
    for (size_t y = 0; y < (size_t)resolution; y++) {
        size_t from = (top + y) * (size_t)decoder->width + left;
        memcpy(hwc + y * line, decoder->pixels + 3 * from, line);
    }
}

apq_status apq_data_fit(data_decoder *decoder, int resolution, uint8_t *hwc) {
    int width = decoder->width, height = decoder->height;
    int shorter = width < height ? width : height;
    int limit = apq_image_largest_side(resolution);
    int target = shorter < resolution ? resolution : shorter;
    target = target > limit ? limit : target;
    if (target == shorter) {
        crop(decoder, resolution, hwc);
        return APQ_OK;
    }
    double scale = (double)shorter / target;
    int out_width = (int)lround(width / scale);
    int out_height = (int)lround(height / scale);
    resize_plan plan = {
        .scale_x = (double)width / out_width,
        .scale_y = (double)height / out_height,
        .left = (out_width - resolution) / 2,
        .top = (out_height - resolution) / 2,
        .side = resolution,
    };
    double widest = plan.scale_x > plan.scale_y ? plan.scale_x : plan.scale_y;
    plan.max_taps = (size_t)(2.0 * (widest > 1.0 ? widest : 1.0)) + 4;
    size_t n_rows = 3 * (size_t)height * (size_t)resolution + plan.max_taps;
    if (n_rows > decoder->n_rows) {
        free(decoder->rows);
        decoder->rows = malloc(n_rows * sizeof *decoder->rows);
        decoder->n_rows = decoder->rows == NULL ? 0 : n_rows;
    }
    if (decoder->rows == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "resizing: out of memory");
    }
    float *weights = decoder->rows;
    float *rows = decoder->rows + plan.max_taps;
    resize_x(decoder, &plan, weights, rows);
    resize_y(decoder, &plan, weights, rows, hwc);
    return APQ_OK;
}
