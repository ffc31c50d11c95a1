/* The BitFusion model against the published table and against values that are
 * not in it; legality and scaling of the schedule search. */
#include "cost/cost.h"

#include "base/file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char table_path[] = "tests/golden/bitfusion_lut.csv";

static int load(void **state) {
    apq_target *target = NULL;
    if (apq_target_load("bitfusion", &target) != APQ_OK) {
        print_error("%s\n", apq_error_message());
        return -1;
    }
    *state = target;
    return 0;
}

static int unload(void **state) {
    apq_target_destroy(*state);
    return 0;
}

static apq_ir_layer make_layer(apq_ir_kind kind, int in, int out, int kernel,
                               int stride, int in_size) {
    return (apq_ir_layer){
        .name = "layer",
        .kind = kind,
        .in_channels = in,
        .out_channels = out,
        .kernel = kernel,
        .stride = stride,
        .in_size = in_size,
        .out_size = kind == APQ_IR_LINEAR ? 1 : in_size / stride,
        .weight_bits = 8,
        .act_bits = 8,
        .residual_from = -1,
        .is_priced = true,
    };
}

static void assert_close(double actual, double expected, double relative) {
    if (!(fabs(actual - expected) <= relative * fabs(expected))) {
        fail_msg("%.17g is not %.17g within %g", actual, expected, relative);
    }
}

static const char *table_file(void) {
    const char *other = getenv("APQ_TEST_BITFUSION_LUT");
    return other != NULL ? other : table_path;
}

static void table_entries_are_reproduced(void **state) {
    apq_target *target = *state;
    char *text = NULL;
    size_t n_bytes;
    assert_int_equal(apq_file_read(table_file(), &text, &n_bytes), APQ_OK);
    const char *at = strchr(text, '\n') + 1;
    int n_checked = 0;
    for (; *at != '\0'; at = strchr(at, '\n') + 1) {
        int v[8];
        long long cycles;
        double energy_mj;
        assert_int_equal(sscanf(at, "%d,%d,%d,%d,%d,%d,%d,%d,%lld,%lf", &v[0],
                                &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7],
                                &cycles, &energy_mj),
                         10);
        apq_ir_kind kind = v[5] > 1    ? APQ_IR_DEPTHWISE
                           : v[0] == 3 ? APQ_IR_CONV
                                       : APQ_IR_POINTWISE;
        apq_ir_layer layer = make_layer(kind, v[0], v[1], v[3], v[4], v[2]);
        layer.weight_bits = v[6];
        layer.act_bits = v[7];
        apq_layer_cost cost;
        assert_int_equal(apq_target_explain(target, &layer, &cost), APQ_OK);
        if (cost.cycles != cycles) {
            fail_msg("%.60s: %lld cycles", at, (long long)cost.cycles);
        }
        assert_close(cost.energy_mj, energy_mj, 1e-12);
        assert_close(cost.latency_ms, (double)cycles / 5e5, 1e-12);
        n_checked++;
    }
    free(text);
    assert_true(n_checked > 300);
}

static void layers_outside_the_table(void **state) {
    const struct {
        apq_ir_layer layer;
        int64_t cycles;
        double energy_mj;
    } cases[] = {
        {make_layer(APQ_IR_DEPTHWISE, 32, 32, 3, 1, 112), 452500, 0.881686},
        {make_layer(APQ_IR_POINTWISE, 32, 16, 1, 1, 112), 83649, 0.291441},
        {make_layer(APQ_IR_LINEAR, 1280, 1000, 1, 1, 7), 53721, 0.179853},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        apq_layer_cost cost;
        assert_int_equal(apq_target_explain(*state, &cases[i].layer, &cost),
                         APQ_OK);
        assert_int_equal(cost.cycles, cases[i].cycles);
        assert_close(cost.energy_mj, cases[i].energy_mj, 2e-6);
    }
}

static void large_depthwise_kernel_with_4_bit_input_does_not_fit(void **state) {
    apq_ir_layer layer = make_layer(APQ_IR_DEPTHWISE, 96, 96, 7, 1, 56);
    double latency_ms = -1.0, energy_mj = -1.0;
    for (int weight_bits = 4; weight_bits <= 8; weight_bits += 2) {
        layer.weight_bits = weight_bits;
        layer.act_bits = 4;
        assert_int_equal(
            apq_target_layer(*state, &layer, &latency_ms, &energy_mj),
            APQ_ERR_UNSUPPORTED);
        assert_non_null(strstr(apq_error_message(), "layer: no tile"));
        assert_true(latency_ms < 0.0);
        layer.act_bits = 6;
        assert_int_equal(
            apq_target_layer(*state, &layer, &latency_ms, &energy_mj), APQ_OK);
        assert_true(latency_ms > 0.0);
        latency_ms = -1.0;
    }
    layer.kernel = 5;
    layer.act_bits = 4;
    assert_int_equal(apq_target_layer(*state, &layer, &latency_ms, &energy_mj),
                     APQ_OK);
}

static void other_bits_are_refused(void **state) {
    apq_ir_layer layer = make_layer(APQ_IR_POINTWISE, 64, 64, 1, 1, 8);
    apq_layer_cost cost;
    layer.act_bits = 5;
    assert_int_equal(apq_target_explain(*state, &layer, &cost),
                     APQ_ERR_UNSUPPORTED);
    assert_non_null(strstr(apq_error_message(), "W8 A5"));
}

/* Holds for output channels. Not for input channels: the published table
 * itself has a few wider layers that tile better. */
static void more_outputs_are_never_faster(void **state) {
    const int sizes[] = {7, 14, 28, 56}, bits[] = {4, 6, 8};
    for (size_t s = 0; s < 4; s++) {
        for (size_t b = 0; b < 9; b++) {
            int64_t last[2] = {0};
            for (int c = 48; c <= 480; c += 24) {
                apq_ir_layer layers[2] = {
                    make_layer(APQ_IR_POINTWISE, 96, c, 1, 1, sizes[s]),
                    make_layer(APQ_IR_DEPTHWISE, c, c, 3, 1, sizes[s]),
                };
                for (size_t i = 0; i < 2; i++) {
                    layers[i].weight_bits = bits[b / 3];
                    layers[i].act_bits = bits[b % 3];
                    apq_layer_cost cost;
                    assert_int_equal(
                        apq_target_explain(*state, &layers[i], &cost), APQ_OK);
                    if (cost.cycles < last[i]) {
                        fail_msg("kind %zu, %d channels at %d, W%d A%d: %lld "
                                 "after %lld cycles",
                                 i, c, sizes[s], bits[b / 3], bits[b % 3],
                                 (long long)cost.cycles, (long long)last[i]);
                    }
                    last[i] = cost.cycles;
                }
            }
        }
    }
}

static void more_inputs_may_be_faster(void **state) {
    apq_ir_layer narrow = make_layer(APQ_IR_POINTWISE, 336, 96, 1, 1, 14);
    apq_ir_layer wide = make_layer(APQ_IR_POINTWISE, 344, 96, 1, 1, 14);
    narrow.weight_bits = narrow.act_bits = 6;
    wide.weight_bits = wide.act_bits = 6;
    apq_layer_cost a, b;
    assert_int_equal(apq_target_explain(*state, &narrow, &a), APQ_OK);
    assert_int_equal(apq_target_explain(*state, &wide, &b), APQ_OK);
    assert_int_equal(a.cycles, 13653);
    assert_int_equal(b.cycles, 13625);
}

static void explanation_adds_up(void **state) {
    apq_ir_layer layer = make_layer(APQ_IR_DEPTHWISE, 400, 400, 7, 2, 14);
    layer.act_bits = 6;
    apq_layer_cost cost;
    assert_int_equal(apq_target_explain(*state, &layer, &cost), APQ_OK);
    /* bitfusion_debug of the reference: 50 groups of 2749 cycles. */
    assert_int_equal(cost.n_groups, 50);
    assert_int_equal(cost.cycles, 137450);
    assert_int_equal(cost.compute_cycles, 50 * 2401);
    assert_int_equal(cost.dram_read_bits, 50 * 152880);
    assert_int_equal(cost.dram_write_bits, 50 * 12544);
    assert_int_equal(cost.tile_side, 1);
    assert_int_equal(cost.tile_in_channels, 8);
    assert_false(cost.is_dram_bound);
    assert_close(cost.compute_energy_mj + cost.leakage_energy_mj +
                     cost.sram_energy_mj + cost.dram_energy_mj,
                 cost.energy_mj, 1e-14);

    layer = make_layer(APQ_IR_POINTWISE, 192, 1064, 1, 1, 7);
    layer.weight_bits = layer.act_bits = 4;
    assert_int_equal(apq_target_explain(*state, &layer, &cost), APQ_OK);
    assert_int_equal(cost.n_groups, 1);
    assert_int_equal(cost.cycles, 22320);
    assert_int_equal(cost.dram_read_bits, 2579200);
    assert_true(cost.is_dram_bound);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_entries_are_reproduced),
        cmocka_unit_test(layers_outside_the_table),
        cmocka_unit_test(large_depthwise_kernel_with_4_bit_input_does_not_fit),
        cmocka_unit_test(other_bits_are_refused),
        cmocka_unit_test(more_outputs_are_never_faster),
        cmocka_unit_test(more_inputs_may_be_faster),
        cmocka_unit_test(explanation_adds_up),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
