/* Prediction against an independent statement of the network, and files.
 * Golden: tests/golden/make_predictor.py. With the reference files the authors'
 * network is compared as well. */
#include "predictor/predictor.h"

#include "base/file.h"
#include "tensor/safetensors.h"

#include "unit/asserts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#define GOLDEN "tests/golden/predictor_tiny"

static apq_policy *random_policies(const apq_space *space, size_t n) {
    apq_policy *policies = calloc(n, sizeof *policies);
    assert_non_null(policies);
    apq_rng rng = apq_rng_make(3, APQ_RNG_TEST, 0);
    for (size_t i = 0; i < n; i++) {
        apq_policy_random(space, &rng, &policies[i]);
    }
    return policies;
}

static void test_golden(void **state) {
    (void)state;
    apq_predictor *p = NULL;
    assert_status(apq_predictor_load(GOLDEN ".safetensors", NULL, &p), APQ_OK);
    const apq_space *space = apq_predictor_space(p);
    assert_string_equal(space->name, "tiny");
    FILE *f = fopen(GOLDEN ".jsonl", "r");
    assert_non_null(f);
    char line[2048];
    int n = 0;
    while (fgets(line, sizeof line, f) != NULL) {
        json_t *entry = json_loads(line, 0, NULL);
        char *text = json_dumps(json_object_get(entry, "policy"), 0);
        apq_policy policy;
        assert_status(apq_policy_from_json(space, text, "golden", &policy),
                      APQ_OK);
        double quantised = (double)NAN, plain = (double)NAN;
        assert_status(apq_predictor_predict(p, &policy, 1, true, &quantised),
                      APQ_OK);
        assert_status(apq_predictor_predict(p, &policy, 1, false, &plain),
                      APQ_OK);
        assert_near(quantised,
                    json_number_value(json_object_get(entry, "quantised")),
                    2e-5);
        assert_near(plain, json_number_value(json_object_get(entry, "float")),
                    2e-5);
        free(text);
        json_decref(entry);
        n++;
    }
    assert_int_equal(n, 60);
    (void)fclose(f);
    apq_predictor_destroy(p);
}

static void test_authors_network(void **state) {
    (void)state;
    const char *dir = getenv("APQ_REFERENCE_DIR");
    char path[APQ_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/predictor_random.safetensors",
                   dir != NULL ? dir : "../shared/reference");
    if (!apq_file_exists(path)) {
        print_message("skipped: needs %s of the authors' code "
                      "(APQ_REFERENCE_DIR: its folder)\n",
                      path);
        skip();
    }
    apq_predictor *p = NULL;
    assert_status(apq_predictor_load(path, NULL, &p), APQ_OK);
    FILE *f = fopen("tests/golden/apq_policies.jsonl", "r");
    assert_non_null(f);
    char line[8192];
    double worst = 0.0;
    int n = 0;
    while (fgets(line, sizeof line, f) != NULL) {
        json_t *entry = json_loads(line, 0, NULL);
        char *text = json_dumps(json_object_get(entry, "spec"), 0);
        apq_policy policy;
        double accuracy = (double)NAN;
        assert_status(
            apq_policy_from_json(apq_predictor_space(p), text, "-", &policy),
            APQ_OK);
        assert_status(apq_predictor_predict(p, &policy, 1, true, &accuracy),
                      APQ_OK);
        double expected = json_number_value(json_object_get(entry, "accuracy"));
        assert_near(accuracy, expected, 2e-5);
        worst = fmax(worst, fabs(accuracy - expected));
        free(text);
        json_decref(entry);
        n++;
    }
    print_message("%d policies, largest difference %g\n", n, worst);
    (void)fclose(f);
    apq_predictor_destroy(p);
}

/* The same result alone, in a batch of any size, and at any place. */
static void test_batches(void **state) {
    (void)state;
    enum { N = 301 };
    apq_space space;
    assert_status(apq_space_load("tiny", &space), APQ_OK);
    apq_predictor *p = NULL;
    assert_status(apq_predictor_create_random(&space, 37, 5, &p), APQ_OK);
    apq_policy *policies = random_policies(&space, N);
    double together[N], alone[N];
    assert_status(apq_predictor_predict(p, policies, N, true, together),
                  APQ_OK);
    bool differ = false;
    for (int i = 0; i < N; i++) {
        assert_status(
            apq_predictor_predict(p, &policies[i], 1, true, &alone[i]), APQ_OK);
        assert_true(alone[i] == together[i]);
        differ = differ || alone[i] != alone[0];
    }
    assert_true(differ);
    /* A fresh bit branch is zero: bits do not matter. */
    assert_status(apq_predictor_predict(p, policies, N, false, alone), APQ_OK);
    assert_memory_equal(alone, together, sizeof alone);
    assert_status(apq_predictor_predict(p, policies, 0, true, alone), APQ_OK);
    free(policies);
    apq_predictor_destroy(p);

    assert_status(apq_predictor_create_random(&space, 0, 5, &p), APQ_ERR_ARG);
}

static void test_files(void **state) {
    (void)state;
    enum { N = 50 };
    char folder[64] = "/tmp/apq-predictor-XXXXXX", path[96];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/p.safetensors", folder);
    apq_predictor *p = NULL, *again = NULL;
    assert_status(apq_predictor_load(GOLDEN ".safetensors", NULL, &p), APQ_OK);
    apq_space space = *apq_predictor_space(p);
    apq_policy *policies = random_policies(&space, N);
    double before[N], after[N];
    assert_status(apq_predictor_predict(p, policies, N, true, before), APQ_OK);
    const apq_predictor_meta meta = {"records", "0123"};
    assert_status(apq_predictor_save(p, path, &meta, 1), APQ_OK);
    assert_status(apq_predictor_load(path, &space, &again), APQ_OK);
    assert_status(apq_predictor_predict(again, policies, N, true, after),
                  APQ_OK);
    assert_memory_equal(before, after, sizeof before);
    apq_predictor_destroy(again);

    apq_tensor_file *file = NULL;
    assert_status(apq_tensor_file_load(path, &file), APQ_OK);
    assert_string_equal(apq_tensor_file_meta(file, "records"), "0123");
    assert_string_equal(apq_tensor_file_meta(file, "space"), "tiny");
    apq_tensor_file_destroy(file);

    /* The data's number of classes makes no other space. */
    apq_space other = space;
    other.head_channels += 8;
    assert_status(apq_predictor_load(path, &other, &again), APQ_ERR_MISMATCH);
    other = space;
    apq_space_set_classes(&other, 7);
    assert_status(apq_predictor_load(path, &other, &again), APQ_OK);
    assert_int_equal(apq_predictor_space(again)->n_classes, 7);
    apq_predictor_destroy(again);
    /* Once its hash was that of a space with the data's classes. */
    other.own_classes = 7;
    char hash[APQ_HASH_MAX];
    apq_space_hash(&other, hash);
    assert_status(apq_tensor_file_load(path, &file), APQ_OK);
    assert_status(apq_tensor_file_put_meta(file, "n_classes", "7"), APQ_OK);
    assert_status(apq_tensor_file_put_meta(file, "space_hash", hash), APQ_OK);
    assert_status(apq_tensor_file_save(file, path), APQ_OK);
    apq_tensor_file_destroy(file);
    assert_status(apq_predictor_load(path, &space, &again), APQ_OK);
    assert_int_equal(apq_predictor_space(again)->n_classes, 10);
    apq_predictor_destroy(again);
    assert_status(apq_space_load("imagenet-apq", &other), APQ_OK);
    assert_status(apq_predictor_load(GOLDEN ".safetensors", &other, &again),
                  APQ_ERR_MISMATCH);
    assert_non_null(strstr(apq_error_message(), "28 inputs"));
    assert_non_null(strstr(apq_error_message(), "520"));
    /* Metadata that are no number of classes, and no name of a space. */
    static const char *const wrong[][2] = {
        {"n_classes", "0"},
        {"n_classes", "99999999999"},
        {"space", "configs/spaces/tiny.yaml"}};
    for (size_t i = 0; i < 3; i++) {
        assert_status(apq_predictor_save(p, path, NULL, 0), APQ_OK);
        assert_status(apq_tensor_file_load(path, &file), APQ_OK);
        assert_status(apq_tensor_file_put_meta(file, wrong[i][0], wrong[i][1]),
                      APQ_OK);
        assert_status(apq_tensor_file_save(file, path), APQ_OK);
        apq_tensor_file_destroy(file);
        assert_status(apq_predictor_load(path, NULL, &again),
                      i < 2 ? APQ_ERR_FORMAT : APQ_ERR_ARG);
        assert_ptr_equal(strstr(apq_error_message(), path),
                         apq_error_message());
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    free(policies);
    apq_predictor_destroy(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_authors_network),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
