/* Numbers, tables and curves as text, and a report over an empty document. */
#include "report/format.h"
#include "report/render.h"
#include "report/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void numbers(void **state) {
    (void)state;
    char text[APQ_FORMAT_MAX];
    assert_string_equal(apq_format_number(0.0069124, text), "0.00691");
    assert_string_equal(apq_format_number(12.345, text), "12.3");
    assert_string_equal(apq_format_number(1507.4, text), "1507");
    assert_string_equal(apq_format_number(0, text), "0");
    assert_string_equal(apq_format_number(-2.5, text), "-2.50");
    assert_string_equal(apq_format_number((double)NAN, text), "-");
    assert_string_equal(apq_format_number((double)INFINITY, text), "-");
    assert_true(strlen(apq_format_number(-1e308, text)) < APQ_FORMAT_MAX);
    assert_true(strlen(apq_format_number(-1e-300, text)) < APQ_FORMAT_MAX);
    assert_string_equal(apq_format_amount(0.00004, text), "< 0.001");
    assert_string_equal(apq_format_amount(0, text), "0");
    assert_string_equal(apq_format_amount(0.0123, text), "0.012");
    assert_string_equal(apq_format_amount(2.3456, text), "2.35");
    assert_string_equal(apq_format_percent(0.45678, text), "45.68 %");
}

static void durations(void **state) {
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {
        {0.0031, "3 ms"},     {4.25, "4.2 s"},
        {59.94, "59.9 s"},    {59.99, "1 min 00 s"},
        {200, "3 min 20 s"},  {3599.7, "1 h 00 min"},
        {7500, "2 h 05 min"}, {86400 * 3, "72 h 00 min"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[APQ_FORMAT_MAX];
        assert_string_equal(apq_format_duration(cases[i].seconds, text),
                            cases[i].text);
    }
}

static void sparklines(void **state) {
    (void)state;
    char text[APQ_SPARKLINE_MAX];
    const double rising[] = {0, 1, 2, 3, 4, 5, 6, 7};
    assert_string_equal(apq_format_sparkline(rising, 8, text),
                        "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588");
    const double flat[] = {3, 3};
    assert_string_equal(apq_format_sparkline(flat, 2, text), "\u2581\u2581");
    assert_string_equal(apq_format_sparkline(rising, 0, text), "");
    double many[1000];
    for (int i = 0; i < 1000; i++) {
        many[i] = i;
    }
    apq_format_sparkline(many, 1000, text);
    assert_int_equal(strlen(text), 40 * 3);
    assert_memory_equal(text + 39 * 3, "\u2588", 3);
}

enum { PRINTED_MAX = 4096 };

static void print_to(const apq_table *table, char text[PRINTED_MAX]) {
    FILE *out = fmemopen(text, PRINTED_MAX, "w");
    assert_non_null(out);
    apq_table_print(table, out);
    assert_int_equal(fclose(out), 0);
}

static void tables(void **state) {
    (void)state;
    apq_table *table = apq_table_create("name|>value");
    assert_non_null(table);
    apq_table_cell(table, "%s", "a|b\n");
    apq_table_cell(table, "%d", 12);
    apq_table_cell(table, "%s", "\u00b5\u00b5\u00b5\u00b5\u00b5");
    apq_table_end_row(table);
    char text[PRINTED_MAX];
    print_to(table, text);
    assert_string_equal(text, "| name  | value |\n"
                              "| ----- | ----: |\n"
                              "| a\\|b  |    12 |\n"
                              "| \u00b5\u00b5\u00b5\u00b5\u00b5 |       |\n\n");
    apq_table_destroy(table);
    apq_table_destroy(NULL);
}

static void long_cells(void **state) {
    (void)state;
    char word[400] = "x";
    while (strlen(word) + 2 < sizeof word) {
        (void)strcat(word, "\u00e9");
    }
    apq_table *table = apq_table_create("name");
    apq_table_cell(table, "%s", word);
    char text[PRINTED_MAX];
    print_to(table, text);
    const char *cell = strstr(text, "x\u00e9");
    size_t n = strcspn(cell, " ");
    assert_true(n > 100 && n < APQ_TABLE_CELL_MAX);
    assert_int_equal(n % 2, 1); /* whole characters of two bytes */
    apq_table_destroy(table);
}

/* A document of a later or damaged program must not bring the report down. */
static void odd_documents(void **state) {
    (void)state;
    static const char *const documents[] = {
        "{}",
        ("{\"result\":{},\"baselines\":[{}],\"curves\":{\"train\":[1,{}]},"
         "\"predictor\":{\"x\":{}},\"search_cost\":{},\"figures\":[\"a\"]}"),
        "{\"asked\":7,\"result\":{\"rows\":[{\"block\":0},{}],\"cost\":[]}}",
    };
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        json_t *document = json_loads(documents[i], 0, NULL);
        assert_non_null(document);
        char *text = NULL;
        assert_int_equal(apq_report_markdown(document, "", &text), APQ_OK);
        assert_non_null(strstr(text, "not recorded"));
        free(text);
        json_decref(document);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),    cmocka_unit_test(durations),
        cmocka_unit_test(sparklines), cmocka_unit_test(tables),
        cmocka_unit_test(long_cells), cmocka_unit_test(odd_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
