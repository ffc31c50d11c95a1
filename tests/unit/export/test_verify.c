/* Verification by ONNX Runtime: random models agree, broken files do not and
 * the broken layer is named. */
#include "export/verify.h"

#include "base/file.h"
#include "export/onnx.h"
#include "unit/export/model_builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct bench {
    apq_int_model *model;
    apq_dataset *dataset;
    apq_loader *loader;
    char path[64];
} bench;

/* Of mixed widths or, where `bits` is not 0, of one. */
static apq_int_model *make_model(uint64_t seed, int bits) {
    enum { MAX_BLOCKS = 8 };
    block_shape blocks[MAX_BLOCKS];
    model_shape shape = mixed_shape;
    assert_true(shape.n_blocks <= MAX_BLOCKS);
    for (int i = 0; bits != 0 && i < shape.n_blocks; i++) {
        blocks[i] = mixed_shape.blocks[i];
        blocks[i].pw_weight = blocks[i].pw_act = bits;
        blocks[i].dw_weight = blocks[i].dw_act = bits;
        shape.blocks = blocks;
    }
    return build_model(&shape, seed);
}

static void open_bench(bench *b, uint64_t seed, int bits,
                       const apq_onnx_options *options) {
    b->model = make_model(seed, bits);
    assert_int_equal(
        apq_dataset_open("builtin:shapes?train=100&test=24&size=12", NULL,
                         &b->dataset),
        APQ_OK);
    assert_int_equal(
        apq_loader_create(
            b->dataset,
            &(apq_loader_options){.split = APQ_SPLIT_TEST, .batch = 10},
            &b->loader),
        APQ_OK);
    assert_int_equal(apq_loader_start(b->loader, 0, 0), APQ_OK);
    (void)snprintf(b->path, sizeof b->path, "/tmp/apq_verify_%ld.onnx",
                   (long)getpid());
    assert_int_equal(apq_export_onnx(b->model, options, b->path), APQ_OK);
}

static void close_bench(bench *b) {
    (void)unlink(b->path);
    apq_loader_destroy(b->loader);
    apq_dataset_destroy(b->dataset);
    apq_int_model_destroy(b->model);
}

static const char *runtime(void) {
    const char *library = getenv("APQ_ORT");
    if (library == NULL || *library == '\0') {
        print_message("skipped: needs ONNX Runtime "
                      "(APQ_ORT=$(scripts/onnx-runtime.sh FOLDER))\n");
        skip();
    }
    return library;
}

static void expect_agreement(uint64_t seed, int bits,
                             const apq_onnx_options *options) {
    bench b;
    open_bench(&b, seed, bits, options);
    apq_verification v;
    bool is_qonnx = options->flavour == APQ_ONNX_QONNX;
    assert_int_equal(
        apq_verify_onnx(
            b.model, b.path, b.loader,
            &(apq_verify_options){.runtime = runtime(),
                                  .is_float = options->is_scaled,
                                  .has_codes = is_qonnx && !options->is_scaled,
                                  .n_threads = 1},
            &v),
        APQ_OK);
    assert_int_equal(v.n_images, 24);
    if (!v.agrees) {
        fail_msg("seed %d: %d images of another class, %g ranges off, %s",
                 (int)seed, (int)v.n_other_class, v.worst, v.layer);
    }
    close_bench(&b);
}

static void test_agreement(void **state) {
    (void)state;
    (void)runtime();
    for (uint64_t seed = 0; seed < 6; seed++) {
        int bits = seed < 3 ? 0 : 4 + 2 * ((int)seed - 3);
        expect_agreement(seed, bits, &(apq_onnx_options){.is_packed = false});
    }
    expect_agreement(9, 0, &(apq_onnx_options){.is_packed = true});
    for (uint64_t seed = 6; seed < 12; seed++) {
        int bits = seed < 9 ? 0 : 4 + 2 * ((int)seed - 9);
        expect_agreement(seed, bits,
                         &(apq_onnx_options){.flavour = APQ_ONNX_QONNX,
                                             .is_called_quant = seed == 6,
                                             .is_scaled = seed == 7});
    }
}

/* One code of the bias of one layer is another than what the file says. */
static void expect_disagreement(apq_onnx_flavour flavour) {
    bench b;
    open_bench(&b, 4, 0, &(apq_onnx_options){.flavour = flavour});
    apq_int_conv *broken = &b.model->convs[7];
    int32_t *bias = apq_arena_alloc(
        b.model->arena, (size_t)broken->ir.out_channels, sizeof *bias);
    memcpy(bias, broken->bias, (size_t)broken->ir.out_channels * sizeof *bias);
    bias[1] += (int32_t)(200 / broken->rescale[1]);
    broken->bias = bias;
    apq_verification v;
    apq_verify_options options = {.runtime = runtime(),
                                  .has_codes = flavour == APQ_ONNX_QONNX,
                                  .n_threads = 1};
    assert_int_equal(apq_verify_onnx(b.model, b.path, b.loader, &options, &v),
                     APQ_OK);
    assert_false(v.agrees);
    assert_string_equal(v.layer, broken->ir.name);
    assert_true(v.n_codes > 0);
    close_bench(&b);
}

static void test_disagreement(void **state) {
    (void)state;
    (void)runtime();
    expect_disagreement(APQ_ONNX_QDQ);
    expect_disagreement(APQ_ONNX_QONNX);
}

/* Exports of other networks of the same inputs and outputs: one whose layers
 * have other sizes, one that lacks some of them. */
static void test_unnamed_layers(void **state) {
    (void)state;
    (void)runtime();
    static const char *const reasons[] = {"elements of type 1, expected",
                                          "does not exist in the graph"};
    for (size_t i = 0; i < 2; i++) {
        bench b;
        block_shape block = mixed_shape.blocks[0];
        model_shape shape = mixed_shape;
        shape.blocks = &block;
        shape.n_blocks = 1;
        block.middle += i == 0;
        const apq_onnx_options written = {.is_packed = false};
        open_bench(&b, 4, 0, &written);
        apq_int_model_destroy(b.model);
        b.model = i == 0 ? build_model(&shape, 4) : make_model(5, 0);
        block.middle = mixed_shape.blocks[0].middle;
        apq_int_model *other = build_model(&shape, 5);
        assert_int_equal(apq_export_onnx(other, &written, b.path), APQ_OK);
        apq_int_model_destroy(other);
        apq_verification v;
        apq_verify_options options = {.runtime = runtime(), .n_threads = 1};
        assert_int_equal(
            apq_verify_onnx(b.model, b.path, b.loader, &options, &v), APQ_OK);
        assert_false(v.agrees);
        assert_int_equal(v.n_images, 24);
        assert_true(v.n_far > 0 && v.worst > 0);
        assert_string_equal(v.layer, "");
        if (strstr(v.no_layer, reasons[i]) == NULL) {
            fail_msg("%s", v.no_layer);
        }
        close_bench(&b);
    }
}

static void test_failures(void **state) {
    (void)state;
    bench b;
    apq_verification v;
    open_bench(&b, 4, 0, &(apq_onnx_options){.is_packed = false});
    apq_verify_options options = {.runtime = "/no/such/library.so",
                                  .n_threads = 1};
    assert_int_equal(apq_verify_onnx(b.model, b.path, b.loader, &options, &v),
                     APQ_ERR_EXTERNAL);
    options.runtime = "libm.so.6";
    assert_int_equal(apq_verify_onnx(b.model, b.path, b.loader, &options, &v),
                     APQ_ERR_EXTERNAL);
    assert_non_null(strstr(apq_error_message(), "not ONNX Runtime"));
    assert_int_equal(apq_file_write(b.path, "not onnx", 8), APQ_OK);
    if (getenv("APQ_ORT") != NULL) {
        options.runtime = getenv("APQ_ORT");
        assert_int_equal(
            apq_verify_onnx(b.model, b.path, b.loader, &options, &v),
            APQ_ERR_FORMAT);
    }
    close_bench(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agreement),
        cmocka_unit_test(test_disagreement),
        cmocka_unit_test(test_unnamed_layers),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
