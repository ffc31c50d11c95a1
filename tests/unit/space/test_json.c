/* JSON of policies: round trip, the authors' files with their encodings, and
 * refusals that name place and legal values. */
#include "space/space.h"

#include "unit/asserts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static apq_space load(const char *name) {
    apq_space space;
    assert_int_equal(apq_space_load(name, &space), APQ_OK);
    return space;
}

static void test_round_trip(void **state) {
    (void)state;
    for (const char *const *name = apq_space_names(); *name != NULL; name++) {
        apq_space space = load(*name);
        apq_rng rng = apq_rng_make(1, APQ_RNG_TEST, 0);
        for (int i = 0; i < 300; i++) {
            apq_policy in, out;
            apq_policy_random(&space, &rng, &in);
            char *text = apq_policy_to_json(&space, &in);
            assert_non_null(text);
            assert_null(strchr(text, '\n'));
            assert_int_equal(apq_policy_from_json(&space, text, "t:1", &out),
                             APQ_OK);
            assert_memory_equal(&in, &out, sizeof in);
            free(text);

            text = apq_policy_to_authors_json(&space, &in);
            assert_non_null(text);
            assert_non_null(strstr(text, "\"wid\":null"));
            assert_int_equal(apq_policy_from_json(&space, text, "t:1", &out),
                             APQ_OK);
            assert_memory_equal(&in, &out, sizeof in);
            free(text);
        }
    }
}

static void assert_encoding(const apq_space *space, const apq_policy *policy,
                            bool with_bits, const json_t *expected) {
    int active[6 * APQ_MAX_BLOCKS];
    size_t n = apq_encode(space, policy, with_bits, active);
    assert_int_equal(n, json_array_size(expected));
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(active[i],
                         json_integer_value(json_array_get(expected, i)));
    }
}

/* Encodings computed by the APQ authors' code; 12 of the policies have
 * ratios off the grid of 8 channels. */
static void test_golden_encodings(void **state) {
    (void)state;
    apq_space space = load("imagenet-apq");
    FILE *file = fopen("tests/golden/apq_policies.jsonl", "r");
    assert_non_null(file);
    int n = 0;
    json_error_t error;
    json_t *row;
    while ((row = json_loadf(file, JSON_DISABLE_EOF_CHECK, &error)) != NULL) {
        char *spec = json_dumps(json_object_get(row, "spec"), 0);
        assert_non_null(spec);
        apq_policy policy, again;
        assert_status(apq_policy_from_json(&space, spec, "row", &policy),
                      APQ_OK);
        assert_encoding(&space, &policy, true, json_object_get(row, "active"));
        assert_encoding(&space, &policy, false,
                        json_object_get(row, "active_float"));
        size_t length = strlen(spec) + 32;
        char *pair = malloc(length);
        assert_non_null(pair);
        (void)snprintf(pair, length, "[%s, {\"lat\": 1}]", spec);
        assert_int_equal(apq_policy_from_json(&space, pair, "row", &again),
                         APQ_OK);
        assert_memory_equal(&policy, &again, sizeof policy);
        free(pair);
        free(spec);
        json_decref(row);
        n++;
    }
    (void)fclose(file);
    assert_int_equal(n, 40);
}

/* The largest policy of tiny with `from` replaced by `to`. */
static void assert_refused(const char *from, const char *to, apq_status status,
                           const char *message) {
    apq_space space = load("tiny");
    apq_policy policy, before;
    apq_policy_largest(&space, 8, &policy);
    before = policy;
    char *text = apq_policy_to_json(&space, &policy);
    assert_non_null(text);
    const char *at = strstr(text, from);
    if (at == NULL) {
        fail_msg("'%s' not in %s", from, text);
    }
    char changed[2048];
    (void)snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text,
                   to, at + strlen(from));
    free(text);
    policy.kernel[0] = 99; /* must survive a failure */
    before.kernel[0] = 99;
    assert_int_equal(apq_policy_from_json(&space, changed, "f:3", &policy),
                     status);
    if (strncmp(apq_error_message(), "f:3: ", 5) != 0 ||
        strstr(apq_error_message(), message) == NULL ||
        strchr(apq_error_message(), '\n') != NULL) {
        fail_msg("'%s' lacks '%s'", apq_error_message(), message);
    }
    assert_memory_equal(&policy, &before, sizeof policy);
}

static void test_refusals(void **state) {
    (void)state;
    const apq_status bad = APQ_ERR_FORMAT;
    assert_refused("\"kernel\":[5", "\"kernel\":[7", bad,
                   "kernel[0] is 7, legal in tiny: 3, 5");
    assert_refused("\"kernel\":[5", "\"kernel\":[261", bad, "kernel[0] is 261");
    assert_refused("\"kernel\":[5", "\"kernel\":[5.0", bad,
                   "kernel[0] is not an integer");
    assert_refused("\"channels\":[32", "\"channels\":[33", bad,
                   "channels[0] is 33, legal in tiny: 16..32 in steps of 8");
    assert_refused("\"dw_act\":[8", "\"dw_act\":[7", bad,
                   "bits.dw_act[0] is 7, legal in tiny: 4, 6, 8");
    assert_refused("\"depth\":[2,", "\"depth\":[3,", bad,
                   "depth[0] is 3, legal in tiny: 1..2");
    assert_refused("\"depth\":[2,", "\"depth\":[2,2,", bad, "list of 2");
    assert_refused("\"kernel\"", "\"kernels\"", bad, "'kernel' is missing");
    assert_refused("\"bits\"", "\"bit\"", bad, "'bits' is missing");
    assert_refused("\"pw_act\"", "\"pwact\"", bad, "'pw_act' is missing");
    assert_refused("\"tiny\"", "\"cifar10\"", APQ_ERR_MISMATCH,
                   "space 'cifar10', expected 'tiny'");
    assert_refused("{", "", bad, "not valid JSON");
    assert_refused("{", "[1,2,3] ", bad, "not valid JSON");
    assert_refused("{\"space\"", "{\"depth\":1,\"space\"", bad, "duplicate");
}

/* Skipped entries are ignored, so a zero there is no error. */
static void test_skipped_entries(void **state) {
    (void)state;
    apq_space space = load("tiny");
    static const char text[] =
        "{\"depth\":[1,2],\"kernel\":[3,0,3,5],\"channels\":[16,-1,32,48],"
        "\"bits\":{\"pw_weight\":[4,0,4,4],\"pw_act\":[4,0,4,4],"
        "\"dw_weight\":[4,99,4,4],\"dw_act\":[4,0,4,4]}}";
    apq_policy policy;
    assert_int_equal(apq_policy_from_json(&space, text, "t", &policy), APQ_OK);
    assert_int_equal(policy.kernel[1], 3);
    assert_int_equal(policy.kernel[3], 5);
    char wrapped[512];
    (void)snprintf(wrapped, sizeof wrapped,
                   "{\"schema_version\":1,\"policy\":%s}", text);
    apq_policy again;
    assert_int_equal(apq_policy_from_json(&space, wrapped, "t", &again),
                     APQ_OK);
    assert_memory_equal(&policy, &again, sizeof policy);
}

static void assert_ratio_refused(const char *ratios, const char *message) {
    apq_space space = load("tiny");
    char text[512];
    (void)snprintf(text, sizeof text,
                   "{\"wid\":null,\"ks\":[3,3,3,3],\"e\":[%s],\"d\":[2,2],"
                   "\"pw_w_bits_setting\":[4,4,4,4],"
                   "\"pw_a_bits_setting\":[4,4,4,4],"
                   "\"dw_w_bits_setting\":[4,4,4,4],"
                   "\"dw_a_bits_setting\":[4,4,4,4]}",
                   ratios);
    apq_policy policy;
    assert_int_equal(apq_policy_from_json(&space, text, "t", &policy),
                     APQ_ERR_FORMAT);
    assert_message(message);
}

static void test_ratio_refusals(void **state) {
    (void)state;
    assert_ratio_refused("6,3,3,3", "channels[0] is 48");
    assert_ratio_refused("1e9,3,3,3", "e[0] is not an expand ratio in 2..4");
    assert_ratio_refused("3,null,3,3", "e[1] is not an expand ratio");
    assert_ratio_refused("3,3,3", "'e' must be a list of 4");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_golden_encodings),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_skipped_entries),
        cmocka_unit_test(test_ratio_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
