#ifndef APQ_DATA_DATA_H
#define APQ_DATA_DATA_H

#include "base/log.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Labelled images and the batches made of them.
 *
 * A dataset is named by a URI:
 *   DIR with train/CLASS/NAME.jpg ...   ImageFolder (JPEG or PNG, by content)
 *   DIR with data_batch_1.bin ...       CIFAR-10 binary version
 *   DIR with train.bin and test.bin     CIFAR-100 binary version, fine labels
 *   DIR with train-images-idx3-ubyte    IDX (MNIST and kin), also with .gz
 *   FILE.tar, .tar.gz, .tar.zst         archive of an ImageFolder
 *   builtin:shapes[?train=2000&test=500&size=32&seed=1]   drawn images
 * Classes are numbered in byte order of their folder names, images in byte
 * order of their paths. The split rules are in docs/formats/datasets.md. */

/* Immutable after open; any number of threads may read it. Images are decoded
 * at open when they fit in 2 GiB at the target resolution, else when read. */
typedef struct apq_dataset apq_dataset;

typedef enum apq_split {
    APQ_SPLIT_TRAIN,
    APQ_SPLIT_VAL, /* carved from the training images by split_seed */
    APQ_SPLIT_TEST,
    APQ_N_SPLITS,
} apq_split;

typedef struct apq_data_options {
    int resolution; /* side of the square images delivered, 4 ... 1024; 0 is
                       the native side when all images are equal squares */
    int64_t n_val;  /* validation images; -1 is 5,000, or 10 % of the training
                       images when there are fewer than 20,000 */
    uint64_t split_seed;
    int n_threads;                /* decoding threads, 1 ... 16; 0 is two */
    const apq_progress *progress; /* borrowed during the call; may be NULL */
} apq_data_options;

#define APQ_DATA_OPTIONS_INIT                                                  \
    { .n_val = -1, .split_seed = 1 }

/* Opens `uri`. `options` may be NULL for APQ_DATA_OPTIONS_INIT. The caller
 * owns *out. Any defect (see apq_data_check) fails with one line naming the
 * file: APQ_ERR_IO when it cannot be read, APQ_ERR_FORMAT when its content is
 * wrong; APQ_ERR_ARG for an option out of range; APQ_ERR_INTERRUPTED when
 * progress asks to stop. A dataset that is not decoded at open has only its
 * headers checked then, and nothing above 4 GiB of files. */
APQ_NODISCARD apq_status apq_dataset_open(const char *uri,
                                          const apq_data_options *options,
                                          apq_dataset **out);
void apq_dataset_destroy(apq_dataset *dataset);

int apq_dataset_classes(const apq_dataset *dataset);
/* Name of class 0 <= label < classes; owned by the dataset. */
const char *apq_dataset_class_name(const apq_dataset *dataset, int label);
/* Side of the images delivered, in pixels. */
int apq_dataset_resolution(const apq_dataset *dataset);
/* Always 3: grey images are replicated. */
int apq_dataset_channels(const apq_dataset *dataset);
/* Images in a split. */
size_t apq_dataset_length(const apq_dataset *dataset, apq_split split);
/* Class of image i < length. */
int apq_dataset_label(const apq_dataset *dataset, apq_split split, size_t i);
/* Writes image i < length as (resolution, resolution, 3) RGB bytes into
 * caller-owned `hwc`. Fails only for a dataset decoded lazily. */
APQ_NODISCARD apq_status apq_dataset_image(const apq_dataset *dataset,
                                           apq_split split, size_t i,
                                           uint8_t *hwc);
/* 16 hexadecimal digits over class names, labels and content in order; it
 * does not depend on the resolution or the validation split. Of more than
 * 4 GiB of files the sizes stand for the content. */
const char *apq_dataset_hash(const apq_dataset *dataset);
/* Per-channel mean and standard deviation of the training split in units of
 * 0 ... 1 (a byte over 255), of 2,048 evenly spread images when decoded
 * lazily; std is at least 1/255. */
void apq_dataset_normalisation(const apq_dataset *dataset, float mean[3],
                               float std[3]);

/* Shorter side that a larger image is resized to before the centre square of
 * `resolution` is taken. */
int apq_image_largest_side(int resolution);
/* Reads one JPEG or PNG file as an image of a dataset of that resolution,
 * 4 ... 1024, would be: turned upright, its shorter side at most 8 / 7 of the
 * resolution, the centre square. Writes (resolution, resolution, 3) RGB bytes
 * into caller-owned `hwc`. Errors: IO; FORMAT not such an image, or damaged;
 * ARG; NOMEM. */
APQ_NODISCARD apq_status apq_image_read(const char *path, int resolution,
                                        uint8_t *hwc);
/* The same of pixels (height, width, 3), sides of 1 ... 16384. */
APQ_NODISCARD apq_status apq_image_fit(const uint8_t *rgb, int width,
                                       int height, int resolution,
                                       uint8_t *hwc);

/* Batches of (n, H, W, 3) float32, (byte / 255 - mean) / std, made ahead by
 * worker threads. Which images a batch holds depends on (seed, epoch) only,
 * the augmentation of an image on (seed, epoch, index) only: batches are the
 * same at any thread count, and the parts of a batch, one after the other, are
 * the batch. */
typedef struct apq_loader apq_loader;

typedef enum apq_flip {
    APQ_FLIP_RANDOM,      /* a coin for each image and epoch */
    APQ_FLIP_ALTERNATING, /* as random in epoch 0; then each image is turned
                             from epoch to epoch (Jordan 2024) */
} apq_flip;

/* One distortion of random kind and strength (TrivialAugment), random crop of
 * the padded image, horizontal flip, a square left out. What comes in from
 * outside or is left out is the mean colour. */
typedef struct apq_augmentation {
    apq_flip flip;
    int crop_padding;  /* pixels on each side, 0 ... resolution - 1; -1 is
                          resolution / 8 */
    bool crop_reflect; /* pads with the mirrored image instead */
    int cutout;        /* side of a square inside the image, pixels,
                          0 ... resolution; 0 is none (DeVries & Taylor 2017;
                          placed as in Jordan 2024, never across the edge) */
    bool distort;
} apq_augmentation;

#define APQ_AUGMENTATION_INIT                                                  \
    { .crop_padding = -1 }

typedef struct apq_loader_options {
    apq_split split;
    int batch;      /* images, >= 1 */
    bool augment;   /* by `augmentation` */
    bool shuffle;   /* a new order each epoch */
    bool drop_last; /* leave out a last batch that is not full */
    uint64_t seed;
    int n_threads; /* worker threads, 1 ... 16; 0 is one */
    size_t limit;  /* use this many images, spread evenly over the split in
                      its order (so over the classes); 0 is all */
    const apq_augmentation *augmentation; /* copied; NULL is
                                             APQ_AUGMENTATION_INIT */
    const apq_progress *progress; /* asked by apq_loader_next whether to stop;
                                     borrowed; NULL: never */
    const float *mean, *std;      /* (3) each, copied, units of 0 ... 1: other
                                     statistics to normalise with; NULL: the data's
                                     own */
    int part, n_parts; /* deliver only this part, 0 ... n_parts - 1, of every
                          batch, cut into n_parts runs as equal as can be;
                          n_parts 0 is one */
} apq_loader_options;

/* The dataset is borrowed and must outlive the loader. The caller owns *out.
 * No batch is made before apq_loader_start. */
APQ_NODISCARD apq_status apq_loader_create(const apq_dataset *dataset,
                                           const apq_loader_options *options,
                                           apq_loader **out);
void apq_loader_destroy(apq_loader *loader);
/* (Re)starts at batch `first_batch` of `epoch`, 0 <= first_batch <= batches:
 * the batches that follow are bit for bit those of an uninterrupted epoch. */
APQ_NODISCARD apq_status apq_loader_start(apq_loader *loader, uint64_t epoch,
                                          size_t first_batch);
/* The next batch: *images (n, H, W, 3), *labels (n), owned by the loader and
 * valid until the next call on it. *n == 0 at the end of the epoch, or where
 * the last batch has no image for this part. An error
 * of a worker thread is returned here, and INTERRUPTED when asked to stop. One
 * caller thread at a time. */
APQ_NODISCARD apq_status apq_loader_next(apq_loader *loader,
                                         const float **images,
                                         const int **labels, int *n);
/* Batches in an epoch. */
size_t apq_loader_batches(const apq_loader *loader);

typedef struct apq_data_class_report {
    char *name;
    size_t n[APQ_N_SPLITS]; /* images per split */
} apq_data_class_report;

typedef struct apq_data_defect {
    char *path;   /* inside the dataset */
    char *reason; /* a short clause without a full stop */
} apq_data_defect;

/* What apq_data_check found. Counts are of sound images only. */
typedef struct apq_data_report {
    const char *layout; /* "image folder", "archive", "CIFAR-10 binary", ... */
    int n_classes;
    apq_data_class_report *classes;
    size_t n_defects;
    apq_data_defect *defects;
    size_t n_duplicates;     /* test images equal to a training or validation
                                image, by content of the file */
    char *duplicate_example; /* "PATH = PATH", or NULL */
    int min_width, max_width, min_height, max_height; /* pixels; 0: none */
    bool test_carved;        /* no test/ or val/: 10 % became the test split */
    bool val_folder_as_test; /* val/ is the test split */
    char hash[17];           /* of apq_dataset_hash; empty with defects */
} apq_data_report;

/* Reads every image and reports all defects: a truncated or damaged image, a
 * file that is no JPEG or PNG, zero bytes, a class with no images. Defects are
 * in the report, not errors; a missing or empty dataset is an error. `options`
 * may be NULL; the caller owns *out. */
APQ_NODISCARD apq_status apq_data_check(const char *uri,
                                        const apq_data_options *options,
                                        apq_data_report **out);
void apq_data_report_destroy(apq_data_report *report);

#endif
