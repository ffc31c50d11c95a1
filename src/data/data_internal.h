#ifndef APQ_DATA_DATA_INTERNAL_H
#define APQ_DATA_DATA_INTERNAL_H

#include "base/rng.h"
#include "data/data.h"

#include <stdint.h>

/* Shared by the files of this module only. Every layout is turned into one
 * listing: class names and items; the rest does not know layouts. */

enum {
    DATA_MAX_SIDE = 16384, /* of an encoded image, pixels */
    DATA_MIN_RESOLUTION = 4,
    DATA_MAX_RESOLUTION = 1024,
    DATA_MAX_THREADS = 16,
    DATA_MAX_CLASSES = 65536,
    DATA_REASON_MAX = 200,
};

typedef enum data_encoding {
    DATA_FILE,    /* JPEG or PNG, read from root/path when needed */
    DATA_ENCODED, /* JPEG or PNG in `bytes`, owned by the item */
    DATA_RAW_HWC, /* pixels in a blob, channels last */
    DATA_RAW_CHW, /* pixels in a blob, channels first */
    DATA_DRAWN,   /* image `index` of builtin:shapes */
} data_encoding;

/* Where the files put an item, before validation images are carved. */
typedef enum data_group {
    DATA_GROUP_TRAIN,
    DATA_GROUP_VAL,
    DATA_GROUP_TEST,
} data_group;

typedef struct data_item {
    char *path; /* owned; inside the dataset, for messages */
    uint8_t *bytes;
    size_t n_bytes;
    uint64_t index;
    uint64_t hash; /* XXH3-64 of the encoded bytes or raw pixels */
    int label;
    int width, height, n_channels; /* raw and drawn items */
    data_group group;
    data_encoding encoding;
} data_item;

typedef struct data_listing {
    const char *layout;
    char *root; /* folder or file, for messages */
    data_item *items;
    size_t n_items, capacity;
    char **class_names;
    int n_classes;
    void **blobs; /* pixels of binary layouts */
    size_t n_blobs;
    apq_data_defect *defects; /* found without opening an image */
    size_t n_defects;
    uint64_t shapes_seed;
    bool has_val, has_test;
    bool val_folder_as_test;
} data_listing;

/* Listing. On failure the listing is still safe to pass to fini. */
void apq_data_listing_fini(data_listing *listing);
/* A zeroed item with a copy of `path`; valid until the next call. */
apq_status apq_data_listing_add(data_listing *listing, const char *path,
                                data_item **out);
apq_status apq_data_listing_add_blob(data_listing *listing, void *blob);
apq_status apq_data_listing_add_class(data_listing *listing, const char *name);
/* Copies both texts. */
apq_status apq_data_listing_add_defect(data_listing *listing, const char *path,
                                       const char *reason);
/* Recognises the layout of `uri` and lists it. */
apq_status apq_data_listing_read(const char *uri, data_listing *listing);

/* Layouts. Each fills a zeroed listing. */
apq_status apq_data_folder_list(const char *path, data_listing *listing);
apq_status apq_data_archive_list(const char *path, data_listing *listing);
bool apq_data_cifar_recognise(const char *path);
apq_status apq_data_cifar_list(const char *path, data_listing *listing);
bool apq_data_idx_recognise(const char *path);
apq_status apq_data_idx_list(const char *path, data_listing *listing);
apq_status apq_data_shapes_list(const char *uri, data_listing *listing);
/* Draws image `index` of class index % 10 as (side, side, 3) RGB. */
void apq_data_shapes_draw(uint64_t seed, uint64_t index, int side,
                          uint8_t *rgb);

/* One file or folder found below a root, named relative to it. */
typedef struct data_entry {
    char *path;
    uint8_t *bytes; /* content, or NULL to read the file when needed */
    size_t n_bytes;
    bool is_folder;
} data_entry;

typedef struct data_entries {
    data_entry *list;
    size_t n, capacity;
} data_entries;

apq_status apq_data_entries_add(data_entries *entries, data_entry entry);
void apq_data_entries_fini(data_entries *entries);
/* Turns entries of an ImageFolder into items; takes over their bytes. In
 * an archive, a folder wrapped around everything is dropped. */
apq_status apq_data_folder_assign(data_entries *entries, bool is_archive,
                                  data_listing *listing);

/* Three lists of item numbers in ascending order. */
typedef struct data_splits {
    uint32_t *items[APQ_N_SPLITS];
    size_t n[APQ_N_SPLITS];
    bool test_carved;
} data_splits;

apq_status apq_data_splits_make(const data_listing *listing,
                                const apq_data_options *options,
                                data_splits *splits);
void apq_data_splits_fini(data_splits *splits);
/* 16 digits over class names, groups, labels and item hashes. */
apq_status apq_data_listing_hash(const data_listing *listing, char out[17]);

/* Decoding; one decoder per thread. */
typedef struct data_decoder {
    void *jpeg; /* tjhandle */
    uint8_t *file;
    size_t n_file;
    uint8_t *pixels; /* (height, width, 3) RGB */
    size_t capacity;
    float *rows; /* resizing */
    size_t n_rows;
    int width, height;               /* of `pixels` */
    int native_width, native_height; /* of the file, upright */
    uint64_t hash;
    char reason[DATA_REASON_MAX]; /* of the last failure */
} data_decoder;

void apq_data_decoder_fini(data_decoder *decoder);
/* Reads an item: sets the native size and the hash, and decodes to `pixels`.
 * `min_side` > 0 lets a JPEG be decoded at 1/2, 1/4 or 1/8 as long as its
 * shorter side stays at least min_side; 0 decodes at full size. With
 * `header_only`, pixels are not touched. */
apq_status apq_data_decode(data_decoder *decoder, const data_listing *listing,
                           const data_item *item, int min_side,
                           bool header_only);
/* 1 ... 8 as EXIF counts them; 1, upright, where a JPEG, or the TIFF structure
 * that is EXIF, does not tell. */
int apq_data_jpeg_orientation(const uint8_t *bytes, size_t n_bytes);
int apq_data_tiff_orientation(const uint8_t *tiff, size_t n);
/* Sizes, then also pixels, as an image of that orientation is looked at. */
void apq_data_orient_size(data_decoder *decoder, int orientation);
apq_status apq_data_orient_pixels(data_decoder *decoder, int orientation);

/* Shorter side to at most resolution * 8 / 7, then the centre square:
 * (resolution, resolution, 3). */
apq_status apq_data_fit(data_decoder *decoder, int resolution, uint8_t *hwc);

/* Runs visit(ctx, thread, i) for 0 <= i < n on n_threads threads, the caller
 * being thread 0. The failure of the lowest i is returned, with its message;
 * `progress` is called by the caller's thread only. */
typedef apq_status data_visit(void *ctx, int thread, size_t i);
apq_status apq_data_parallel(size_t n, int n_threads, data_visit *visit,
                             void *ctx, const apq_progress *progress,
                             const char *what);

/* Checks ranges and fills in defaults. */
apq_status apq_data_options_check(const apq_data_options *options,
                                  apq_data_options *out);

/* As apq_dataset_open; decoded to memory up to max_memory_bytes. */
apq_status apq_data_dataset_open(const char *uri,
                                 const apq_data_options *options,
                                 uint64_t max_memory_bytes, apq_dataset **out);

/* As apq_dataset_image, with the caller's decoder. */
apq_status apq_data_dataset_image(const apq_dataset *dataset,
                                  data_decoder *decoder, apq_split split,
                                  size_t i, uint8_t *hwc);

/* A change of an image's bytes; zeroed it is none. */
typedef enum data_distortion_kind {
    DATA_KEEP,
    DATA_STRETCH,   /* each channel to 0 ... 255 */
    DATA_EQUALISE,  /* each channel's histogram */
    DATA_TURN,      /* degrees */
    DATA_SOLARISE,  /* bytes from here on are inverted */
    DATA_POSTERISE, /* highest bits that stay, rounded down */
    DATA_SATURATE,  /* factor, as are the next three; 1 changes nothing */
    DATA_CONTRAST,
    DATA_BRIGHTEN,
    DATA_SHARPEN,
    DATA_SHEAR_X, /* pixels a row */
    DATA_SHEAR_Y,
    DATA_MOVE_X, /* share of the side */
    DATA_MOVE_Y,
    DATA_N_DISTORTIONS
} data_distortion_kind;

typedef struct data_distortion {
    data_distortion_kind kind;
    double strength;
} data_distortion;

data_distortion apq_data_distortion_draw(apq_rng *rng);
/* Bytes (side, side, 3) to others; what comes in from outside is `fill`. */
void apq_data_distort(const uint8_t *hwc, int side, const uint8_t fill[3],
                      data_distortion distortion, uint8_t *out);

/* What is drawn for one augmented image. */
typedef struct data_placement {
    int dx, dy; /* shift of the crop, -pad ... pad */
    bool is_flipped, is_reflected;
    int cutout, cutout_x, cutout_y; /* side and corner in the result */
    data_distortion distortion;     /* before all that */
} data_placement;

/* By a checked `augmentation`, without -1. */
data_placement apq_data_augment_draw(const apq_augmentation *augmentation,
                                     uint64_t seed, uint64_t epoch,
                                     size_t index, int resolution);
/* Bytes (side, side, 3) to normalised floats of the same shape through
 * table[channel][byte], shifted and flipped, not distorted; pixels from outside
 * are mirrored
 * (|dx|, |dy| < side) or 0, as those left out are. */
void apq_data_augment_apply(const uint8_t *hwc, int side,
                            const float table[3][256], data_placement placement,
                            float *out);

#endif
