/* Integer weights: what is written is the model, and PyTorch, where there is
 * one, makes the reference's logits of it. */
#include "export/weights.h"

#include "base/file.h"
#include "deploy/int_reference.h"
#include "model_builder.h"
#include "tensor/safetensors.h"

#include "unit/asserts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

enum { N_IMAGES = 5 };

typedef struct fixture {
    char dir[40], tensors[64], sidecar[64];
    apq_int_model *model;
    apq_weights_options options;
} fixture;

static void open_fixture(fixture *f, const model_shape *shape) {
    *f = (fixture){.dir = "/tmp/apq-test-weights-XXXXXX",
                   .model = build_model(shape, 8),
                   .options = {.policy = "{\"depth\": [1]}",
                               .mean = {0.49F, 0.48F, 0.45F},
                               .std = {0.25F, 0.24F, 0.26F}}};
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->tensors, sizeof f->tensors, "%s/network.safetensors",
                   f->dir);
    (void)snprintf(f->sidecar, sizeof f->sidecar, "%s/network.json", f->dir);
    assert_int_equal(apq_export_weights(f->model, &f->options, f->dir), APQ_OK);
}

static void close_fixture(fixture *f) {
    assert_int_equal(unlink(f->tensors), 0);
    assert_int_equal(unlink(f->sidecar), 0);
    assert_int_equal(rmdir(f->dir), 0);
    apq_int_model_destroy(f->model);
}

static const void *get(const apq_tensor_file *file, const char *layer,
                       const char *what, apq_dtype dtype, int rank,
                       const int64_t *shape) {
    char name[80];
    const void *data = NULL;
    (void)snprintf(name, sizeof name, "%s.%s", layer, what);
    assert_status(apq_tensor_file_get(file, name, dtype, rank, shape, &data),
                  APQ_OK);
    return data;
}

static void check_conv(const apq_tensor_file *file, const apq_int_conv *l) {
    const char *name = l->ir.name;
    int64_t taps = (int64_t)l->ir.kernel * l->ir.kernel;
    int64_t depth = apq_int_depth(&l->ir), channels = depth / taps;
    const int64_t shape[] = {l->ir.out_channels, channels, l->ir.kernel,
                             l->ir.kernel};
    size_t n = (size_t)shape[0];
    const int8_t *w = get(file, name, "weight", APQ_I8, 4, shape);
    for (int64_t k = 0; k < shape[0]; k++) {
        for (int64_t tap = 0; tap < taps; tap++) {
            for (int64_t c = 0; c < channels; c++) {
                assert_int_equal(w[(k * channels + c) * taps + tap],
                                 l->w[k * depth + tap * channels + c]);
            }
        }
    }
    assert_memory_equal(get(file, name, "bias", APQ_I32, 1, shape), l->bias,
                        n * sizeof *l->bias);
    assert_memory_equal(get(file, name, "weight_step", APQ_F32, 1, shape),
                        l->weight_step, n * sizeof *l->weight_step);
    assert_memory_equal(get(file, name, "rescale", APQ_F32, 1, shape),
                        l->rescale, n * sizeof *l->rescale);
    assert_memory_equal(get(file, name, "input_step", APQ_F32, 0, NULL),
                        &l->in.step, sizeof l->in.step);
    assert_memory_equal(get(file, name, "output_step", APQ_F32, 0, NULL),
                        &l->out.step, sizeof l->out.step);
    const int32_t *zero =
        get(file, name, "output_zero_point", APQ_I32, 0, NULL);
    assert_int_equal(*zero, 0);
    if (l->reround != NULL) {
        const int64_t n_table[] = {256};
        assert_memory_equal(get(file, name, "reround", APQ_I8, 1, n_table),
                            l->reround, 256);
    }
}

static void tensors_are_the_model(void **state) {
    (void)state;
    fixture f;
    apq_tensor_file *file;
    open_fixture(&f, &mixed_shape);
    assert_int_equal(apq_tensor_file_load(f.tensors, &file), APQ_OK);
    for (int i = 0; i < f.model->n_convs; i++) {
        check_conv(file, &f.model->convs[i]);
    }
    const int64_t shape[] = {f.model->n_classes, f.model->channels};
    assert_memory_equal(get(file, "classifier", "weight", APQ_I8, 2, shape),
                        f.model->w, (size_t)(shape[0] * shape[1]));
    assert_memory_equal(
        get(file, "classifier", "logit_scale", APQ_F32, 1, shape),
        f.model->logit_scale, (size_t)shape[0] * sizeof(float));
    apq_tensor_file_destroy(file);
    close_fixture(&f);
}

static void description_tells_widths(void **state) {
    (void)state;
    fixture f;
    apq_tensor_file *file;
    json_error_t error;
    open_fixture(&f, &mixed_shape);
    json_t *root = json_load_file(f.sidecar, 0, &error);
    assert_int_equal(apq_tensor_file_load(f.tensors, &file), APQ_OK);
    json_t *meta = json_loads(apq_tensor_file_meta(file, "network"), 0, &error);
    assert_non_null(root);
    assert_true(json_equal(root, meta));
    assert_non_null(json_object_get(json_object_get(root, "policy"), "depth"));
    json_t *layers = json_object_get(root, "layers");
    assert_int_equal(json_array_size(layers), f.model->n_convs + 1);
    /* block1.project: 6 bits of weights, 8 of input, a residual from block0. */
    json_t *layer = json_array_get(layers, 8);
    const char *name, *from;
    int weight_bits, input_bits, low, high;
    assert_int_equal(json_unpack(layer, "{s:s,s:i,s:i,s:s,s:[i,i]}", "name",
                                 &name, "weight_bits", &weight_bits,
                                 "input_bits", &input_bits, "residual_from",
                                 &from, "output_codes", &low, &high),
                     0);
    assert_string_equal(name, "block1.project");
    assert_string_equal(from, "block0.project");
    assert_int_equal(weight_bits, 6);
    assert_int_equal(input_bits, 8);
    assert_int_equal(low, -128);
    assert_int_equal(high, 127);
    json_decref(root);
    json_decref(meta);
    apq_tensor_file_destroy(file);
    close_fixture(&f);
}

static void bad_input_is_refused(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, &odd_shape);
    f.options.policy = "[1]";
    assert_int_equal(apq_export_weights(f.model, &f.options, f.dir),
                     APQ_ERR_ARG);
    f.options.policy = NULL;
    assert_int_equal(apq_export_weights(f.model, &f.options, "/dev/null/x"),
                     APQ_ERR_IO);
    close_fixture(&f);
}

/* The reference's logits of bytes. */
static void expect(const fixture *f, const uint8_t *image, float *logits) {
    int n = 3 * f->model->resolution * f->model->resolution;
    float *values = calloc((size_t)n, sizeof *values);
    assert_non_null(values);
    for (int i = 0; i < n; i++) {
        values[i] = ((float)image[i] / 255.0F - f->options.mean[i % 3]) /
                    f->options.std[i % 3];
    }
    assert_int_equal(apq_int_reference_run(f->model, values, NULL, logits),
                     APQ_OK);
    free(values);
}

static void pytorch_gives_the_logits(void **state) {
    (void)state;
    const char *python = getenv("APQ_PYTHON");
    python = python != NULL ? python : "python3";
    char command[512];
    (void)snprintf(command, sizeof command,
                   "%s -c 'import torch' >/dev/null 2>&1", python);
    if (system(command) != 0) {
        print_message(
            "skipped: needs PyTorch in %s (APQ_PYTHON names another)\n",
            python);
        skip();
    }
    fixture f;
    open_fixture(&f, &mixed_shape);
    size_t image_bytes =
        3 * (size_t)f.model->resolution * (size_t)f.model->resolution;
    uint8_t *images = draw_pixels(f.model, N_IMAGES, 9);
    char pixels[64];
    (void)snprintf(pixels, sizeof pixels, "%s/pixels", f.dir);
    assert_int_equal(apq_file_write(pixels, images, N_IMAGES * image_bytes),
                     APQ_OK);
    (void)snprintf(command, sizeof command, "%s examples/load_pytorch.py %s %s",
                   python, f.dir, pixels);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    for (size_t i = 0; i < N_IMAGES; i++) {
        float logits[16], got;
        expect(&f, images + i * image_bytes, logits);
        for (int k = 0; k < f.model->n_classes; k++) {
            assert_int_equal(fscanf(out, "%f", &got), 1);
            if (!(fabsf(got - logits[k]) <= 0.0F)) {
                fail_msg("image %zu, class %d: %.9g, not %.9g", i, k,
                         (double)got, (double)logits[k]);
            }
        }
    }
    assert_int_equal(pclose(out), 0);
    assert_int_equal(unlink(pixels), 0);
    free(images);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_the_model),
        cmocka_unit_test(description_tells_widths),
        cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(pytorch_gives_the_logits),
    };
    return cmocka_run_group_tests_name("weights", tests, NULL, NULL);
}
