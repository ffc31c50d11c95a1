/* Capabilities of target files: what they say, what is refused and where; and
 * the files of measured targets, which price nothing themselves. */
#include "cost/capability.h"

#include "cost/cost.h"
#include "cost/measured/measured.h"

#include "unit/asserts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char head[] = "name: phone\n"
                           "model: exec\n"
                           "command: [./phone, -v]\n"
                           "timeout_s: 2\n"
                           "capabilities:\n";
static const char rows[] = "  conv: [{weight_bits: [8], act_bits: [8]}]\n"
                           "  pointwise: [{weight_bits: [4, 8], act_bits: [8],"
                           " container_bits: [8, 8]}]\n"
                           "  depthwise: []\n";
static const char linear[] = "  linear: [{weight_bits: [8], act_bits: [8]}]\n";

/* Loads a file of three pieces of text. */
static apq_status load(const char *a, const char *b, const char *c,
                       apq_target **out) {
    char path[] = "/tmp/apq_capability_XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    FILE *file = fdopen(descriptor, "w");
    assert_non_null(file);
    (void)fprintf(file, "%s%s%s", a, b, c);
    assert_int_equal(fclose(file), 0);
    *out = NULL;
    apq_status st = apq_target_load(path, out);
    assert_true((*out != NULL) == (st == APQ_OK));
    (void)unlink(path);
    return st;
}

static void pairs_and_containers_are_found(void **state) {
    (void)state;
    apq_target *target;
    assert_int_equal(load(head, rows, linear, &target), APQ_OK);
    const apq_capability *c = apq_target_capability(target);
    int w, a;
    assert_true(apq_capability_find(c, APQ_IR_POINTWISE, 4, 8, &w, &a));
    assert_int_equal(w, 8);
    assert_int_equal(a, 8);
    assert_false(apq_capability_find(c, APQ_IR_POINTWISE, 6, 8, &w, &a));
    assert_false(apq_capability_find(c, APQ_IR_POINTWISE, 4, 4, &w, &a));
    assert_false(apq_capability_find(c, APQ_IR_POINTWISE, 9, 8, &w, &a));
    assert_false(apq_capability_find(c, APQ_IR_DEPTHWISE, 8, 8, &w, &a));
    apq_ir_layer layer = {.name = "block3.depthwise",
                          .kind = APQ_IR_DEPTHWISE,
                          .weight_bits = 8,
                          .act_bits = 8};
    assert_int_equal(apq_capability_check(c, &layer), APQ_ERR_UNSUPPORTED);
    assert_string_equal(apq_error_message(),
                        "block3.depthwise: W8 A8 not in the target's "
                        "capabilities for depthwise");
    layer.kind = APQ_IR_CONV;
    assert_int_equal(apq_capability_check(c, &layer), APQ_OK);
    apq_target_destroy(target);
}

/* Asked bits are the container when the row names none. */
static void containers_follow_the_bits(void **state) {
    (void)state;
    apq_target *target = NULL;
    assert_int_equal(apq_target_load("bitfusion", &target), APQ_OK);
    int w, a;
    assert_true(apq_capability_find(apq_target_capability(target),
                                    APQ_IR_DEPTHWISE, 4, 6, &w, &a));
    assert_int_equal(w, 4);
    assert_int_equal(a, 6);
    assert_null(apq_target_measured(target));
    apq_target_destroy(target);
    apq_capability none = {.is_given = false};
    assert_true(apq_capability_find(&none, APQ_IR_CONV, 5, 7, &w, &a));
    assert_int_equal(w, 5);
    assert_int_equal(a, 7);
}

static void bad_capabilities_are_refused(void **state) {
    (void)state;
    const char *const cases[][2] = {
        {"", ":6: capabilities: linear: expected a list"},
        {"  linear: 8\n", ":9: capabilities: linear: expected a list"},
        {"  liner: []\n", ":9: unknown key 'liner', did you mean 'linear'?"},
        {"  linear: [{weight_bits: [8]}]\n", ":9: act_bits: expected a list"},
        {"  linear: [{weight_bits: [1], act_bits: [8]}]\n",
         ":9: weight_bits: '1' is not an integer in 2..8"},
        {"  linear: [{weight_bits: [8], act_bits: []}]\n", ":9: act_bits: "},
        {"  linear: [{weight_bits: [8], act_bits: [8], bits: 8}]\n",
         ":9: unknown key 'bits'"},
        {"  linear: [{weight_bits: [8], act_bits: [8],"
         " container_bits: [4, 8]}]\n",
         ":9: container_bits: expected [weights, activations]"},
        {"  linear: [{weight_bits: [8], act_bits: [8],"
         " container_bits: [8]}]\n",
         ":9: container_bits: "},
        {"  linear: [{weight_bits: [4, 8], act_bits: [8]},\n"
         "           {weight_bits: [8], act_bits: [8]}]\n",
         ":10: linear: W8 A8 is listed twice"},
    };
    apq_target *target;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(load(head, rows, cases[i][0], &target),
                         APQ_ERR_FORMAT);
        assert_message(cases[i][1]);
    }
    /* A measured target has no model that could decide in their place. */
    assert_int_equal(load("name: phone\nmodel: exec\n",
                          "command: [./phone]\ntimeout_s: 2\n", "", &target),
                     APQ_ERR_FORMAT);
    assert_non_null(
        strstr(apq_error_message(), "key 'capabilities' is missing"));
}

static void measured_targets_need_a_table(void **state) {
    (void)state;
    apq_target *target = NULL;
    assert_int_equal(apq_target_load("cpu", &target), APQ_OK);
    const apq_measured_config *config = apq_target_measured(target);
    assert_non_null(config);
    assert_int_equal(config->kind, APQ_MEASURED_CPU);
    assert_int_equal(config->arithmetic, APQ_MEASURED_INT8);
    assert_int_equal(config->threads, 1);
    apq_ir_layer layer = {.name = "stem", .is_priced = true};
    double latency_ms, energy_mj;
    assert_int_equal(apq_target_layer(target, &layer, &latency_ms, &energy_mj),
                     APQ_ERR_ARG);
    assert_string_equal(apq_error_message(),
                        "target cpu is measured and needs a table first: apq "
                        "lut build --space S --target cpu -o cpu.jsonl, then "
                        "--target cpu.jsonl");
    apq_target_destroy(target);
}

static void commands_are_held(void **state) {
    (void)state;
    apq_target *target;
    assert_int_equal(load(head, rows, linear, &target), APQ_OK);
    const apq_measured_config *config = apq_target_measured(target);
    assert_int_equal(config->kind, APQ_MEASURED_EXEC);
    assert_string_equal(config->command[0], "./phone");
    assert_string_equal(config->command[1], "-v");
    assert_null(config->command[2]);
    assert_string_equal(config->folder, "/tmp");
    apq_target_destroy(target);
    const char *const bad[][2] = {
        {"command: []\n", ":3: command: expected"},
        {"command: ''\n", ":3: command: expected"},
        {"command: ['']\n", ":3: command: word 1 is empty"},
        {"command: [a, [b]]\n", ":3: command: word 2 is not a single value"},
        {"comand: [a]\n", ":3: unknown key 'comand'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[256];
        (void)snprintf(text, sizeof text,
                       "name: phone\nmodel: exec\n%stimeout_s: 2\n"
                       "capabilities:\n",
                       bad[i][0]);
        char all[1024];
        (void)snprintf(all, sizeof all, "%s%s", rows, linear);
        assert_int_equal(load(text, all, "", &target), APQ_ERR_FORMAT);
        assert_message(bad[i][1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_and_containers_are_found),
        cmocka_unit_test(containers_follow_the_bits),
        cmocka_unit_test(bad_capabilities_are_refused),
        cmocka_unit_test(measured_targets_need_a_table),
        cmocka_unit_test(commands_are_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
