/* Forward pass: fake quantisation worked out by hand, calibration, and the
 * averaging of batch-norm statistics. */
#include "unit/asserts.h"
#include "unit/nn/toy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Two 1 x 1 convolutions on one pixel and a classifier of one class; the
 * statistics make batch norm the identity. */
static void open_by_hand(apq_model **model, apq_nn_net *net, apq_arena *arena) {
    apq_ir_network ir = {.n_layers = 3, .n_classes = 1, .resolution = 1};
    for (size_t i = 0; i < 3; i++) {
        ir.layers[i] = (apq_ir_layer){
            .kind = i == 2 ? APQ_IR_LINEAR : APQ_IR_POINTWISE,
            .block = -1,
            .in_channels = i == 0 ? 3 : 2,
            .out_channels = i == 2 ? 1 : 2,
            .kernel = 1,
            .stride = 1,
            .in_size = 1,
            .out_size = 1,
            .weight_bits = 4,
            .act_bits = 4,
            .is_act_signed = i == 0,
            .has_relu6 = i == 0,
            .residual_from = -1,
        };
    }
    const apq_backend *ref;
    assert_int_equal(apq_backend_find("ref", &ref), APQ_OK);
    assert_int_equal(apq_model_create(&ir, 3, APQ_QUANTISER_APQ, model),
                     APQ_OK);
    assert_int_equal(apq_model_bind(*model, ref, arena, net), APQ_OK);
    for (size_t i = 0; i < 2; i++) {
        for (int c = 0; c < 2; c++) {
            net->layers[i].mean[c] = 0.0F;
            net->layers[i].variance[c] = 1.0F - net->bn_epsilon;
        }
    }
}

static void set(const apq_model *model, size_t index, const float *values) {
    memcpy(apq_params_value(&model->params, index), values,
           model->params.items[index].n * sizeof *values);
}

/* Channel c of a layer's output that its reader forms. */
static double output_of(const apq_nn_layer *l, int c) {
    const apq_norm *n = &l->y_norm;
    double v = (double)n->scale[c] * (double)((const float *)l->z)[c] +
               (double)n->shift[c];
    v = fmin(fmax(v, 0.0), (double)n->clip);
    return (double)n->step * rint(v / (double)n->step);
}

/* Weights of 4 bits have 7 steps a side, as have signed inputs; unsigned
 * inputs have 15.
 *   layer 0  range 3.5, step 0.5: 0.6 -1.3 9   -> 0.5 -1.5 3.5
 *            clip 1.4, step 0.2:  0.31 -0.55 0.13 -> 0.4 -0.6 0.2
 *                                 -1.6 0 0.05     -> -1.4 0 0
 *            sums 0.2 + 0.9 + 0.7 = 1.8 and -0.7, in units of 0.1
 *            shifts 0.22 -> 0.2 and 0.07 -> 0.1: 2.0 and -0.6
 *   layer 1  range 3, step 0.2: 2.0 and, clamped, 0
 *            clip 0.7, step 0.1: 0.52 -> 0.5, 0.98 -> 0.7, no ReLU6
 *            sums 1.0 and 1.4, in units of 0.02
 *            shifts 0.024 -> 0.02 and 0.197 -> 0.2: 1.02 and 1.6
 *            output range 1.27, step 0.01: 1.02 and, clamped, 1.27
 *   layer 2  range 1.2, step 0.08: 1.02 -> 1.04, 1.27 -> 1.2
 *            clip 7, step 1: 2.4 -> 2, -8 -> -7
 *            bias 0.25 -> 0.24, in units of 0.08
 *            sum 2.08 - 8.4 + 0.24 = -6.08 */
static void quantised_layers_match_the_hand_computation(void **state) {
    (void)state;
    apq_arena *arena;
    assert_int_equal(apq_arena_create(&arena), APQ_OK);
    apq_model *model;
    apq_nn_net net;
    open_by_hand(&model, &net, arena);
    set(model, model->weight[0],
        (float[]){0.31F, -0.55F, 0.13F, -1.6F, 0.0F, 0.05F});
    set(model, model->beta[0], (float[]){0.22F, 0.07F});
    set(model, model->weight[1], (float[]){0.52F, 0.0F, 0.98F, 0.3F});
    set(model, model->beta[1], (float[]){0.024F, 0.197F});
    set(model, model->weight[2], (float[]){2.4F, -8.0F});
    set(model, model->gamma[2], (float[]){0.25F});
    static const float clips[] = {1.4F, 0.7F, 7.0F};
    static const float ranges[] = {3.5F, 3.0F, 1.2F};
    for (size_t i = 0; i < 3; i++) {
        net.layers[i].weight_clip = clips[i];
        net.layers[i].act_range = ranges[i];
    }
    net.layers[1].out_range = 1.27F;
    net.is_quantised = true;
    const float image[3] = {0.6F, -1.3F, 9.0F};
    float *logits;
    assert_int_equal(apq_nn_forward(&net, APQ_NN_EVAL, image, 1, &logits),
                     APQ_OK);
    static const double x[] = {0.5, -1.5, 3.5};
    static const double w[] = {0.4, -0.6, 0.2, -1.4, 0.0, 0.0};
    for (int i = 0; i < 6; i++) {
        assert_near((double)((const float *)net.layers[0].x)[i % 3], x[i % 3],
                    1e-6);
        assert_near((double)net.layers[0].w_used[i], w[i], 1e-6);
    }
    assert_null(net.layers[0].y);
    assert_near(output_of(&net.layers[0], 0), 2.0, 1e-6);
    assert_near(output_of(&net.layers[0], 1), 0.0, 1e-6);
    assert_near((double)net.layers[1].y[0], 1.02, 1e-6);
    assert_near((double)net.layers[1].y[1], 1.27, 1e-6);
    assert_near((double)net.pooled[0], 1.04, 1e-6);
    assert_near((double)net.pooled[1], 1.2, 1e-6);
    assert_near((double)logits[0], -6.08, 1e-5);

    net.is_quantised = false;
    assert_int_equal(apq_nn_forward(&net, APQ_NN_EVAL, image, 1, &logits),
                     APQ_OK);
    double first = 0.31 * 0.6 + 0.55 * 1.3 + 0.13 * 9.0 + 0.22;
    assert_near((double)logits[0],
                2.4 * (0.52 * first + 0.024) - 8.0 * (0.98 * first + 0.197) +
                    0.25,
                1e-4);
    apq_nn_net_fini(&net);
    apq_model_destroy(model);
    apq_arena_destroy(arena);
}

static void calibration_sets_clips_and_ranges(void **state) {
    (void)state;
    for (int bits = 2; bits <= 8; bits += 2) {
        toy t;
        toy_open(&t, "ref", bits);
        assert_false(t.net.is_quantised);
        assert_int_equal(apq_nn_calibrate(&t.net, t.images, TOY_IMAGES),
                         APQ_OK);
        assert_true(t.net.is_quantised);
        for (size_t i = 0; i < t.net.n_layers; i++) {
            const apq_nn_layer *l = &t.net.layers[i];
            assert_true(isfinite(l->weight_clip) && l->weight_clip > 0.0F);
            assert_true(l->act_range > 0.0F);
            assert_true(l->ir.is_act_signed || l->ir.is_input_image ||
                        l->act_range <= 6.0F);
        }
        /* At 8 bits the clip is the largest weight. */
        float largest = 0;
        const apq_params *p = &t.model->params;
        size_t stem = t.model->weight[0];
        for (size_t i = 0; i < p->items[stem].n; i++) {
            largest = fmaxf(largest, fabsf(apq_params_value(p, stem)[i]));
        }
        assert_true(t.net.layers[0].weight_clip == largest);
        largest = 0;
        for (int i = 0; i < TOY_PIXELS; i++) {
            largest = fmaxf(largest, fabsf(t.images[i]));
        }
        assert_true(t.net.layers[0].act_range == largest);
        toy_close(&t);
    }
}

/* Layers 2, 5 and 8 are linear; a residual joins the latter two. Which of its
 * parts reaches furthest, is up to what is added to them. */
static void check_streams(float first, float second, int furthest) {
    toy t;
    toy_open(&t, "ref", 8);
    for (int c = 0; c < 6; c++) {
        apq_params_value(&t.model->params, t.model->beta[5])[c] += first;
        apq_params_value(&t.model->params, t.model->beta[8])[c] += second;
    }
    t.net.keeps_expansions = true;
    (void)toy_loss(&t, false);
    float reach[3] = {0}, branch = 0;
    for (int k = 0; k < 3; k++) {
        const apq_nn_layer *l = &t.net.layers[2 + 3 * k];
        int n =
            TOY_IMAGES * l->ir.out_size * l->ir.out_size * l->ir.out_channels;
        assert_false(l->ir.has_relu6);
        for (int i = 0; i < n; i++) {
            reach[k] = fmaxf(reach[k], fabsf(l->y[i]));
            float alone = k < 2 ? 0.0F : l->y[i] - t.net.layers[5].y[i];
            branch = fmaxf(branch, fabsf(alone));
        }
    }
    t.net.keeps_expansions = false;
    assert_int_equal(apq_nn_calibrate(&t.net, t.images, TOY_IMAGES), APQ_OK);
    const apq_nn_layer *l = t.net.layers;
    const float parts[] = {reach[1], reach[2], branch};
    float joined = fmaxf(fmaxf(reach[1], reach[2]), branch);
    assert_true(joined == parts[furthest]);
    assert_near((double)l[2].out_range, (double)reach[0], 1e-6);
    assert_near((double)l[5].out_range, (double)joined, 1e-6);
    assert_true(l[8].out_range == l[5].out_range);
    /* Readers of 8 bits take the range over; the mix has one of its own. */
    assert_true(l[3].act_range == l[2].out_range);
    assert_true(l[6].act_range == l[5].out_range);
    assert_true(l[9].act_range == l[8].out_range);
    assert_true(l[9].out_range > 0.0F && l[9].out_range <= 6.0F);
    assert_true(l[4].out_range == 0.0F && l[10].out_range == 0.0F);
    toy_close(&t);
}

static void residuals_share_a_range(void **state) {
    (void)state;
    check_streams(20.0F, -10.0F, 0);
    check_streams(0.0F, 0.0F, 1);
    check_streams(10.0F, -20.0F, 2);
}

/* 8-bit quantisation changes logits a little, 2-bit a lot. */
static void fewer_bits_are_further_from_float(void **state) {
    (void)state;
    double error[2];
    for (int i = 0; i < 2; i++) {
        toy t;
        toy_open(&t, "ref", i == 0 ? 8 : 2);
        double exact = toy_loss(&t, false);
        assert_int_equal(apq_nn_calibrate(&t.net, t.images, TOY_IMAGES),
                         APQ_OK);
        error[i] = fabs(toy_loss(&t, false) - exact);
        toy_close(&t);
    }
    assert_true(error[0] > 0.0 && error[0] < 0.02);
    assert_true(error[1] > 2 * error[0]);
}

static float *forward(toy *t, apq_nn_mode mode, int first, int n) {
    float *logits;
    size_t offset = (size_t)first * TOY_SIDE * TOY_SIDE * 3;
    assert_int_equal(
        apq_nn_forward(&t->net, mode, t->images + offset, n, &logits), APQ_OK);
    return logits;
}

/* Statistics of one batch alone: evaluation then repeats what recalibration
 * and, where biases are not rounded, training compute on that batch. */
static void recalibration_makes_evaluation_agree(void **state) {
    (void)state;
    for (int quantised = 0; quantised < 2; quantised++) {
        toy t;
        toy_open(&t, "ref", 8);
        if (quantised != 0) {
            assert_int_equal(apq_nn_calibrate(&t.net, t.images, TOY_IMAGES),
                             APQ_OK);
        }
        apq_nn_recalibrate_reset(&t.net);
        (void)forward(&t, APQ_NN_RECALIBRATE, 2, 4);
        apq_nn_recalibrate_reset(&t.net); /* forgets the batch before */
        const float *same = forward(&t, APQ_NN_RECALIBRATE, 0, TOY_IMAGES);
        const float *train = forward(&t, APQ_NN_TRAIN, 0, TOY_IMAGES);
        const float *eval = forward(&t, APQ_NN_EVAL, 0, TOY_IMAGES);
        for (int i = 0; i < TOY_IMAGES * TOY_CLASSES; i++) {
            assert_near((double)eval[i], (double)same[i], 1e-5);
            assert_near((double)eval[i], (double)train[i],
                        quantised != 0 ? 0.05 : 1e-5);
        }
        toy_close(&t);
    }
}

/* Batches of 4 and 2 images weigh 2 : 1. The stem sees only images, so its
 * statistics are those of each batch alone. */
static void recalibration_weighs_by_images(void **state) {
    (void)state;
    toy t;
    toy_open(&t, "ref", 8);
    const apq_nn_layer *stem = &t.net.layers[0];
    double mean[4] = {0}, variance[4] = {0};
    for (int b = 0; b < 2; b++) {
        int n = b == 0 ? 4 : 2;
        (void)forward(&t, APQ_NN_TRAIN, b == 0 ? 0 : 4, n);
        int64_t rows = (int64_t)n * TOY_SIDE * TOY_SIDE;
        for (int c = 0; c < 4; c++) {
            double sum = 0, square = 0;
            for (int64_t r = 0; r < rows; r++) {
                double z = (double)((const float *)stem->z)[r * 4 + c];
                sum += z;
                square += z * z;
            }
            sum /= (double)rows;
            mean[c] += n / 6.0 * sum;
            variance[c] += n / 6.0 * (square / (double)rows - sum * sum);
        }
    }
    apq_nn_recalibrate_reset(&t.net);
    (void)forward(&t, APQ_NN_RECALIBRATE, 0, 4);
    (void)forward(&t, APQ_NN_RECALIBRATE, 4, 2);
    assert_near(t.net.recalibrate_weight, 6.0, 0.0);
    for (int c = 0; c < 4; c++) {
        assert_near((double)stem->mean[c], mean[c], 1e-5);
        assert_near((double)stem->variance[c], variance[c], 1e-4);
    }
    toy_close(&t);
}

static void backends_agree_in_every_mode(void **state) {
    (void)state;
    static const apq_nn_mode modes[] = {APQ_NN_TRAIN, APQ_NN_RECALIBRATE,
                                        APQ_NN_EVAL};
    toy ref, cpu;
    toy_open(&ref, "ref", 6);
    toy_open(&cpu, "cpu", 6);
    for (size_t m = 0; m < sizeof modes / sizeof modes[0]; m++) {
        const float *a = forward(&ref, modes[m], 0, TOY_IMAGES);
        const float *b = forward(&cpu, modes[m], 0, TOY_IMAGES);
        for (int i = 0; i < TOY_IMAGES * TOY_CLASSES; i++) {
            assert_near((double)b[i], (double)a[i], 1e-5);
        }
    }
    toy_close(&ref);
    toy_close(&cpu);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantised_layers_match_the_hand_computation),
        cmocka_unit_test(calibration_sets_clips_and_ranges),
        cmocka_unit_test(residuals_share_a_range),
        cmocka_unit_test(fewer_bits_are_further_from_float),
        cmocka_unit_test(recalibration_makes_evaluation_agree),
        cmocka_unit_test(recalibration_weighs_by_images),
        cmocka_unit_test(backends_agree_in_every_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
