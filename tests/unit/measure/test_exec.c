/* Commands that answer for a device: the lines they read, the numbers they may
 * give, and every way they fail. The commands are shell one-liners. */
#include "measure/measure.h"

#include "base/log.h"
#include "space/space.h"

#include "unit/asserts.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* One answer after another, to whatever is asked. */
#define ALWAYS(answer) "while read -r line; do echo '" answer "'; done"

static const apq_ir_layer layer = {
    .name = "block2.depthwise",
    .kind = APQ_IR_DEPTHWISE,
    .role = APQ_ROLE_DEPTHWISE,
    .block = 2,
    .in_channels = 96,
    .out_channels = 96,
    .kernel = 5,
    .stride = 2,
    .in_size = 16,
    .out_size = 8,
    .weight_bits = 4,
    .act_bits = 8,
    .has_relu6 = true,
    .residual_from = -1,
    .is_priced = true,
};

/* A target whose command is `sh -c SCRIPT`, or SCRIPT alone. */
static apq_target *make_target(const char *script, bool is_shell,
                               double timeout_s) {
    char path[] = "/tmp/apq_exec_XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    FILE *file = fdopen(descriptor, "w");
    assert_non_null(file);
    (void)fprintf(file,
                  "name: phone\n"
                  "model: exec\n"
                  "timeout_s: %g\n"
                  "command:\n%s"
                  "  - |-\n    %s\n"
                  "capabilities:\n"
                  "  conv: [{weight_bits: [8], act_bits: [8]}]\n"
                  "  pointwise: [{weight_bits: [4, 6, 8], act_bits: [4, 6, 8],"
                  " container_bits: [8, 8]}]\n"
                  "  depthwise: [{weight_bits: [4, 6, 8], act_bits: [4, 6, 8],"
                  " container_bits: [8, 8]}]\n"
                  "  linear: [{weight_bits: [8], act_bits: [8]}]\n",
                  timeout_s, is_shell ? "  - sh\n  - -c\n" : "", script);
    assert_int_equal(fclose(file), 0);
    apq_target *target = NULL;
    assert_status(apq_target_load(path, &target), APQ_OK);
    (void)unlink(path);
    return target;
}

/* Asks once; the status, and the sample of an answer. */
static apq_status ask(const char *script, double timeout_s,
                      apq_lut_sample *sample) {
    apq_target *target = make_target(script, true, timeout_s);
    apq_measure *measure = NULL;
    assert_int_equal(apq_measure_open(target, NULL, &measure), APQ_OK);
    apq_lut_source source = apq_measure_source(measure);
    apq_status st = source.layer(source.ctx, &layer, sample);
    apq_measure_close(measure);
    apq_target_destroy(target);
    return st;
}

static void refuses(const char *script, apq_status expected,
                    const char *message) {
    apq_lut_sample sample = {.count = -1};
    assert_int_equal(ask(script, 10.0, &sample), expected);
    assert_int_equal(sample.count, -1); /* nothing written */
    assert_message(message);
}

static void answers_are_read(void **state) {
    (void)state;
    apq_lut_sample sample;
    assert_int_equal(
        ask(ALWAYS("{\"latency_ms\": 1.5, \"latency_spread_ms\": 0.25,"
                   " \"energy_mj\": 3, \"energy_spread_mj\": 0.5,"
                   " \"count\": 20}"),
            10.0, &sample),
        APQ_OK);
    assert_true(sample.latency_ms == 1.5 && sample.latency_spread_ms == 0.25);
    assert_true(sample.energy_mj == 3.0 && sample.energy_spread_mj == 0.5);
    assert_int_equal(sample.count, 20);
    /* The containers are the target's, W4 A8 runs in 8 bits. */
    assert_int_equal(sample.weight_container_bits, 8);
    assert_int_equal(sample.act_container_bits, 8);
    assert_int_equal(
        ask(ALWAYS("{\"latency_ms\": 2, \"energy_mj\": null}"), 10.0, &sample),
        APQ_OK);
    assert_true(sample.latency_ms == 2.0 && sample.latency_spread_ms == 0.0);
    assert_true(isnan(sample.energy_mj) && isnan(sample.energy_spread_mj));
    assert_int_equal(sample.count, 1);
}

/* The request has every documented key: the command looks for each and says
 * which is absent. */
static void requests_describe_the_layer(void **state) {
    (void)state;
    static const char script[] =
        "read -r line; "
        "for word in '\"schema_version\":1' '\"name\":\"block2.depthwise\"' "
        "'\"kind\":\"depthwise\"' '\"role\":\"depthwise\"' "
        "'\"in_channels\":96' '\"out_channels\":96' '\"in_size\":16' "
        "'\"out_size\":8' '\"kernel\":5' '\"stride\":2' '\"weight_bits\":4' "
        "'\"act_bits\":8' '\"weight_container_bits\":8' "
        "'\"act_container_bits\":8' '\"is_act_signed\":false' "
        "'\"has_relu6\":true' '\"has_residual\":false' '\"macs\":153600'; do "
        "case $line in *\"$word\"*) ;; *) echo \"no $word\"; exit;; esac; "
        "done; echo '{\"latency_ms\": 1}'";
    apq_lut_sample sample;
    assert_status(ask(script, 10.0, &sample), APQ_OK);
}

static void one_process_answers_all(void **state) {
    (void)state;
    apq_target *target = make_target("n=0; while read -r line; do n=$((n+1)); "
                                     "echo \"{\\\"latency_ms\\\": $n}\"; done",
                                     true, 10.0);
    apq_measure *measure = NULL;
    assert_int_equal(apq_measure_open(target, NULL, &measure), APQ_OK);
    apq_lut_source source = apq_measure_source(measure);
    apq_lut_sample sample;
    for (int i = 1; i <= 100; i++) {
        assert_int_equal(source.layer(source.ctx, &layer, &sample), APQ_OK);
        assert_true(sample.latency_ms == (double)i);
    }
    apq_measure_close(measure);
    apq_target_destroy(target);
}

static void unsupported_layers_end_nothing(void **state) {
    (void)state;
    refuses(ALWAYS("{\"unsupported\": \"kernel 5 is not on this chip\"}"),
            APQ_ERR_UNSUPPORTED,
            "block2.depthwise: target phone: kernel 5 is not on this chip");
    /* The first is refused, the second answered. */
    apq_target *target =
        make_target("read -r line; echo '{\"unsupported\": \"no\"}'; "
                    "read -r line; echo '{\"latency_ms\": 4}'",
                    true, 10.0);
    apq_measure *measure = NULL;
    assert_int_equal(apq_measure_open(target, NULL, &measure), APQ_OK);
    apq_lut_source source = apq_measure_source(measure);
    apq_lut_sample sample;
    assert_int_equal(source.layer(source.ctx, &layer, &sample),
                     APQ_ERR_UNSUPPORTED);
    /* Outside the capabilities the command is not even asked. */
    apq_ir_layer stem = layer;
    stem.kind = APQ_IR_CONV;
    assert_int_equal(source.layer(source.ctx, &stem, &sample),
                     APQ_ERR_UNSUPPORTED);
    assert_non_null(strstr(apq_error_message(), "W4 A8"));
    assert_int_equal(source.layer(source.ctx, &layer, &sample), APQ_OK);
    assert_true(sample.latency_ms == 4.0);
    apq_measure_close(measure);
    apq_target_destroy(target);
}

static void supported_layers_may_say_so(void **state) {
    (void)state;
    apq_lut_sample sample;
    assert_int_equal(ask(ALWAYS("{\"latency_ms\": 1, \"unsupported\": null}"),
                         10.0, &sample),
                     APQ_OK);
    assert_int_equal(ask(ALWAYS("{\"latency_ms\": 1, \"unsupported\": false}"),
                         10.0, &sample),
                     APQ_OK);
    refuses(ALWAYS("{\"unsupported\": true}"), APQ_ERR_UNSUPPORTED, "phone");
}

/* Else the second line would be the answer for the next layer. */
static void two_lines_for_one_question_are_refused(void **state) {
    (void)state;
    apq_target *target = make_target(
        "while read -r line; do "
        "printf '{\"latency_ms\": 1}\\n{\"latency_ms\": 2}\\n'; done",
        true, 10.0);
    apq_measure *measure = NULL;
    assert_int_equal(apq_measure_open(target, NULL, &measure), APQ_OK);
    apq_lut_source source = apq_measure_source(measure);
    apq_lut_sample sample;
    assert_int_equal(source.layer(source.ctx, &layer, &sample), APQ_OK);
    assert_int_equal(source.layer(source.ctx, &layer, &sample), APQ_ERR_FORMAT);
    assert_string_equal(apq_error_message(),
                        "sh: more than one line for a question");
    apq_measure_close(measure);
    apq_target_destroy(target);
}

static bool always_stop(void *ctx) {
    (void)ctx;
    return true;
}

/* A device may take minutes for a layer; an interruption does not wait. */
static void waiting_ends_when_asked_to_stop(void **state) {
    (void)state;
    const apq_progress progress = {.stop_requested = always_stop};
    apq_target *target = make_target("sleep 60", true, 60.0);
    apq_measure *measure = NULL;
    assert_int_equal(apq_measure_open(target, &progress, &measure), APQ_OK);
    apq_lut_source source = apq_measure_source(measure);
    apq_lut_sample sample;
    double start = apq_now_s();
    assert_int_equal(source.layer(source.ctx, &layer, &sample),
                     APQ_ERR_INTERRUPTED);
    apq_measure_close(measure);
    assert_true(apq_now_s() - start < 30.0);
    apq_target_destroy(target);
}

static void bad_answers_are_refused(void **state) {
    (void)state;
    const char *const cases[][2] = {
        {ALWAYS("{\"latency_ms\": -1}"), "latency_ms is negative"},
        {ALWAYS("{\"latency_ms\": NaN}"), "not a JSON object: '{\"latency"},
        {ALWAYS("{\"latency_ms\": 1e999}"), "not a JSON object"},
        {ALWAYS("{\"latency_ms\": \"1\"}"), "latency_ms is not a number"},
        {ALWAYS("{}"), "latency_ms is missing"},
        {ALWAYS("{\"latency_ms\": 1, \"latency_spread_ms\": -0.1}"),
         "latency_spread_ms is negative"},
        {ALWAYS("{\"latency_ms\": 1, \"energy_mj\": -3}"),
         "energy_mj is negative"},
        {ALWAYS("{\"latency_ms\": 1, \"count\": 0}"), "count 0 "},
        {ALWAYS("{\"latency_ms\": 1, \"count\": 2.5}"), "count 2.5 "},
        {ALWAYS("[1]"), "not a JSON object: '[1]'"},
        {ALWAYS("ready"), "not a JSON object: 'ready'"},
        {ALWAYS(""), "not a JSON object: ''"},
        {"read -r line; printf '{\"latency_ms\"\\000: 1}\\n'", "zero byte"},
        {"read -r line; head -c 2000000 /dev/zero | tr '\\000' x",
         "answer above 1048576 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        refuses(cases[i][0], APQ_ERR_FORMAT, cases[i][1]);
    }
}

static void dead_commands_are_reported(void **state) {
    (void)state;
    refuses("exit 3", APQ_ERR_EXTERNAL,
            "sh: ended with exit code 3 without an answer");
    refuses("read -r line; exit 0", APQ_ERR_EXTERNAL, "exit code 0");
    refuses("read -r line; kill -9 $$", APQ_ERR_EXTERNAL, "died of signal 9");
    refuses("read -r line; printf '{\"latency_ms\"'; exit 0", APQ_ERR_EXTERNAL,
            "exit code 0");
    refuses("exec 0<&- 1>&-; sleep 5", APQ_ERR_EXTERNAL, "closed its output");
}

static void unknown_commands_are_reported(void **state) {
    (void)state;
    const char *const cases[][2] = {
        {"no-such-program-of-apq", "command not found"},
        {"./no-such-file", "./no-such-file: command not found, from folder"},
        {"/tmp", "/tmp: cannot be started"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        apq_target *target = make_target(cases[i][0], false, 10.0);
        apq_measure *measure = NULL;
        assert_int_equal(apq_measure_open(target, NULL, &measure), APQ_ERR_IO);
        assert_null(measure);
        assert_message(cases[i][1]);
        apq_target_destroy(target);
    }
}

/* After a timeout the command is in an unknown state: no answer counts. */
static void late_answers_are_refused(void **state) {
    (void)state;
    apq_target *target = make_target("while read -r line; do sleep 60; "
                                     "echo '{\"latency_ms\": 1}'; done",
                                     true, 0.1);
    apq_measure *measure = NULL;
    assert_int_equal(apq_measure_open(target, NULL, &measure), APQ_OK);
    apq_lut_source source = apq_measure_source(measure);
    apq_lut_sample sample;
    double start = apq_now_s();
    assert_int_equal(source.layer(source.ctx, &layer, &sample),
                     APQ_ERR_EXTERNAL);
    assert_string_equal(apq_error_message(),
                        "sh: no answer within timeout_s 0.1");
    assert_true(apq_now_s() - start < 30.0);
    assert_int_equal(source.layer(source.ctx, &layer, &sample),
                     APQ_ERR_EXTERNAL);
    assert_string_equal(apq_error_message(), "sh: failed before");
    apq_measure_close(measure);
    apq_target_destroy(target);
}

/* Signal 0 finds a process as long as it exists. */
static bool is_alive(pid_t pid) {
    return kill(pid, 0) == 0 || errno != ESRCH;
}

/* What the command started goes with it, at the latest a second later. */
static void nothing_outlives_the_handle(void **state) {
    (void)state;
    apq_target *target =
        make_target("sleep 300 & read -r line; "
                    "echo \"{\\\"latency_ms\\\": $!}\"; exec sleep 300",
                    true, 10.0);
    apq_measure *measure = NULL;
    assert_int_equal(apq_measure_open(target, NULL, &measure), APQ_OK);
    apq_lut_source source = apq_measure_source(measure);
    apq_lut_sample sample;
    assert_int_equal(source.layer(source.ctx, &layer, &sample), APQ_OK);
    pid_t grandchild = (pid_t)sample.latency_ms;
    assert_true(grandchild > 1 && is_alive(grandchild));
    apq_measure_close(measure);
    apq_target_destroy(target);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
    /* Killed; whoever adopted it takes it off the list. */
    double deadline = apq_now_s() + 30.0;
    while (is_alive(grandchild) && apq_now_s() < deadline) {
        const struct timespec pause = {.tv_nsec = 10000000};
        (void)nanosleep(&pause, NULL);
        char path[64], name[64] = "";
        (void)snprintf(path, sizeof path, "/proc/%ld/stat", (long)grandchild);
        FILE *file = fopen(path, "r");
        char run_state = 'Z';
        if (file != NULL) {
            (void)fscanf(file, "%*d %63s %c", name, &run_state);
            (void)fclose(file);
        }
        if (run_state == 'Z') {
            return; /* dead, waiting to be reaped */
        }
    }
    assert_false(is_alive(grandchild));
}

static void whole_networks_are_one_request(void **state) {
    (void)state;
    apq_space space;
    apq_policy policy;
    apq_ir_network network;
    assert_int_equal(apq_space_load("imagenet-apq", &space), APQ_OK);
    apq_policy_largest(&space, 4, &policy);
    assert_int_equal(apq_policy_lower(&space, &policy, &network), APQ_OK);
    apq_target *target = make_target(
        "read -r line; case $line in "
        "'{\"network\":[{\"name\":\"stem\"'*'],\"schema_version\":1}') ;; "
        "*) echo bad; exit;; esac; echo \"{\\\"latency_ms\\\": ${#line}}\"",
        true, 10.0);
    apq_measure *measure = NULL;
    assert_int_equal(apq_measure_open(target, NULL, &measure), APQ_OK);
    double predicted_ms = 1.0, measured_ms = 0.0;
    apq_measure_agreement agreement;
    assert_status(apq_measure_compare(measure, &network, 1, &predicted_ms,
                                      &measured_ms, &agreement),
                  APQ_OK);
    assert_true(measured_ms > 200.0 * (double)network.n_layers);
    assert_true(fabs(agreement.max_error - (1.0 - 1.0 / measured_ms)) < 1e-12);
    assert_true(agreement.median_error == agreement.max_error);
    apq_measure_close(measure);
    apq_target_destroy(target);
}

static void computed_targets_are_not_measured(void **state) {
    (void)state;
    apq_target *target = NULL;
    apq_measure *measure = NULL;
    assert_int_equal(apq_target_load("bitfusion", &target), APQ_OK);
    assert_int_equal(apq_measure_open(target, NULL, &measure), APQ_ERR_ARG);
    assert_null(measure);
    apq_target_destroy(target);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(requests_describe_the_layer),
        cmocka_unit_test(one_process_answers_all),
        cmocka_unit_test(unsupported_layers_end_nothing),
        cmocka_unit_test(supported_layers_may_say_so),
        cmocka_unit_test(two_lines_for_one_question_are_refused),
        cmocka_unit_test(waiting_ends_when_asked_to_stop),
        cmocka_unit_test(bad_answers_are_refused),
        cmocka_unit_test(dead_commands_are_reported),
        cmocka_unit_test(unknown_commands_are_reported),
        cmocka_unit_test(late_answers_are_refused),
        cmocka_unit_test(nothing_outlives_the_handle),
        cmocka_unit_test(whole_networks_are_one_request),
        cmocka_unit_test(computed_targets_are_not_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
