/* The integer model of small nets: what it says of a channel is what its net's
 * batch norm and quantisers say, and the nets that are refused. */
#include "deploy/int_model.h"

#include "deploy/int_reference.h"
#include "nn/quantised.h"
#include "unit/asserts.h"
#include "unit/deploy/subnets.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct fixture {
    subnets all;
    apq_subnet subnet;
} fixture;

/* The largest sub-network of `tiny`. */
static void open_fixture(fixture *f, int bits, apq_quantiser quantiser) {
    subnets_open(&f->all, "tiny");
    apq_policy policy;
    apq_policy_largest(&f->all.space, bits, &policy);
    subnets_calibrate(&f->all, &policy, quantiser, &f->subnet);
}

static void close_fixture(fixture *f) {
    apq_subnet_fini(&f->subnet);
    subnets_close(&f->all);
}

/* Fake-quantised weights times the gain, and the offset. */
static void check_channels(const apq_nn_net *net, const apq_nn_layer *l,
                           const apq_int_conv *c) {
    int64_t rows, cols, depth = apq_int_depth(&l->ir);
    apq_nn_weight_matrix(&l->ir, &rows, &cols);
    float *w = malloc((size_t)(rows * cols) * sizeof *w);
    assert_non_null(w);
    apq_nn_quantise_weights(net, l, w);
    bool is_depthwise = l->ir.kind == APQ_IR_DEPTHWISE;
    int highest = (1 << (l->ir.weight_bits - 1)) - 1;
    for (int k = 0; k < l->ir.out_channels; k++) {
        double gain = (double)l->gamma[k] /
                      sqrt((double)l->variance[k] + (double)net->bn_epsilon);
        double offset = (double)l->beta[k] - (double)l->mean[k] * gain;
        double unit = (double)c->in.step * (double)c->weight_step[k];
        assert_true(c->weight_step[k] > 0.0F);
        assert_near(c->bias[k] * unit, offset, 0.51 * unit);
        float scale = c->in.step * c->weight_step[k];
        assert_true(c->rescale[k] == scale / c->out.step);
        for (int64_t d = 0; d < depth; d++) {
            int code = c->w[k * depth + d];
            double value =
                (double)w[is_depthwise ? d * cols + k : k * cols + d];
            assert_true(code >= -highest && code <= highest);
            assert_near(code * (double)c->weight_step[k], gain * value,
                        1e-5 * fabs(gain * value) + 1e-25);
        }
    }
    free(w);
}

static void check_model(int bits, apq_quantiser quantiser) {
    fixture f;
    open_fixture(&f, bits, quantiser);
    apq_int_model *m;
    const apq_nn_net *net = &f.subnet.net;
    assert_int_equal(apq_int_model_create(net, &m), APQ_OK);
    assert_int_equal(m->n_convs + 1, net->n_layers);
    int n_rerounded = 0;
    for (int i = 0; i < m->n_convs; i++) {
        const apq_int_conv *c = &m->convs[i];
        check_channels(net, &net->layers[i], c);
        n_rerounded += c->reround != NULL;
        if (i > 0 && c->reround == NULL) { /* it reads what was written */
            assert_memory_equal(&c->in, &c[-1].out, sizeof c->in);
        }
        if (c->ir.residual_from >= 0) {
            assert_memory_equal(&c->out, &m->convs[c->ir.residual_from].out,
                                sizeof c->out);
        }
    }
    assert_true(bits == 8 ? n_rerounded == 0 : n_rerounded >= 2);
    apq_int_model_destroy(m);
    close_fixture(&f);
}

static void channels_are_those_of_the_net(void **state) {
    (void)state;
    for (int bits = 4; bits <= 8; bits += 2) {
        check_model(bits, APQ_QUANTISER_APQ);
        check_model(bits, APQ_QUANTISER_LSQ);
    }
}

/* A step of 3 units in 4 bits reads codes in steps of 2: 5 * 2 / 3 = 3.33. */
static void codes_are_rounded_again(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, 4, APQ_QUANTISER_APQ);
    apq_nn_net *net = &f.subnet.net;
    size_t i = 3;
    assert_true(net->layers[i].ir.is_act_signed);
    net->layers[i - 1].out_range = 2.0F * 127.0F;
    net->layers[i].act_range = 3.0F * 7.0F;
    apq_int_model *m;
    assert_int_equal(apq_int_model_create(net, &m), APQ_OK);
    const int8_t *table = m->convs[i].reround;
    assert_non_null(table);
    assert_int_equal(table[128 + 5], 3);
    assert_int_equal(table[128 - 5], -3);
    assert_int_equal(table[128], 0);
    assert_int_equal(table[255], 7);
    assert_int_equal(table[0], -7);
    apq_int_model_destroy(m);
    close_fixture(&f);
}

static void refuse(const apq_nn_net *net, apq_status expected,
                   const char *word) {
    apq_int_model *model = NULL;
    assert_int_equal(apq_int_model_create(net, &model), expected);
    assert_null(model);
    assert_message(word);
}

static void illegal_nets_are_refused(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, 8, APQ_QUANTISER_APQ);
    const apq_nn_net *legal = &f.subnet.net;
    apq_nn_net net = *legal;
    net.is_quantised = false;
    refuse(&net, APQ_ERR_UNSUPPORTED, "not quantised");
    net = *legal;
    net.layers[1].act_range = NAN;
    refuse(&net, APQ_ERR_NUMERIC, "activation range");
    net = *legal;
    net.layers[0].act_range = 0.0F;
    refuse(&net, APQ_ERR_NUMERIC, "stem: activation range");
    net = *legal;
    net.layers[2].out_range = 0.0F;
    refuse(&net, APQ_ERR_NUMERIC, "output range");
    net = *legal;
    net.layers[2].weight_clip = -1.0F;
    refuse(&net, APQ_ERR_NUMERIC, "weight step");
    net = *legal;
    net.quantiser = APQ_QUANTISER_LSQ;
    net.layers[2].weight_step[3] = NAN;
    refuse(&net, APQ_ERR_NUMERIC, "weight step");
    net = *legal;
    float *variance = net.layers[2].variance, keep = variance[1];
    variance[1] = -1.0F;
    refuse(&net, APQ_ERR_NUMERIC, "variance");
    variance[1] = keep;
    net.layers[2].mean[1] = INFINITY;
    refuse(&net, APQ_ERR_NUMERIC, "batch norm of channel 1");
    net.layers[2].mean[1] = 0.0F;
    net.layers[1].ir.is_act_signed = true;
    refuse(&net, APQ_ERR_UNSUPPORTED, "signed after ReLU6");
    net = *legal;
    net.layers[3].ir.residual_from = 2;
    refuse(&net, APQ_ERR_UNSUPPORTED, "residual from");
    /* 2^30 is left for products: 33,155 * 255 * 127 < 2^30. */
    net = *legal;
    net.layers[2].ir.in_channels = 33156;
    refuse(&net, APQ_ERR_UNSUPPORTED, "legal 1..33155");
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(channels_are_those_of_the_net),
        cmocka_unit_test(codes_are_rounded_again),
        cmocka_unit_test(illegal_nets_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
