/* Weights read back agree with the network that they are of; each change to
 * them is found, with the layer, or refused. */
#include "export/verify_weights.h"

#include "export/weights.h"
#include "model_builder.h"
#include "tensor/safetensors.h"

#include "unit/asserts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_IMAGES = 70 }; /* more than one batch */

typedef struct fixture {
    char dir[48], tensors[80], sidecar[80];
    apq_int_model *model;
    uint8_t *images;
    apq_verify_weights_options options;
} fixture;

static void open_fixture(fixture *f, const model_shape *shape) {
    *f = (fixture){.dir = "/tmp/apq-test-verify-weights-XXXXXX",
                   .model = build_model(shape, 8)};
    apq_weights_options weights = {.mean = {0.49F, 0.48F, 0.45F},
                                   .std = {0.25F, 0.24F, 0.26F}};
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->tensors, sizeof f->tensors, "%s/network.safetensors",
                   f->dir);
    (void)snprintf(f->sidecar, sizeof f->sidecar, "%s/network.json", f->dir);
    assert_int_equal(apq_export_weights(f->model, &weights, f->dir), APQ_OK);
    f->images = draw_pixels(f->model, N_IMAGES, 9);
    f->options =
        (apq_verify_weights_options){.images = f->images, .n_images = N_IMAGES};
    memcpy(f->options.mean, weights.mean, sizeof weights.mean);
    memcpy(f->options.std, weights.std, sizeof weights.std);
}

static void close_fixture(fixture *f) {
    assert_int_equal(unlink(f->tensors), 0);
    assert_int_equal(unlink(f->sidecar), 0);
    assert_int_equal(rmdir(f->dir), 0);
    apq_int_model_destroy(f->model);
    free(f->images);
}

/* Writes the file anew with element i of one tensor set to `value`, or, where
 * `tensor` is NULL, with `from` in its description replaced by `to`. */
static void alter(const fixture *f, const char *tensor, size_t i, double value,
                  const char *from, const char *to) {
    apq_tensor_file *old, *new;
    assert_status(apq_tensor_file_load(f->tensors, &old), APQ_OK);
    assert_status(apq_tensor_file_create(&new), APQ_OK);
    bool is_found = tensor == NULL;
    for (size_t k = 0; k < apq_tensor_file_length(old); k++) {
        apq_file_tensor t = apq_tensor_file_at(old, k);
        char *data = malloc(t.n_bytes);
        assert_non_null(data);
        memcpy(data, t.data, t.n_bytes);
        if (tensor != NULL && strcmp(t.name, tensor) == 0) {
            is_found = true;
            if (t.dtype == APQ_F32) {
                ((float *)(void *)data)[i] = (float)value;
            } else if (t.dtype == APQ_I32) {
                ((int32_t *)(void *)data)[i] = (int32_t)value;
            } else {
                data[i] = (char)value;
            }
        }
        assert_status(
            apq_tensor_file_put(new, t.name, t.dtype, t.rank, t.shape, data),
            APQ_OK);
        free(data);
    }
    assert_true(is_found);
    char text[16384];
    const char *network = apq_tensor_file_meta(old, "network");
    const char *at = from == NULL ? NULL : strstr(network, from);
    assert_true(from == NULL || at != NULL);
    if (at == NULL) {
        (void)snprintf(text, sizeof text, "%s", network);
    } else {
        (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - network),
                       network, to, at + strlen(from));
    }
    assert_status(
        apq_tensor_file_put_meta(new, "format", "apq integer network 1"),
        APQ_OK);
    assert_status(apq_tensor_file_put_meta(new, "network", text), APQ_OK);
    assert_status(apq_tensor_file_save(new, f->tensors), APQ_OK);
    apq_tensor_file_destroy(old);
    apq_tensor_file_destroy(new);
}

static apq_status verify(const fixture *f, apq_verification *out) {
    return apq_verify_weights(f->model, f->tensors, &f->options, out);
}

static void what_is_written_agrees(void **state) {
    (void)state;
    const model_shape *shapes[] = {&mixed_shape, &odd_shape};
    for (size_t i = 0; i < 2; i++) {
        fixture f;
        apq_verification out;
        open_fixture(&f, shapes[i]);
        assert_status(verify(&f, &out), APQ_OK);
        assert_true(out.agrees);
        assert_int_equal(out.n_images, N_IMAGES);
        assert_string_equal(out.difference, "");
        close_fixture(&f);
    }
}

/* One number of each tensor that a network is made of. */
static void changed_numbers_are_found(void **state) {
    (void)state;
    static const struct {
        const char *tensor, *layer;
        size_t i;
        double value;
    } changes[] = {
        {"stem.weight", "stem", 4, 1},
        {"stem.input_step", "stem", 0, 0.05},
        {"first.depthwise.bias", "first.depthwise", 0, 1 << 20},
        {"first.pointwise.rescale", "first.pointwise", 2, 0.5},
        {"block2.expand.reround", "block2.expand", 130, -7},
        {"classifier.bias", "classifier", 1, 12345},
        {"classifier.logit_scale", "classifier", 0, 3},
        {"classifier.pool_rescale", "classifier", 0, 1e-6},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        fixture f;
        apq_verification out;
        open_fixture(&f, &mixed_shape);
        alter(&f, changes[i].tensor, changes[i].i, changes[i].value, NULL,
              NULL);
        assert_status(verify(&f, &out), APQ_OK);
        assert_false(out.agrees);
        if (strcmp(out.layer, changes[i].layer) != 0) {
            fail_msg("%s changed: found in %s", changes[i].tensor, out.layer);
        }
        assert_non_null(strstr(out.difference, changes[i].layer));
        assert_int_equal(out.n_images, out.image + 1);
        close_fixture(&f);
    }
}

static void another_description_is_found(void **state) {
    (void)state;
    static const char *const changes[][3] = {
        {"\"stride\":2", "\"stride\":1", "is described as another layer"},
        {"\"output_codes\":null", "\"output_codes\":[0,1]",
         "classifier is described"},
        {"{\"name\":\"stem\"", "{},{\"name\":\"stem\"", " layers are "},
        {"\"std\":[", "\"std\":[\"a\",", "another mean or deviation"},
        {"\"mean\":[0.49", "\"mean\":[0.29", "another mean or deviation"},
        {"\"class_names\":null", "\"class_names\":[\"a\"]", "other names"},
        {"\"filter\":\"triangle\"", "\"filter\":\"box\"",
         "images are described as prepared otherwise"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        fixture f;
        apq_verification out;
        open_fixture(&f, &mixed_shape);
        alter(&f, NULL, 0, 0, changes[i][0], changes[i][1]);
        assert_status(verify(&f, &out), APQ_OK);
        assert_false(out.agrees);
        assert_int_equal(out.n_images, 0);
        if (strstr(out.difference, changes[i][2]) == NULL) {
            fail_msg("%s: %s", changes[i][1], out.difference);
        }
        close_fixture(&f);
    }
}

/* As exports before had them. */
static void descriptions_without_classes_agree(void **state) {
    (void)state;
    fixture f;
    apq_verification out;
    open_fixture(&f, &mixed_shape);
    alter(&f, NULL, 0, 0, "\"class_names\":", "\"x\":");
    alter(&f, NULL, 0, 0, "\"preprocessing\":", "\"y\":");
    assert_status(verify(&f, &out), APQ_OK);
    assert_true(out.agrees);
    close_fixture(&f);
}

/* What no integer network has could overflow a sum. */
static void illegal_numbers_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *tensor;
        double value;
        const char *message;
    } changes[] = {
        {"stem.weight", -128, "stem.weight: -128, legal -127 ... 127"},
        {"stem.bias", -2e9, "stem.bias: -2000000000, legal -1073741824"},
        {"stem.rescale", -1, "stem.rescale: -1, legal > 0"},
        {"stem.output_step", 0, "stem.output_step: 0, legal > 0"},
        {"stem.input_zero_point", 3, "stem.input_zero_point: 3, legal 0"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        fixture f;
        apq_verification out;
        open_fixture(&f, &mixed_shape);
        alter(&f, changes[i].tensor, 0, changes[i].value, NULL, NULL);
        assert_status(verify(&f, &out), APQ_ERR_FORMAT);
        assert_false(out.agrees);
        if (strstr(apq_error_message(), changes[i].message) == NULL) {
            fail_msg("%s: %s", changes[i].tensor, apq_error_message());
        }
        close_fixture(&f);
    }
}

static void other_files_are_refused(void **state) {
    (void)state;
    fixture f;
    apq_verification out;
    open_fixture(&f, &mixed_shape);
    alter(&f, NULL, 0, 0, "{", "");
    assert_status(verify(&f, &out), APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(), "no description"));
    assert_int_equal(truncate(f.tensors, 100), 0);
    assert_status(verify(&f, &out), APQ_ERR_FORMAT);
    close_fixture(&f);
}

static bool stop_at_once(void *ctx) {
    (void)ctx;
    return true;
}

static void it_stops_when_asked(void **state) {
    (void)state;
    fixture f;
    apq_verification out;
    open_fixture(&f, &odd_shape);
    const apq_progress progress = {.stop_requested = stop_at_once};
    f.options.progress = &progress;
    assert_status(verify(&f, &out), APQ_ERR_INTERRUPTED);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_agrees),
        cmocka_unit_test(changed_numbers_are_found),
        cmocka_unit_test(another_description_is_found),
        cmocka_unit_test(descriptions_without_classes_agree),
        cmocka_unit_test(illegal_numbers_are_refused),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(it_stops_when_asked),
    };
    return cmocka_run_group_tests_name("verify_weights", tests, NULL, NULL);
}
