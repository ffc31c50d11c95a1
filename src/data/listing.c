/* What all layouts share: the list of items, the splits carved from it, its
 * hash, and a loop over items on several threads. */
#include "data/data_internal.h"

#include "base/file.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

void apq_data_listing_fini(data_listing *listing) {
    for (size_t i = 0; i < listing->n_items; i++) {
        free(listing->items[i].path);
        if (listing->items[i].encoding == DATA_ENCODED) {
            free(listing->items[i].bytes);
        }
    }
    free(listing->items);
    for (int i = 0; i < listing->n_classes; i++) {
        free(listing->class_names[i]);
    }
    free(listing->class_names);
    for (size_t i = 0; i < listing->n_blobs; i++) {
        free(listing->blobs[i]);
    }
    free(listing->blobs);
    for (size_t i = 0; i < listing->n_defects; i++) {
        free(listing->defects[i].path);
        free(listing->defects[i].reason);
    }
    free(listing->defects);
    free(listing->root);
    *listing = (data_listing){0};
}

static apq_status out_of_memory(void) {
    APQ_FAIL(APQ_ERR_NOMEM, "list of images: out of memory");
}

apq_status apq_data_listing_add(data_listing *listing, const char *path,
                                data_item **out) {
    if (listing->n_items == listing->capacity) {
        size_t capacity = listing->capacity * 2 + 64;
        data_item *grown =
            realloc(listing->items, capacity * sizeof *listing->items);
        if (grown == NULL) {
            return out_of_memory();
        }
        listing->items = grown;
        listing->capacity = capacity;
    }
    if (listing->n_items >= INT32_MAX) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED, "%s: more than %d images", listing->root,
                 INT32_MAX);
    }
    char *copy = strdup(path);
    if (copy == NULL) {
        return out_of_memory();
    }
    *out = &listing->items[listing->n_items++];
    **out = (data_item){.path = copy};
    return APQ_OK;
}

apq_status apq_data_listing_add_blob(data_listing *listing, void *blob) {
    void **grown = realloc(listing->blobs,
                           (listing->n_blobs + 1) * sizeof *listing->blobs);
    if (grown == NULL) {
        free(blob);
        return out_of_memory();
    }
    listing->blobs = grown;
    listing->blobs[listing->n_blobs++] = blob;
    return APQ_OK;
}

apq_status apq_data_listing_add_class(data_listing *listing, const char *name) {
    size_t n = (size_t)listing->n_classes;
    if (n >= DATA_MAX_CLASSES) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED, "%s: more than %d classes", listing->root,
                 DATA_MAX_CLASSES);
    }
    char **grown =
        realloc(listing->class_names, (n + 1) * sizeof *listing->class_names);
    if (grown == NULL) {
        return out_of_memory();
    }
    listing->class_names = grown;
    char *copy = strdup(name);
    if (copy == NULL) {
        return out_of_memory();
    }
    listing->class_names[n] = copy;
    listing->n_classes++;
    return APQ_OK;
}

apq_status apq_data_listing_add_defect(data_listing *listing, const char *path,
                                       const char *reason) {
    apq_data_defect *grown = realloc(
        listing->defects, (listing->n_defects + 1) * sizeof *listing->defects);
    if (grown == NULL) {
        return out_of_memory();
    }
    listing->defects = grown;
    apq_data_defect copy = {strdup(path), strdup(reason)};
    if (copy.path == NULL || copy.reason == NULL) {
        free(copy.path);
        free(copy.reason);
        return out_of_memory();
    }
    listing->defects[listing->n_defects++] = copy;
    return APQ_OK;
}

apq_status apq_data_listing_read(const char *uri, data_listing *listing) {
    listing->root = strdup(uri);
    if (listing->root == NULL) {
        return out_of_memory();
    }
    for (size_t n = strlen(uri); n > 1 && listing->root[n - 1] == '/'; n--) {
        listing->root[n - 1] = '\0';
    }
    if (strncmp(uri, "builtin:", 8) == 0) {
        APQ_TRY(apq_data_shapes_list(uri, listing));
    } else if (apq_file_exists(uri)) {
        APQ_TRY(apq_data_archive_list(uri, listing));
    } else if (!apq_dir_exists(uri)) {
        APQ_FAIL(APQ_ERR_IO, "%s: no such dataset folder or archive", uri);
    } else if (apq_data_cifar_recognise(uri)) {
        APQ_TRY(apq_data_cifar_list(uri, listing));
    } else if (apq_data_idx_recognise(uri)) {
        APQ_TRY(apq_data_idx_list(uri, listing));
    } else {
        APQ_TRY(apq_data_folder_list(uri, listing));
    }
    for (size_t i = 0; i < listing->n_items; i++) {
        listing->has_val |= listing->items[i].group == DATA_GROUP_VAL;
        listing->has_test |= listing->items[i].group == DATA_GROUP_TEST;
    }
    if (listing->n_items == 0 && listing->n_defects == 0) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: holds no images", uri);
    }
    if (listing->n_classes < 2) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: %d class folders, needs at least 2", uri,
                 listing->n_classes);
    }
    return APQ_OK;
}

void apq_data_splits_fini(data_splits *splits) {
    for (int s = 0; s < APQ_N_SPLITS; s++) {
        free(splits->items[s]);
    }
    *splits = (data_splits){0};
}

static int compare_u32(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Moves n random members of the training list to `split`; both ascending. */
static void carve(data_splits *splits, apq_split split, size_t n,
                  apq_rng *rng) {
    uint32_t *train = splits->items[APQ_SPLIT_TRAIN];
    size_t left = splits->n[APQ_SPLIT_TRAIN] - n;
    apq_rng_shuffle(rng, train, left + n);
    memcpy(splits->items[split], train + left, n * sizeof *train);
    splits->n[split] = n;
    splits->n[APQ_SPLIT_TRAIN] = left;
    qsort(train, left, sizeof *train, compare_u32);
    qsort(splits->items[split], n, sizeof *train, compare_u32);
}

static apq_status carve_val(const data_listing *listing,
                            const apq_data_options *options,
                            data_splits *splits) {
    size_t n_train = splits->n[APQ_SPLIT_TRAIN];
    size_t n_val = n_train < 20000 ? n_train / 10 : 5000;
    if (options->n_val >= 0) {
        n_val = (size_t)options->n_val;
    }
    if (n_val >= n_train) {
        APQ_FAIL(APQ_ERR_ARG,
                 "%s: %zu validation images asked for, not in 0..%zu",
                 listing->root, n_val, n_train == 0 ? 0 : n_train - 1);
    }
    apq_rng rng = apq_rng_make(options->split_seed, APQ_RNG_SPLIT, 0);
    carve(splits, APQ_SPLIT_VAL, n_val, &rng);
    return APQ_OK;
}

apq_status apq_data_splits_make(const data_listing *listing,
                                const apq_data_options *options,
                                data_splits *splits) {
    for (int s = 0; s < APQ_N_SPLITS; s++) {
        splits->items[s] =
            apq_calloc(listing->n_items, sizeof *splits->items[s]);
        if (splits->items[s] == NULL) {
            return out_of_memory();
        }
    }
    for (size_t i = 0; i < listing->n_items; i++) {
        /* Groups and splits share their numbers. */
        size_t s = (size_t)listing->items[i].group;
        splits->items[s][splits->n[s]++] = (uint32_t)i;
    }
    if (!listing->has_test) {
        /* Not by split_seed: runs with different seeds share a test set. */
        apq_rng rng = apq_rng_make(0, APQ_RNG_SPLIT, 1);
        size_t n = splits->n[APQ_SPLIT_TRAIN];
        carve(splits, APQ_SPLIT_TEST, n / 10, &rng);
        splits->test_carved = true;
    }
    if (!listing->has_val) {
        APQ_TRY(carve_val(listing, options, splits));
    }
    if (splits->n[APQ_SPLIT_TRAIN] == 0) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: holds no training images", listing->root);
    }
    return APQ_OK;
}

static void put_u64(unsigned char *bytes, uint64_t value) {
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(value >> (8 * i));
    }
}

apq_status apq_data_listing_hash(const data_listing *listing, char out[17]) {
    XXH3_state_t *state = XXH3_createState();
    if (state == NULL || XXH3_64bits_reset(state) != XXH_OK) {
        (void)XXH3_freeState(state);
        return out_of_memory();
    }
    for (int i = 0; i < listing->n_classes; i++) {
        const char *name = listing->class_names[i];
        (void)XXH3_64bits_update(state, name, strlen(name) + 1);
    }
    for (size_t i = 0; i < listing->n_items; i++) {
        const data_item *item = &listing->items[i];
        unsigned char record[24];
        put_u64(record, (uint64_t)item->group);
        put_u64(record + 8, (uint64_t)item->label);
        put_u64(record + 16, item->hash);
        (void)XXH3_64bits_update(state, record, sizeof record);
    }
    (void)snprintf(out, 17, "%016llx",
                   (unsigned long long)XXH3_64bits_digest(state));
    (void)XXH3_freeState(state);
    return APQ_OK;
}

enum { CHUNK = 32 };

typedef struct parallel_loop {
    data_visit *visit;
    void *ctx;
    size_t n;
    atomic_size_t next;
    atomic_bool is_stopped;
    pthread_mutex_t lock;
    size_t failed_at; /* guarded by lock, as the next two */
    apq_status status;
    char message[1024];
} parallel_loop;

typedef struct parallel_worker {
    parallel_loop *loop;
    pthread_t thread;
    int number;
    const apq_progress *progress; /* of the caller's thread only */
    const char *what;
} parallel_worker;

static void record_failure(parallel_loop *loop, apq_status status, size_t i) {
    (void)pthread_mutex_lock(&loop->lock);
    if (loop->status == APQ_OK || i < loop->failed_at) {
        loop->status = status;
        loop->failed_at = i;
        (void)snprintf(loop->message, sizeof loop->message, "%s",
                       apq_error_message());
    }
    (void)pthread_mutex_unlock(&loop->lock);
    atomic_store(&loop->is_stopped, true);
}

/* Chunks are handed out in order and always run to their first failure, so
 * the lowest failing item does not depend on timing. */
static void *run_worker(void *argument) {
    parallel_worker *worker = argument;
    parallel_loop *loop = worker->loop;
    while (!atomic_load(&loop->is_stopped)) {
        size_t begin = atomic_fetch_add(&loop->next, CHUNK);
        if (begin >= loop->n) {
            break;
        }
        size_t end = loop->n - begin < CHUNK ? loop->n : begin + CHUNK;
        for (size_t i = begin; i < end; i++) {
            apq_status st = loop->visit(loop->ctx, worker->number, i);
            if (st != APQ_OK) {
                record_failure(loop, st, i);
                break;
            }
        }
        if (worker->progress != NULL) {
            apq_progress_update(worker->progress, worker->what, end, loop->n,
                                NULL);
            if (apq_stop_requested(worker->progress)) {
                record_failure(loop,
                               APQ_ERROR(APQ_ERR_INTERRUPTED,
                                         "interrupted while reading images"),
                               end);
            }
        }
    }
    return NULL;
}

apq_status apq_data_parallel(size_t n, int n_threads, data_visit *visit,
                             void *ctx, const apq_progress *progress,
                             const char *what) {
    parallel_loop loop = {.visit = visit, .ctx = ctx, .n = n};
    parallel_worker workers[DATA_MAX_THREADS];
    APQ_ASSERT(n_threads >= 1 && n_threads <= DATA_MAX_THREADS);
    if (pthread_mutex_init(&loop.lock, NULL) != 0) {
        APQ_FAIL(APQ_ERR_EXTERNAL, "cannot make a mutex");
    }
    int n_started = 1;
    for (int t = 0; t < n_threads; t++) {
        workers[t] = (parallel_worker){.loop = &loop, .number = t};
    }
    workers[0].progress = progress;
    workers[0].what = what;
    while (n_started < n_threads &&
           pthread_create(&workers[n_started].thread, NULL, run_worker,
                          &workers[n_started]) == 0) {
        n_started++; /* with fewer threads it only takes longer */
    }
    (void)run_worker(&workers[0]);
    for (int t = 1; t < n_started; t++) {
        (void)pthread_join(workers[t].thread, NULL);
    }
    (void)pthread_mutex_destroy(&loop.lock);
    if (loop.status != APQ_OK) {
        APQ_FAIL(loop.status, "%s", loop.message);
    }
    return APQ_OK;
}
