/* Batches: the same at any thread count and after a restart; augmentation;
 * errors of worker threads. */
#include "unit/asserts.h"
#include "unit/data/make.h"

#include "data/data_internal.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 32, N_PIXELS = SIDE * SIDE * 3, N_IMAGES = 75, BATCH = 8 };
static const char uri[] = "builtin:shapes?train=75&test=20";

typedef struct epoch_data {
    float images[N_IMAGES][N_PIXELS];
    int labels[N_IMAGES];
    size_t n;
} epoch_data;

static apq_loader *must_create(const apq_dataset *dataset,
                               apq_loader_options options) {
    apq_loader *loader = NULL;
    assert_status(apq_loader_create(dataset, &options, &loader), APQ_OK);
    return loader;
}

static epoch_data *read_epoch(apq_loader *loader, uint64_t epoch,
                              size_t first_batch) {
    epoch_data *data = calloc(1, sizeof *data);
    assert_non_null(data);
    assert_int_equal(apq_loader_start(loader, epoch, first_batch), APQ_OK);
    for (;;) {
        const float *images = NULL;
        const int *labels = NULL;
        int n = 0;
        assert_int_equal(apq_loader_next(loader, &images, &labels, &n), APQ_OK);
        if (n == 0) {
            return data;
        }
        size_t count = (size_t)n;
        assert_true(data->n + count <= N_IMAGES);
        memcpy(data->images[data->n], images, count * sizeof data->images[0]);
        memcpy(data->labels + data->n, labels, count * sizeof *labels);
        data->n += count;
    }
}

static const apq_loader_options training = {.split = APQ_SPLIT_TRAIN,
                                            .batch = BATCH,
                                            .augment = true,
                                            .shuffle = true,
                                            .seed = 5};

static void test_threads_and_restart(void **state) {
    (void)state;
    apq_dataset *dataset = must_open(uri, NULL);
    apq_loader_options options = training;
    apq_loader *one = must_create(dataset, options);
    options.n_threads = 3;
    apq_loader *three = must_create(dataset, options);
    assert_int_equal(apq_loader_batches(one), 10);
    epoch_data *a = read_epoch(one, 7, 0), *b = read_epoch(three, 7, 0);
    assert_int_equal(a->n, N_IMAGES);
    assert_memory_equal(a, b, sizeof *a);
    for (size_t first = 0; first <= 10; first += 5) {
        epoch_data *c = read_epoch(three, 7, first);
        size_t skipped = first * BATCH > N_IMAGES ? N_IMAGES : first * BATCH;
        assert_int_equal(c->n, N_IMAGES - skipped);
        assert_memory_equal(c->images, a->images[skipped],
                            c->n * sizeof c->images[0]);
        assert_memory_equal(c->labels, a->labels + skipped,
                            c->n * sizeof c->labels[0]);
        free(c);
    }
    epoch_data *other = read_epoch(one, 8, 0);
    assert_memory_not_equal(a->images, other->images, sizeof a->images);
    assert_int_equal(apq_loader_start(one, 0, 11), APQ_ERR_ARG);
    /* Abandoned in the middle: nothing hangs. */
    assert_int_equal(apq_loader_start(three, 1, 0), APQ_OK);
    free(a);
    free(b);
    free(other);
    apq_loader_destroy(one);
    apq_loader_destroy(three);
    apq_dataset_destroy(dataset);
}

/* One after the other the parts of each batch are the batch, also of the last
 * one, which has less than an image for each. */
static void test_parts(void **state) {
    (void)state;
    enum { N_PARTS = 4, LAST = N_IMAGES % BATCH };
    apq_dataset *dataset = must_open(uri, NULL);
    apq_loader_options options = training;
    apq_loader *one = must_create(dataset, options);
    epoch_data *whole = read_epoch(one, 3, 0);
    epoch_data *parts[N_PARTS];
    options.n_parts = N_PARTS;
    for (int p = 0; p < N_PARTS; p++) {
        options.part = p;
        apq_loader *loader = must_create(dataset, options);
        assert_int_equal(apq_loader_batches(loader), 10);
        parts[p] = read_epoch(loader, 3, 0);
        apq_loader_destroy(loader);
    }
    size_t at[N_PARTS] = {0};
    for (size_t i = 0; i < N_IMAGES; i++) {
        size_t in_batch = i % BATCH;
        size_t n = i < N_IMAGES - LAST ? BATCH : LAST;
        size_t p = 0;
        while ((p + 1) * n / N_PARTS <= in_batch) {
            p++;
        }
        size_t k = at[p]++;
        assert_int_equal(parts[p]->labels[k], whole->labels[i]);
        assert_memory_equal(parts[p]->images[k], whole->images[i],
                            sizeof whole->images[0]);
    }
    for (size_t p = 0; p < N_PARTS; p++) {
        assert_int_equal(parts[p]->n, at[p]);
        free(parts[p]);
    }
    apq_loader *loader = NULL;
    options.part = N_PARTS;
    assert_int_equal(apq_loader_create(dataset, &options, &loader),
                     APQ_ERR_ARG);
    options.part = -1;
    assert_int_equal(apq_loader_create(dataset, &options, &loader),
                     APQ_ERR_ARG);
    free(whole);
    apq_loader_destroy(one);
    apq_dataset_destroy(dataset);
}

static void test_order_and_values(void **state) {
    (void)state;
    apq_dataset *dataset = must_open(uri, NULL);
    apq_loader_options options = {.split = APQ_SPLIT_TRAIN, .batch = BATCH};
    apq_loader *plain = must_create(dataset, options);
    options.shuffle = true;
    options.drop_last = true;
    apq_loader *shuffled = must_create(dataset, options);
    epoch_data *a = read_epoch(plain, 0, 0), *b = read_epoch(shuffled, 0, 0);
    assert_int_equal(a->n, N_IMAGES);
    assert_int_equal(b->n, N_IMAGES / BATCH * BATCH);
    float mean[3], std[3];
    apq_dataset_normalisation(dataset, mean, std);
    double sum = 0.0, square = 0.0;
    for (size_t i = 0; i < a->n; i++) {
        uint8_t hwc[N_PIXELS];
        assert_int_equal(apq_dataset_image(dataset, APQ_SPLIT_TRAIN, i, hwc),
                         APQ_OK);
        assert_int_equal(a->labels[i],
                         apq_dataset_label(dataset, APQ_SPLIT_TRAIN, i));
        for (size_t k = 0; k < N_PIXELS; k++) {
            double expected = ((double)hwc[k] / 255.0 - (double)mean[k % 3]) /
                              (double)std[k % 3];
            double got = (double)a->images[i][k];
            assert_false(!(fabs(got - expected) <= 1e-5));
            sum += got;
            square += got * got;
        }
    }
    double n = (double)(a->n * N_PIXELS);
    assert_false(!(fabs(sum / n) <= 1e-3));
    assert_false(!(fabs(square / n - 1.0) <= 1e-3));
    bool is_moved = false, is_used[N_IMAGES] = {false};
    for (size_t i = 0; i < b->n; i++) { /* each image at most once */
        size_t at = 0;
        while (memcmp(a->images[at], b->images[i], sizeof a->images[0]) != 0) {
            assert_true(++at < N_IMAGES);
        }
        assert_false(is_used[at]);
        is_used[at] = true;
        is_moved |= at != i;
    }
    assert_true(is_moved);
    free(a);
    free(b);
    apq_loader_destroy(plain);
    apq_loader_destroy(shuffled);
    apq_dataset_destroy(dataset);
}

/* A network knows the statistics of its own images only. */
static void test_other_statistics(void **state) {
    (void)state;
    const float mean[3] = {0.5F, 0.25F, 0.0F}, std[3] = {0.5F, 2.0F, 1.0F};
    apq_dataset *dataset = must_open(uri, NULL);
    apq_loader *loader =
        must_create(dataset, (apq_loader_options){.split = APQ_SPLIT_TRAIN,
                                                  .batch = BATCH,
                                                  .mean = mean,
                                                  .std = std});
    epoch_data *e = read_epoch(loader, 0, 0);
    uint8_t hwc[N_PIXELS];
    assert_int_equal(apq_dataset_image(dataset, APQ_SPLIT_TRAIN, 0, hwc),
                     APQ_OK);
    for (size_t k = 0; k < N_PIXELS; k++) {
        float expected = ((float)hwc[k] / 255.0F - mean[k % 3]) / std[k % 3];
        assert_false(!(fabsf(e->images[0][k] - expected) <= 1e-6F));
    }
    free(e);
    apq_loader_destroy(loader);
    apq_dataset_destroy(dataset);
}

/* Augmentation follows the image, not its place in a batch. */
static void test_augment_by_index(void **state) {
    (void)state;
    apq_dataset *dataset = must_open(uri, NULL);
    apq_loader_options options = training;
    options.shuffle = false;
    apq_loader *narrow = must_create(dataset, options);
    options.batch = 50;
    apq_loader *wide = must_create(dataset, options);
    epoch_data *a = read_epoch(narrow, 3, 0), *b = read_epoch(wide, 3, 0);
    assert_memory_equal(a, b, sizeof *a);
    const apq_augmentation usual = {.crop_padding = 4};
    int n_flipped = 0, n_shifted = 0;
    for (size_t i = 0; i < 1000; i++) {
        data_placement p = apq_data_augment_draw(&usual, 1, 2, i, SIDE);
        assert_in_range(p.dx + 4, 0, 8);
        assert_in_range(p.dy + 4, 0, 8);
        n_flipped += p.is_flipped;
        n_shifted += p.dx != 0 && p.dy != 0;
    }
    assert_in_range(n_flipped, 420, 580);
    assert_in_range(n_shifted, 720, 860);
    free(a);
    free(b);
    apq_loader_destroy(narrow);
    apq_loader_destroy(wide);
    apq_dataset_destroy(dataset);
}

/* Bytes to floats of the same value. */
static void apply_plainly(const uint8_t *hwc, data_placement p, float *out) {
    static float table[3][256];
    for (int c = 0; c < 3; c++) {
        for (int v = 0; v < 256; v++) {
            table[c][v] = (float)v;
        }
    }
    apq_data_augment_apply(hwc, 8, (const float(*)[256])table, p, out);
}

static void test_placement(void **state) {
    (void)state;
    uint8_t hwc[8 * 8 * 3];
    for (size_t i = 0; i < sizeof hwc; i++) {
        hwc[i] = (uint8_t)(i + 1);
    }
    for (int k = 0; k < 50; k++) {
        data_placement p = {
            .dx = k % 5 - 2, .dy = k / 5 % 5 - 2, .is_flipped = k >= 25};
        float out[8 * 8 * 3];
        apply_plainly(hwc, p, out);
        for (int i = 0; i < 8 * 8 * 3; i++) {
            int c = i % 3, x = i / 3 % 8, y = i / 24;
            int from_x = (p.is_flipped ? 7 - x : x) + p.dx, from_y = y + p.dy;
            bool is_inside =
                from_x >= 0 && from_x < 8 && from_y >= 0 && from_y < 8;
            double expected =
                is_inside ? hwc[(from_y * 8 + from_x) * 3 + c] : 0;
            assert_false(!(fabs((double)out[i] - expected) <= 0.0));
        }
    }
}

/* Each row and column of the mirrored frame, written out. */
static void test_reflected_padding(void **state) {
    (void)state;
    static const int frame[14] = {3, 2, 1, 0, 1, 2, 3, 4, 5, 6, 7, 6, 5, 4};
    uint8_t hwc[8 * 8 * 3];
    for (size_t i = 0; i < sizeof hwc; i++) {
        hwc[i] = (uint8_t)(i + 1);
    }
    for (int k = 0; k < 98; k++) {
        data_placement p = {.dx = k % 7 - 3,
                            .dy = k / 7 % 7 - 3,
                            .is_flipped = k >= 49,
                            .is_reflected = true};
        float out[8 * 8 * 3];
        apply_plainly(hwc, p, out);
        for (int i = 0; i < 8 * 8 * 3; i++) {
            int c = i % 3, x = i / 3 % 8, y = i / 24;
            int from_x = frame[(p.is_flipped ? 7 - x : x) + p.dx + 3];
            double expected = hwc[(frame[y + p.dy + 3] * 8 + from_x) * 3 + c];
            assert_false(!(fabs((double)out[i] - expected) <= 0.0));
        }
    }
}

/* Exactly the square is 0; over many images it gets everywhere. */
static void test_cutout(void **state) {
    (void)state;
    uint8_t hwc[8 * 8 * 3];
    memset(hwc, 7, sizeof hwc);
    const apq_augmentation a = {.cutout = 3};
    bool is_cut[64] = {false};
    for (size_t i = 0; i < 300; i++) {
        data_placement p = apq_data_augment_draw(&a, 1, 2, i, 8);
        assert_in_range(p.cutout_x, 0, 5);
        assert_in_range(p.cutout_y, 0, 5);
        float out[8 * 8 * 3];
        apply_plainly(hwc, p, out);
        for (int k = 0; k < 8 * 8 * 3; k++) {
            int x = k / 3 % 8 - p.cutout_x, y = k / 24 - p.cutout_y;
            bool is_inside = x >= 0 && x < 3 && y >= 0 && y < 3;
            is_cut[k / 3] |= is_inside;
            assert_false(!(fabs((double)out[k] - (is_inside ? 0 : 7)) <= 0.0));
        }
    }
    for (int k = 0; k < 64; k++) {
        assert_true(is_cut[k]);
    }
}

/* What is not asked for changes no draw of the rest. */
static void test_alternating_flip(void **state) {
    (void)state;
    const apq_augmentation random = {.crop_padding = 4};
    const apq_augmentation alternating = {
        .flip = APQ_FLIP_ALTERNATING, .crop_padding = 4, .cutout = 5};
    int n_flipped = 0;
    for (size_t i = 0; i < 1000; i++) {
        data_placement first = apq_data_augment_draw(&random, 9, 0, i, SIDE);
        n_flipped += first.is_flipped;
        for (uint64_t epoch = 0; epoch < 5; epoch++) {
            data_placement p =
                apq_data_augment_draw(&alternating, 9, epoch, i, SIDE);
            data_placement q =
                apq_data_augment_draw(&random, 9, epoch, i, SIDE);
            assert_int_equal(p.is_flipped,
                             first.is_flipped != (epoch % 2 == 1));
            assert_int_equal(p.dx, q.dx);
            assert_int_equal(p.dy, q.dy);
        }
    }
    assert_in_range(n_flipped, 420, 580);
}

/* Through the loader: threads and restarts change nothing, each option
 * changes the images, and what no image allows is refused. */
static void test_augmentation_options(void **state) {
    (void)state;
    apq_dataset *dataset = must_open(uri, NULL);
    const apq_augmentation choices[] = {
        {.crop_padding = 4},
        {.crop_padding = 4, .flip = APQ_FLIP_ALTERNATING},
        {.crop_padding = 4, .crop_reflect = true},
        {.crop_padding = 4, .cutout = 12},
        {.crop_padding = 4, .distort = true},
        {.crop_padding = 2},
    };
    enum { N = sizeof choices / sizeof choices[0] };
    epoch_data *seen[N] = {NULL};
    apq_loader_options options = training;
    apq_loader *usual = must_create(dataset, options);
    epoch_data *expected = read_epoch(usual, 3, 0);
    apq_loader_destroy(usual);
    for (size_t i = 0; i < N; i++) {
        options.augmentation = &choices[i];
        options.n_threads = 1;
        apq_loader *one = must_create(dataset, options);
        options.n_threads = 3;
        apq_loader *three = must_create(dataset, options);
        seen[i] = read_epoch(one, 3, 0);
        epoch_data *rest = read_epoch(three, 3, 5);
        assert_memory_equal(rest->images, seen[i]->images[5 * BATCH],
                            rest->n * sizeof rest->images[0]);
        free(rest);
        apq_loader_destroy(one);
        apq_loader_destroy(three);
        for (size_t k = 0; k < i; k++) {
            assert_memory_not_equal(seen[i]->images, seen[k]->images,
                                    sizeof seen[i]->images);
        }
    }
    assert_memory_equal(seen[0], expected, sizeof *expected);
    const apq_augmentation bad[] = {{.crop_padding = SIDE},
                                    {.crop_padding = -2},
                                    {.cutout = SIDE + 1},
                                    {.cutout = -1}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        options.augmentation = &bad[i];
        apq_loader *loader = NULL;
        assert_int_equal(apq_loader_create(dataset, &options, &loader),
                         APQ_ERR_ARG);
        assert_non_null(strstr(apq_error_message(), "0..3"));
    }
    for (size_t i = 0; i < N; i++) {
        free(seen[i]);
    }
    free(expected);
    apq_dataset_destroy(dataset);
}

static void test_limit(void **state) {
    (void)state;
    apq_dataset *dataset = must_open(uri, NULL);
    apq_loader_options options = training;
    options.split = APQ_SPLIT_TEST;
    options.limit = 10;
    apq_loader *loader = must_create(dataset, options);
    assert_int_equal(apq_loader_batches(loader), 2);
    epoch_data *a = read_epoch(loader, 0, 0);
    assert_int_equal(a->n, 10);
    unsigned seen = 0;
    for (size_t i = 0; i < 10; i++) { /* spread over the ten classes */
        seen |= 1u << a->labels[i];
    }
    assert_int_equal(seen, 0x3ff);
    free(a);
    apq_loader_destroy(loader);
    options.batch = 0;
    assert_int_equal(apq_loader_create(dataset, &options, &loader),
                     APQ_ERR_ARG);
    options.batch = 1;
    options.split = APQ_SPLIT_VAL; /* empty here */
    assert_int_equal(apq_loader_create(dataset, &options, &loader),
                     APQ_ERR_ARG);
    apq_dataset_destroy(dataset);
}

static bool count_down(void *ctx) {
    int *left = ctx;
    return --*left < 0;
}

static void test_stop(void **state) {
    (void)state;
    int left = 2, n;
    const apq_progress progress = {.ctx = &left, .stop_requested = count_down};
    apq_dataset *dataset = must_open(uri, NULL);
    apq_loader_options options = training;
    options.progress = &progress;
    apq_loader *loader = must_create(dataset, options);
    assert_status(apq_loader_start(loader, 0, 0), APQ_OK);
    const float *images;
    const int *labels;
    for (int i = 0; i < 2; i++) {
        assert_status(apq_loader_next(loader, &images, &labels, &n), APQ_OK);
        assert_int_equal(n, BATCH);
    }
    assert_status(apq_loader_next(loader, &images, &labels, &n),
                  APQ_ERR_INTERRUPTED);
    apq_loader_destroy(loader);
    apq_dataset_destroy(dataset);
}

/* A file damaged after open: the worker's message reaches the caller. */
static void test_lazy_and_worker_error(void **state) {
    (void)state;
    char root[PATH_BYTES], path[PATH_BYTES];
    make_temporary(root);
    apq_dataset *source = must_open(uri, NULL), *lazy = NULL;
    write_folder(root, source, true);
    apq_data_options options = APQ_DATA_OPTIONS_INIT;
    options.n_val = 0;
    assert_int_equal(apq_data_dataset_open(root, &options, 1000, &lazy),
                     APQ_OK);
    apq_dataset *eager = must_open(root, NULL);
    assert_string_equal(apq_dataset_hash(lazy), apq_dataset_hash(eager));
    apq_loader *a = must_create(source, training);
    apq_loader *b = must_create(lazy, training);
    epoch_data *x = read_epoch(a, 1, 0), *y = read_epoch(b, 1, 0);
    assert_memory_equal(x, y, sizeof *x);
    path_in(path, root, "train/circle/000003.png");
    write_bytes(path, "damaged", 7);
    assert_int_equal(apq_loader_start(b, 1, 0), APQ_OK);
    apq_status st = APQ_OK;
    int n = 1, n_given = 0;
    while (st == APQ_OK && n > 0) {
        const float *images = NULL;
        const int *labels = NULL;
        st = apq_loader_next(b, &images, &labels, &n);
        n_given += n;
    }
    assert_int_equal(st, APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(), "train/circle/000003.png"));
    assert_true(n_given < N_IMAGES);
    free(x);
    free(y);
    apq_loader_destroy(a);
    apq_loader_destroy(b);
    apq_dataset_destroy(source);
    apq_dataset_destroy(eager);
    apq_dataset_destroy(lazy);
    remove_tree(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_and_restart),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_order_and_values),
        cmocka_unit_test(test_other_statistics),
        cmocka_unit_test(test_augment_by_index),
        cmocka_unit_test(test_placement),
        cmocka_unit_test(test_reflected_padding),
        cmocka_unit_test(test_cutout),
        cmocka_unit_test(test_alternating_flip),
        cmocka_unit_test(test_augmentation_options),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_lazy_and_worker_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
