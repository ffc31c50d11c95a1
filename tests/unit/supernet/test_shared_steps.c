/* Steps that the sub-networks of a supernet share: which a policy uses, where
 * they start, that their gradients go where they came from, and that an
 * extracted network has them. */
#include "supernet/supernet.h"

#include "nn/streams.h"

#include "unit/asserts.h"
#include "unit/nn/find.h"
#include "unit/supernet/sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Steps come after all else, so that the same seed gives the same weights, and
 * have a row for each kernel size and bit-width. */
static void weights_are_those_without_steps(void **state) {
    sample *s = *state;
    apq_supernet *plain = NULL;
    assert_int_equal(apq_supernet_create(&s->space, 3, &plain), APQ_OK);
    assert_false(apq_supernet_has_steps(plain));
    assert_true(apq_supernet_has_steps(s->supernet));
    const apq_params *a = apq_supernet_params(plain);
    const apq_params *b = apq_supernet_params(s->supernet);
    assert_memory_equal(a->value, b->value, a->n_values * sizeof *a->value);
    assert_int_equal(b->n_items - a->n_items, 2 * (5 + 3 * s->space.n_blocks));
    for (size_t t = a->n_items; t < b->n_items; t++) {
        assert_false(b->items[t].has_decay);
    }
    const apq_param *depthwise =
        &b->items[find_tensor(b, "block0.depthwise.weight_log_step")];
    assert_int_equal(depthwise->shape[0], s->space.n_kernels * s->space.n_bits);
    assert_int_equal(depthwise->shape[1], s->space.blocks[0].max_channels);
    assert_int_equal(b->items[find_tensor(b, "stem.weight_log_step")].shape[0],
                     1);
    assert_int_equal(b->items[find_tensor(b, "block1.project.act_log_range")].n,
                     s->space.n_bits);
    apq_supernet_destroy(plain);
}

/* What calibration finds for a network is what a network of these bits and
 * kernels starts with; fewer bits have larger steps. */
static void steps_start_from_calibration(void **state) {
    sample *s = *state;
    apq_policy policy;
    apq_subnet shared, plain;
    apq_policy_largest(&s->space, 6, &policy);
    policy.kernel[0] = 3;
    sample_bind(s, &policy, &shared);
    sample_bind(s, &policy, &plain);
    assert_int_equal(apq_subnet_quantise(&shared), APQ_OK);
    plain.net.quantiser = APQ_QUANTISER_LSQ;
    assert_int_equal(apq_nn_calibrate(&plain.net, s->images, N_IMAGES), APQ_OK);
    for (size_t i = 0; i < plain.net.n_layers; i++) {
        const apq_nn_layer *a = &shared.net.layers[i];
        const apq_nn_layer *b = &plain.net.layers[i];
        for (int k = 0; k < a->ir.out_channels; k++) {
            float want = b->weight_step[k];
            assert_true(fabsf(a->weight_step[k] - want) <= 1e-5F * want);
        }
        assert_true(a->act_range > 0.0F);
    }
    apq_subnet_fini(&shared);
    apq_subnet_fini(&plain);
    const apq_params *p = apq_supernet_params(s->supernet);
    size_t t = find_tensor(p, "block1.expand.weight_log_step");
    const float *steps = apq_params_value(p, t);
    int64_t n = p->items[t].shape[1];
    for (int64_t k = 0; k < n; k++) {
        assert_true(steps[k] > steps[n + k] && steps[n + k] > steps[2 * n + k]);
    }
}

/* Whether x is the gradient of the logarithms of a model's tensor, whose own is
 * that of its values times `scale`. */
static void expect_gradient(const apq_model *model, size_t tensor, size_t at,
                            double scale, const float *x, size_t n) {
    const float *grad = apq_params_grad(&model->params, tensor) + at;
    const float *value = apq_params_value(&model->params, tensor) + at;
    for (size_t k = 0; k < n; k++) {
        double want = (double)value[k] * (double)grad[k] / scale;
        assert_true(fabs((double)x[k] - want) <= 1e-5 * (1 + fabs(want)));
    }
}

/* Of n values with P = highest, which is as given at 4 bits. */
static double step_scale(int n, double highest, double highest_at_4) {
    return pow(fmin(highest_at_4 / highest, 1.0), 1.5) / sqrt(n * highest);
}

/* Of the weights; of the range P^2 times it. */
static double weight_scale(const apq_ir_layer *ir) {
    int n = ir->kind == APQ_IR_DEPTHWISE ? ir->kernel * ir->kernel
                                         : ir->in_channels;
    return step_scale(n, pow(2, ir->weight_bits - 1) - 1, 7);
}

static double range_scale(const apq_ir_layer *ir) {
    double p = pow(2, ir->act_bits - (ir->is_act_signed ? 1 : 0)) - 1;
    int n = ir->in_channels * ir->in_size * ir->in_size;
    return p * p * step_scale(n, p, ir->is_act_signed ? 7 : 15);
}

/* An extracted network has the steps and computes the same; its gradients,
 * which are tested against differences, are those of the rows in use. */
static void extraction_has_the_steps(void **state) {
    sample *s = *state;
    apq_params *p = apq_supernet_params(s->supernet);
    for (uint64_t round = 0; round < 4; round++) {
        apq_rng rng = apq_rng_make(2, APQ_RNG_TEST, round);
        apq_policy policy;
        apq_policy_random(&s->space, &rng, &policy);
        apq_arena_reset(s->arena);
        apq_params_zero_grad(p);
        apq_model *model;
        assert_int_equal(apq_supernet_extract(s->supernet, &policy,
                                              APQ_QUANTISER_LSQ, &model),
                         APQ_OK);
        assert_true(model->has_steps);
        apq_nn_net net;
        assert_int_equal(apq_model_bind(model, s->backend, s->arena, &net),
                         APQ_OK);
        assert_true(net.is_quantised && net.has_float_streams);
        apq_subnet subnet;
        sample_bind(s, &policy, &subnet);
        assert_int_equal(apq_subnet_quantise(&subnet), APQ_OK);
        double a = sample_loss(s, &subnet.net, true);
        double b = sample_loss(s, &net, true);
        assert_true(fabs(a - b) <= 1e-6);
        assert_int_equal(apq_subnet_collect_grads(&subnet), APQ_OK);
        apq_model_push_range_grads(model, &net);
        for (int kind = 0; kind < 2; kind++) { /* block 0 is never skipped */
            bool is_depthwise = kind == 1;
            size_t layer = is_depthwise ? 4 : 3;
            const apq_ir_layer *ir = &net.layers[layer].ir;
            int row = 0, column = 0;
            for (int i = 0; i < s->space.n_bits; i++) {
                row += s->space.bits[i] < ir->weight_bits;
                column += s->space.bits[i] < ir->act_bits;
            }
            row += is_depthwise && ir->kernel == 5 ? s->space.n_bits : 0;
            char name[APQ_PARAM_NAME_MAX];
            (void)snprintf(name, sizeof name, "%s.weight_log_step", ir->name);
            size_t t = find_tensor(p, name);
            const float *g = apq_params_grad(p, t);
            size_t width = (size_t)p->items[t].shape[1];
            size_t n = (size_t)ir->out_channels;
            expect_gradient(model, model->weight_step[layer], 0,
                            weight_scale(ir), g + (size_t)row * width, n);
            double inside = 0, all = 0;
            for (size_t k = 0; k < p->items[t].n; k++) {
                bool is_used = k / width == (size_t)row && k % width < n;
                inside += is_used ? fabs((double)g[k]) : 0;
                all += fabs((double)g[k]);
            }
            assert_true(inside > 0 && !(all > inside));
            (void)snprintf(name, sizeof name, "%s.act_log_range", ir->name);
            expect_gradient(model, model->act_range, layer, range_scale(ir),
                            apq_params_grad(p, find_tensor(p, name)) + column,
                            1);
        }
        apq_subnet_fini(&subnet);
        apq_nn_net_fini(&net);
        apq_model_destroy(model);
    }
}

/* Calibration of such a network finds what is missing and leaves the rest. */
static void calibration_finds_streams_only(void **state) {
    sample *s = *state;
    apq_policy policy;
    apq_policy_smallest(&s->space, 4, &policy);
    apq_subnet subnet;
    sample_bind(s, &policy, &subnet);
    apq_params *p = apq_supernet_params(s->supernet);
    float *ranges =
        apq_params_value(p, find_tensor(p, "block0.expand.act_log_range"));
    ranges[0] = logf(1.25F);
    assert_int_equal(apq_subnet_quantise(&subnet), APQ_OK);
    apq_nn_net *net = &subnet.net;
    float range = net->layers[3].act_range;
    assert_true(fabsf(range - 1.25F) <= 1e-6F);
    float step = net->layers[3].weight_step[0];
    assert_int_equal(apq_nn_calibrate(net, s->images, N_IMAGES), APQ_OK);
    assert_true(net->is_quantised && !net->has_float_streams);
    assert_true(net->layers[3].act_range == range);
    assert_true(net->layers[3].weight_step[0] == step);
    for (size_t i = 0; i + 1 < net->n_layers; i++) {
        bool has_range =
            apq_nn_is_in_stream(&net->layers[i]) || i + 2 == net->n_layers;
        assert_int_equal(net->layers[i].out_range > 0.0F, has_range);
    }
    apq_subnet_fini(&subnet);
}

/* Else they would be drawn to what the steps were before. */
static void averages_start_with_the_steps(void **state) {
    sample *s = *state;
    apq_params *p = apq_supernet_params(s->supernet);
    size_t first = find_tensor(p, "stem.weight_log_step");
    size_t n_weights = p->items[first].offset;
    apq_params_init_constant(p, first, 1.0F);
    assert_status(apq_params_average_begin(p), APQ_OK);
    float weight = p->value[0];
    p->value[0] += 1.0F;
    assert_status(apq_supernet_start_steps(s->supernet, s->backend, s->arena,
                                           s->images, N_IMAGES),
                  APQ_OK);
    assert_true(p->average[0] == weight);
    assert_memory_equal(p->average + n_weights, p->value + n_weights,
                        (p->n_values - n_weights) * sizeof *p->value);
}

static void bits_of_another_space_are_refused(void **state) {
    sample *s = *state;
    apq_policy policy;
    apq_policy_largest(&s->space, 5, &policy);
    apq_subnet subnet;
    sample_bind(s, &policy, &subnet);
    assert_int_equal(apq_subnet_quantise(&subnet), APQ_ERR_ARG);
    assert_non_null(strstr(apq_error_message(), "block0.expand"));
    apq_subnet_fini(&subnet);
    apq_model *model = NULL;
    assert_int_equal(
        apq_supernet_extract(s->supernet, &policy, APQ_QUANTISER_LSQ, &model),
        APQ_ERR_ARG);
    assert_null(model);
}

static void steps_stay_positive(void **state) {
    sample *s = *state;
    apq_params *p = apq_supernet_params(s->supernet);
    apq_params_init_constant(p, find_tensor(p, "stem.weight_log_step"),
                             -1000.0F);
    apq_params_init_constant(p, find_tensor(p, "block0.project.act_log_range"),
                             -1000.0F);
    apq_policy policy;
    apq_subnet subnet;
    apq_policy_smallest(&s->space, 6, &policy);
    sample_bind(s, &policy, &subnet);
    assert_int_equal(apq_subnet_quantise(&subnet), APQ_OK);
    const apq_nn_layer *layers = subnet.net.layers;
    assert_true(layers[0].weight_step[0] > 0.0F &&
                layers[0].weight_step[0] < 1e-5F);
    assert_true(layers[5].act_range > 0.0F && layers[5].act_range < 0.1F);
    apq_subnet_fini(&subnet);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(weights_are_those_without_steps,
                                        sample_open_shared, sample_close),
        cmocka_unit_test_setup_teardown(steps_start_from_calibration,
                                        sample_open_shared, sample_close),
        cmocka_unit_test_setup_teardown(extraction_has_the_steps,
                                        sample_open_shared, sample_close),
        cmocka_unit_test_setup_teardown(calibration_finds_streams_only,
                                        sample_open_shared, sample_close),
        cmocka_unit_test_setup_teardown(averages_start_with_the_steps,
                                        sample_open_shared, sample_close),
        cmocka_unit_test_setup_teardown(bits_of_another_space_are_refused,
                                        sample_open_shared, sample_close),
        cmocka_unit_test_setup_teardown(steps_stay_positive, sample_open_shared,
                                        sample_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
