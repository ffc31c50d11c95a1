/* Analytic fields by hand, sums over layers, and what a target file may say. */
#include "cost/cost.h"

#include "base/file.h"
#include "cost/macs/macs.h"
#include "cost/target_ops.h"

#include "unit/asserts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void assert_same(double actual, double expected) {
    if (!(fabs(actual - expected) <= 1e-12 * fabs(expected))) {
        fail_msg("%.17g is not %.17g", actual, expected);
    }
}

/* Image 3 x 8 x 8; stem 3->4 stride 2; expand 4->8; depthwise 8; project 8->4
 * with residual; classifier 4->10. */
static apq_ir_network make_network(void) {
    apq_ir_network net = {.n_layers = 5, .n_classes = 10, .resolution = 8};
    const apq_ir_layer common = {.kernel = 1,
                                 .stride = 1,
                                 .in_size = 4,
                                 .out_size = 4,
                                 .weight_bits = 8,
                                 .act_bits = 8,
                                 .residual_from = -1,
                                 .is_priced = true};
    const struct {
        const char *name;
        apq_ir_kind kind;
        int in, out, weight_bits, act_bits;
    } rows[5] = {
        {"stem", APQ_IR_CONV, 3, 4, 8, 8},
        {"expand", APQ_IR_POINTWISE, 4, 8, 4, 6},
        {"depthwise", APQ_IR_DEPTHWISE, 8, 8, 6, 4},
        {"project", APQ_IR_POINTWISE, 8, 4, 4, 6},
        {"classifier", APQ_IR_LINEAR, 4, 10, 8, 8},
    };
    for (size_t i = 0; i < 5; i++) {
        apq_ir_layer *l = &net.layers[i];
        *l = common;
        (void)snprintf(l->name, sizeof l->name, "%s", rows[i].name);
        l->kind = rows[i].kind;
        l->in_channels = rows[i].in;
        l->out_channels = rows[i].out;
        l->weight_bits = rows[i].weight_bits;
        l->act_bits = rows[i].act_bits;
    }
    net.layers[0].kernel = 3;
    net.layers[0].stride = 2;
    net.layers[0].in_size = 8;
    net.layers[2].kernel = 3;
    net.layers[3].residual_from = 0;
    net.layers[1].has_relu6 = net.layers[2].has_relu6 = true;
    net.layers[1].is_searchable = net.layers[3].is_searchable = true;
    net.layers[4].out_size = 1;
    assert_int_equal(apq_ir_check(&net), APQ_OK);
    return net;
}

static apq_target *load(void) {
    apq_target *target = NULL;
    assert_int_equal(apq_target_load("bitfusion", &target), APQ_OK);
    return target;
}

static double peak_of(const apq_ir_network *net) {
    double peak = 0.0;
    for (size_t i = 0; i < net->n_layers; i++) {
        peak = fmax(peak, apq_cost_activation_bytes(net, i));
    }
    return peak;
}

static void analytic_fields_by_hand(void **state) {
    (void)state;
    apq_ir_network net = make_network();
    apq_target *target = load();
    apq_cost cost;
    assert_int_equal(apq_cost_network(target, &net, &cost), APQ_OK);
    /* weights: 108, 32, 72, 32, 40; output pixels 16, the last 1 */
    assert_same(cost.macs, 1728 + 512 + 1152 + 512 + 40);
    assert_same(cost.bitops,
                1728 * 64 + 512 * 24 + 1152 * 24 + 512 * 24 + 40 * 64);
    assert_same(cost.searchable_bitops, 2 * 512 * 24);
    /* batch norm twice the channels: 8, 16, 16, 8; ten biases */
    assert_same(cost.params, 284 + 48 + 10);
    assert_same(cost.weight_bytes,
                108 + 32 * 0.5 + 72 * 0.75 + 32 * 0.5 + 40 + 58 * 4);
    /* stem: 192 * 8 in, 64 * 8 out, which a residual keeps, = 2048 bits;
     * expand: 64 * 8 + 128 * 4; depthwise: 128 * 4 + 128 * 6 + residual 64 * 8
     * = 1792; project: 128 * 6 + 64 * 8 + 64 * 8 = 1792 */
    assert_same(cost.peak_activation_bytes, 2048 / 8.0);
    net.layers[0].act_bits = 2;
    assert_same(peak_of(&net), 1792 / 8.0);
    net.layers[3].residual_from = -1;
    assert_same(peak_of(&net), 1280 / 8.0);
    apq_target_destroy(target);
}

static void network_is_the_sum_of_its_layers(void **state) {
    (void)state;
    apq_ir_network net = make_network();
    net.layers[4].is_priced = false;
    apq_target *target = load();
    apq_cost whole, sum = {0};
    assert_int_equal(apq_cost_network(target, &net, &whole), APQ_OK);
    for (size_t i = 0; i < net.n_layers; i++) {
        apq_layer_cost why;
        apq_cost one;
        assert_int_equal(apq_target_explain(target, &net.layers[i], &why),
                         APQ_OK);
        assert_int_equal(apq_cost_layer(target, &net.layers[i], &one), APQ_OK);
        assert_true(why.latency_ms > 0.0 && why.energy_mj > 0.0);
        double share = net.layers[i].is_priced ? 1.0 : 0.0;
        assert_same(one.latency_ms, share * why.latency_ms);
        assert_same(one.energy_mj, share * why.energy_mj);
        assert_true(isnan(one.peak_activation_bytes));
        sum.latency_ms += one.latency_ms;
        sum.energy_mj += one.energy_mj;
        sum.macs += one.macs;
        sum.bitops += one.bitops;
        sum.searchable_bitops += one.searchable_bitops;
        sum.params += one.params;
        sum.weight_bytes += one.weight_bytes;
    }
    for (int f = 0; f < APQ_COST_PEAK_ACTIVATION_BYTES; f++) {
        assert_same(apq_cost_get(&whole, (apq_cost_field)f),
                    apq_cost_get(&sum, (apq_cost_field)f));
        assert_true(apq_cost_get(&whole, (apq_cost_field)f) > 0.0);
    }
    apq_target_destroy(target);
}

/* Enough layers that the table grows several times; each must come back as
 * its own price, from the cache as well as fresh. */
static void cached_prices_are_the_layers_own(void **state) {
    (void)state;
    apq_target *target = load();
    apq_ir_layer layer = make_network().layers[1];
    for (int pass = 0; pass < 2; pass++) {
        for (int in = 8; in < 24; in++) {
            for (int out = 1; out < 100; out++) {
                layer.in_channels = in;
                layer.out_channels = out;
                layer.act_bits = 4 + 2 * (out % 3);
                apq_layer_cost fresh;
                double latency_ms, energy_mj;
                assert_int_equal(apq_target_explain(target, &layer, &fresh),
                                 APQ_OK);
                assert_int_equal(
                    apq_target_layer(target, &layer, &latency_ms, &energy_mj),
                    APQ_OK);
                assert_true(latency_ms == fresh.latency_ms &&
                            energy_mj == fresh.energy_mj);
            }
        }
    }
    apq_target_destroy(target);
}

static void registry_is_complete(void **state) {
    (void)state;
    assert_non_null(apq_target_registry()[0]);
    for (const apq_target_ops *const *o = apq_target_registry(); *o != NULL;
         o++) {
        assert_non_null((*o)->model);
        assert_non_null((*o)->summary);
        assert_non_null((*o)->init);
        assert_true((*o)->layer != NULL || (*o)->measured != NULL);
        assert_true((*o)->state_bytes > 0);
    }
    for (const char *const *name = apq_target_names(); *name != NULL; name++) {
        apq_target *target = NULL;
        assert_int_equal(apq_target_load(*name, &target), APQ_OK);
        assert_string_equal(apq_target_name(target), *name);
        apq_target_destroy(target);
    }
    for (int f = 0; f < APQ_COST_N_FIELDS; f++) {
        assert_non_null(apq_cost_field_name((apq_cost_field)f));
    }
    assert_string_equal(apq_cost_field_name(APQ_COST_ENERGY_MJ), "energy_mj");
}

/* The built-in file with `from` replaced by `to`; its status and message. */
static apq_status load_changed(const char *from, const char *to) {
    char *text = NULL;
    size_t n_bytes;
    assert_int_equal(
        apq_file_read("configs/targets/bitfusion.yaml", &text, &n_bytes),
        APQ_OK);
    char *at = strstr(text, from);
    assert_non_null(at);
    char path[] = "/tmp/apq_target_XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    FILE *file = fdopen(descriptor, "w");
    assert_non_null(file);
    (void)fprintf(file, "%.*s%s%s", (int)(at - text), text, to,
                  at + strlen(from));
    assert_int_equal(fclose(file), 0);
    apq_target *target = NULL;
    apq_status st = apq_target_load(path, &target);
    assert_true((target != NULL) == (st == APQ_OK));
    apq_target_destroy(target);
    (void)unlink(path);
    free(text);
    return st;
}

static void bad_files_are_refused(void **state) {
    (void)state;
    const char *const cases[][3] = {
        {"clock_mhz: 500", "clock_mhz: fast", "clock_mhz"},
        {"clock_mhz: 500", "clock_mgz: 500", "unknown key 'clock_mgz'"},
        {"array_rows: 16", "array_rows: 0", "array_rows"},
        {"dram_nj_per_bit: 0.015", "", "'dram_nj_per_bit' is missing"},
        {"dram_nj_per_bit: 0.015", "dram_nj_per_bit: nan", "dram_nj_per_bit"},
        {"supported_bits: [4, 6, 8]", "supported_bits: [1]", "supported_bits"},
        {"clock_mhz: 500", "clock_mhz: 500\nbatch: 0", "batch"},
        {"clock_mhz: 500", "clock_mhz: 500\nbatch: 1025", "batch"},
        {"model: bitfusion", "model: tpu", "unknown model 'tpu'"},
        {"name: bitfusion", "name: ''", "name"},
    };
    assert_int_equal(load_changed("clock_mhz: 500", "clock_mhz: 250"), APQ_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(load_changed(cases[i][0], cases[i][1]),
                         APQ_ERR_FORMAT);
        assert_message(cases[i][2]);
    }
    apq_target *target = NULL;
    assert_int_equal(apq_target_load("bitfuson", &target), APQ_ERR_ARG);
    assert_non_null(strstr(apq_error_message(), "did you mean 'bitfusion'"));
    assert_int_equal(apq_target_load("./absent.yaml", &target), APQ_ERR_IO);
    assert_null(target);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(analytic_fields_by_hand),
        cmocka_unit_test(network_is_the_sum_of_its_layers),
        cmocka_unit_test(cached_prices_are_the_layers_own),
        cmocka_unit_test(registry_is_complete),
        cmocka_unit_test(bad_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
