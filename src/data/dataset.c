/* Opening a dataset: list, decode everything in parallel when it fits in
 * memory, carve the splits, take the statistics. Sums are integers, so the
 * result does not depend on the number of threads. */
#include "data/data_internal.h"

#include "base/file.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Decoded size up to which a dataset is kept in memory. */
static const uint64_t default_memory_bytes = (uint64_t)2 << 30;
/* Encoded size up to which open reads, checks and hashes every file. */
static const uint64_t max_hashed_bytes = (uint64_t)4 << 30;
/* Images that statistics of a dataset on disk are taken of. */
enum { MAX_STATISTICS = 2048 };

struct apq_dataset {
    data_listing listing;
    data_splits splits;
    uint8_t *pixels; /* (items, resolution, resolution, 3), or NULL */
    size_t n_image;  /* bytes of one image */
    int resolution;
    bool is_native; /* images are delivered as they are, all of one size */
    char hash[APQ_HASH_MAX];
    float mean[3], std[3];
};

apq_status apq_data_options_check(const apq_data_options *options,
                                  apq_data_options *out) {
    static const apq_data_options defaults = APQ_DATA_OPTIONS_INIT;
    *out = options == NULL ? defaults : *options;
    if (out->resolution != 0 && (out->resolution < DATA_MIN_RESOLUTION ||
                                 out->resolution > DATA_MAX_RESOLUTION)) {
        APQ_FAIL(APQ_ERR_ARG, "resolution %d is not 0 or in %d..%d",
                 out->resolution, DATA_MIN_RESOLUTION, DATA_MAX_RESOLUTION);
    }
    if (out->n_val < -1) {
        APQ_FAIL(APQ_ERR_ARG, "%lld validation images, not -1 or more",
                 (long long)out->n_val);
    }
    if (out->n_threads < 0 || out->n_threads > DATA_MAX_THREADS) {
        APQ_FAIL(APQ_ERR_ARG, "%d decoding threads, not in 0..%d",
                 out->n_threads, DATA_MAX_THREADS);
    }
    out->n_threads = out->n_threads == 0 ? 2 : out->n_threads;
    return APQ_OK;
}

/* Decodes one item at the delivered size. */
static apq_status deliver(const apq_dataset *dataset, data_decoder *decoder,
                          const data_item *item, uint8_t *hwc) {
    int side = dataset->resolution;
    APQ_TRY(apq_data_decode(
        decoder, &dataset->listing, item,
        dataset->is_native ? 0 : apq_image_largest_side(side), false));
    if (dataset->is_native &&
        (decoder->native_width != side || decoder->native_height != side)) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s/%s: %d x %d pixels, others are %d x %d; a resolution "
                 "must be given",
                 dataset->listing.root, item->path, decoder->native_width,
                 decoder->native_height, side, side);
    }
    return apq_data_fit(decoder, side, hwc);
}

/* The side of the first image, when none is asked for. */
static apq_status find_resolution(apq_dataset *dataset, int asked) {
    dataset->is_native = asked == 0;
    dataset->resolution = asked;
    if (asked == 0) {
        const data_item *item = &dataset->listing.items[0];
        data_decoder decoder = {0};
        apq_status st =
            apq_data_decode(&decoder, &dataset->listing, item, 0, true);
        int width = decoder.native_width, height = decoder.native_height;
        apq_data_decoder_fini(&decoder);
        APQ_TRY(st);
        if (width != height || width < DATA_MIN_RESOLUTION ||
            width > DATA_MAX_RESOLUTION) {
            APQ_FAIL(APQ_ERR_FORMAT,
                     "%s/%s: %d x %d pixels, not square with a side in "
                     "%d..%d; a resolution must be given",
                     dataset->listing.root, item->path, width, height,
                     DATA_MIN_RESOLUTION, DATA_MAX_RESOLUTION);
        }
        dataset->resolution = width;
    }
    size_t side = (size_t)dataset->resolution;
    dataset->n_image = side * side * 3;
    return APQ_OK;
}

typedef struct open_job {
    apq_dataset *dataset;
    uint64_t max_memory_bytes;
    data_decoder decoders[DATA_MAX_THREADS];
    uint64_t sums[DATA_MAX_THREADS][3], squares[DATA_MAX_THREADS][3];
    uint8_t *scratch; /* one image for each thread */
    size_t n_statistics;
} open_job;

static apq_status visit_item(void *ctx, int thread, size_t i) {
    open_job *job = ctx;
    apq_dataset *dataset = job->dataset;
    data_item *item = &dataset->listing.items[i];
    data_decoder *decoder = &job->decoders[thread];
    if (dataset->pixels == NULL) {
        APQ_TRY(apq_data_decode(decoder, &dataset->listing, item, 0, true));
    } else {
        APQ_TRY(deliver(dataset, decoder, item,
                        dataset->pixels + i * dataset->n_image));
    }
    item->hash = decoder->hash;
    return APQ_OK;
}

/* Decodes into memory, or only reads headers, or, of a collection too large
 * to read here, takes the sizes of the files as their content. */
static apq_status read_items(open_job *job, const apq_data_options *options) {
    apq_dataset *dataset = job->dataset;
    data_listing *listing = &dataset->listing;
    size_t n = listing->n_items;
    uint64_t n_encoded = 0;
    for (size_t i = 0; i < n; i++) {
        n_encoded += listing->items[i].n_bytes;
    }
    if ((uint64_t)n * dataset->n_image <= job->max_memory_bytes) {
        dataset->pixels = apq_calloc(n, dataset->n_image);
        if (dataset->pixels == NULL) {
            APQ_FAIL(APQ_ERR_NOMEM,
                     "%s: %zu images of %zu bytes: out of memory",
                     listing->root, n, dataset->n_image);
        }
    }
    if (dataset->pixels != NULL || n_encoded <= max_hashed_bytes) {
        APQ_TRY(apq_data_parallel(n, options->n_threads, visit_item, job,
                                  options->progress, "images read"));
    }
    for (size_t i = 0; i < n; i++) {
        data_item *item = &listing->items[i];
        if (item->encoding == DATA_FILE && item->n_bytes == 0) {
            APQ_FAIL(APQ_ERR_FORMAT, "%s/%s: zero bytes", listing->root,
                     item->path);
        }
        if (n_encoded > max_hashed_bytes) {
            item->hash = item->n_bytes;
        }
        if (item->encoding == DATA_ENCODED && dataset->pixels != NULL) {
            free(item->bytes); /* decoded: no longer needed */
            item->bytes = NULL;
        }
    }
    return APQ_OK;
}

static apq_status visit_statistics(void *ctx, int thread, size_t i) {
    open_job *job = ctx;
    const apq_dataset *dataset = job->dataset;
    size_t n_train = dataset->splits.n[APQ_SPLIT_TRAIN];
    size_t at = (size_t)((uint64_t)i * n_train / job->n_statistics);
    size_t n = dataset->n_image;
    const uint8_t *hwc = NULL;
    if (dataset->pixels != NULL) {
        hwc = dataset->pixels + dataset->splits.items[APQ_SPLIT_TRAIN][at] * n;
    } else {
        uint8_t *scratch = job->scratch + (size_t)thread * n;
        APQ_TRY(apq_data_dataset_image(dataset, &job->decoders[thread],
                                       APQ_SPLIT_TRAIN, at, scratch));
        hwc = scratch;
    }
    uint64_t sums[3] = {0}, squares[3] = {0};
    for (size_t k = 0; k < n; k += 3) {
        for (size_t c = 0; c < 3; c++) {
            uint64_t v = hwc[k + c];
            sums[c] += v;
            squares[c] += v * v;
        }
    }
    for (size_t c = 0; c < 3; c++) {
        job->sums[thread][c] += sums[c];
        job->squares[thread][c] += squares[c];
    }
    return APQ_OK;
}

static apq_status take_statistics(open_job *job,
                                  const apq_data_options *options) {
    apq_dataset *dataset = job->dataset;
    size_t n = dataset->splits.n[APQ_SPLIT_TRAIN];
    if (dataset->pixels == NULL) {
        n = n > MAX_STATISTICS ? MAX_STATISTICS : n;
        job->scratch = apq_calloc((size_t)options->n_threads, dataset->n_image);
        if (job->scratch == NULL) {
            APQ_FAIL(APQ_ERR_NOMEM, "image statistics: out of memory");
        }
    }
    job->n_statistics = n;
    APQ_TRY(apq_data_parallel(n, options->n_threads, visit_statistics, job,
                              options->progress, "images measured"));
    double count = (double)n * (double)(dataset->n_image / 3);
    for (size_t c = 0; c < 3; c++) {
        uint64_t sum = 0, square = 0;
        for (int t = 0; t < options->n_threads; t++) {
            sum += job->sums[t][c];
            square += job->squares[t][c];
        }
        double mean = (double)sum / count;
        double variance = (double)square / count - mean * mean;
        double std = variance > 1.0 ? sqrt(variance) : 1.0;
        dataset->mean[c] = (float)(mean / 255.0);
        dataset->std[c] = (float)(std / 255.0);
    }
    return APQ_OK;
}

static apq_status open_into(const char *uri, const apq_data_options *options,
                            apq_dataset *dataset, open_job *job) {
    data_listing *listing = &dataset->listing;
    APQ_TRY(apq_data_listing_read(uri, listing));
    if (listing->n_defects > 0) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s/%s: %s", listing->root,
                 listing->defects[0].path, listing->defects[0].reason);
    }
    APQ_TRY(find_resolution(dataset, options->resolution));
    APQ_TRY(apq_data_splits_make(listing, options, &dataset->splits));
    APQ_TRY(read_items(job, options));
    APQ_TRY(apq_data_listing_hash(listing, dataset->hash));
    APQ_TRY(take_statistics(job, options));
    if (dataset->splits.test_carved) {
        apq_note(options->progress,
                 "%s has no test images: %zu of its images are set aside",
                 listing->root, dataset->splits.n[APQ_SPLIT_TEST]);
    }
    return APQ_OK;
}

apq_status apq_data_dataset_open(const char *uri,
                                 const apq_data_options *options,
                                 uint64_t max_memory_bytes, apq_dataset **out) {
    apq_data_options checked;
    APQ_TRY(apq_data_options_check(options, &checked));
    apq_dataset *dataset = calloc(1, sizeof *dataset);
    open_job *job = calloc(1, sizeof *job);
    apq_status st = APQ_OK;
    if (dataset == NULL || job == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "%s: out of memory", uri);
        goto done;
    }
    job->dataset = dataset;
    job->max_memory_bytes = max_memory_bytes;
    st = open_into(uri, &checked, dataset, job);
    if (st == APQ_OK) {
        *out = dataset;
        dataset = NULL;
    }
done:
    if (job != NULL) {
        for (int t = 0; t < DATA_MAX_THREADS; t++) {
            apq_data_decoder_fini(&job->decoders[t]);
        }
        free(job->scratch);
        free(job);
    }
    apq_dataset_destroy(dataset);
    return st;
}

apq_status apq_dataset_open(const char *uri, const apq_data_options *options,
                            apq_dataset **out) {
    return apq_data_dataset_open(uri, options, default_memory_bytes, out);
}

void apq_dataset_destroy(apq_dataset *dataset) {
    if (dataset != NULL) {
        apq_data_splits_fini(&dataset->splits);
        apq_data_listing_fini(&dataset->listing);
        free(dataset->pixels);
        free(dataset);
    }
}

int apq_dataset_classes(const apq_dataset *dataset) {
    return dataset->listing.n_classes;
}

const char *apq_dataset_class_name(const apq_dataset *dataset, int label) {
    APQ_ASSERT(label >= 0 && label < dataset->listing.n_classes);
    return dataset->listing.class_names[label];
}

int apq_dataset_resolution(const apq_dataset *dataset) {
    return dataset->resolution;
}

int apq_dataset_channels(const apq_dataset *dataset) {
    (void)dataset;
    return 3;
}

size_t apq_dataset_length(const apq_dataset *dataset, apq_split split) {
    APQ_ASSERT(split < APQ_N_SPLITS);
    return dataset->splits.n[split];
}

static size_t item_number(const apq_dataset *dataset, apq_split split,
                          size_t i) {
    APQ_ASSERT(split < APQ_N_SPLITS && i < dataset->splits.n[split]);
    return dataset->splits.items[split][i];
}

int apq_dataset_label(const apq_dataset *dataset, apq_split split, size_t i) {
    return dataset->listing.items[item_number(dataset, split, i)].label;
}

apq_status apq_data_dataset_image(const apq_dataset *dataset,
                                  data_decoder *decoder, apq_split split,
                                  size_t i, uint8_t *hwc) {
    size_t number = item_number(dataset, split, i);
    if (dataset->pixels != NULL) {
        memcpy(hwc, dataset->pixels + number * dataset->n_image,
               dataset->n_image);
        return APQ_OK;
    }
    return deliver(dataset, decoder, &dataset->listing.items[number], hwc);
}

apq_status apq_dataset_image(const apq_dataset *dataset, apq_split split,
                             size_t i, uint8_t *hwc) {
    data_decoder decoder = {0};
    apq_status st = apq_data_dataset_image(dataset, &decoder, split, i, hwc);
    apq_data_decoder_fini(&decoder);
    return st;
}

const char *apq_dataset_hash(const apq_dataset *dataset) {
    return dataset->hash;
}

void apq_dataset_normalisation(const apq_dataset *dataset, float mean[3],
                               float std[3]) {
    memcpy(mean, dataset->mean, sizeof dataset->mean);
    memcpy(std, dataset->std, sizeof dataset->std);
}
