/* Our kernels under the clock: networks run in pieces, every layer of the
 * spaces can be surrounded, and larger layers take longer. Machines are shared,
 * so times are compared only where they differ many times over. */
#include "measure/measure.h"

#include "base/file.h"
#include "measure/program.h"
#include "space/space.h"

#include "unit/asserts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A built-in target with `from` replaced by `to`. */
static apq_target *load_changed(const char *name, const char *from,
                                const char *to) {
    char source[128], path[] = "/tmp/apq_cpu_XXXXXX";
    (void)snprintf(source, sizeof source, "configs/targets/%s.yaml", name);
    char *text = NULL;
    size_t n_bytes;
    assert_int_equal(apq_file_read(source, &text, &n_bytes), APQ_OK);
    char *at = strstr(text, from);
    assert_non_null(at);
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    FILE *file = fdopen(descriptor, "w");
    assert_non_null(file);
    (void)fprintf(file, "%.*s%s%s", (int)(at - text), text, to,
                  at + strlen(from));
    assert_int_equal(fclose(file), 0);
    free(text);
    apq_target *target = NULL;
    assert_int_equal(apq_target_load(path, &target), APQ_OK);
    (void)unlink(path);
    return target;
}

static void lower(const char *name, int bits, apq_ir_network *out) {
    apq_space space;
    apq_policy policy;
    assert_int_equal(apq_space_load(name, &space), APQ_OK);
    apq_policy_largest(&space, bits, &policy);
    assert_int_equal(apq_policy_lower(&space, &policy, out), APQ_OK);
}

static void every_layer_can_be_surrounded(void **state) {
    (void)state;
    static const char *const spaces[] = {"tiny", "cifar10"};
    for (size_t s = 0; s < 2; s++) {
        apq_ir_network network, around;
        lower(spaces[s], 4, &network);
        for (size_t i = 0; i < network.n_layers; i++) {
            const apq_ir_layer *l = &network.layers[i];
            size_t at;
            apq_program_surround(l, &around, &at);
            if (apq_ir_check(&around) != APQ_OK) {
                fail_msg("%s: %s", l->name, apq_error_message());
            }
            const apq_ir_layer *same = &around.layers[at];
            assert_int_equal(same->kind, l->kind);
            assert_int_equal(same->in_channels, l->in_channels);
            assert_int_equal(same->out_channels, l->out_channels);
            assert_int_equal(same->in_size, l->in_size);
            assert_int_equal(same->out_size, l->out_size);
            assert_int_equal(same->kernel, l->kernel);
            assert_int_equal(same->stride, l->stride);
            assert_int_equal(same->is_act_signed, l->is_act_signed);
            assert_int_equal(same->has_relu6, l->has_relu6);
            apq_program *program = NULL;
            for (int a = APQ_MEASURED_INT8; a <= APQ_MEASURED_FLOAT32; a++) {
                if (apq_program_create(&around, (apq_measured_arithmetic)a,
                                       &program) != APQ_OK ||
                    apq_program_run(program, 0, around.n_layers) != APQ_OK) {
                    fail_msg("%s: %s", l->name, apq_error_message());
                }
                assert_int_equal(apq_program_run(program, at, at + 1), APQ_OK);
                assert_int_equal(apq_program_run(program, at, at + 1), APQ_OK);
                apq_program_destroy(program);
            }
        }
    }
}

static double measure_layer(apq_measure *measure, apq_ir_layer layer) {
    apq_lut_source source = apq_measure_source(measure);
    apq_lut_sample sample;
    assert_status(source.layer(source.ctx, &layer, &sample), APQ_OK);
    assert_true(sample.latency_ms > 0.0 && sample.latency_ms < 1e3);
    assert_true(sample.latency_spread_ms >= 0.0);
    assert_true(isnan(sample.energy_mj) && isnan(sample.energy_spread_mj));
    assert_true(sample.count >= 24);
    return sample.latency_ms;
}

static void layers_are_timed(void **state) {
    (void)state;
    static const char *const targets[] = {"cpu", "cpu-float32"};
    for (size_t t = 0; t < 2; t++) {
        apq_target *target = load_changed(targets[t], "layer_seconds: 0.1",
                                          "layer_seconds: 0.01");
        apq_measure *measure = NULL;
        assert_int_equal(apq_measure_open(target, NULL, &measure), APQ_OK);
        apq_ir_layer l = {
            .name = "layer",
            .kind = APQ_IR_POINTWISE,
            .in_channels = 32,
            .out_channels = 32,
            .kernel = 1,
            .stride = 1,
            .in_size = 8,
            .out_size = 8,
            .weight_bits = 8,
            .act_bits = 8,
            .has_relu6 = true,
            .residual_from = -1,
            .is_priced = true,
        };
        double small_ms = measure_layer(measure, l);
        /* The same container: the same measurement, not a second one. */
        l.weight_bits = 4;
        l.act_bits = 6;
        assert_true(measure_layer(measure, l) == small_ms);
        l.in_channels = l.out_channels = 256;
        l.in_size = l.out_size = 16;
        assert_true(measure_layer(measure, l) > 4.0 * small_ms);
        apq_measure_close(measure);
        apq_target_destroy(target);
    }
}

static void containers_are_those_of_the_kernels(void **state) {
    (void)state;
    apq_target *target = load_changed("cpu", "container_bits: [8, 8]",
                                      "container_bits: [8, 16]");
    apq_measure *measure = NULL;
    assert_int_equal(apq_measure_open(target, NULL, &measure), APQ_ERR_FORMAT);
    assert_string_equal(apq_error_message(),
                        "target cpu: conv: container_bits [8, 16], the "
                        "arithmetic has [8, 8]");
    assert_null(measure);
    apq_target_destroy(target);
}

/* Whether the layers of two networks add up to them. */
static bool sums_agree(const apq_target *target,
                       const apq_ir_network networks[2]) {
    apq_measure *measure = NULL;
    assert_status(apq_measure_open(target, NULL, &measure), APQ_OK);
    double sums[2] = {0.0}, measured[2];
    for (int i = 0; i < 2; i++) {
        for (size_t l = 0; l < networks[i].n_layers; l++) {
            sums[i] += measure_layer(measure, networks[i].layers[l]);
        }
    }
    apq_measure_agreement agreement;
    assert_status(
        apq_measure_compare(measure, networks, 2, sums, measured, &agreement),
        APQ_OK);
    apq_measure_close(measure);
    print_message("sums %g, %g ms; networks %g, %g ms\n", sums[0], sums[1],
                  measured[0], measured[1]);
    return agreement.kendall_tau == 1.0 && agreement.median_error < 0.5;
}

/* Neighbours can spoil any one measurement, but not five in a row; the tight
 * comparison is bench_measure's. */
static void sums_meet_networks(void **state) {
    (void)state;
    apq_target *target =
        load_changed("cpu", "layer_seconds: 0.1", "layer_seconds: 0.01");
    apq_ir_network networks[2];
    lower("tiny", 8, &networks[0]);
    lower("cifar10", 8, &networks[1]);
    bool is_met = false;
    for (int i = 0; i < 5 && !is_met; i++) {
        is_met = sums_agree(target, networks);
    }
    assert_true(is_met);
    apq_target_destroy(target);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layer_can_be_surrounded),
        cmocka_unit_test(layers_are_timed),
        cmocka_unit_test(containers_are_those_of_the_kernels),
        cmocka_unit_test(sums_meet_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
