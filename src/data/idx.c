/* IDX files of MNIST and its kin (format on yann.lecun.com/exdb/mnist): a
 * big-endian header, then bytes. zlib reads plain and gzip files alike. */
#include "data/data_internal.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

static const uint32_t magic_images = 0x00000803; /* bytes, three dimensions */
static const uint32_t magic_labels = 0x00000801; /* bytes, one dimension */
enum { FIRST_BYTES = 1 << 20 };
static const size_t max_bytes = (size_t)2 << 30;

typedef struct idx_file {
    char path[APQ_PATH_MAX];
    uint8_t *bytes; /* after the header */
    uint32_t dims[3];
} idx_file;

/* Path of the first existing spelling. */
static bool find_file(const char *folder, const char *stem, int n_dims,
                      char path[APQ_PATH_MAX]) {
    for (int i = 0; i < 4; i++) {
        char name[64];
        const char *joint = i % 2 == 0 ? "-" : ".";
        (void)snprintf(name, sizeof name, "%s%sidx%d-ubyte%s", stem, joint,
                       n_dims, i < 2 ? "" : ".gz");
        if (apq_path_join(path, folder, name) == APQ_OK &&
            apq_file_exists(path)) {
            return true;
        }
    }
    return false;
}

bool apq_data_idx_recognise(const char *path) {
    char found[APQ_PATH_MAX];
    return find_file(path, "train-images", 3, found);
}

static bool read_exactly(gzFile in, void *bytes, size_t n) {
    uint8_t *at = bytes;
    while (n > 0) {
        unsigned part = n > (1u << 20) ? 1u << 20 : (unsigned)n;
        int got = gzread(in, at, part);
        if (got <= 0) {
            return false;
        }
        at += got;
        n -= (size_t)got;
    }
    return true;
}

static bool read_u32(gzFile in, uint32_t *value) {
    uint8_t b[4];
    if (!read_exactly(in, b, sizeof b)) {
        return false;
    }
    *value = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 |
             b[3];
    return true;
}

/* As much as the header says, in memory that grows with what is there: a short
 * file may tell of gigabytes. */
static apq_status read_bytes(gzFile in, idx_file *file, size_t n,
                             bool *is_whole) {
    size_t n_read = 0;
    *is_whole = true;
    while (*is_whole && n_read < n) {
        size_t part = n_read == 0 ? FIRST_BYTES : n_read;
        part = part < n - n_read ? part : n - n_read;
        uint8_t *grown = realloc(file->bytes, n_read + part);
        if (grown == NULL) {
            APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", file->path);
        }
        file->bytes = grown;
        *is_whole = read_exactly(in, grown + n_read, part);
        n_read += part;
    }
    return APQ_OK;
}

/* Not all bytes, or more, could be read. */
static const char *reason(gzFile in, bool is_whole) {
    int code = Z_OK;
    (void)gzerror(in, &code);
    if (code == Z_DATA_ERROR) {
        return "damaged gzip data";
    }
    return is_whole ? "longer than its header says" : "file ends early";
}

static apq_status read_body(gzFile in, idx_file *file, uint32_t magic) {
    uint32_t found = 0;
    size_t n_dims = magic & 0xff, n_bytes = 1;
    bool is_whole = read_u32(in, &found);
    if (is_whole && found != magic) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: magic number 0x%08x, not 0x%08x",
                 file->path, (unsigned)found, (unsigned)magic);
    }
    for (size_t d = 0; d < n_dims && is_whole; d++) {
        is_whole = read_u32(in, &file->dims[d]);
        if (is_whole &&
            (file->dims[d] == 0 || file->dims[d] > max_bytes / n_bytes)) {
            APQ_FAIL(APQ_ERR_FORMAT, "%s: dimension %zu is %u, not in 1..%zu",
                     file->path, d, (unsigned)file->dims[d],
                     max_bytes / n_bytes);
        }
        n_bytes *= file->dims[d];
    }
    if (is_whole) {
        APQ_TRY(read_bytes(in, file, n_bytes, &is_whole));
    }
    uint8_t extra = 0;
    if (!is_whole || gzread(in, &extra, 1) != 0) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: %s", file->path, reason(in, is_whole));
    }
    return APQ_OK;
}

static apq_status read_file(idx_file *file, uint32_t magic) {
    gzFile in = gzopen(file->path, "rb");
    if (in == NULL) {
        APQ_FAIL(APQ_ERR_IO, "%s: cannot open", file->path);
    }
    apq_status st = read_body(in, file, magic);
    (void)gzclose_r(in);
    return st;
}

static apq_status add_pair(const idx_file *images, const idx_file *labels,
                           data_group group, int *max_label,
                           data_listing *listing) {
    size_t n = images->dims[0];
    size_t n_pixels = (size_t)images->dims[1] * images->dims[2];
    if (labels->dims[0] != n) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: %u labels for %zu images", labels->path,
                 (unsigned)labels->dims[0], n);
    }
    if (images->dims[1] > DATA_MAX_SIDE || images->dims[2] > DATA_MAX_SIDE) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: %u x %u pixels, a side is not in 1..%d",
                 images->path, (unsigned)images->dims[2],
                 (unsigned)images->dims[1], DATA_MAX_SIDE);
    }
    const char *name = strrchr(images->path, '/') + 1;
    for (size_t i = 0; i < n; i++) {
        char where[96];
        (void)snprintf(where, sizeof where, "%s#%zu", name, i);
        data_item *item = NULL;
        APQ_TRY(apq_data_listing_add(listing, where, &item));
        item->bytes = images->bytes + i * n_pixels;
        item->n_bytes = n_pixels;
        item->label = labels->bytes[i];
        item->width = (int)images->dims[2];
        item->height = (int)images->dims[1];
        item->n_channels = 1;
        item->group = group;
        item->encoding = DATA_RAW_HWC;
        *max_label = item->label > *max_label ? item->label : *max_label;
    }
    return APQ_OK;
}

static apq_status add_set(const char *folder, const char *prefix,
                          data_group group, int *max_label,
                          data_listing *listing) {
    idx_file images = {0}, labels = {0};
    char stem[32];
    (void)snprintf(stem, sizeof stem, "%s-images", prefix);
    if (!find_file(folder, stem, 3, images.path)) {
        return APQ_OK; /* no test set: it is carved */
    }
    (void)snprintf(stem, sizeof stem, "%s-labels", prefix);
    if (!find_file(folder, stem, 1, labels.path)) {
        APQ_FAIL(APQ_ERR_IO, "%s: no %s-idx1-ubyte beside the images", folder,
                 stem);
    }
    apq_status st = read_file(&images, magic_images);
    if (st == APQ_OK) {
        st = read_file(&labels, magic_labels);
    }
    if (st == APQ_OK) {
        st = add_pair(&images, &labels, group, max_label, listing);
    }
    free(labels.bytes);
    apq_status kept = images.bytes == NULL
                          ? APQ_OK
                          : apq_data_listing_add_blob(listing, images.bytes);
    return st == APQ_OK ? kept : st;
}

apq_status apq_data_idx_list(const char *path, data_listing *listing) {
    listing->layout = "IDX";
    int max_label = 0;
    APQ_TRY(add_set(path, "train", DATA_GROUP_TRAIN, &max_label, listing));
    APQ_TRY(add_set(path, "t10k", DATA_GROUP_TEST, &max_label, listing));
    for (int c = 0; c <= max_label; c++) {
        char number[16];
        (void)snprintf(number, sizeof number, "%d", c);
        APQ_TRY(apq_data_listing_add_class(listing, number));
    }
    return APQ_OK;
}
