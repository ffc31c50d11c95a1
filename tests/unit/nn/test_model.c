/* A stand-alone network stored and read back: the same logits bit for bit,
 * and networks of another shape refused. */
#include "unit/nn/toy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void open_as(toy *t, apq_quantiser quantiser) {
    if (quantiser == APQ_QUANTISER_LSQ) {
        toy_open_lsq(t, "ref", 4);
    } else {
        toy_open(t, "ref", 4);
    }
}

/* Calibrated, with statistics and odd momenta. */
static void prepare(toy *t, apq_quantiser quantiser) {
    open_as(t, quantiser);
    assert_int_equal(apq_nn_calibrate(&t->net, t->images, TOY_IMAGES), APQ_OK);
    apq_model_store_ranges(t->model, &t->net);
    float *logits;
    apq_nn_recalibrate_reset(&t->net);
    assert_int_equal(apq_nn_forward(&t->net, APQ_NN_RECALIBRATE, t->images,
                                    TOY_IMAGES, &logits),
                     APQ_OK);
    for (size_t i = 0; i < t->model->params.n_values; i++) {
        t->model->params.momentum[i] = (float)i;
    }
}

static apq_tensor_file *stored(const toy *t) {
    apq_tensor_file *file = NULL;
    assert_int_equal(apq_tensor_file_create(&file), APQ_OK);
    assert_int_equal(apq_model_put(t->model, &t->net, true, file), APQ_OK);
    return file;
}

static void check_storage(apq_quantiser quantiser) {
    toy a, b;
    prepare(&a, quantiser);
    apq_tensor_file *file = stored(&a);
    open_as(&b, quantiser);
    apq_params *p = &b.model->params;
    memset(p->value, 0, p->n_values * sizeof *p->value);
    assert_int_equal(apq_model_get(b.model, &b.net, true, file), APQ_OK);
    b.net.is_quantised = true;
    for (size_t t = 0; t < p->n_items; t++) {
        assert_memory_equal(p->momentum + p->items[t].offset,
                            a.model->params.momentum + p->items[t].offset,
                            p->items[t].n * sizeof(float));
    }
    float *x, *y;
    assert_int_equal(
        apq_nn_forward(&a.net, APQ_NN_EVAL, a.images, TOY_IMAGES, &x), APQ_OK);
    assert_int_equal(
        apq_nn_forward(&b.net, APQ_NN_EVAL, b.images, TOY_IMAGES, &y), APQ_OK);
    assert_memory_equal(x, y, TOY_IMAGES * TOY_CLASSES * sizeof *x);
    apq_tensor_file_destroy(file);
    toy_close(&a);
    toy_close(&b);
}

static void storage_returns_the_same_network(void **state) {
    (void)state;
    check_storage(APQ_QUANTISER_APQ);
    check_storage(APQ_QUANTISER_LSQ);
}

/* Files of the default are as they were before there was a choice. */
static void files_tell_their_quantiser(void **state) {
    (void)state;
    static const char *const missing[] = {"weight_step", "weight_clip"};
    for (int i = 0; i < 2; i++) {
        apq_quantiser quantiser =
            i == 0 ? APQ_QUANTISER_APQ : APQ_QUANTISER_LSQ;
        toy a, b;
        prepare(&a, quantiser);
        apq_tensor_file *file = stored(&a);
        const char *told = apq_tensor_file_meta(file, "quantiser");
        if (quantiser == APQ_QUANTISER_APQ) {
            assert_null(told);
        } else {
            assert_string_equal(told, "lsq");
        }
        open_as(&b, i == 0 ? APQ_QUANTISER_LSQ : APQ_QUANTISER_APQ);
        assert_int_equal(apq_model_get(b.model, &b.net, false, file),
                         APQ_ERR_FORMAT);
        assert_non_null(strstr(apq_error_message(), missing[i]));
        apq_tensor_file_destroy(file);
        toy_close(&a);
        toy_close(&b);
    }
}

static void files_without_output_ranges_are_refused(void **state) {
    (void)state;
    toy a;
    prepare(&a, APQ_QUANTISER_APQ);
    apq_tensor_file *file = stored(&a), *old = NULL;
    assert_int_equal(apq_tensor_file_create(&old), APQ_OK);
    for (size_t i = 0; i < apq_tensor_file_length(file); i++) {
        apq_file_tensor t = apq_tensor_file_at(file, i);
        if (strcmp(t.name, "out_range") != 0) {
            assert_int_equal(apq_tensor_file_put(old, t.name, t.dtype, t.rank,
                                                 t.shape, t.data),
                             APQ_OK);
        }
    }
    assert_int_equal(apq_tensor_file_length(old) + 1,
                     apq_tensor_file_length(file));
    assert_int_equal(apq_model_get(a.model, &a.net, true, old), APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(), "'out_range'"));
    apq_tensor_file_destroy(old);
    apq_tensor_file_destroy(file);
    toy_close(&a);
}

static void other_networks_are_refused(void **state) {
    (void)state;
    toy a;
    prepare(&a, APQ_QUANTISER_APQ);
    apq_tensor_file *file = stored(&a);
    apq_ir_network ir = a.model->ir;
    apq_ir_layer *head = &ir.layers[ir.n_layers - 1];
    head->out_channels = ir.n_classes = TOY_CLASSES + 1;
    apq_model *model;
    apq_nn_net net;
    assert_int_equal(apq_model_create(&ir, 3, APQ_QUANTISER_APQ, &model),
                     APQ_OK);
    assert_int_equal(apq_model_bind(model, a.backend, a.arena, &net), APQ_OK);
    assert_int_equal(apq_model_get(model, &net, false, file), APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(), "classifier.weight"));
    apq_nn_net_fini(&net);
    apq_model_destroy(model);
    apq_tensor_file_destroy(file);
    toy_close(&a);
}

/* Training may not drive a range or a step to zero or below. */
static void ranges_stay_positive(void **state) {
    (void)state;
    toy t;
    toy_open(&t, "ref", 8);
    float *range = apq_params_value(&t.model->params, t.model->act_range);
    range[1] = -3.0F;
    range[2] = 2.5F;
    apq_model_pull_ranges(t.model, &t.net);
    assert_true(t.net.layers[1].act_range > 0.0F);
    assert_true(range[1] == t.net.layers[1].act_range);
    assert_true(t.net.layers[2].act_range == 2.5F);
    /* Those of streams are not trained. */
    range[3] = 0.01F;
    apq_model_pull_ranges(t.model, &t.net);
    assert_true(t.net.layers[3].act_range == 0.01F);
    toy_close(&t);
    toy_open_lsq(&t, "ref", 8);
    float *step = apq_params_value(&t.model->params, t.model->weight_step[1]);
    step[0] = -1.0F;
    step[1] = 0.25F;
    apq_model_pull_ranges(t.model, &t.net);
    assert_true(step[0] > 0.0F && t.net.layers[1].weight_step[0] == step[0]);
    assert_true(t.net.layers[1].weight_step[1] == 0.25F);
    toy_close(&t);
}

/* A clamp would hide them from all that comes behind. */
static void weights_that_are_no_numbers_are_noticed(void **state) {
    (void)state;
    static const apq_quantiser quantisers[] = {APQ_QUANTISER_APQ,
                                               APQ_QUANTISER_LSQ};
    for (size_t q = 0; q < 2; q++) {
        toy t;
        open_as(&t, quantisers[q]);
        for (size_t i = 0; i < t.net.n_layers; i++) {
            float *w = apq_params_value(&t.model->params, t.model->weight[i]);
            float sound = w[0];
            w[0] = NAN;
            assert_int_equal(apq_nn_calibrate(&t.net, t.images, TOY_IMAGES),
                             APQ_ERR_NUMERIC);
            w[0] = sound;
        }
        assert_int_equal(apq_nn_calibrate(&t.net, t.images, TOY_IMAGES),
                         APQ_OK);
        toy_close(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(storage_returns_the_same_network),
        cmocka_unit_test(files_tell_their_quantiser),
        cmocka_unit_test(files_without_output_ranges_are_refused),
        cmocka_unit_test(other_networks_are_refused),
        cmocka_unit_test(ranges_stay_positive),
        cmocka_unit_test(weights_that_are_no_numbers_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
