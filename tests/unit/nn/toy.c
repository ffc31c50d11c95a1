/* The network that the tests of nn share. */
#include "unit/nn/toy.h"

#include "nn/loss.h"

#include "unit/nn/chain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static apq_ir_layer *append(apq_ir_network *net, apq_ir_kind kind,
                            const char *name, int out_channels, int stride,
                            int bits) {
    bool is_wide = kind == APQ_IR_DEPTHWISE || kind == APQ_IR_CONV;
    apq_ir_layer *l =
        chain_append(net, 3, kind, out_channels, is_wide ? 3 : 1, stride);
    l->weight_bits = bits;
    l->act_bits = bits;
    (void)snprintf(l->name, sizeof l->name, "%s", name);
    return l;
}

static void append_block(apq_ir_network *net, int number, int middle, int out,
                         int stride, int bits) {
    int input = (int)net->n_layers - 1;
    char name[32];
    (void)snprintf(name, sizeof name, "block%d.expand", number);
    append(net, APQ_IR_POINTWISE, name, middle, 1, bits)->is_act_signed = true;
    (void)snprintf(name, sizeof name, "block%d.depthwise", number);
    (void)append(net, APQ_IR_DEPTHWISE, name, middle, stride, bits);
    (void)snprintf(name, sizeof name, "block%d.project", number);
    apq_ir_layer *l = append(net, APQ_IR_POINTWISE, name, out, 1, bits);
    l->has_relu6 = false;
    l->residual_from = stride == 1 ? input : -1;
}

static void build(apq_ir_network *net, int bits) {
    *net = (apq_ir_network){.n_classes = TOY_CLASSES, .resolution = TOY_SIDE};
    append(net, APQ_IR_CONV, "stem", 4, 1, 8)->is_input_image = true;
    (void)append(net, APQ_IR_DEPTHWISE, "first.depthwise", 4, 1, bits);
    append(net, APQ_IR_POINTWISE, "first.pointwise", 5, 1, bits)->has_relu6 =
        false;
    append_block(net, 0, 9, 6, 2, bits);
    append_block(net, 1, 10, 6, 1, bits);
    append(net, APQ_IR_POINTWISE, "feature_mix", 7, 1, bits)->is_act_signed =
        true;
    apq_ir_layer *l = append(net, APQ_IR_LINEAR, "classifier", 3, 1, 8);
    l->out_size = 1;
    l->has_relu6 = false;
    assert_int_equal(apq_ir_check(net), APQ_OK);
}

static void randomise(apq_model *model) {
    apq_params *p = &model->params;
    for (size_t i = 0; i < model->ir.n_layers; i++) {
        const apq_ir_layer *l = &model->ir.layers[i];
        double fan = (double)l->kernel * l->kernel;
        fan *= l->kind == APQ_IR_DEPTHWISE ? 1 : l->in_channels;
        apq_params_init_normal(p, model->weight[i], 3, fan);
    }
    apq_rng rng = apq_rng_make(4, APQ_RNG_TEST, 0);
    for (size_t t = 0; t < p->n_items; t++) {
        float *w = apq_params_value(p, t);
        for (size_t i = 0; t != model->act_range && i < p->items[t].n; i++) {
            w[i] += 0.2F * (float)apq_rng_normal(&rng);
        }
    }
}

static void open_as(toy *t, const char *backend, int bits,
                    apq_quantiser quantiser) {
    *t = (toy){0};
    apq_ir_network ir;
    build(&ir, bits);
    assert_int_equal(apq_backend_find(backend, &t->backend), APQ_OK);
    assert_int_equal(apq_arena_create(&t->arena), APQ_OK);
    assert_int_equal(apq_model_create(&ir, 3, quantiser, &t->model), APQ_OK);
    randomise(t->model);
    assert_int_equal(apq_model_bind(t->model, t->backend, t->arena, &t->net),
                     APQ_OK);
    apq_rng rng = apq_rng_make(5, APQ_RNG_TEST, 0);
    for (int i = 0; i < TOY_PIXELS; i++) {
        t->images[i] = (float)apq_rng_normal(&rng);
    }
    for (int i = 0; i < TOY_IMAGES; i++) {
        t->labels[i] = i % TOY_CLASSES;
    }
}

void toy_open(toy *t, const char *backend, int bits) {
    open_as(t, backend, bits, APQ_QUANTISER_APQ);
}

void toy_open_lsq(toy *t, const char *backend, int bits) {
    open_as(t, backend, bits, APQ_QUANTISER_LSQ);
}

void toy_close(toy *t) {
    apq_nn_net_fini(&t->net);
    apq_model_destroy(t->model);
    apq_arena_destroy(t->arena);
}

double toy_loss(toy *t, bool with_gradient) {
    apq_arena_reset(t->arena);
    float *logits;
    float dlogits[TOY_IMAGES * TOY_CLASSES];
    assert_int_equal(
        apq_nn_forward(&t->net, APQ_NN_TRAIN, t->images, TOY_IMAGES, &logits),
        APQ_OK);
    apq_loss_sum sum = apq_loss_labels(logits, t->labels, TOY_IMAGES,
                                       TOY_CLASSES, 0.1, dlogits);
    if (with_gradient) {
        apq_params_zero_grad(&t->model->params);
        assert_int_equal(apq_nn_backward(&t->net, dlogits), APQ_OK);
        apq_model_push_range_grads(t->model, &t->net);
    }
    return sum.loss / TOY_IMAGES;
}
