/* Fine-tuned network files read back, and the classes that a classifier tells
 * of images, against the integer engine itself. */
#include "app/network.h"

#include "deploy/int_engine.h"
#include "supernet/supernet.h"
#include "unit/data/make.h"

#include <apq/classifier.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 16, N_VALUES = SIDE * SIDE * 3, N_IMAGES = 40, N_CLASSES = 10 };
static const char data_uri[] = "builtin:shapes?train=60&test=40&size=16";

typedef struct fixture {
    char root[PATH_BYTES], path[PATH_BYTES];
    apq_dataset *dataset;
    apq_space space;
    apq_policy policy;
    float images[N_IMAGES][N_VALUES]; /* of the test split, normalised */
    float logits[N_IMAGES][N_CLASSES];
} fixture;

/* Metadata of the file to write that differ from a sound one; "weights" is of
 * the first tensor. */
typedef struct change {
    const char *key, *value; /* NULL value: left out */
} change;

static void put_meta(apq_tensor_file *file, const change *changed,
                     const char *key, const char *value) {
    if (changed != NULL && strcmp(changed->key, key) == 0) {
        value = changed->value;
    }
    if (value != NULL) {
        assert_int_equal(apq_tensor_file_put_meta(file, key, value), APQ_OK);
    }
}

static void write_file(const fixture *f, const apq_model *model,
                       const apq_nn_net *net, bool has_data,
                       const change *changed) {
    apq_tensor_file *file;
    char hash[APQ_HASH_MAX];
    apq_space_hash(&f->space, hash);
    char *policy = apq_policy_to_json(&f->space, &f->policy);
    assert_int_equal(apq_tensor_file_create(&file), APQ_OK);
    if (has_data) {
        assert_int_equal(apq_network_put_data(file, f->dataset), APQ_OK);
    }
    assert_int_equal(apq_model_put(model, net, false, file), APQ_OK);
    put_meta(file, changed, "format", "apq network 2");
    put_meta(file, changed, "space", "tiny");
    put_meta(file, changed, "space_hash", hash);
    put_meta(file, changed, "classes", "10");
    put_meta(file, changed, "data_hash", apq_dataset_hash(f->dataset));
    put_meta(file, changed, "policy", policy);
    if (changed != NULL) { /* keys that another function wrote */
        put_meta(file, changed, changed->key, changed->value);
    }
    assert_int_equal(apq_tensor_file_save(file, f->path), APQ_OK);
    apq_tensor_file_destroy(file);
    free(policy);
}

/* The engine's logits of the test images. */
static void run_engine(fixture *f, const apq_nn_net *net) {
    apq_int_engine *engine;
    apq_int_model *model;
    assert_int_equal(apq_int_model_create(net, &model), APQ_OK);
    assert_int_equal(apq_int_engine_create(model, &engine), APQ_OK);
    apq_int_model_destroy(model);
    assert_int_equal(
        apq_int_engine_run(engine, f->images[0], N_IMAGES, f->logits[0]),
        APQ_OK);
    apq_int_engine_destroy(engine);
}

/* A random network of the tiny space, calibrated, in f->path. */
static void make_network(fixture *f, apq_quantiser quantiser, bool has_data,
                         const change *changed) {
    apq_supernet *supernet;
    apq_model *model;
    apq_arena *arena;
    const apq_backend *backend;
    apq_nn_net *net = calloc(1, sizeof *net);
    assert_non_null(net);
    apq_rng rng = apq_rng_make(3, APQ_RNG_TEST, 0);
    apq_policy_random(&f->space, &rng, &f->policy);
    assert_int_equal(apq_supernet_create(&f->space, 7, &supernet), APQ_OK);
    assert_int_equal(apq_backend_find("auto", &backend), APQ_OK);
    assert_int_equal(apq_arena_create(&arena), APQ_OK);
    assert_int_equal(
        apq_supernet_extract(supernet, &f->policy, quantiser, &model), APQ_OK);
    assert_int_equal(apq_model_bind(model, backend, arena, net), APQ_OK);
    assert_int_equal(apq_nn_calibrate(net, f->images[0], N_IMAGES), APQ_OK);
    apq_model_store_ranges(model, net);
    float *logits;
    apq_nn_recalibrate_reset(net);
    assert_int_equal(apq_nn_forward(net, APQ_NN_RECALIBRATE, f->images[0],
                                    N_IMAGES, &logits),
                     APQ_OK);
    run_engine(f, net);
    if (changed != NULL && strcmp(changed->key, "weights") == 0) {
        apq_params_value(&model->params, 0)[0] = NAN;
    }
    write_file(f, model, net, has_data, changed);
    apq_nn_net_fini(net);
    free(net);
    apq_model_destroy(model);
    apq_arena_destroy(arena);
    apq_supernet_destroy(supernet);
}

static void read_pixels(const fixture *f, size_t i, uint8_t *hwc) {
    assert_int_equal(apq_dataset_image(f->dataset, APQ_SPLIT_TEST, i, hwc),
                     APQ_OK);
}

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    make_temporary(f->root);
    path_in(f->path, f->root, "network.safetensors");
    f->dataset =
        must_open(data_uri, &(apq_data_options){.n_val = -1, .split_seed = 1});
    assert_int_equal(apq_space_load("tiny", &f->space), APQ_OK);
    float mean[3], std[3];
    apq_dataset_normalisation(f->dataset, mean, std);
    for (size_t i = 0; i < N_IMAGES; i++) {
        uint8_t hwc[N_VALUES];
        read_pixels(f, i, hwc);
        for (size_t k = 0; k < N_VALUES; k++) {
            f->images[i][k] =
                ((float)hwc[k] / 255.0f - mean[k % 3]) / std[k % 3];
        }
    }
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    apq_dataset_destroy(f->dataset);
    remove_tree(f->root);
    free(f);
    return 0;
}

/* Answers are softmax of the expected logits, falling, with the right names. */
static void assert_answers(const fixture *f, size_t i, const apq_class *c,
                           size_t n) {
    const float *logits = f->logits[i];
    double sum = 0;
    for (int k = 0; k < N_CLASSES; k++) {
        sum += exp((double)logits[k]);
    }
    for (size_t a = 0; a < n; a++) {
        int n_above = 0;
        for (int k = 0; k < N_CLASSES; k++) {
            n_above += logits[k] > logits[c[a].label];
        }
        assert_true((size_t)n_above <= a);
        assert_string_equal(c[a].name,
                            apq_dataset_class_name(f->dataset, c[a].label));
        double expected = exp((double)logits[c[a].label]) / sum;
        if (!(fabs(c[a].probability - expected) <= 1e-6)) {
            fail_msg("image %zu, class %d: %g instead of %g", i, c[a].label,
                     c[a].probability, expected);
        }
        assert_true(a == 0 || c[a].probability <= c[a - 1].probability);
    }
}

static void test_answers(void **state) {
    fixture *f = *state;
    char path[PATH_BYTES];
    path_in(path, f->root, "image.png");
    for (int q = 0; q < 4; q++) {
        bool has_data = q < 2;
        make_network(f, q % 2 == 0 ? APQ_QUANTISER_APQ : APQ_QUANTISER_LSQ,
                     has_data, NULL);
        apq_classifier *classifier;
        const apq_classifier_options options = {NULL,
                                                has_data ? NULL : data_uri};
        assert_int_equal(apq_classifier_create(f->path, &options, &classifier),
                         APQ_OK);
        for (size_t i = 0; i < N_IMAGES; i++) {
            uint8_t hwc[N_VALUES];
            apq_class classes[N_CLASSES + 2];
            read_pixels(f, i, hwc);
            assert_int_equal(apq_classifier_pixels(classifier, hwc, SIDE, SIDE,
                                                   N_CLASSES + 2, classes),
                             APQ_OK);
            assert_answers(f, i, classes, N_CLASSES);
            assert_int_equal(classes[N_CLASSES].label, -1);
            assert_null(classes[N_CLASSES + 1].name);
            write_png(path, hwc, SIDE, SIDE);
            assert_int_equal(apq_classifier_file(classifier, path, 2, classes),
                             APQ_OK);
            assert_answers(f, i, classes, 2);
        }
        assert_int_equal(apq_classifier_file(classifier, f->path, 1,
                                             &(apq_class){.label = 0}),
                         APQ_ERR_FORMAT);
        apq_classifier_destroy(classifier);
    }
}

/* What a file without names is given: numbers. */
static void test_no_names(void **state) {
    fixture *f = *state;
    make_network(f, APQ_QUANTISER_APQ, true, &(change){"class_names", "[]"});
    apq_classifier *classifier;
    assert_int_equal(apq_classifier_create(f->path, NULL, &classifier),
                     APQ_ERR_FORMAT);
    make_network(f, APQ_QUANTISER_APQ, false,
                 &(change){"image_mean", "[0.5,0.5,0.5]"});
    assert_int_equal(apq_classifier_create(f->path, NULL, &classifier),
                     APQ_ERR_FORMAT); /* no deviation */
    assert_non_null(strstr(apq_error_message(), "--data"));
}

static void test_refusals(void **state) {
    fixture *f = *state;
    static const struct {
        change changed;
        apq_status status;
    } rows[] = {
        {{"format", "apq supernet 1"}, APQ_ERR_FORMAT},
        {{"format", "apq network 3"}, APQ_ERR_FORMAT},
        {{"space", "configs/spaces/tiny.yaml"}, APQ_ERR_ARG}, /* no name */
        {{"weights", "nan"}, APQ_ERR_FORMAT},
        {{"policy", NULL}, APQ_ERR_FORMAT},
        {{"policy", "{}"}, APQ_ERR_FORMAT},
        {{"classes", "0"}, APQ_ERR_FORMAT},
        {{"classes", "1O"}, APQ_ERR_FORMAT},
        {{"classes", "9"}, APQ_ERR_FORMAT}, /* other tensors */
        {{"space_hash", "0123456789abcdef"}, APQ_ERR_MISMATCH},
        {{"quantiser", "other"}, APQ_ERR_FORMAT},
        {{"image_std", "[0.2,0.2,0]"}, APQ_ERR_FORMAT},
        {{"image_std", "[0.2,0.2]"}, APQ_ERR_FORMAT},
        {{"image_mean", "[0.2,\"a\",0.1]"}, APQ_ERR_FORMAT},
        {{"image_mean", "nonsense"}, APQ_ERR_FORMAT},
        {{"class_names", "[\"a\",1,2,3,4,5,6,7,8,9]"}, APQ_ERR_FORMAT},
        {{"class_names", "{}"}, APQ_ERR_FORMAT},
        {{"space_text", "name: tiny"}, APQ_ERR_FORMAT},
        {{"space_text", ""}, APQ_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        make_network(f, APQ_QUANTISER_APQ, true, &rows[i].changed);
        apq_network *network = NULL;
        apq_status st = apq_network_open(f->path, NULL, &network);
        if (st != rows[i].status) {
            fail_msg("%s: status %d: %s", rows[i].changed.key, (int)st,
                     apq_error_message());
        }
        assert_null(network);
        assert_ptr_equal(strstr(apq_error_message(), f->path),
                         apq_error_message());
    }
    make_network(f, APQ_QUANTISER_APQ, false, NULL);
    apq_classifier *classifier;
    const apq_classifier_options other = {
        NULL, "builtin:shapes?train=60&test=40&size=16&seed=9"};
    assert_int_equal(apq_classifier_create(f->path, &other, &classifier),
                     APQ_ERR_MISMATCH);
}

/* A space that goes by no name that is known, in the file and by hand. */
static void test_own_space(void **state) {
    fixture *f = *state;
    apq_network *network = NULL;
    apq_space space;
    char *text, other[] = "resolution: 16";
    size_t n_bytes;
    make_network(f, APQ_QUANTISER_APQ, true, &(change){"space", "own"});
    assert_int_equal(apq_network_open(f->path, NULL, &network), APQ_ERR_ARG);
    assert_int_equal(apq_network_open(f->path, "tiny", &network), APQ_OK);
    apq_network_destroy(network);
    assert_int_equal(apq_file_read("configs/spaces/tiny.yaml", &text, &n_bytes),
                     APQ_OK);
    assert_int_equal(apq_space_parse(text, "text", &space), APQ_OK);
    assert_memory_equal(space.blocks, f->space.blocks, sizeof space.blocks);
    make_network(f, APQ_QUANTISER_APQ, true, &(change){"space_text", text});
    assert_int_equal(apq_network_open(f->path, NULL, &network), APQ_OK);
    assert_int_equal(network->space.n_classes, N_CLASSES);
    apq_network_destroy(network);
    memcpy(strstr(text, other), "resolution: 32", strlen(other));
    make_network(f, APQ_QUANTISER_APQ, true, &(change){"space_text", text});
    assert_int_equal(apq_network_open(f->path, NULL, &network),
                     APQ_ERR_MISMATCH);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_own_space, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
