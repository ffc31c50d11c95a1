/* Batches: the same at any thread count and after a restart; augmentation;
 * errors of worker threads. */
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
    if (apq_loader_create(dataset, &options, &loader) != APQ_OK) {
        fail_msg("%s", apq_error_message());
    }
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
    int n_flipped = 0, n_shifted = 0;
    for (size_t i = 0; i < 1000; i++) {
        data_placement p = data_augment_draw(1, 2, i, SIDE);
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

static void test_placement(void **state) {
    (void)state;
    uint8_t hwc[8 * 8 * 3];
    static float table[3][256];
    for (size_t i = 0; i < sizeof hwc; i++) {
        hwc[i] = (uint8_t)(i + 1);
    }
    for (int c = 0; c < 3; c++) {
        for (int v = 0; v < 256; v++) {
            table[c][v] = (float)v;
        }
    }
    for (int k = 0; k < 50; k++) {
        data_placement p = {k % 5 - 2, k / 5 % 5 - 2, k >= 25};
        float out[8 * 8 * 3];
        data_augment_apply(hwc, 8, (const float(*)[256])table, p, out);
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

/* A file damaged after open: the worker's message reaches the caller. */
static void test_lazy_and_worker_error(void **state) {
    (void)state;
    char root[PATH_BYTES], path[PATH_BYTES];
    make_temporary(root);
    apq_dataset *source = must_open(uri, NULL), *lazy = NULL;
    write_folder(root, source, true);
    apq_data_options options = APQ_DATA_OPTIONS_INIT;
    options.n_val = 0;
    assert_int_equal(data_dataset_open(root, &options, 1000, &lazy), APQ_OK);
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
        cmocka_unit_test(test_order_and_values),
        cmocka_unit_test(test_augment_by_index),
        cmocka_unit_test(test_placement),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_lazy_and_worker_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
