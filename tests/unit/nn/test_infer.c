/* Fused evaluation against the plain path of `ref`, and in bfloat16 against
 * loops that round the same operands. */
#include "nn/infer.h"

#include "unit/allocations.h"
#include "unit/nn/chain.h"
#include "unit/nn/toy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Networks ---------------------------------------------------------------- */

/* One block: expand 0 leaves the expansion out; stride 1 and in == out makes it
 * residual. */
typedef struct block_case {
    int expand, out, kernel, stride;
} block_case;

typedef struct net_case {
    int side, stem, stem_stride, mix, classes, n_images;
    int n_blocks;
    block_case blocks[4];
} net_case;

/* Kernels, strides, widths around every vector length, images of one pixel
 * and of odd sides; 72 pixels with 150 channels exceed the planned scratch. */
static const net_case cases[] = {
    {8, 4, 1, 7, 3, 5, 1, {{0, 5, 3, 1}}},
    {9, 16, 1, 48, 10, 7, 2, {{96, 16, 3, 1}, {33, 24, 5, 2}}},
    {16, 17, 2, 49, 17, 3, 3, {{51, 17, 7, 1}, {100, 9, 7, 2}, {19, 9, 3, 1}}},
    {7, 3, 1, 16, 2, 19, 3, {{5, 3, 5, 1}, {0, 3, 7, 1}, {1, 1, 3, 2}}},
    {4, 8, 2, 160, 40, 9, 2, {{200, 8, 7, 1}, {97, 31, 5, 2}}},
    {72, 8, 1, 20, 5, 2, 3, {{150, 8, 7, 1}, {0, 12, 5, 2}, {60, 12, 3, 1}}},
    {11, 5, 1, 130, 4, 1, 0, {{0, 0, 0, 0}}},
    {6,
     32,
     1,
     65,
     6,
     33,
     4,
     {{64, 32, 3, 1}, {0, 32, 3, 2}, {7, 32, 5, 1}, {150, 33, 3, 1}}},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

static void build(const net_case *c, apq_ir_network *net) {
    *net = (apq_ir_network){.n_classes = c->classes, .resolution = c->side};
    chain_append(net, 3, APQ_IR_CONV, c->stem, 3, c->stem_stride)
        ->is_input_image = true;
    for (int i = 0; i < c->n_blocks; i++) {
        const block_case *b = &c->blocks[i];
        const apq_ir_layer *in = &net->layers[net->n_layers - 1];
        int from = (int)net->n_layers - 1;
        bool is_residual = b->stride == 1 && b->out == in->out_channels;
        if (b->expand > 0) {
            (void)chain_append(net, 3, APQ_IR_POINTWISE, b->expand, 1, 1);
        }
        int middle = b->expand > 0 ? b->expand : in->out_channels;
        (void)chain_append(net, 3, APQ_IR_DEPTHWISE, middle, b->kernel,
                           b->stride);
        apq_ir_layer *l = chain_append(net, 3, APQ_IR_POINTWISE, b->out, 1, 1);
        l->has_relu6 = is_residual && b->kernel == 3; /* after the sum */
        l->residual_from = is_residual ? from : -1;
    }
    (void)chain_append(net, 3, APQ_IR_POINTWISE, c->mix, 1, 1);
    apq_ir_layer *l = chain_append(net, 3, APQ_IR_LINEAR, c->classes, 1, 1);
    l->out_size = 1;
    l->has_relu6 = false;
    assert_int_equal(apq_ir_check(net), APQ_OK);
}

/* A network of random weights and statistics, and images. */
typedef struct subject {
    apq_model *model;
    apq_nn_net net;
    apq_arena *arena;
    float *images, *logits; /* logits: room for all */
    int n_images, n_classes;
    size_t image; /* floats */
} subject;

static void randomise(subject *s) {
    apq_params *p = &s->model->params;
    apq_rng rng = apq_rng_make(6, APQ_RNG_TEST, s->model->ir.n_layers);
    for (size_t i = 0; i < s->net.n_layers; i++) {
        apq_nn_layer *l = &s->net.layers[i];
        double fan = (double)l->ir.kernel * l->ir.kernel;
        fan *= l->ir.kind == APQ_IR_DEPTHWISE ? 1 : l->ir.in_channels;
        apq_params_init_normal(p, s->model->weight[i], 3, fan);
        for (int c = 0; c < l->ir.out_channels; c++) {
            l->mean[c] = 0.3F * (float)apq_rng_normal(&rng);
            l->variance[c] = 0.5F + fabsf((float)apq_rng_normal(&rng));
            apq_params_value(p, s->model->gamma[i])[c] +=
                0.2F * (float)apq_rng_normal(&rng);
            if (l->ir.kind != APQ_IR_LINEAR) {
                apq_params_value(p, s->model->beta[i])[c] =
                    0.5F * (float)apq_rng_normal(&rng);
            }
        }
    }
    for (size_t i = 0; i < (size_t)s->n_images * s->image; i++) {
        s->images[i] = (float)apq_rng_normal(&rng);
    }
}

static void subject_open(subject *s, const net_case *c, const char *name) {
    apq_ir_network ir;
    const apq_backend *backend;
    build(c, &ir);
    *s = (subject){.n_images = c->n_images, .n_classes = c->classes};
    assert_int_equal(apq_backend_find(name, &backend), APQ_OK);
    assert_int_equal(apq_arena_create(&s->arena), APQ_OK);
    assert_int_equal(apq_model_create(&ir, 3, APQ_QUANTISER_APQ, &s->model),
                     APQ_OK);
    assert_int_equal(apq_model_bind(s->model, backend, s->arena, &s->net),
                     APQ_OK);
    s->image = (size_t)c->side * (size_t)c->side * 3;
    s->images = apq_calloc((size_t)c->n_images * s->image, sizeof(float));
    s->logits = apq_calloc((size_t)(c->n_images * c->classes), sizeof(float));
    assert_non_null(s->images);
    assert_non_null(s->logits);
    randomise(s);
}

static void subject_close(subject *s) {
    apq_nn_net_fini(&s->net);
    apq_model_destroy(s->model);
    apq_arena_destroy(s->arena);
    free(s->images);
    free(s->logits);
}

static apq_infer *create(const apq_nn_net *net, bool is_bfloat16) {
    apq_infer *infer = NULL;
    assert_int_equal(apq_nn_infer_create(net, is_bfloat16, &infer), APQ_OK);
    assert_non_null(infer);
    return infer;
}

/* logits of all images in batches of n. */
static void run(subject *s, apq_infer *infer, int n) {
    const apq_infer_ops *ops = s->net.backend->infer;
    for (int i = 0; i < s->n_images; i += n) {
        int left = s->n_images - i;
        ops->run(infer, s->images + (size_t)i * s->image, left < n ? left : n,
                 s->logits + (size_t)(i * s->n_classes));
    }
}

static void expect_near(const char *what, int number, const subject *s,
                        const float *want, double tolerance) {
    double largest = 0;
    int n = s->n_images * s->n_classes;
    for (int i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)want[i]));
    }
    assert_true(largest > 0.1 && largest < 1e3);
    for (int i = 0; i < n; i++) {
        double error = fabs((double)s->logits[i] - (double)want[i]);
        if (!(error <= tolerance * largest)) {
            fail_msg("%s, case %d: logit %d is %.9g, want %.9g", what, number,
                     i, (double)s->logits[i], (double)want[i]);
        }
    }
}

static bool has_bfloat16(void) {
    const apq_backend *cpu;
    assert_int_equal(apq_backend_find("cpu", &cpu), APQ_OK);
    return cpu->infer->has_bfloat16();
}

/* Float ------------------------------------------------------------------- */

static void every_set_agrees_with_the_plain_path(void **state) {
    (void)state;
    static const char *const k_sets[] = {"portable", "avx2", "avx512"};
    int n_run = 0;
    for (int i = 0; i < N_CASES; i++) {
        subject ref, cpu;
        float *want;
        subject_open(&ref, &cases[i], "ref");
        subject_open(&cpu, &cases[i], "cpu");
        assert_int_equal(apq_nn_forward(&ref.net, APQ_NN_EVAL, ref.images,
                                        ref.n_images, &want),
                         APQ_OK);
        for (int k = 0; k < 3; k++) {
            if (apq_backend_limit_isa(k_sets[k]) != APQ_OK) {
                continue;
            }
            apq_infer *infer = create(&cpu.net, false);
            run(&cpu, infer, cpu.n_images);
            expect_near(k_sets[k], i, &cpu, want, 1e-5);
            cpu.net.backend->infer->destroy(infer);
            n_run++;
        }
        assert_int_equal(apq_backend_limit_isa(NULL), APQ_OK);
        subject_close(&ref);
        subject_close(&cpu);
    }
    assert_true(n_run >= N_CASES);
}

/* bfloat16 ---------------------------------------------------------------- */

/* To bfloat16 and back, half to even. */
static double rounded(double value) {
    int exponent;
    double fraction = frexp((double)(float)value, &exponent);
    return ldexp(rint(ldexp(fraction, 8)), exponent - 8);
}

/* y = clamp(scale * (w x) + shift + residual) in loops; pointwise operands
 * rounded where the product is one of bfloat16. */
static double *layer_by_loops(const apq_nn_net *net, size_t i, const double *x,
                              const double *residual) {
    const apq_nn_layer *l = &net->layers[i];
    const apq_ir_layer *ir = &l->ir;
    int side = ir->out_size, in = ir->in_size, r = ir->kernel;
    bool is_rounded = ir->kind == APQ_IR_POINTWISE;
    bool is_depthwise = ir->kind == APQ_IR_DEPTHWISE;
    int depth = is_depthwise ? 1 : ir->in_channels;
    double *y = calloc((size_t)(side * side * ir->out_channels), sizeof *y);
    assert_non_null(y);
    for (int o = 0; o < side * side * ir->out_channels; o++) {
        int k = o % ir->out_channels, p = o / ir->out_channels;
        double scale = (double)l->gamma[k] /
                       sqrt((double)l->variance[k] + (double)net->bn_epsilon);
        double sum = (double)l->beta[k] - (double)l->mean[k] * scale;
        for (int t = 0; t < r * r; t++) {
            int row = p / side * ir->stride + t / r - r / 2;
            int column = p % side * ir->stride + t % r - r / 2;
            if (row < 0 || row >= in || column < 0 || column >= in) {
                continue;
            }
            const double *pixel = x + (row * in + column) * ir->in_channels;
            for (int c = 0; c < depth; c++) {
                double a = pixel[is_depthwise ? k : c];
                double w =
                    (double)(is_depthwise ? l->w[t * l->ldw + k]
                                          : l->w[k * l->ldw + t * depth + c]);
                w *= scale;
                sum += is_rounded ? rounded(a) * rounded(w) : a * w;
            }
        }
        sum += residual != NULL ? residual[o] : 0.0;
        y[o] = ir->has_relu6 ? fmin(fmax(sum, 0.0), 6.0) : sum;
    }
    return y;
}

static void image_by_loops(const apq_nn_net *net, const float *image,
                           float *logits) {
    double *y[APQ_IR_MAX_LAYERS + 1] = {0};
    size_t n = net->n_layers;
    size_t n_values = (size_t)net->resolution * (size_t)net->resolution * 3;
    y[0] = calloc(n_values, sizeof *y[0]);
    assert_non_null(y[0]);
    for (size_t i = 0; i < n_values; i++) {
        y[0][i] = (double)image[i];
    }
    for (size_t i = 0; i + 1 < n; i++) {
        int from = net->layers[i].ir.residual_from;
        y[i + 1] = layer_by_loops(net, i, y[i], from >= 0 ? y[from + 1] : NULL);
    }
    const apq_nn_layer *l = &net->layers[n - 1];
    int pixels = l[-1].ir.out_size * l[-1].ir.out_size;
    for (int k = 0; k < l->ir.out_channels; k++) {
        double sum = 0;
        for (int i = 0; i < pixels * l->ir.in_channels; i++) {
            sum += y[n - 1][i] / pixels *
                   (double)l->w[k * l->ldw + i % l->ir.in_channels];
        }
        logits[k] = (float)(sum + (double)l->bias[k]);
    }
    for (size_t i = 0; i < n; i++) {
        free(y[i]);
    }
}

/* The sums are those of the loops but for their order, which now and then
 * rounds an operand the other way: 2^-9 of one of many terms. The step from
 * float to bfloat16 is larger. */
static void bfloat16_rounds_the_operands_of_products(void **state) {
    (void)state;
    if (!has_bfloat16()) {
        print_message("skipped: needs a processor with AVX512_BF16\n");
        skip();
    }
    for (int i = 0; i < N_CASES; i++) {
        subject s;
        subject_open(&s, &cases[i], "cpu");
        s.n_images = s.n_images < 3 ? s.n_images : 3;
        float *want = apq_calloc((size_t)(3 * s.n_classes), sizeof *want);
        assert_non_null(want);
        for (int n = 0; n < s.n_images; n++) {
            image_by_loops(&s.net, s.images + (size_t)n * s.image,
                           want + n * s.n_classes);
        }
        apq_infer *infer = create(&s.net, true);
        run(&s, infer, s.n_images);
        expect_near("bfloat16", i, &s, want, 1e-3);
        s.net.backend->infer->destroy(infer);
        free(want);
        subject_close(&s);
    }
}

/* Both -------------------------------------------------------------------- */

/* Threads, batch and place in it: bit for bit the same. */
static void an_image_has_one_result(void **state) {
    (void)state;
    for (int k = 0; k < 2 * N_CASES; k++) {
        if (k >= N_CASES && !has_bfloat16()) {
            break;
        }
        subject s;
        subject_open(&s, &cases[k % N_CASES], "cpu");
        size_t bytes = (size_t)(s.n_images * s.n_classes) * sizeof *s.logits;
        float *first = NULL;
        for (int threads = 1; threads <= 3; threads++) {
            apq_backend_set_threads(threads);
            apq_infer *infer = create(&s.net, k >= N_CASES);
            for (int n = s.n_images; n > 0; n -= (n + 2) / 3) {
                memset(s.logits, 0, bytes);
                run(&s, infer, n);
                if (first == NULL) {
                    first = malloc(bytes);
                    assert_non_null(first);
                    memcpy(first, s.logits, bytes);
                }
                if (memcmp(first, s.logits, bytes) != 0) {
                    fail_msg("case %d differs with %d threads, batch %d", k,
                             threads, n);
                }
            }
            s.net.backend->infer->destroy(infer);
        }
        apq_backend_set_threads(0);
        free(first);
        subject_close(&s);
    }
}

static void batches_allocate_nothing(void **state) {
    (void)state;
    subject s;
    subject_open(&s, &cases[1], "cpu");
    int before = allocations();
    apq_infer *infer = create(&s.net, false);
    assert_true(allocations() > before);
    before = allocations();
    run(&s, infer, s.n_images);
    run(&s, infer, 2);
    assert_int_equal(allocations(), before);
    s.net.backend->infer->destroy(infer);
    subject_close(&s);
}

/* Trained until it tells the classes of its images apart. */
static void classes_of_a_trained_network_agree(void **state) {
    (void)state;
    toy t;
    toy_open(&t, "cpu", 8);
    for (int i = 0; i < 60; i++) {
        (void)toy_loss(&t, true);
        apq_params_step(&t.model->params, 0.02, 0.9, 0.0);
    }
    float *want;
    apq_nn_recalibrate_reset(&t.net);
    assert_int_equal(
        apq_nn_forward(&t.net, APQ_NN_RECALIBRATE, t.images, TOY_IMAGES, &want),
        APQ_OK);
    assert_int_equal(
        apq_nn_forward(&t.net, APQ_NN_EVAL, t.images, TOY_IMAGES, &want),
        APQ_OK);
    for (int k = 0; k < (has_bfloat16() ? 2 : 1); k++) {
        float got[TOY_IMAGES * TOY_CLASSES];
        apq_infer *infer = create(&t.net, k == 1);
        t.backend->infer->run(infer, t.images, TOY_IMAGES, got);
        for (int i = 0; i < TOY_IMAGES; i++) {
            int best = 0;
            for (int c = 1; c < TOY_CLASSES; c++) {
                best = got[i * TOY_CLASSES + c] > got[i * TOY_CLASSES + best]
                           ? c
                           : best;
            }
            assert_int_equal(best, t.labels[i]);
            for (int c = 0; c < TOY_CLASSES; c++) {
                assert_true(want[i * TOY_CLASSES + c] <=
                            want[i * TOY_CLASSES + t.labels[i]]);
            }
        }
        t.backend->infer->destroy(infer);
    }
    toy_close(&t);
}

static void other_networks_are_left_to_the_plain_path(void **state) {
    (void)state;
    apq_infer *infer;
    toy ref, cpu;
    toy_open(&ref, "ref", 8);
    toy_open(&cpu, "cpu", 8);
    assert_int_equal(apq_nn_infer_create(&ref.net, false, &infer), APQ_OK);
    assert_null(infer);
    assert_int_equal(apq_nn_infer_create(&ref.net, true, &infer),
                     APQ_ERR_UNSUPPORTED);
    cpu.net.layers[5].ir.residual_from = 1; /* not the block's input */
    assert_int_equal(apq_nn_infer_create(&cpu.net, false, &infer), APQ_OK);
    assert_null(infer);
    cpu.net.layers[5].ir.residual_from = -1;
    apq_infer *fused = create(&cpu.net, false);
    cpu.backend->infer->destroy(fused);
    cpu.net.is_quantised = true;
    assert_int_equal(apq_nn_infer_create(&cpu.net, false, &infer), APQ_OK);
    assert_null(infer);
    toy_close(&ref);
    toy_close(&cpu);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_agrees_with_the_plain_path),
        cmocka_unit_test(bfloat16_rounds_the_operands_of_products),
        cmocka_unit_test(an_image_has_one_result),
        cmocka_unit_test(batches_allocate_nothing),
        cmocka_unit_test(classes_of_a_trained_network_agree),
        cmocka_unit_test(other_networks_are_left_to_the_plain_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
