/* Pages: texts of the document cannot become markup or end a script, missing
 * parts leave no hole, and thousands of candidates stay small with the front
 * kept. */
#include "report/render.h"
#include "report/thin.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int count(const char *text, const char *word) {
    int n = 0;
    for (const char *at = strstr(text, word); at != NULL;
         at = strstr(at + 1, word)) {
        n++;
    }
    return n;
}

/* A record of a network, as in docs/formats/report.md. */
static json_t *record(double ms, double accuracy, const char *network) {
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:b, s:s}", "accuracy",
                     accuracy, "standard_error", 0.01, "predicted",
                     accuracy + 0.01, "latency_ms", ms, "energy_mj", 2 * ms,
                     "size_kb", 100 * ms, "is_held_out", 0, "network", network);
}

static json_t *document_with(json_t *records) {
    return json_pack("{s:s, s:{s:f, s:{s:f, s:f, s:f}, s:n}, s:{s:o}}",
                     "directory", "somewhere", "result", "predicted_accuracy",
                     0.8, "cost", "latency_ms", 1.0, "energy_mj", 2.0,
                     "weight_bytes", 1e5, "measured", "records", "rows",
                     records);
}

static const char hostile[] = "</script><img src=x onerror=alert(1)><!-- \" ' "
                              "& \xe2\x80\xa8 \xe2\x80\xa9";

/* Every element of data holds JSON whose texts are as they were. */
static void check_data(const char *page, int *n_hostile) {
    static const char begin[] = "<script type=\"application/json\">";
    for (const char *at = strstr(page, begin); at != NULL;
         at = strstr(at, begin)) {
        at += strlen(begin);
        const char *end = strstr(at, "</script>");
        assert_non_null(end);
        json_t *data = json_loadb(at, (size_t)(end - at), 0, NULL);
        assert_non_null(data);
        for (const char *p = at; p < end; p++) {
            assert_true((unsigned char)*p < 128 && *p != '<' && *p != '&');
        }
        size_t i, k;
        const json_t *series, *text;
        json_array_foreach(json_object_get(data, "series"), i, series) {
            json_array_foreach(json_object_get(series, "hover"), k, text) {
                *n_hostile += json_is_string(text) &&
                              strcmp(json_string_value(text), hostile) == 0;
            }
        }
        json_decref(data);
    }
}

static void test_escaping(void **state) {
    (void)state;
    json_t *records = json_array();
    (void)json_array_append_new(records, record(1.0, 0.5, hostile));
    json_t *root = document_with(records);
    (void)json_object_set_new(root, "directory", json_string(hostile));
    (void)json_object_set_new(root, "asked",
                              json_pack("{s:s, s:{s:s}}", "target", hostile,
                                        "space", "name", hostile));
    (void)json_object_set_new(root, "exports",
                              json_pack("[{s:s, s:{s:s, s:[{s:s}]}}]", "folder",
                                        hostile, "manifest", "format", hostile,
                                        "verification", "runtime", hostile));
    char *page = NULL;
    assert_int_equal(apq_report_html(root, &page), APQ_OK);
    assert_null(strstr(page, "<img src=x"));
    assert_null(strstr(page, "<!-- "));
    assert_non_null(strstr(page, "&lt;/script&gt;&lt;img src=x"));
    assert_int_equal(count(page, "<script"), count(page, "</script>"));
    int n_hostile = 0;
    check_data(page, &n_hostile);
    if (apq_report_chart_version() != NULL) {
        assert_true(n_hostile >= 4); /* three costs and the predictor */
    }
    free(page);
    json_decref(root);
}

/* Nothing is outside the page, and the browser is told so. */
static void test_alone(void **state) {
    (void)state;
    json_t *records = json_array();
    (void)json_array_append_new(records, record(1.0, 0.5, "k3"));
    json_t *root = document_with(records);
    char *page = NULL;
    assert_int_equal(apq_report_html(root, &page), APQ_OK);
    assert_memory_equal(page, "<!DOCTYPE html>", 15);
    assert_string_equal(page + strlen(page) - 8, "</html>\n");
    assert_non_null(strstr(page, "default-src 'none'"));
    assert_null(strstr(page, "src=\"http"));
    assert_null(strstr(page, "<link"));
    assert_null(strstr(page, "@import"));
    assert_int_equal(count(page, "<figure class=\"chart\""), 4);
    assert_int_equal(count(page, "src=\"data:image/svg+xml;base64,"), 4);
    assert_int_equal(count(page, "<section>"), count(page, "</section>"));
    free(page);
    json_decref(root);
}

static void expect_sound(const json_t *root) {
    char *page = NULL, *text = NULL;
    assert_int_equal(apq_report_html(root, &page), APQ_OK);
    assert_int_equal(apq_report_markdown(root, "", &text), APQ_OK);
    const char *body = strstr(page, "<main>");
    assert_non_null(body);
    char *end = strstr(page, "</main>");
    assert_non_null(end);
    *end = '\0';
    const char *const bad[] = {">nan<", " nan ", ">null<", "(null)", "-inf"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (strstr(body, bad[i]) != NULL || strstr(text, bad[i]) != NULL) {
            char *found = strstr(body, bad[i]);
            found = found != NULL ? found : strstr(text, bad[i]);
            fail_msg("the report has '%s': %.60s", bad[i], found);
        }
    }
    free(page);
    free(text);
}

static void test_missing(void **state) {
    (void)state;
    static const char *const documents[] = {
        "{}",
        "{\"result\": null, \"search\": null, \"curves\": null}",
        "{\"result\": {}, \"search\": {}, \"records\": {}, \"targets\": [],"
        " \"cost_model\": {}, \"curves\": {}, \"exports\": [], \"files\": []}",
        "{\"result\": {\"cost\": {}, \"rows\": [], \"layers\": [{}]},"
        " \"baselines\": [{\"name\": \"x\", \"cost\": null}],"
        " \"targets\": [{\"networks\": [{}], \"is_priced\": true}],"
        " \"records\": {\"rows\": [{}]}, \"curves\": {\"train\": [{}],"
        " \"search\": [], \"finetune\": {\"network\": [{}]}},"
        " \"exports\": [{\"manifest\": {\"verification\": [{}, 1]}}, {}]}",
        "{\"transfer\": {\"sizes\": [{}, 1, {\"scratch\": "
        "{\"pairwise_accuracy\":"
        " {\"value\": 1, \"interval_95\": [\"a\"]}}}]}}",
        "{\"result\": {\"rows\": [{}], \"layers\": [{\"kept\": 0.5}]},"
        " \"search\": {\"candidates\": {\"budget\": \"latency_ms\","
        " \"cost\": [1, 2], \"predicted_accuracy\": [0.5]},"
        " \"front\": [{}]}}",
    };
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        json_t *root = json_loads(documents[i], 0, NULL);
        assert_non_null(root);
        expect_sound(root);
        json_decref(root);
    }
}

/* Who has run an export, and whether it is of the network that is there. */
static void test_exports(void **state) {
    (void)state;
    static const char document[] =
        "{\"files\": [{\"name\": \"n\", \"hash\": \"aa\"}], \"exports\": ["
        "{\"folder\": \"c\", \"manifest\": {\"format\": \"c\", \"source\":"
        " {\"file\": \"n\", \"hash\": \"aa\"}, \"verification\": ["
        "{\"runtime\": \"R\", \"agrees\": true, \"images\": 1000,"
        " \"other_class\": 0, \"worst\": 0.0},"
        "{\"runtime\": \"Q\", \"agrees\": false, \"images\": 7,"
        " \"data\": \"photos\", \"other_class\": 3, \"worst\": 0.25, "
        "\"first_layer\": \"stem\"}]}},"
        "{\"folder\": \"p\", \"manifest\": {\"format\": \"onnx\","
        " \"is_packed\": true, \"source\": {\"file\": \"n\", \"hash\":"
        " \"bb\"}, \"verification\": []}}]}";
    static const char *const rows[] = {
        "| c      | c            | n                          | R              "
        "  |   1000 | -      |                0 |                  0 | yes ",
        "| c      | c            | n                          | Q              "
        "  |      7 | photos |                3 |              0.250 | **no**: "
        "the "
        "first "
        "layer that differs is stem |",
        "| p      | onnx, packed | n, **not the present one** | **not "
        "verified** |        |        |                  |                    "
        "|  ",
    };
    json_t *root = json_loads(document, 0, NULL);
    assert_non_null(root);
    char *text = NULL;
    assert_int_equal(apq_report_markdown(root, "", &text), APQ_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strstr(text, rows[i]) == NULL) {
            fail_msg("no row %s in:\n%s", rows[i], text);
        }
    }
    free(text);
    json_decref(root);
}

/* The curve of `apq predictor curve` as a table and, on pages, as a chart. */
static void test_transfer(void **state) {
    (void)state;
    static const char document[] =
        "{\"transfer\": {\"float_records\": 300, \"seeds\": 5,"
        " \"test_records\": 18, \"sizes\": [{\"quantised_records\": 72,"
        " \"scratch\": {\"pairwise_accuracy\": {\"value\": 0.694,"
        " \"interval_95\": [0.54, 0.83]}}, \"transfer\":"
        " {\"pairwise_accuracy\": {\"value\": 0.873, \"interval_95\":"
        " [0.76, 0.95]}}, \"difference\": {\"pairwise_accuracy\":"
        " {\"value\": 0.18, \"interval_95\": [0.09, 0.31]}}}]}}";
    json_t *root = json_loads(document, 0, NULL);
    assert_non_null(root);
    char *text = NULL, *page = NULL;
    assert_int_equal(apq_report_markdown(root, "", &text), APQ_OK);
    assert_non_null(
        strstr(text, "69.4 % [54.0, 83.0] | 87.3 % [76.0, 95.0] |"));
    assert_non_null(strstr(text, " 18.0 [9.0, 31.0] |"));
    assert_int_equal(apq_report_html(root, &page), APQ_OK);
    assert_int_equal(count(page, "<figure class=\"chart\""), 1);
    free(text);
    free(page);
    json_decref(root);
}

/* 10,000 records of long names: the page stays below 3 MB, and the front is
 * on it. */
static void test_many(void **state) {
    (void)state;
    enum { N = 10000, N_FRONT = 40 };
    json_t *records = json_array();
    char network[512];
    for (int i = 0; i < N; i++) {
        bool is_front = i % (N / N_FRONT) == 7;
        double ms = 0.1 + 1e-4 * i;
        memset(network, 'x', sizeof network);
        (void)snprintf(network, 32, "%s%d-", is_front ? "front" : "other", i);
        network[strlen(network)] = 'x';
        network[420] = '\0';
        (void)json_array_append_new(
            records, record(ms, (is_front ? 0.6 : 0.3) + 1e-5 * i, network));
    }
    json_t *root = document_with(records);
    char *page = NULL;
    assert_int_equal(apq_report_html(root, &page), APQ_OK);
    assert_true(strlen(page) < 3000000);
    if (apq_report_chart_version() != NULL) {
        for (int i = 7; i < N; i += N / N_FRONT) {
            (void)snprintf(network, sizeof network, "\"front%d-", i);
            assert_true(count(page, network) >= 3); /* costs */
        }
    }
    free(page);
    json_decref(root);
}

static void test_thin(void **state) {
    (void)state;
    enum { N = 1000 };
    double x[N], y[N];
    bool keep[N];
    for (int i = 0; i < N; i++) {
        x[i] = i % 100;
        y[i] = i % 100 + (i >= 900 ? 50 : 0); /* the last hundred: the front */
    }
    y[0] = (double)NAN;
    x[1] = INFINITY;
    for (size_t max = 0; max <= 1200; max += 60) {
        assert_int_equal(apq_thin(x, y, N, max, keep), APQ_OK);
        size_t n = 0, n_front = 0;
        for (int i = 0; i < N; i++) {
            n += keep[i];
            n_front += i >= 900 && keep[i];
        }
        size_t expected = max < N - 2 ? max : N - 2;
        assert_int_equal(n, expected);
        assert_int_equal(n_front, max < 100 ? max : 100);
        assert_false(keep[0] || keep[1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escaping), cmocka_unit_test(test_alone),
        cmocka_unit_test(test_missing),  cmocka_unit_test(test_exports),
        cmocka_unit_test(test_transfer), cmocka_unit_test(test_many),
        cmocka_unit_test(test_thin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
