/* Search costs as published: every entry to its printed digit. */
#include "report/footprint.h"

#include "unit/asserts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>

static apq_footprint of_gpu_hours(double hours) {
    apq_footprint_rates rates = apq_footprint_defaults();
    return apq_footprint_estimate(&rates,
                                  &(apq_footprint_use){.gpu_hours = hours});
}

/* Table 2 of APQ writes one decimal below ten dollars, none from there on. */
static int format_usd(double usd, char *out, size_t size) {
    return snprintf(out, size, "%.*f", usd < 10 ? 1 : 0, usd);
}

static void published_table(void **state) {
    (void)state;
    static const struct {
        double gpu_hours;
        int lbs_digits;
        const char *lbs, *usd_low, *usd_high;
    } rows[] = {
        {200, 2, "56.72", "148", "496"},  /* ProxylessNAS */
        {204, 2, "57.85", "151", "506"},  /* with AMC */
        {96, 2, "27.23", "71", "238"},    /* MobileNetV2 with HAQ */
        {300, 2, "85.08", "222", "744"},  /* all three */
        {40, 2, "11.34", "30", "99"},     /* DNAS */
        {24, 2, "6.81", "18", "60"},      /* single path one-shot, 24 N */
        {0.5, 2, "0.14", "0.4", "1.2"},   /* APQ, a further scenario */
        {2400, 0, "681", "1776", "5952"}, /* APQ, once */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        apq_footprint f = of_gpu_hours(rows[i].gpu_hours);
        char text[32];
        (void)snprintf(text, sizeof text, "%.*f", rows[i].lbs_digits,
                       f.co2_lbs);
        assert_string_equal(text, rows[i].lbs);
        (void)format_usd(f.usd_low, text, sizeof text);
        assert_string_equal(text, rows[i].usd_low);
        (void)format_usd(f.usd_high, text, sizeof text);
        assert_string_equal(text, rows[i].usd_high);
    }
    assert_near(of_gpu_hours(1).co2_lbs, 0.28360, 5e-6);
}

/* Strubell et al., table 3: BERT base, 79.2 h on 64 V100. */
static void bert_row(void **state) {
    (void)state;
    apq_footprint f = of_gpu_hours(79.2 * 64);
    assert_near(f.kwh, 1507, 0.5);
    assert_near(f.co2_lbs, 1438, 0.5);
    assert_near(f.usd_low, 3751, 0.5);
    assert_near(f.usd_high, 12571, 0.5);
}

static void processor_time(void **state) {
    (void)state;
    apq_footprint_rates rates = apq_footprint_defaults();
    rates.core_watts = 20;
    rates.dram_watts = 10;
    apq_footprint_use use = {.wall_hours = 10, .core_hours = 15};
    apq_footprint f = apq_footprint_estimate(&rates, &use);
    /* 10 h at 1.5 cores of 20 W and 10 W of memory: 40 W. */
    assert_near(f.kwh, 1.58 * 0.4, 1e-12);
    assert_near(f.co2_lbs, 0.954 * 1.58 * 0.4, 1e-12);
    assert_near(f.co2_kg, 0.954 * 1.58 * 0.4 * 0.45359237, 1e-12);
    assert_near(f.usd_low, 0.15, 1e-12);
    assert_near(f.usd_high, 15 * 0.0475, 1e-12);
    apq_footprint m = apq_footprint_measured(&rates, &use, 0.4 * 3.6e6);
    assert_near(m.kwh, f.kwh, 1e-12);
    assert_near(m.usd_high, f.usd_high, 1e-12);
    use.gpu_hours = 2;
    m = apq_footprint_measured(&rates, &use, 0.4 * 3.6e6);
    assert_near(m.kwh, f.kwh + 1.58 * 0.188149 * 2, 1e-12);
}

static void v100_hours(void **state) {
    (void)state;
    apq_footprint_rates rates = apq_footprint_defaults();
    /* A hundredth of its speed: a hundredth of the hours. */
    assert_near(apq_footprint_v100_hours(&rates, 50, 0.157e12), 0.5, 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_table),
        cmocka_unit_test(bert_row),
        cmocka_unit_test(processor_time),
        cmocka_unit_test(v100_hours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
