/* Published figures that need space, lowering and target together: BitOps of
 * MobileNetV2, and what each pair of widths saves on the whole table. */
#include "cost/cost.h"

#include "base/sort.h"
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

static void check_close(const char *what, double actual, double expected,
                        double tolerance) {
    if (!(fabs(actual - expected) <= tolerance)) {
        fail_msg("%s: %.9g is not %.9g within %g", what, actual, expected,
                 tolerance);
    }
}

/* MobileNetV2, table 2 of Sandler et al., CVPR 2018, as a space of one
 * architecture. */
static const char mobilenet[] = "name: mobilenet-v2\n"
                                "resolution: 224\n"
                                "image_channels: 3\n"
                                "classes: 1000\n"
                                "stem: {channels: 32, stride: 2}\n"
                                "first_channels: 16\n"
                                "head_channels: 1280\n"
                                "kernels: [3]\n"
                                "bits: [4, 8]\n"
                                "expand: {min: 6, max: 6}\n"
                                "stages:\n"
                                "  - {width: 24, stride: 2, depth: [2, 2]}\n"
                                "  - {width: 32, stride: 2, depth: [3, 3]}\n"
                                "  - {width: 64, stride: 2, depth: [4, 4]}\n"
                                "  - {width: 96, stride: 1, depth: [3, 3]}\n"
                                "  - {width: 160, stride: 2, depth: [3, 3]}\n"
                                "  - {width: 320, stride: 1, depth: [1, 1]}\n";

static void load_mobilenet(apq_ir_network *net) {
    char path[] = "/tmp/apq_space_XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    size_t n = strlen(mobilenet);
    assert_true(write(descriptor, mobilenet, n) == (ssize_t)n);
    assert_int_equal(close(descriptor), 0);
    apq_space space;
    apq_policy policy;
    apq_status st = apq_space_load(path, &space);
    (void)unlink(path);
    assert_status(st, APQ_OK);
    apq_policy_largest(&space, 8, &policy);
    assert_int_equal(apq_policy_lower(&space, &policy, net), APQ_OK);
}

static bool is_end(const apq_ir_layer *l) {
    return l->role == APQ_ROLE_STEM || l->role == APQ_ROLE_CLASSIFIER;
}

/* APQ, table 2: 19.2 G BitOps at 8 bits; 300.8 M MACs, 288.7 M of them
 * between first convolution and classifier; 5.4 G with 4 bits there. */
static void mobilenet_bitops(void **state) {
    (void)state;
    apq_target *target = NULL;
    apq_ir_network net;
    apq_cost cost;
    assert_int_equal(apq_target_load("bitfusion", &target), APQ_OK);
    load_mobilenet(&net);
    assert_int_equal(net.n_layers, 3 + 16 * 3 + 2);
    assert_int_equal(apq_cost_network(target, &net, &cost), APQ_OK);
    check_close("MACs", cost.macs / 1e6, 300.8, 0.05);
    check_close("BitOps", cost.bitops / 1e9, 19.25, 0.005);
    double inner = 0.0, searchable = 0.0;
    for (size_t i = 0; i < net.n_layers; i++) {
        apq_ir_layer *l = &net.layers[i];
        double macs = (double)apq_ir_layer_macs(l);
        searchable += l->is_searchable ? macs : 0.0;
        if (!is_end(l)) {
            inner += macs;
            l->weight_bits = l->act_bits = 4;
        }
    }
    check_close("inner MACs", inner / 1e6, 288.7, 0.05);
    check_close("searchable BitOps", cost.searchable_bitops, 64 * searchable,
                0.0);
    assert_true(searchable < inner);
    assert_int_equal(apq_cost_network(target, &net, &cost), APQ_OK);
    check_close("BitOps at 4 bits", cost.bitops / 1e9, 5.4, 0.05);
    check_close("searchable BitOps at 4 bits", cost.searchable_bitops,
                16 * searchable, 0.0);
    apq_target_destroy(target);
}

enum { MAX_LAYERS = 1024 };

static bool is_listed(const apq_ir_layer *list, size_t n,
                      const apq_ir_layer *l) {
    for (size_t i = 0; i < n; i++) {
        const apq_ir_layer *o = &list[i];
        if (o->kind == l->kind && o->in_channels == l->in_channels &&
            o->out_channels == l->out_channels && o->kernel == l->kernel &&
            o->stride == l->stride && o->in_size == l->in_size) {
            return true;
        }
    }
    return false;
}

/* Every distinct searched layer of the paper's space, by lowering policies
 * that hold all channel counts and kernels in turn. */
static size_t list_layers(apq_ir_layer list[MAX_LAYERS]) {
    apq_space space;
    assert_int_equal(apq_space_load("imagenet-apq", &space), APQ_OK);
    size_t n = 0;
    for (int step = 0, is_new = 1; is_new != 0; step++) {
        is_new = 0;
        for (int k = 0; k < space.n_kernels; k++) {
            apq_policy policy;
            apq_ir_network net;
            apq_policy_largest(&space, 8, &policy);
            for (int b = 0; b < space.n_blocks; b++) {
                int c = space.blocks[b].min_channels + 8 * step;
                policy.kernel[b] = (int8_t)space.kernels[k];
                if (c <= space.blocks[b].max_channels) {
                    policy.channels[b] = (int16_t)c;
                    is_new = 1;
                }
            }
            assert_int_equal(apq_policy_lower(&space, &policy, &net), APQ_OK);
            for (size_t i = 0; i < net.n_layers; i++) {
                if (net.layers[i].is_searchable &&
                    !is_listed(list, n, &net.layers[i])) {
                    assert_true(n < MAX_LAYERS);
                    list[n++] = net.layers[i];
                }
            }
        }
    }
    return n;
}

/* Mean price at some bits over that at 8, over the layers of one kind; 0 for
 * bits that no layer can run. */
static void mean_ratio(apq_target *target, const apq_ir_layer *list, size_t n,
                       apq_ir_kind kind, int weight_bits, int act_bits,
                       double *latency, double *energy) {
    size_t n_priced = 0;
    *latency = *energy = 0.0;
    for (size_t i = 0; i < n; i++) {
        apq_ir_layer l = list[i];
        double ms[2], mj[2];
        if (l.kind != kind) {
            continue;
        }
        assert_int_equal(apq_target_layer(target, &l, &ms[1], &mj[1]), APQ_OK);
        l.weight_bits = weight_bits;
        l.act_bits = act_bits;
        if (apq_target_layer(target, &l, &ms[0], &mj[0]) == APQ_OK) {
            *latency += ms[0] / ms[1];
            *energy += mj[0] / mj[1];
            n_priced++;
        }
    }
    *latency /= (double)n_priced;
    *energy /= (double)n_priced;
}

/* Of the published table: 335 pointwise and 444 depthwise layers. Six bits
 * save next to nothing, four on one operand most. */
static void gains_of_narrow_bits(void **state) {
    (void)state;
    static apq_ir_layer list[MAX_LAYERS];
    const struct {
        apq_ir_kind kind;
        int weight_bits, act_bits;
        double latency, energy; /* 0: not published */
    } rows[] = {
        {APQ_IR_POINTWISE, 4, 4, 0.66, 0.63},
        {APQ_IR_POINTWISE, 4, 8, 0.77, 0},
        {APQ_IR_POINTWISE, 8, 4, 0.82, 0},
        {APQ_IR_POINTWISE, 6, 6, 0.91, 0.90},
        {APQ_IR_POINTWISE, 6, 8, 0.96, 0},
        {APQ_IR_DEPTHWISE, 4, 4, 0.40, 0.62},
        {APQ_IR_DEPTHWISE, 4, 8, 0.56, 0},
        {APQ_IR_DEPTHWISE, 8, 4, 0.58, 0},
        {APQ_IR_DEPTHWISE, 6, 6, 0.986, 0.93},
    };
    apq_target *target = NULL;
    assert_int_equal(apq_target_load("bitfusion", &target), APQ_OK);
    size_t n = list_layers(list);
    assert_int_equal(n, 335 + 444);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double latency, energy;
        char what[64];
        mean_ratio(target, list, n, rows[i].kind, rows[i].weight_bits,
                   rows[i].act_bits, &latency, &energy);
        (void)snprintf(what, sizeof what, "row %zu", i);
        check_close(what, latency, rows[i].latency, 0.005);
        if (rows[i].energy > 0) {
            check_close(what, energy, rows[i].energy, 0.005);
        }
    }
    apq_target_destroy(target);
}

/* Uniform over the legal policies: a block's kernel 7 with 4-bit depthwise
 * activations is drawn again. */
static void draw_legal(const apq_space *space, apq_rng *rng,
                       apq_policy *policy) {
    apq_policy_random(space, rng, policy);
    for (int b = 0; b < space->n_blocks; b++) {
        int8_t *kernel = &policy->kernel[b];
        int8_t *act_bits = &policy->bits[APQ_DW_ACT][b];
        do {
            *kernel = (int8_t)space->kernels[apq_rng_below(rng, 3)];
            *act_bits = (int8_t)space->bits[apq_rng_below(rng, 3)];
        } while (*kernel == 7 && *act_bits == 4);
    }
}

/* Median 13.1 ms, two in five within 12.17 ms, and a
 * latency that BitOps predict badly: correlation 0.675 in one sample, 0.64 in
 * ours. */
static void random_policies(void **state) {
    (void)state;
    enum { N = 3000 };
    static double ms[N];
    double sum[2] = {0}, square[2] = {0}, product = 0.0;
    int n_within = 0;
    apq_space space;
    apq_target *target = NULL;
    assert_int_equal(apq_space_load("imagenet-apq", &space), APQ_OK);
    assert_int_equal(apq_target_load("bitfusion", &target), APQ_OK);
    apq_rng rng = apq_rng_make(3, APQ_RNG_TEST, 0);
    for (int i = 0; i < N; i++) {
        apq_policy policy;
        apq_ir_network net;
        apq_cost cost;
        draw_legal(&space, &rng, &policy);
        assert_int_equal(apq_policy_lower(&space, &policy, &net), APQ_OK);
        assert_int_equal(apq_cost_network(target, &net, &cost), APQ_OK);
        const double x[2] = {cost.latency_ms, cost.bitops / 1e9};
        for (int k = 0; k < 2; k++) {
            sum[k] += x[k] / N;
            square[k] += x[k] * x[k] / N;
        }
        product += x[0] * x[1] / N;
        n_within += x[0] <= 12.17;
        ms[i] = x[0];
    }
    apq_sort_doubles(ms, N);
    check_close("median", ms[N / 2], 13.1, 0.25);
    check_close("within 12.17 ms", (double)n_within / N, 0.395, 0.03);
    double correlation =
        (product - sum[0] * sum[1]) /
        sqrt((square[0] - sum[0] * sum[0]) * (square[1] - sum[1] * sum[1]));
    check_close("correlation", correlation, 0.675, 0.05);
    apq_target_destroy(target);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mobilenet_bitops),
        cmocka_unit_test(gains_of_narrow_bits),
        cmocka_unit_test(random_policies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
