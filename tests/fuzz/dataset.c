/* Datasets in containers. The first byte of an input says which: IDX, whose
 * labels begin where the next two bytes say, CIFAR-10, CIFAR-100 or an archive.
 * What is taken gives its images; the check of a dataset agrees. */
#include "fuzz/fuzz.h"

#include "base/file.h"
#include "data/data.h"
#include "unit/data/make.h"

#include <stdlib.h>
#include <string.h>

enum { IDX, CIFAR10, CIFAR100, ARCHIVE, N_LAYOUTS, SIDE = 8 };

static void check_dataset(const apq_dataset *dataset) {
    uint8_t hwc[3 * SIDE * SIDE];
    for (int s = 0; s < APQ_N_SPLITS; s++) {
        for (size_t i = 0; i < apq_dataset_length(dataset, (apq_split)s); i++) {
            int label = apq_dataset_label(dataset, (apq_split)s, i);
            FUZZ_CHECK(label >= 0 && label < apq_dataset_classes(dataset));
            FUZZ_CHECK(apq_dataset_image(dataset, (apq_split)s, i, hwc) ==
                       APQ_OK);
        }
    }
}

static void write_idx_pair(const char *folder, const uint8_t *data,
                           size_t size) {
    char path[PATH_BYTES];
    size_t at = size < 2 ? 0 : (size_t)data[0] << 8 | data[1];
    data += size < 2 ? size : 2;
    size -= size < 2 ? size : 2;
    at = at < size ? at : size;
    path_in(path, folder, "train-images-idx3-ubyte");
    fuzz_write(path, data, at);
    path_in(path, folder, "train-labels-idx1-ubyte");
    fuzz_write(path, data + at, size - at);
}

/* The dataset of an input in the scratch folder; what it is called. */
static const char *place(const uint8_t *data, size_t size) {
    char path[PATH_BYTES];
    const char *folder = fuzz_fresh_folder("data");
    int layout = size == 0 ? IDX : data[0] % N_LAYOUTS;
    data += size > 0 ? 1 : 0;
    size -= size > 0 ? 1 : 0;
    if (layout == ARCHIVE) {
        folder = fuzz_path("data.tar");
        fuzz_write(folder, data, size);
    } else if (layout == IDX) {
        write_idx_pair(folder, data, size);
    } else {
        path_in(path, folder, "%s",
                layout == CIFAR10 ? "data_batch_1.bin" : "train.bin");
        fuzz_write(path, data, size);
    }
    return folder;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    apq_data_options options = APQ_DATA_OPTIONS_INIT;
    apq_dataset *dataset;
    apq_data_report *report;
    options.resolution = SIDE;
    options.n_val = 0;
    options.n_threads = 1;
    const char *uri = place(data, size);
    bool took = fuzz_took(apq_dataset_open(uri, &options, &dataset));
    if (took) {
        check_dataset(dataset);
        apq_dataset_destroy(dataset);
    }
    if (fuzz_took(apq_data_check(uri, &options, &report))) {
        FUZZ_CHECK(!took || report->n_defects == 0);
        apq_data_report_destroy(report);
    } else {
        FUZZ_CHECK(!took);
    }
    return 0;
}

static void give_archive(const char *path, fuzz_give *give, void *ctx) {
    char *bytes;
    size_t n_bytes;
    FUZZ_CHECK(apq_file_read(path, &bytes, &n_bytes) == APQ_OK);
    uint8_t *all = malloc(1 + n_bytes);
    FUZZ_CHECK(all != NULL);
    all[0] = ARCHIVE;
    memcpy(all + 1, bytes, n_bytes);
    give(ctx, all, 1 + n_bytes);
    free(all);
    free(bytes);
}

/* Four images of 2 x 3 pixels in two classes, labels behind. */
static void give_idx(fuzz_give *give, void *ctx) {
    static const uint8_t images[] = {
        IDX, 0,  16 + 24, 0,  0,  8,  3,  0,  0,  0,  4,  0,  0,  0,
        2,   0,  0,       0,  3,  1,  2,  3,  4,  5,  6,  7,  8,  9,
        10,  11, 12,      13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
        24,  0,  0,       8,  1,  0,  0,  0,  4,  0,  1,  0,  1};
    give(ctx, images, sizeof images);
}

/* Four images in two classes. */
static void write_images(const char *folder) {
    static const char *const names[] = {"cat/1.png", "cat/2.jpg", "dog/1.png",
                                        "dog/deep/2.png"};
    uint8_t rgb[3 * SIDE * SIDE];
    for (int i = 0; i < 4; i++) {
        char path[PATH_BYTES];
        memset(rgb, 50 * i, sizeof rgb);
        rgb[i] = 255;
        path_in(path, folder, "%s", names[i]);
        (i == 1 ? write_jpeg : write_png)(path, rgb, SIDE, SIDE - i);
    }
}

/* Two records. */
static void give_cifar(bool is_100, fuzz_give *give, void *ctx) {
    enum { PIXELS = 3072 };
    uint8_t bytes[1 + 2 * (2 + PIXELS)];
    size_t n_labels = is_100 ? 2 : 1, n = 0;
    bytes[n++] = is_100 ? CIFAR100 : CIFAR10;
    for (uint8_t i = 0; i < 2; i++) {
        memset(bytes + n, i, n_labels + PIXELS);
        n += n_labels + PIXELS;
    }
    give(ctx, bytes, n);
}

void fuzz_seeds(fuzz_give *give, void *ctx) {
    static const char *const filters[] = {NULL, "gzip", "zstd"};
    const char *archive = fuzz_path("seed.tar");
    const char *folder = fuzz_fresh_folder("seed");
    write_images(folder);
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        write_archive(archive, filters[i], folder, "wrapped");
        give_archive(archive, give, ctx);
    }
    give_idx(give, ctx);
    give_cifar(false, give, ctx);
    give_cifar(true, give, ctx);
}
