/* `data check`: reads every image and reports all that is wrong at once,
 * where opening stops at the first defect. */
#include "data/data_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct check_item {
    char *reason; /* NULL: sound */
    int width, height;
} check_item;

typedef struct check_job {
    data_listing *listing;
    check_item *found; /* per item */
    data_decoder decoders[DATA_MAX_THREADS];
} check_job;

void apq_data_report_destroy(apq_data_report *report) {
    if (report == NULL) {
        return;
    }
    for (int c = 0; report->classes != NULL && c < report->n_classes; c++) {
        free(report->classes[c].name);
    }
    free(report->classes);
    for (size_t i = 0; i < report->n_defects; i++) {
        free(report->defects[i].path);
        free(report->defects[i].reason);
    }
    free(report->defects);
    free(report->duplicate_example);
    free(report);
}

static apq_status out_of_memory(void) {
    APQ_FAIL(APQ_ERR_NOMEM, "check of the dataset: out of memory");
}

static apq_status visit_item(void *ctx, int thread, size_t i) {
    check_job *job = ctx;
    data_decoder *decoder = &job->decoders[thread];
    data_item *item = &job->listing->items[i];
    check_item *found = &job->found[i];
    /* The smallest scale: all of the file is parsed, little is computed. */
    apq_status st = apq_data_decode(decoder, job->listing, item, 1, false);
    if (st != APQ_OK && decoder->reason[0] == '\0') {
        return st; /* ours, not the file's */
    }
    if (st != APQ_OK) {
        found->reason = strdup(decoder->reason);
        return found->reason == NULL ? out_of_memory() : APQ_OK;
    }
    item->hash = decoder->hash;
    found->width = decoder->native_width;
    found->height = decoder->native_height;
    return APQ_OK;
}

/* Moves defective items to the list of defects; the others close ranks. */
static apq_status sort_out(check_job *job) {
    data_listing *listing = job->listing;
    size_t n_sound = 0;
    apq_status st = APQ_OK;
    for (size_t i = 0; i < listing->n_items; i++) {
        data_item item = listing->items[i];
        if (job->found[i].reason == NULL) {
            job->found[n_sound].width = job->found[i].width;
            job->found[n_sound].height = job->found[i].height;
            listing->items[n_sound++] = item;
            continue;
        }
        if (st == APQ_OK) {
            st = apq_data_listing_add_defect(listing, item.path,
                                             job->found[i].reason);
        }
        free(item.path);
        if (item.encoding == DATA_ENCODED) {
            free(item.bytes);
        }
    }
    listing->n_items = n_sound;
    return st;
}

static void measure_sizes(const check_job *job, apq_data_report *report) {
    for (size_t i = 0; i < job->listing->n_items; i++) {
        int w = job->found[i].width, h = job->found[i].height;
        if (i == 0) {
            report->min_width = report->max_width = w;
            report->min_height = report->max_height = h;
        }
        report->min_width = w < report->min_width ? w : report->min_width;
        report->max_width = w > report->max_width ? w : report->max_width;
        report->min_height = h < report->min_height ? h : report->min_height;
        report->max_height = h > report->max_height ? h : report->max_height;
    }
}

typedef struct hash_entry {
    uint64_t hash;
    uint32_t item;
} hash_entry;

static int compare_hashes(const void *a, const void *b) {
    const hash_entry *x = a, *y = b;
    if (x->hash != y->hash) {
        return x->hash < y->hash ? -1 : 1;
    }
    return (x->item > y->item) - (x->item < y->item);
}

/* First entry with this hash, or NULL. */
static const hash_entry *find_hash(const hash_entry *entries, size_t n,
                                   uint64_t hash) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (entries[middle].hash < hash) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < n && entries[low].hash == hash ? &entries[low] : NULL;
}

static apq_status note_duplicate(const char *test, const char *other,
                                 apq_data_report *report) {
    report->n_duplicates++;
    if (report->duplicate_example == NULL) {
        size_t n = strlen(test) + strlen(other) + 4;
        report->duplicate_example = malloc(n);
        if (report->duplicate_example == NULL) {
            return out_of_memory();
        }
        (void)snprintf(report->duplicate_example, n, "%s = %s", test, other);
    }
    return APQ_OK;
}

static apq_status find_duplicates(const data_listing *listing,
                                  const data_splits *splits,
                                  apq_data_report *report) {
    hash_entry *entries = calloc(listing->n_items, sizeof *entries);
    if (entries == NULL) {
        return out_of_memory();
    }
    size_t n = 0;
    for (int s = APQ_SPLIT_TRAIN; s <= APQ_SPLIT_VAL; s++) {
        for (size_t k = 0; k < splits->n[s]; k++) {
            uint32_t i = splits->items[s][k];
            entries[n++] = (hash_entry){listing->items[i].hash, i};
        }
    }
    qsort(entries, n, sizeof *entries, compare_hashes);
    apq_status st = APQ_OK;
    for (size_t k = 0; k < splits->n[APQ_SPLIT_TEST] && st == APQ_OK; k++) {
        const data_item *item =
            &listing->items[splits->items[APQ_SPLIT_TEST][k]];
        const hash_entry *hit = find_hash(entries, n, item->hash);
        if (hit != NULL) {
            st = note_duplicate(item->path, listing->items[hit->item].path,
                                report);
        }
    }
    free(entries);
    return st;
}

static apq_status count_classes(const data_listing *listing,
                                apq_data_report *report) {
    size_t n = (size_t)listing->n_classes;
    report->classes = calloc(n, sizeof *report->classes);
    if (report->classes == NULL) {
        return out_of_memory();
    }
    report->n_classes = listing->n_classes;
    for (size_t c = 0; c < n; c++) {
        report->classes[c].name = strdup(listing->class_names[c]);
        if (report->classes[c].name == NULL) {
            return out_of_memory();
        }
    }
    return APQ_OK;
}

static apq_status examine_splits(const data_listing *listing,
                                 const apq_data_options *options,
                                 data_splits *splits, apq_data_report *report) {
    bool has_train = false;
    for (size_t i = 0; i < listing->n_items; i++) {
        has_train |= listing->items[i].group == DATA_GROUP_TRAIN;
    }
    if (!has_train) {
        return APQ_OK; /* the defects say why */
    }
    APQ_TRY(apq_data_splits_make(listing, options, splits));
    report->test_carved = splits->test_carved;
    for (int s = 0; s < APQ_N_SPLITS; s++) {
        for (size_t k = 0; k < splits->n[s]; k++) {
            int label = listing->items[splits->items[s][k]].label;
            report->classes[label].n[s]++;
        }
    }
    return find_duplicates(listing, splits, report);
}

static apq_status check_into(const char *uri, const apq_data_options *options,
                             check_job *job, data_splits *splits,
                             apq_data_report *report) {
    data_listing *listing = job->listing;
    APQ_TRY(apq_data_listing_read(uri, listing));
    job->found = calloc(listing->n_items + 1, sizeof *job->found);
    if (job->found == NULL) {
        return out_of_memory();
    }
    size_t n_items = listing->n_items;
    apq_status st = apq_data_parallel(n_items, options->n_threads, visit_item,
                                      job, options->progress, "images checked");
    if (st == APQ_OK) {
        st = sort_out(job);
    }
    for (size_t i = 0; i < n_items; i++) {
        free(job->found[i].reason);
    }
    APQ_TRY(st);
    measure_sizes(job, report);
    report->layout = listing->layout;
    report->val_folder_as_test = listing->val_folder_as_test;
    APQ_TRY(count_classes(listing, report));
    APQ_TRY(examine_splits(listing, options, splits, report));
    if (listing->n_defects == 0) {
        APQ_TRY(apq_data_listing_hash(listing, report->hash));
    }
    report->defects = listing->defects;
    report->n_defects = listing->n_defects;
    listing->defects = NULL;
    listing->n_defects = 0;
    return APQ_OK;
}

apq_status apq_data_check(const char *uri, const apq_data_options *options,
                          apq_data_report **out) {
    apq_data_options checked;
    APQ_TRY(apq_data_options_check(options, &checked));
    apq_data_report *report = calloc(1, sizeof *report);
    check_job *job = calloc(1, sizeof *job);
    data_listing listing = {0};
    data_splits splits = {0};
    apq_status st = APQ_OK;
    if (report == NULL || job == NULL) {
        st = out_of_memory();
        goto done;
    }
    job->listing = &listing;
    st = check_into(uri, &checked, job, &splits, report);
    if (st == APQ_OK) {
        *out = report;
        report = NULL;
    }
done:
    if (job != NULL) {
        for (int t = 0; t < DATA_MAX_THREADS; t++) {
            apq_data_decoder_fini(&job->decoders[t]);
        }
        free(job->found);
        free(job);
    }
    apq_data_splits_fini(&splits);
    apq_data_listing_fini(&listing);
    apq_data_report_destroy(report);
    return st;
}
