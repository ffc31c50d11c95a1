/* CIFAR-10 and CIFAR-100, binary version (Krizhevsky 2009; format on
 * cs.toronto.edu/~kriz/cifar.html): records of one or two label bytes and
 * 3072 pixels, channels first. Of CIFAR-100 the fine label is used. */
#include "data/data_internal.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, PIXELS = 3 * SIDE * SIDE, MAX_BATCHES = 99 };

static bool has_file(const char *folder, const char *name) {
    char path[APQ_PATH_MAX];
    return apq_path_join(path, folder, name) == APQ_OK && apq_file_exists(path);
}

static bool is_cifar100(const char *path) {
    return has_file(path, "train.bin");
}

bool apq_data_cifar_recognise(const char *path) {
    return has_file(path, "data_batch_1.bin") || is_cifar100(path);
}

/* One name a line; missing names are numbers. */
static apq_status add_class_names(const char *folder, const char *name,
                                  int n_classes, data_listing *listing) {
    char path[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(path, folder, name));
    char *text = NULL;
    size_t n_bytes = 0;
    if (apq_file_exists(path)) {
        APQ_TRY(apq_file_read(path, &text, &n_bytes));
    }
    apq_status st = APQ_OK;
    char *line = text;
    for (int c = 0; c < n_classes && st == APQ_OK; c++) {
        char number[16];
        (void)snprintf(number, sizeof number, "%d", c);
        char *class_name = number;
        size_t length = line == NULL ? 0 : strcspn(line, "\r\n");
        if (length > 0) {
            class_name = line;
            line += length;
            size_t gap = strspn(line, "\r\n");
            *line = '\0';
            line += gap;
        }
        st = apq_data_listing_add_class(listing, class_name);
    }
    free(text);
    return st;
}

static apq_status add_records(const char *folder, const char *name,
                              data_group group, size_t n_labels,
                              data_listing *listing) {
    char path[APQ_PATH_MAX];
    APQ_TRY(apq_path_join(path, folder, name));
    char *content = NULL;
    size_t n_bytes = 0, record = n_labels + PIXELS;
    APQ_TRY(apq_file_read(path, &content, &n_bytes));
    APQ_TRY(apq_data_listing_add_blob(listing, content));
    if (n_bytes == 0 || n_bytes % record != 0) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: %zu bytes, not a positive multiple of the record size "
                 "%zu",
                 path, n_bytes, record);
    }
    uint8_t *bytes = (uint8_t *)content;
    for (size_t i = 0; i < n_bytes / record; i++) {
        uint8_t *at = bytes + i * record;
        int label = at[n_labels - 1];
        if (label >= listing->n_classes) {
            APQ_FAIL(APQ_ERR_FORMAT, "%s: record %zu: label %d not in 0..%d",
                     path, i, label, listing->n_classes - 1);
        }
        char where[64];
        (void)snprintf(where, sizeof where, "%s#%zu", name, i);
        data_item *item = NULL;
        APQ_TRY(apq_data_listing_add(listing, where, &item));
        item->bytes = at + n_labels;
        item->n_bytes = PIXELS;
        item->label = label;
        item->width = item->height = SIDE;
        item->n_channels = 3;
        item->group = group;
        item->encoding = DATA_RAW_CHW;
    }
    return APQ_OK;
}

/* Batches are numbered without gaps: `missing` is the first that is not there,
 * a defect where a later one is. */
static apq_status check_gap(const char *path, int missing,
                            data_listing *listing) {
    for (int b = missing + 1; b <= MAX_BATCHES; b++) {
        char name[32], reason[64];
        (void)snprintf(name, sizeof name, "data_batch_%d.bin", b);
        if (has_file(path, name)) {
            (void)snprintf(reason, sizeof reason, "missing, though %s is there",
                           name);
            (void)snprintf(name, sizeof name, "data_batch_%d.bin", missing);
            return apq_data_listing_add_defect(listing, name, reason);
        }
    }
    return APQ_OK;
}

apq_status apq_data_cifar_list(const char *path, data_listing *listing) {
    if (is_cifar100(path)) {
        listing->layout = "CIFAR-100 binary";
        APQ_TRY(add_class_names(path, "fine_label_names.txt", 100, listing));
        APQ_TRY(add_records(path, "train.bin", DATA_GROUP_TRAIN, 2, listing));
        if (has_file(path, "test.bin")) {
            APQ_TRY(add_records(path, "test.bin", DATA_GROUP_TEST, 2, listing));
        }
        return APQ_OK;
    }
    listing->layout = "CIFAR-10 binary";
    APQ_TRY(add_class_names(path, "batches.meta.txt", 10, listing));
    for (int b = 1; b <= MAX_BATCHES; b++) {
        char name[32];
        (void)snprintf(name, sizeof name, "data_batch_%d.bin", b);
        if (!has_file(path, name)) {
            APQ_TRY(check_gap(path, b, listing));
            break;
        }
        APQ_TRY(add_records(path, name, DATA_GROUP_TRAIN, 1, listing));
    }
    if (has_file(path, "test_batch.bin")) {
        APQ_TRY(
            add_records(path, "test_batch.bin", DATA_GROUP_TEST, 1, listing));
    }
    return APQ_OK;
}
