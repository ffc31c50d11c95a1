/* Batches ahead of time: workers take batch numbers in order and fill a ring
 * of four slots; the consumer takes them in the same order. A batch is a
 * function of (seed, epoch, number), so threads change nothing but speed. */
#include "data/data_internal.h"

#include "base/memory.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_SLOTS = 4 };

typedef struct batch_slot {
    float *images; /* (batch, side, side, 3) */
    int *labels;   /* (batch) */
    int n;
    bool is_ready;
    apq_status status;
    char message[512]; /* of the worker, when status is not APQ_OK */
} batch_slot;

typedef struct loader_worker {
    apq_loader *loader;
    pthread_t thread;
    data_decoder decoder;
    uint8_t *image, *distorted; /* (side, side, 3) */
} loader_worker;

struct apq_loader {
    const apq_dataset *dataset;
    apq_loader_options options; /* without what it points to */
    apq_augmentation augmentation;
    float table[3][256];  /* byte to normalised value, per channel */
    uint8_t mean_byte[3]; /* of the colour that is about 0 in the table */
    size_t n_images, n_batches, n_pixels;
    uint32_t *order; /* (n_images) numbers in the split */
    uint64_t epoch;
    batch_slot slots[N_SLOTS];
    loader_worker workers[DATA_MAX_THREADS];
    int n_running;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool has_lock, has_condition;
    /* Guarded by lock while workers run. */
    size_t to_make, to_give, to_release; /* batch numbers */
    bool is_stopping;
};

static int batch_length(const apq_loader *loader, size_t batch) {
    size_t size = (size_t)loader->options.batch;
    size_t left = loader->n_images - batch * size;
    return (int)(left < size ? left : size);
}

/* Where part `part` of a batch of n images begins. */
static size_t part_begin(const apq_loader *loader, int part, int n) {
    return (size_t)n * (size_t)part / (size_t)loader->options.n_parts;
}

static apq_status fill_slot(loader_worker *worker, size_t batch,
                            batch_slot *slot) {
    const apq_loader *loader = worker->loader;
    const apq_loader_options *options = &loader->options;
    int side = apq_dataset_resolution(loader->dataset);
    int n = batch_length(loader, batch);
    size_t begin = part_begin(loader, options->part, n);
    slot->n = (int)(part_begin(loader, options->part + 1, n) - begin);
    begin += batch * (size_t)options->batch;
    for (size_t k = 0; k < (size_t)slot->n; k++) {
        size_t i = loader->order[begin + k];
        APQ_TRY(apq_data_dataset_image(loader->dataset, &worker->decoder,
                                       options->split, i, worker->image));
        data_placement placement = {0};
        if (options->augment) {
            placement = apq_data_augment_draw(
                &loader->augmentation, options->seed, loader->epoch, i, side);
        }
        const uint8_t *image = worker->image;
        if (placement.distortion.kind != 0) {
            apq_data_distort(image, side, loader->mean_byte,
                             placement.distortion, worker->distorted);
            image = worker->distorted;
        }
        apq_data_augment_apply(image, side, loader->table, placement,
                               slot->images + k * loader->n_pixels);
        slot->labels[k] = apq_dataset_label(loader->dataset, options->split, i);
    }
    return APQ_OK;
}

static void *run_worker(void *argument) {
    loader_worker *worker = argument;
    apq_loader *loader = worker->loader;
    (void)pthread_mutex_lock(&loader->lock);
    for (;;) {
        while (!loader->is_stopping && loader->to_make < loader->n_batches &&
               loader->to_make >= loader->to_release + N_SLOTS) {
            (void)pthread_cond_wait(&loader->changed, &loader->lock);
        }
        if (loader->is_stopping || loader->to_make >= loader->n_batches) {
            break;
        }
        size_t batch = loader->to_make++;
        batch_slot *slot = &loader->slots[batch % N_SLOTS];
        (void)pthread_mutex_unlock(&loader->lock);
        slot->status = fill_slot(worker, batch, slot);
        if (slot->status != APQ_OK) {
            (void)snprintf(slot->message, sizeof slot->message, "%s",
                           apq_error_message());
        }
        (void)pthread_mutex_lock(&loader->lock);
        slot->is_ready = true;
        (void)pthread_cond_broadcast(&loader->changed);
    }
    (void)pthread_mutex_unlock(&loader->lock);
    return NULL;
}

static void stop_workers(apq_loader *loader) {
    if (loader->n_running == 0) {
        return;
    }
    (void)pthread_mutex_lock(&loader->lock);
    loader->is_stopping = true;
    (void)pthread_cond_broadcast(&loader->changed);
    (void)pthread_mutex_unlock(&loader->lock);
    for (int t = 0; t < loader->n_running; t++) {
        (void)pthread_join(loader->workers[t].thread, NULL);
    }
    loader->n_running = 0;
    loader->is_stopping = false;
}

static apq_status check_options(const apq_dataset *dataset,
                                const apq_loader_options *options) {
    if (options->split >= APQ_N_SPLITS) {
        APQ_FAIL(APQ_ERR_ARG, "split %d is not in 0..%d", (int)options->split,
                 APQ_N_SPLITS - 1);
    }
    if (options->batch < 1 || options->batch > 65536) {
        APQ_FAIL(APQ_ERR_ARG, "batch size %d is not in 1..65536",
                 options->batch);
    }
    if (options->n_threads < 0 || options->n_threads > DATA_MAX_THREADS) {
        APQ_FAIL(APQ_ERR_ARG, "%d loader threads, not in 0..%d",
                 options->n_threads, DATA_MAX_THREADS);
    }
    if (options->n_parts < 0 || options->part < 0 ||
        options->part >= (options->n_parts == 0 ? 1 : options->n_parts)) {
        APQ_FAIL(APQ_ERR_ARG, "part %d of a batch is not in 0..%d",
                 options->part, options->n_parts - 1);
    }
    if (apq_dataset_length(dataset, options->split) == 0) {
        APQ_FAIL(APQ_ERR_ARG, "the split to be loaded holds no images");
    }
    return APQ_OK;
}

/* *out is `asked` or the usual one, its values known. */
static apq_status set_augmentation(const apq_augmentation *asked, int side,
                                   apq_augmentation *out) {
    *out = asked != NULL ? *asked : (apq_augmentation)APQ_AUGMENTATION_INIT;
    if (out->crop_padding == -1) {
        out->crop_padding = side / 8;
    }
    if (out->crop_padding < 0 || out->crop_padding >= side) {
        APQ_FAIL(APQ_ERR_ARG,
                 "crop padding %d is not in 0..%d for images of %dx%d",
                 out->crop_padding, side - 1, side, side);
    }
    if (out->cutout < 0 || out->cutout > side) {
        APQ_FAIL(APQ_ERR_ARG, "cutout %d is not in 0..%d for images of %dx%d",
                 out->cutout, side, side, side);
    }
    return APQ_OK;
}

static void fill_table(apq_loader *loader, const apq_loader_options *options) {
    float mean[3], std[3];
    apq_dataset_normalisation(loader->dataset, mean, std);
    if (options->mean != NULL && options->std != NULL) {
        memcpy(mean, options->mean, sizeof mean);
        memcpy(std, options->std, sizeof std);
    }
    for (int c = 0; c < 3; c++) {
        loader->mean_byte[c] = (uint8_t)lroundf(255.0f * mean[c]);
        for (int v = 0; v < 256; v++) {
            loader->table[c][v] = ((float)v / 255.0f - mean[c]) / std[c];
        }
    }
}

static apq_status allocate(apq_loader *loader) {
    size_t n_parts = (size_t)loader->options.n_parts;
    size_t batch = ((size_t)loader->options.batch + n_parts - 1) / n_parts;
    bool ok = true;
    loader->order = apq_calloc(loader->n_images, sizeof *loader->order);
    ok = loader->order != NULL;
    for (int s = 0; s < N_SLOTS; s++) {
        batch_slot *slot = &loader->slots[s];
        slot->images =
            apq_calloc(batch, loader->n_pixels * sizeof *slot->images);
        slot->labels = apq_calloc(batch, sizeof *slot->labels);
        ok = ok && slot->images != NULL && slot->labels != NULL;
    }
    for (int t = 0; t < loader->options.n_threads; t++) {
        loader->workers[t].loader = loader;
        loader->workers[t].image = apq_calloc(loader->n_pixels, 1);
        loader->workers[t].distorted = apq_calloc(loader->n_pixels, 1);
        ok = ok && loader->workers[t].image != NULL &&
             loader->workers[t].distorted != NULL;
    }
    if (!ok) {
        APQ_FAIL(APQ_ERR_NOMEM, "loader of batches of %zu: out of memory",
                 batch);
    }
    loader->has_lock = pthread_mutex_init(&loader->lock, NULL) == 0;
    loader->has_condition = pthread_cond_init(&loader->changed, NULL) == 0;
    if (!loader->has_lock || !loader->has_condition) {
        APQ_FAIL(APQ_ERR_EXTERNAL, "loader: cannot make a mutex");
    }
    return APQ_OK;
}

apq_status apq_loader_create(const apq_dataset *dataset,
                             const apq_loader_options *options,
                             apq_loader **out) {
    APQ_TRY(check_options(dataset, options));
    apq_augmentation augmentation;
    APQ_TRY(set_augmentation(options->augmentation,
                             apq_dataset_resolution(dataset), &augmentation));
    apq_loader *loader = calloc(1, sizeof *loader);
    if (loader == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "loader: out of memory");
    }
    loader->dataset = dataset;
    loader->options = *options;
    loader->options.augmentation = NULL; /* may not outlive the call */
    loader->options.mean = loader->options.std = NULL;
    loader->augmentation = augmentation;
    if (loader->options.n_threads == 0) {
        loader->options.n_threads = 1;
    }
    if (loader->options.n_parts == 0) {
        loader->options.n_parts = 1;
    }
    size_t length = apq_dataset_length(dataset, options->split);
    size_t batch = (size_t)options->batch;
    size_t side = (size_t)apq_dataset_resolution(dataset);
    loader->n_images = options->limit == 0 || options->limit > length
                           ? length
                           : options->limit;
    loader->n_batches = options->drop_last
                            ? loader->n_images / batch
                            : (loader->n_images + batch - 1) / batch;
    loader->n_pixels = side * side * 3;
    /* Nothing to give until the first start. */
    loader->to_make = loader->to_give = loader->n_batches;
    fill_table(loader, options);
    apq_status st = allocate(loader);
    if (st == APQ_OK) {
        *out = loader;
        loader = NULL;
    }
    apq_loader_destroy(loader);
    return st;
}

void apq_loader_destroy(apq_loader *loader) {
    if (loader == NULL) {
        return;
    }
    stop_workers(loader);
    for (int s = 0; s < N_SLOTS; s++) {
        free(loader->slots[s].images);
        free(loader->slots[s].labels);
    }
    for (int t = 0; t < DATA_MAX_THREADS; t++) {
        apq_data_decoder_fini(&loader->workers[t].decoder);
        free(loader->workers[t].image);
        free(loader->workers[t].distorted);
    }
    if (loader->has_condition) {
        (void)pthread_cond_destroy(&loader->changed);
    }
    if (loader->has_lock) {
        (void)pthread_mutex_destroy(&loader->lock);
    }
    free(loader->order);
    free(loader);
}

static void make_order(apq_loader *loader) {
    uint64_t length =
        apq_dataset_length(loader->dataset, loader->options.split);
    for (size_t k = 0; k < loader->n_images; k++) {
        /* Evenly spread: neighbours are mostly of one class. */
        loader->order[k] = (uint32_t)(k * length / loader->n_images);
    }
    if (loader->options.shuffle) {
        apq_rng rng =
            apq_rng_make(loader->options.seed, APQ_RNG_SHUFFLE, loader->epoch);
        apq_rng_shuffle(&rng, loader->order, loader->n_images);
    }
}

apq_status apq_loader_start(apq_loader *loader, uint64_t epoch,
                            size_t first_batch) {
    if (first_batch > loader->n_batches) {
        APQ_FAIL(APQ_ERR_ARG, "first batch %zu is not in 0..%zu", first_batch,
                 loader->n_batches);
    }
    stop_workers(loader);
    loader->epoch = epoch;
    make_order(loader);
    for (int s = 0; s < N_SLOTS; s++) {
        loader->slots[s].is_ready = false;
        loader->slots[s].status = APQ_OK;
    }
    loader->to_make = loader->to_give = loader->to_release = first_batch;
    while (loader->n_running < loader->options.n_threads) {
        loader_worker *worker = &loader->workers[loader->n_running];
        if (pthread_create(&worker->thread, NULL, run_worker, worker) != 0) {
            break; /* with fewer threads it only takes longer */
        }
        loader->n_running++;
    }
    if (loader->n_running == 0) {
        loader->to_make = loader->to_give = loader->n_batches;
        APQ_FAIL(APQ_ERR_EXTERNAL, "loader: cannot start a thread");
    }
    return APQ_OK;
}

apq_status apq_loader_next(apq_loader *loader, const float **images,
                           const int **labels, int *n) {
    *images = NULL;
    *labels = NULL;
    *n = 0;
    if (loader->to_give >= loader->n_batches) {
        return APQ_OK;
    }
    if (apq_stop_requested(loader->options.progress)) {
        APQ_FAIL(APQ_ERR_INTERRUPTED, "interrupted");
    }
    (void)pthread_mutex_lock(&loader->lock);
    if (loader->to_release < loader->to_give) { /* the batch given before */
        loader->slots[loader->to_release++ % N_SLOTS].is_ready = false;
        (void)pthread_cond_broadcast(&loader->changed);
    }
    batch_slot *slot = &loader->slots[loader->to_give % N_SLOTS];
    while (!slot->is_ready) {
        (void)pthread_cond_wait(&loader->changed, &loader->lock);
    }
    if (slot->status == APQ_OK) {
        loader->to_give++;
    }
    (void)pthread_mutex_unlock(&loader->lock);
    if (slot->status != APQ_OK) {
        APQ_FAIL(slot->status, "%s", slot->message);
    }
    *images = slot->images;
    *labels = slot->labels;
    *n = slot->n;
    return APQ_OK;
}

size_t apq_loader_batches(const apq_loader *loader) {
    return loader->n_batches;
}
