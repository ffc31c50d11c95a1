/* The integer engine and the fused integer evaluation against the definition,
 * bit by bit, the latter with the kernels of every instruction set that this
 * machine has. */
#include "deploy/int_infer.h"

#include "backend/backend.h"
#include "base/rng.h"
#include "deploy/int_engine.h"
#include "deploy/int_plan.h"
#include "deploy/int_reference.h"
#include "nn/model.h"

#include "unit/allocations.h"
#include "unit/nn/chain.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Networks ---------------------------------------------------------------- */

/* One block: expand 0 leaves the expansion out, so that the depthwise layer
 * reads signed codes; stride 1 and in == out makes it residual. */
typedef struct block_case {
    int expand, out, kernel, stride;
} block_case;

typedef struct net_case {
    int image_channels, side, stem, stem_stride, mix, classes, n_images;
    int n_blocks;
    block_case blocks[4];
} net_case;

/* Kernels, strides, widths around every vector length and word, images of one
 * pixel and of odd sides. */
static const net_case cases[] = {
    {3, 8, 4, 1, 7, 3, 5, 1, {{0, 5, 3, 1}}},
    {4, 9, 16, 1, 48, 10, 7, 2, {{96, 16, 3, 1}, {33, 24, 5, 2}}},
    {1,
     16,
     17,
     2,
     49,
     17,
     3,
     3,
     {{51, 17, 7, 1}, {100, 9, 7, 2}, {19, 9, 3, 1}}},
    {5, 7, 3, 1, 16, 2, 9, 3, {{5, 3, 5, 1}, {0, 3, 7, 1}, {1, 1, 3, 2}}},
    {9,
     4,
     8,
     2,
     160,
     40,
     9,
     3,
     {{200, 8, 7, 1}, {97, 31, 5, 2}, {31, 31, 3, 1}}},
    {3, 20, 5, 1, 130, 4, 1, 3, {{150, 5, 7, 1}, {0, 5, 5, 2}, {60, 5, 3, 1}}},
    {3, 11, 5, 1, 130, 4, 1, 0, {{0, 0, 0, 0}}},
    {3,
     6,
     32,
     1,
     65,
     6,
     13,
     4,
     {{64, 32, 3, 1}, {0, 32, 3, 2}, {7, 32, 5, 1}, {150, 33, 3, 1}}},
    {3, 36, 16, 1, 20, 10, 3, 2, {{40, 20, 7, 2}, {45, 20, 5, 1}}},
};
enum { N_CASES = sizeof cases / sizeof cases[0], N_BITS = 9 };

/* Case i of the pairs of weight and activation bits, shifted from layer to
 * layer. */
static void set_bits(apq_ir_network *net, int pair) {
    static const int k_bits[] = {4, 6, 8};
    for (size_t i = 0; i < net->n_layers; i++) {
        int at = pair + (int)i;
        net->layers[i].weight_bits = k_bits[at % 3];
        net->layers[i].act_bits = k_bits[at / 3 % 3];
    }
}

/* What reads the output of ReLU6 has unsigned codes. */
static apq_ir_layer *append(apq_ir_network *net, int channels, apq_ir_kind kind,
                            int out, int kernel, int stride) {
    bool is_signed =
        net->n_layers > 0 && !net->layers[net->n_layers - 1].has_relu6;
    apq_ir_layer *l = chain_append(net, channels, kind, out, kernel, stride);
    l->is_act_signed = is_signed;
    return l;
}

static void build(const net_case *c, int pair, apq_ir_network *net) {
    *net = (apq_ir_network){.n_classes = c->classes, .resolution = c->side};
    append(net, c->image_channels, APQ_IR_CONV, c->stem, 3, c->stem_stride)
        ->is_input_image = true;
    for (int i = 0; i < c->n_blocks; i++) {
        const block_case *b = &c->blocks[i];
        const apq_ir_layer *in = &net->layers[net->n_layers - 1];
        int from = (int)net->n_layers - 1;
        bool is_residual =
            b->stride == 1 && b->out == in->out_channels && !in->has_relu6;
        if (b->expand > 0) {
            (void)append(net, 0, APQ_IR_POINTWISE, b->expand, 1, 1);
        }
        int middle = b->expand > 0 ? b->expand : in->out_channels;
        (void)append(net, 0, APQ_IR_DEPTHWISE, middle, b->kernel, b->stride);
        apq_ir_layer *l = append(net, 0, APQ_IR_POINTWISE, b->out, 1, 1);
        l->has_relu6 = false;
        l->residual_from = is_residual ? from : -1;
    }
    (void)append(net, 0, APQ_IR_POINTWISE, c->mix, 1, 1);
    apq_ir_layer *l = append(net, 0, APQ_IR_LINEAR, c->classes, 1, 1);
    l->out_size = 1;
    l->has_relu6 = false;
    set_bits(net, pair);
    assert_int_equal(apq_ir_check(net), APQ_OK);
}

/* A model of a calibrated network of random weights, images, and the logits
 * that it has for them. */
typedef struct subject {
    apq_int_model *model;
    float *images, *expected;
    size_t image_values;
    int n_images, n_classes;
} subject;

static void randomise(apq_model *model, apq_nn_net *net, apq_rng *rng) {
    apq_params *p = &model->params;
    for (size_t i = 0; i < net->n_layers; i++) {
        const apq_ir_layer *ir = &net->layers[i].ir;
        double fan = (double)ir->kernel * ir->kernel;
        fan *= ir->kind == APQ_IR_DEPTHWISE ? 1 : ir->in_channels;
        apq_params_init_normal(p, model->weight[i], 3, fan);
        for (int c = 0; c < ir->out_channels; c++) {
            apq_params_value(p, model->gamma[i])[c] +=
                0.2F * (float)apq_rng_normal(rng);
            if (ir->kind != APQ_IR_LINEAR) {
                apq_params_value(p, model->beta[i])[c] =
                    0.5F * (float)apq_rng_normal(rng);
            }
        }
    }
}

/* The logits of the images as they are now. */
static void define(const subject *s) {
    for (int i = 0; i < s->n_images; i++) {
        assert_int_equal(apq_int_reference_run(
                             s->model, s->images + (size_t)i * s->image_values,
                             NULL, s->expected + (int64_t)i * s->n_classes),
                         APQ_OK);
    }
}

static void open_subject(const net_case *c, int pair, subject *s) {
    apq_ir_network ir;
    build(c, pair, &ir);
    apq_rng rng = apq_rng_make(6, APQ_RNG_TEST, (uint64_t)pair);
    s->image_values = (size_t)(c->side * c->side) * (size_t)c->image_channels;
    size_t n = (size_t)c->n_images * s->image_values;
    s->n_images = c->n_images;
    s->n_classes = c->classes;
    s->images = malloc(n * sizeof *s->images);
    assert_non_null(s->images);
    for (size_t i = 0; i < n; i++) {
        s->images[i] = (float)apq_rng_normal(&rng);
    }
    apq_model *model;
    apq_arena *arena;
    apq_nn_net net;
    const apq_backend *backend;
    assert_int_equal(apq_backend_find("ref", &backend), APQ_OK);
    assert_int_equal(apq_arena_create(&arena), APQ_OK);
    assert_int_equal(
        apq_model_create(&ir, c->image_channels,
                         pair % 2 == 0 ? APQ_QUANTISER_APQ : APQ_QUANTISER_LSQ,
                         &model),
        APQ_OK);
    assert_int_equal(apq_model_bind(model, backend, arena, &net), APQ_OK);
    randomise(model, &net, &rng);
    assert_int_equal(apq_nn_calibrate(&net, s->images, s->n_images), APQ_OK);
    float *logits;
    apq_nn_recalibrate_reset(&net);
    assert_int_equal(apq_nn_forward(&net, APQ_NN_RECALIBRATE, s->images,
                                    s->n_images, &logits),
                     APQ_OK);
    assert_int_equal(apq_int_model_create(&net, &s->model), APQ_OK);
    s->expected = malloc(sizeof(float) * (size_t)(c->n_images * c->classes));
    assert_non_null(s->expected);
    define(s);
    apq_nn_net_fini(&net);
    apq_model_destroy(model);
    apq_arena_destroy(arena);
}

static void close_subject(subject *s) {
    apq_int_model_destroy(s->model);
    free(s->images);
    free(s->expected);
}

/* Tests ------------------------------------------------------------------- */

static bool has_two_values(const float *x, size_t n) {
    for (size_t i = 1; i < n; i++) {
        if (x[i] < x[0] || x[i] > x[0]) {
            return true;
        }
    }
    return false;
}

static void assert_same(const subject *s, const float *actual, const char *what,
                        int pair, const char *by) {
    size_t n = (size_t)s->n_images * (size_t)s->n_classes;
    assert_true(has_two_values(s->expected, n));
    if (memcmp(s->expected, actual, n * sizeof *actual) != 0) {
        fail_msg("%s, bits %d, %s: other bits, first %g for %g", what, pair, by,
                 (double)actual[0], (double)s->expected[0]);
    }
}

static void compare_engine(const subject *s, const char *what, int pair) {
    size_t n = (size_t)s->n_images * (size_t)s->n_classes;
    float *actual = malloc(n * sizeof *actual);
    assert_non_null(actual);
    apq_int_engine *engine;
    assert_int_equal(apq_int_engine_create(s->model, &engine), APQ_OK);
    assert_int_equal(apq_int_engine_run(engine, s->images, s->n_images, actual),
                     APQ_OK);
    assert_same(s, actual, what, pair, "engine");
    apq_int_engine_destroy(engine);
    free(actual);
}

static void compare(const subject *s, const apq_int_tiles *tiles, int threads,
                    const char *what, int pair) {
    size_t n = (size_t)s->n_images * (size_t)s->n_classes;
    float *actual = malloc(n * sizeof *actual);
    assert_non_null(actual);
    apq_backend_set_threads(threads);
    apq_int_infer *infer;
    assert_int_equal(apq_int_infer_create_with(s->model, tiles, &infer),
                     APQ_OK);
    assert_non_null(infer);
    int before = allocations();
    assert_true(before > 0); /* else nothing is counted */
    apq_int_infer_run(infer, s->images, s->n_images, actual);
    memset(actual, 0, n * sizeof *actual);
    apq_int_infer_run(infer, s->images, s->n_images, actual);
    assert_int_equal(allocations(), before);
    assert_same(s, actual, what, pair, tiles->name);
    apq_int_infer_destroy(infer);
    apq_backend_set_threads(0);
    free(actual);
}

static void all_layers_are_their_definition(void **state) {
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        for (int pair = 0; pair < N_BITS; pair++) {
            subject s;
            char what[32];
            (void)snprintf(what, sizeof what, "case %d", i);
            open_subject(&cases[i], pair, &s);
            compare_engine(&s, what, pair);
            const apq_int_tiles *tiles;
            for (int k = 0; (tiles = apq_int_tiles_get(k)) != NULL; k++) {
                compare(&s, tiles, pair % 2 == 0 ? 1 : 3, what, pair);
            }
            close_subject(&s);
        }
    }
}

/* Every pixel saturates, in every direction: products at their largest and
 * codes at both ends of their range. */
static void extremes_are_exact(void **state) {
    (void)state;
    subject s;
    open_subject(&cases[1], 8, &s);
    size_t n = (size_t)s.n_images * s.image_values;
    for (size_t i = 0; i < n; i++) {
        s.images[i] = i % 5 < 2 ? -1e30F : 1e30F;
    }
    define(&s);
    compare_engine(&s, "extremes", 8);
    const apq_int_tiles *tiles;
    for (int k = 0; (tiles = apq_int_tiles_get(k)) != NULL; k++) {
        compare(&s, tiles, 2, "extremes", 8);
    }
    close_subject(&s);
}

/* Other structures are left to the plain engine, without an error. */
static void other_structures_are_left(void **state) {
    (void)state;
    subject s;
    open_subject(&cases[1], 0, &s);
    apq_int_infer *infer;
    apq_int_conv *c = &s.model->convs[2];
    int kernel = c->ir.kernel;
    c->ir.kernel = 9;
    assert_int_equal(apq_int_infer_create(s.model, &infer), APQ_OK);
    assert_null(infer);
    c->ir.kernel = kernel;
    c->ir.kind = APQ_IR_POINTWISE;
    assert_int_equal(apq_int_infer_create(s.model, &infer), APQ_OK);
    assert_null(infer);
    c->ir.kind = APQ_IR_DEPTHWISE;
    /* Sums that no fused kernel tells apart from the smallest ones. */
    const float *rescale = c->rescale;
    float *large = malloc((size_t)c->ir.out_channels * sizeof *large);
    assert_non_null(large);
    for (int k = 0; k < c->ir.out_channels; k++) {
        large[k] = 1e6F;
    }
    c->rescale = large;
    assert_int_equal(apq_int_infer_create(s.model, &infer), APQ_OK);
    assert_null(infer);
    define(&s);
    compare_engine(&s, "large sums", 0);
    c->rescale = rescale;
    free(large);
    assert_int_equal(apq_int_infer_create(s.model, &infer), APQ_OK);
    assert_non_null(infer);
    apq_int_infer_destroy(infer);
    close_subject(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_layers_are_their_definition),
        cmocka_unit_test(extremes_are_exact),
        cmocka_unit_test(other_structures_are_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
