/* Tables built from a target: complete, equal to the target in every price,
 * equal to the authors' table, and the same after an interruption. */
#include "app/lut.h"

#include "app/price.h"
#include "cost/lut/dict.h"

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

static const char golden[] = "tests/golden/bitfusion_lut.dict";
static const char half[] = "../shared/reference/bitfusion_lut_half.dict";

static char folder[] = "/tmp/apq-lut-XXXXXX";
static char path[64], part[64], other[64];

static int enter(void **state) {
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof path, "%s/t.jsonl", folder);
    (void)snprintf(part, sizeof part, "%s/t.jsonl.part", folder);
    (void)snprintf(other, sizeof other, "%s/o.jsonl", folder);
    return 0;
}

static int leave(void **state) {
    (void)state;
    (void)unlink(path);
    (void)unlink(part);
    (void)unlink(other);
    return rmdir(folder);
}

static apq_lut_build_options options_for(const char *space, const char *to) {
    return (apq_lut_build_options){.space = space,
                                   .target = "bitfusion",
                                   .path = to,
                                   .date = "2024-01-31T12:00:00Z",
                                   .save_s = 1e6};
}

static void build(const char *space, int width_step,
                  apq_lut_build_report *report) {
    apq_lut_build_options options = options_for(space, path);
    options.width_step = width_step;
    (void)unlink(path); /* of an earlier test */
    assert_status(apq_app_lut_build(&options, NULL, report), APQ_OK);
}

/* Every priced layer of random policies has a row, and no row is alien. */
static void plans_are_the_layers_of_policies(void **state) {
    (void)state;
    static const char *const names[] = {"tiny", "cifar10-small",
                                        "imagenet-apq"};
    static const size_t counts[] = {500, 2767, 6569};
    for (int s = 0; s < 3; s++) {
        apq_space space;
        apq_lut_plan plan;
        apq_lut *lut = NULL;
        const apq_lut_header header = {.batch = 1, .has_flags = true};
        assert_int_equal(apq_space_load(names[s], &space), APQ_OK);
        assert_int_equal(apq_lut_plan_make(&space, 0, &plan), APQ_OK);
        assert_int_equal(plan.n, counts[s]);
        assert_int_equal(apq_lut_create(&header, &lut), APQ_OK);
        for (size_t i = 0; i < plan.n; i++) { /* refuses a layer twice */
            assert_int_equal(apq_lut_add(lut, &plan.layers[i], NULL), APQ_OK);
        }
        apq_lut_plan_fini(&plan);
        apq_rng rng = apq_rng_make(3, APQ_RNG_TEST, 0);
        for (int i = 0; i < 200; i++) {
            apq_policy policy;
            apq_ir_network net;
            apq_policy_random(&space, &rng, &policy);
            assert_int_equal(apq_policy_lower(&space, &policy, &net), APQ_OK);
            for (size_t l = 0; l < net.n_layers; l++) {
                assert_true((apq_lut_find(lut, &net.layers[l]) != NULL) ==
                            net.layers[l].is_priced);
            }
        }
        apq_lut_destroy(lut);
    }
}

/* With 64 channels the fixed feature mix has the shape of an expansion. */
static void equal_fixed_and_searched_layers_are_one(void **state) {
    (void)state;
    apq_space space;
    apq_lut_plan plan;
    assert_int_equal(apq_space_load("tiny", &space), APQ_OK);
    space.head_channels = 64;
    assert_int_equal(apq_lut_plan_make(&space, 0, &plan), APQ_OK);
    assert_int_equal(plan.n, 499);
    apq_lut_plan_fini(&plan);
    space.n_bits = 1; /* 4 bits only: the mix at 8 is a layer of its own */
    assert_int_equal(apq_lut_plan_make(&space, 0, &plan), APQ_OK);
    int n_mix = 0;
    for (size_t i = 0; i < plan.n; i++) {
        n_mix += plan.layers[i].role == APQ_ROLE_FEATURE_MIX;
    }
    assert_int_equal(n_mix, 1);
    apq_lut_plan_fini(&plan);
}

static void width_steps_keep_the_ends(void **state) {
    (void)state;
    apq_space space;
    apq_lut_plan plan;
    assert_int_equal(apq_space_load("cifar10-small", &space), APQ_OK);
    assert_int_equal(apq_lut_plan_make(&space, 12, &plan), APQ_ERR_ARG);
    assert_int_equal(apq_lut_plan_make(&space, 4096, &plan), APQ_OK);
    int n_ends[2] = {0};
    for (size_t i = 0; i < plan.n; i++) {
        const apq_ir_layer *l = &plan.layers[i];
        if (l->role == APQ_ROLE_EXPAND && l->in_channels == 32) {
            int low = space.blocks[3].min_channels;
            int high = space.blocks[3].max_channels;
            assert_int_equal(space.blocks[3].in_channels, 32);
            assert_true(l->out_channels == low || l->out_channels == high);
            n_ends[l->out_channels == high]++;
        }
    }
    assert_true(n_ends[0] > 0 && n_ends[1] == n_ends[0]);
    apq_lut_plan_fini(&plan);
}

static void a_full_table_prices_as_its_target(void **state) {
    (void)state;
    static const char *const names[] = {"cifar10-small", "imagenet-apq"};
    for (int s = 0; s < 2; s++) {
        apq_lut_build_report report;
        build(names[s], 0, &report);
        assert_int_equal(report.latency_error.n, 0);
        apq_space space;
        apq_target *targets[2];
        apq_price_table *prices[2];
        assert_int_equal(apq_space_load(names[s], &space), APQ_OK);
        assert_int_equal(apq_target_load("bitfusion", &targets[0]), APQ_OK);
        assert_int_equal(apq_target_load(path, &targets[1]), APQ_OK);
        for (int t = 0; t < 2; t++) {
            assert_int_equal(apq_app_check_target(&space, targets[t]), APQ_OK);
            assert_int_equal(
                apq_price_table_create(&space, targets[t], &prices[t]), APQ_OK);
        }
        apq_rng rng = apq_rng_make(4, APQ_RNG_TEST, 0);
        for (int i = 0; i < 2000; i++) {
            apq_policy policy;
            double costs[2][APQ_BUDGET_N_FIELDS];
            apq_policy_random(&space, &rng, &policy);
            for (int t = 0; t < 2; t++) {
                apq_price_policy(prices[t], &policy, costs[t]);
            }
            for (int f = 0; f < APQ_BUDGET_N_FIELDS; f++) {
                assert_true(costs[0][f] == costs[1][f]);
            }
        }
        for (int t = 0; t < 2; t++) {
            apq_price_table_destroy(prices[t]);
            apq_target_destroy(targets[t]);
        }
    }
}

static void another_space_is_a_mismatch(void **state) {
    (void)state;
    apq_lut_build_report report;
    apq_space space;
    apq_target *target;
    build("tiny", 0, &report);
    assert_int_equal(apq_target_load(path, &target), APQ_OK);
    assert_int_equal(apq_space_load("cifar10-small", &space), APQ_OK);
    assert_int_equal(apq_app_check_target(&space, target), APQ_ERR_MISMATCH);
    assert_int_equal(apq_space_load("tiny", &space), APQ_OK);
    assert_int_equal(apq_app_check_target(&space, target), APQ_OK);
    apq_space_set_classes(&space, 11);
    assert_int_equal(apq_app_check_target(&space, target), APQ_ERR_MISMATCH);
    apq_target_destroy(target);
}

/* Against all left-out layers, asked one by one here. */
static void interpolation_errors_are_reported(void **state) {
    (void)state;
    apq_lut_build_report report;
    build("tiny", 16, &report);
    assert_true(report.n_rows < 500);
    apq_space space;
    apq_lut_plan plan;
    apq_lut *lut;
    apq_target *target;
    assert_int_equal(apq_space_load("tiny", &space), APQ_OK);
    assert_int_equal(apq_lut_plan_make(&space, 0, &plan), APQ_OK);
    assert_int_equal(apq_lut_load(path, &lut), APQ_OK);
    assert_int_equal(apq_target_load("bitfusion", &target), APQ_OK);
    size_t n = 0;
    double worst = 0;
    for (size_t i = 0; i < plan.n; i++) {
        apq_lut_sample guess;
        double latency_ms, energy_mj;
        if (apq_lut_find(lut, &plan.layers[i]) == NULL) {
            assert_int_equal(apq_lut_price(lut, &plan.layers[i], &guess),
                             APQ_OK);
            assert_int_equal(apq_target_layer(target, &plan.layers[i],
                                              &latency_ms, &energy_mj),
                             APQ_OK);
            worst =
                fmax(worst, fabs(guess.latency_ms - latency_ms) / latency_ms);
            n++;
        }
    }
    assert_int_equal(report.n_rows + n, plan.n);
    assert_int_equal(report.latency_error.n, n);
    assert_true(report.latency_error.max == worst);
    assert_true(report.latency_error.median <= report.latency_error.p95 &&
                report.latency_error.p95 <= worst && worst > 0);
    apq_target_destroy(target);
    apq_lut_destroy(lut);
    apq_lut_plan_fini(&plan);
}

/* Entries of a .dict against ours: cycles equal, energy to rounding. */
static size_t compare_with(const char *authors, const char *ours) {
    json_t *expected = json_load_file(authors, 0, NULL);
    json_t *got = json_load_file(ours, 0, NULL);
    const char *key;
    json_t *value;
    size_t n = 0;
    assert_non_null(expected);
    assert_non_null(got);
    json_object_foreach(expected, key, value) {
        const json_t *mine = json_object_get(got, key);
        const json_t *ms[2] = {json_object_get(value, "latency"),
                               json_object_get(mine, "latency")};
        const json_t *mj[2] = {json_object_get(value, "energy"),
                               json_object_get(mine, "energy")};
        double energy = json_number_value(mj[0]);
        if (llround(json_number_value(ms[0]) * 5e5) !=
                llround(json_number_value(ms[1]) * 5e5) ||
            !(fabs(json_number_value(mj[1]) - energy) <= 1e-12 * energy)) {
            fail_msg("%s: %g ms, %g mJ", key, json_number_value(ms[1]),
                     json_number_value(mj[1]));
        }
        n++;
    }
    json_decref(expected);
    json_decref(got);
    return n;
}

static void the_authors_table_is_reproduced(void **state) {
    (void)state;
    apq_lut_build_report report;
    apq_lut *lut;
    build("imagenet-apq", 0, &report);
    assert_int_equal(report.n_rows, 6569);
    assert_int_equal(report.n_unsupported, 0);
    assert_int_equal(apq_lut_load(path, &lut), APQ_OK);
    assert_int_equal(apq_dict_save(lut, other), APQ_OK);
    apq_lut_destroy(lut);
    assert_int_equal(compare_with(golden, other), 60);
    if (apq_file_exists(half)) {
        assert_int_equal(compare_with(half, other), 3285);
    } else {
        print_message("%s is absent: only the committed rows compared\n", half);
    }
}

static void remember(void *ctx, const char *what, uint64_t done, uint64_t total,
                     const char *detail) {
    (void)what;
    (void)total;
    (void)detail;
    *(uint64_t *)ctx = done;
}

static bool stop_after_100(void *ctx) {
    return *(uint64_t *)ctx >= 100;
}

static void an_interrupted_build_goes_on(void **state) {
    (void)state;
    apq_lut_build_report report;
    uint64_t done = 0;
    const apq_progress progress = {
        .ctx = &done, .update = remember, .stop_requested = stop_after_100};
    apq_lut_build_options options = options_for("tiny", other);
    (void)unlink(other);
    assert_int_equal(apq_app_lut_build(&options, NULL, &report), APQ_OK);
    options.path = path;
    (void)unlink(path);
    assert_int_equal(apq_app_lut_build(&options, &progress, &report),
                     APQ_ERR_INTERRUPTED);
    assert_false(apq_file_exists(path));
    apq_lut *lut = NULL;
    assert_int_equal(apq_lut_load(part, &lut), APQ_OK);
    assert_int_equal(apq_lut_n_rows(lut), 100);
    assert_false(apq_lut_header_of(lut)->is_complete);
    apq_lut_destroy(lut);
    /* Another build does not take it over. */
    options.width_step = 16;
    assert_int_equal(apq_app_lut_build(&options, NULL, &report),
                     APQ_ERR_MISMATCH);
    options.width_step = 0;
    options.date = "2030-01-01T00:00:00Z"; /* the first one's stays */
    assert_int_equal(apq_app_lut_build(&options, NULL, &report), APQ_OK);
    assert_int_equal(report.n_resumed, 100);
    assert_false(apq_file_exists(part));
    char whole[APQ_HASH_MAX], resumed[APQ_HASH_MAX];
    assert_int_equal(apq_file_hash(other, whole), APQ_OK);
    assert_int_equal(apq_file_hash(path, resumed), APQ_OK);
    assert_string_equal(whole, resumed);
}

static void a_finished_table_is_built_once(void **state) {
    (void)state;
    apq_lut_build_report report;
    char before[APQ_HASH_MAX], after[APQ_HASH_MAX];
    build("tiny", 0, &report);
    assert_false(report.is_built_before);
    assert_int_equal(apq_file_hash(path, before), APQ_OK);
    apq_lut_build_options options = options_for("tiny", path);
    options.date = "2030-01-01T00:00:00Z";
    assert_status(apq_app_lut_build(&options, NULL, &report), APQ_OK);
    assert_true(report.is_built_before);
    assert_int_equal(report.n_rows, 500);
    options.width_step = 16;
    assert_status(apq_app_lut_build(&options, NULL, &report), APQ_ERR_MISMATCH);
    options = options_for("cifar10-small", path);
    assert_status(apq_app_lut_build(&options, NULL, &report), APQ_ERR_MISMATCH);
    assert_int_equal(apq_file_hash(path, after), APQ_OK);
    assert_string_equal(before, after);
    assert_false(apq_file_exists(part));
}

/* The header does not tell them apart. */
static void a_table_with_fewer_layers_is_another(void **state) {
    (void)state;
    apq_lut_build_report report;
    build("imagenet-apq", 0, &report);
    apq_lut_build_options options = options_for("imagenet-apq", path);
    options.all_layers = true;
    assert_status(apq_app_lut_build(&options, NULL, &report), APQ_ERR_MISMATCH);
    assert_non_null(strstr(apq_error_message(), "has 6569 layers, not the "));
}

/* Changes one latency of a table by a factor. */
static void spoil(double factor) {
    apq_lut *lut, *spoilt = NULL;
    assert_int_equal(apq_lut_load(path, &lut), APQ_OK);
    assert_int_equal(apq_lut_create(apq_lut_header_of(lut), &spoilt), APQ_OK);
    for (size_t i = 0; i < apq_lut_n_rows(lut); i++) {
        apq_lut_row row = *apq_lut_row_at(lut, i);
        apq_ir_layer layer;
        apq_lut_row_layer(&row, &layer);
        row.sample.latency_ms *= i == 50 ? factor : 1;
        if (i != 70) { /* and one row is missing */
            assert_int_equal(apq_lut_add(spoilt, &layer, &row.sample), APQ_OK);
        }
    }
    assert_int_equal(apq_lut_save(spoilt, path), APQ_OK);
    apq_lut_destroy(spoilt);
    apq_lut_destroy(lut);
}

static void checks_find_what_is_wrong(void **state) {
    (void)state;
    apq_lut_build_report built;
    apq_lut_check_report *report = calloc(1, sizeof *report);
    assert_non_null(report);
    build("tiny", 0, &built);
    apq_lut_check_options options = {
        .path = path, .target = "bitfusion", .space = "tiny"};
    assert_int_equal(apq_app_lut_check(&options, NULL, report), APQ_OK);
    assert_int_equal(report->n_asked, 500);
    assert_int_equal(report->counts[APQ_LUT_DISAGREES], 0);
    assert_int_equal(report->counts[APQ_LUT_MISSING], 0);
    assert_int_equal(report->counts[APQ_LUT_INTERPOLATED], 0);
    spoil(1.01);
    assert_int_equal(apq_app_lut_check(&options, NULL, report), APQ_OK);
    assert_int_equal(report->counts[APQ_LUT_DISAGREES], 1);
    assert_int_equal(report->counts[APQ_LUT_MISSING] +
                         report->counts[APQ_LUT_INTERPOLATED],
                     1);
    assert_true(fabs(report->max_latency_difference - 0.01 / 1.01) < 1e-9);
    assert_non_null(strstr(report->examples[APQ_LUT_DISAGREES][0], "W"));
    options.tolerance = 0.02;
    assert_int_equal(apq_app_lut_check(&options, NULL, report), APQ_OK);
    assert_int_equal(report->counts[APQ_LUT_DISAGREES], 0);
    options.n_asked = 30;
    assert_int_equal(apq_app_lut_check(&options, NULL, report), APQ_OK);
    assert_int_equal(report->n_asked, 30);
    options.space = "cifar10-small";
    assert_int_equal(apq_app_lut_check(&options, NULL, report),
                     APQ_ERR_MISMATCH);
    free(report);
}

/* The published table has a few wider layers that are faster, and layers that
 * 4-bit activations make slower (padding). */
static void checks_count_inversions(void **state) {
    (void)state;
    apq_lut_build_report built;
    apq_lut_check_report *report = calloc(1, sizeof *report);
    assert_non_null(report);
    build("imagenet-apq", 0, &built);
    apq_lut_check_options options = {.path = path};
    assert_int_equal(apq_app_lut_check(&options, NULL, report), APQ_OK);
    assert_int_equal(report->n_asked, 0);
    assert_int_equal(report->counts[APQ_LUT_WIDER_FASTER], 4);
    assert_int_equal(report->counts[APQ_LUT_FEWER_BITS_SLOWER], 18);
    bool has_known = false; /* see more_inputs_may_be_faster */
    for (int i = 0; i < 4; i++) {
        has_known |=
            strstr(report->examples[APQ_LUT_WIDER_FASTER][i],
                   "344->96, size 14, kernel 1, stride 1, W6A6") != NULL;
    }
    assert_true(has_known);
    free(report);
}

/* Latency of the layer with the given integers, all else alike. */
static void add_row(apq_lut *lut, apq_ir_kind kind, int channels, int act_bits,
                    double latency_ms) {
    const apq_ir_layer layer = {.kind = kind,
                                .in_channels = channels,
                                .out_channels = channels,
                                .kernel = 1,
                                .stride = 1,
                                .in_size = 7,
                                .weight_bits = 8,
                                .act_bits = act_bits};
    const apq_lut_sample sample = {.latency_ms = latency_ms,
                                   .latency_spread_ms = 0.1,
                                   .energy_mj = (double)NAN,
                                   .energy_spread_mj = (double)NAN,
                                   .count = 9,
                                   .weight_container_bits = 8,
                                   .act_container_bits = 8};
    assert_int_equal(apq_lut_add(lut, &layer, &sample), APQ_OK);
}

static void inversions_within_the_spread_do_not_count(void **state) {
    (void)state;
    const apq_lut_header header = {.target = "board",
                                   .space = "tiny",
                                   .batch = 1,
                                   .width_step = 8,
                                   .is_complete = true};
    apq_lut *lut = NULL;
    apq_lut_check_report *report = calloc(1, sizeof *report);
    assert_non_null(report);
    assert_int_equal(apq_lut_create(&header, &lut), APQ_OK);
    add_row(lut, APQ_IR_DEPTHWISE, 8, 8, 2.0);
    add_row(lut, APQ_IR_DEPTHWISE, 16, 8, 1.9); /* within both spreads */
    add_row(lut, APQ_IR_DEPTHWISE, 24, 8, 1.6); /* faster beyond them */
    add_row(lut, APQ_IR_POINTWISE, 8, 4, 1.5);  /* slower than 8 bits */
    add_row(lut, APQ_IR_POINTWISE, 8, 8, 1.0);
    assert_int_equal(apq_lut_save(lut, path), APQ_OK);
    apq_lut_destroy(lut);
    apq_lut_check_options options = {.path = path};
    assert_int_equal(apq_app_lut_check(&options, NULL, report), APQ_OK);
    assert_int_equal(report->counts[APQ_LUT_WIDER_FASTER], 1);
    assert_int_equal(report->counts[APQ_LUT_FEWER_BITS_SLOWER], 1);
    free(report);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_are_the_layers_of_policies),
        cmocka_unit_test(equal_fixed_and_searched_layers_are_one),
        cmocka_unit_test(width_steps_keep_the_ends),
        cmocka_unit_test(a_full_table_prices_as_its_target),
        cmocka_unit_test(another_space_is_a_mismatch),
        cmocka_unit_test(interpolation_errors_are_reported),
        cmocka_unit_test(the_authors_table_is_reproduced),
        cmocka_unit_test(an_interrupted_build_goes_on),
        cmocka_unit_test(a_finished_table_is_built_once),
        cmocka_unit_test(a_table_with_fewer_layers_is_another),
        cmocka_unit_test(checks_find_what_is_wrong),
        cmocka_unit_test(checks_count_inversions),
        cmocka_unit_test(inversions_within_the_spread_do_not_count),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
