/* Tables of layer costs: finding rows, interpolating between widths, and what
 * a file may say; import and export of the authors' format. */
#include "cost/lut/dict.h"

#include "base/file.h"
#include "cost/cost.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char golden[] = "tests/golden/bitfusion_lut.dict";

static char folder[] = "/tmp/apq-lut-XXXXXX";
static char path[64], other[64];

static int enter(void **state) {
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof path, "%s/t.jsonl", folder);
    (void)snprintf(other, sizeof other, "%s/t.dict", folder);
    return 0;
}

static int leave(void **state) {
    (void)state;
    (void)unlink(path);
    (void)unlink(other);
    return rmdir(folder);
}

static apq_ir_layer make_layer(apq_ir_kind kind, int in, int out) {
    return (apq_ir_layer){
        .name = "block3.expand",
        .kind = kind,
        .in_channels = in,
        .out_channels = out,
        .kernel = kind == APQ_IR_DEPTHWISE ? 3 : 1,
        .stride = 1,
        .in_size = 14,
        .out_size = 14,
        .weight_bits = 8,
        .act_bits = 4,
        .residual_from = -1,
        .is_priced = true,
    };
}

static apq_lut_sample make_sample(double latency_ms, double energy_mj) {
    return (apq_lut_sample){.latency_ms = latency_ms,
                            .latency_spread_ms = latency_ms / 100,
                            .energy_mj = energy_mj,
                            .energy_spread_mj = energy_mj / 50,
                            .count = 7,
                            .weight_container_bits = 8,
                            .act_container_bits = 8};
}

static apq_lut *make_table(bool has_flags) {
    const apq_lut_header header = {.target = "board",
                                   .target_hash = "0123456789abcdef",
                                   .space = "tiny",
                                   .space_hash = "fedcba9876543210",
                                   .date = "2024-01-31T12:00:00Z",
                                   .tool_version = "0.1.0",
                                   .batch = 1,
                                   .width_step = 8,
                                   .has_flags = has_flags,
                                   .is_complete = true};
    apq_lut *lut = NULL;
    assert_int_equal(apq_lut_create(&header, &lut), APQ_OK);
    return lut;
}

static void add(apq_lut *lut, const apq_ir_layer *layer, double latency_ms,
                double energy_mj) {
    apq_lut_sample sample = make_sample(latency_ms, energy_mj);
    assert_int_equal(apq_lut_add(lut, layer, &sample), APQ_OK);
}

static void assert_near(double actual, double expected) {
    if (!(fabs(actual - expected) <= 1e-12 * fabs(expected))) {
        fail_msg("%.17g is not %.17g", actual, expected);
    }
}

/* Enough rows that the hash table grows; every integer tells rows apart. */
static void rows_are_found_by_every_integer(void **state) {
    (void)state;
    apq_lut *lut = make_table(true);
    int n = 0;
    for (int in = 1; in <= 40; in++) {
        for (int out = 1; out <= 40; out++) {
            for (int flags = 0; flags < 4; flags++) {
                apq_ir_layer l = make_layer(APQ_IR_POINTWISE, in, out);
                l.is_act_signed = flags % 2 != 0;
                l.has_relu6 = flags / 2 != 0;
                assert_null(apq_lut_find(lut, &l));
                add(lut, &l, ++n, 1);
            }
        }
    }
    assert_int_equal(apq_lut_n_rows(lut), n);
    n = 0;
    for (int in = 1; in <= 40; in++) {
        for (int out = 1; out <= 40; out++) {
            for (int flags = 0; flags < 4; flags++) {
                apq_ir_layer l = make_layer(APQ_IR_POINTWISE, in, out);
                l.is_act_signed = flags % 2 != 0;
                l.has_relu6 = flags / 2 != 0;
                const apq_lut_row *row = apq_lut_find(lut, &l);
                assert_non_null(row);
                assert_true(row->sample.latency_ms == ++n);
                (void)snprintf(l.name, sizeof l.name, "another name");
                assert_ptr_equal(apq_lut_find(lut, &l), row);
            }
        }
    }
    apq_ir_layer changed[7];
    for (int i = 0; i < 7; i++) {
        changed[i] = make_layer(APQ_IR_POINTWISE, 5, 6);
    }
    changed[0].kind = APQ_IR_LINEAR;
    changed[1].kernel = 3;
    changed[2].stride = 2;
    changed[3].in_size = 7;
    changed[4].weight_bits = 4;
    changed[5].act_bits = 6;
    changed[6].is_input_image = true;
    for (int i = 0; i < 7; i++) {
        assert_null(apq_lut_find(lut, &changed[i]));
    }
    apq_lut_destroy(lut);
}

static void without_flags_signs_are_one(void **state) {
    (void)state;
    apq_lut *lut = make_table(false);
    apq_ir_layer layer = make_layer(APQ_IR_POINTWISE, 8, 16);
    add(lut, &layer, 1, 1);
    layer.is_act_signed = layer.has_relu6 = true;
    assert_non_null(apq_lut_find(lut, &layer));
    apq_lut_sample sample = make_sample(1, 1);
    assert_int_equal(apq_lut_add(lut, &layer, &sample), APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(), "twice"));
    assert_int_equal(apq_lut_n_rows(lut), 1);
    apq_lut_destroy(lut);
}

static void illegal_rows_are_refused(void **state) {
    (void)state;
    apq_lut *lut = make_table(true);
    const apq_ir_layer good = make_layer(APQ_IR_POINTWISE, 8, 16);
    apq_lut_sample bad[6];
    for (int i = 0; i < 6; i++) {
        bad[i] = make_sample(1, 1);
    }
    bad[0].latency_ms = (double)NAN;
    bad[1].latency_ms = -1;
    bad[2].energy_mj = (double)INFINITY;
    bad[3].latency_spread_ms = -0.1;
    bad[4].count = 0;
    bad[5].act_container_bits = 0;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(apq_lut_add(lut, &good, &bad[i]), APQ_ERR_FORMAT);
    }
    apq_ir_layer layer = good;
    layer.weight_bits = 9;
    assert_int_equal(apq_lut_add(lut, &layer, NULL), APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(), "weight_bits 9 outside 2..8"));
    layer = make_layer(APQ_IR_DEPTHWISE, 8, 16);
    assert_int_equal(apq_lut_add(lut, &layer, NULL), APQ_ERR_FORMAT);
    assert_int_equal(apq_lut_n_rows(lut), 0);
    apq_lut_destroy(lut);
}

/* Latency 3 + 2 * out + 5 * in is met exactly between its rows. */
static void widths_are_interpolated(void **state) {
    (void)state;
    apq_lut *lut = make_table(true);
    /* Out of order on purpose. */
    static const int widths[] = {64, 16, 48, 32};
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            apq_ir_layer l = make_layer(APQ_IR_POINTWISE, widths[i], widths[j]);
            add(lut, &l, 3 + 2 * widths[j] + 5 * widths[i], widths[i]);
        }
        apq_ir_layer l = make_layer(APQ_IR_DEPTHWISE, widths[i], widths[i]);
        add(lut, &l, widths[i] * widths[i], 1);
    }
    assert_int_equal(apq_lut_index(lut), APQ_OK);
    apq_lut_sample sample;
    apq_ir_layer layer = make_layer(APQ_IR_POINTWISE, 32, 40);
    assert_int_equal(apq_lut_price(lut, &layer, &sample), APQ_OK);
    assert_near(sample.latency_ms, 3 + 2 * 40 + 5 * 32);
    assert_near(sample.energy_mj, 32);
    layer = make_layer(APQ_IR_POINTWISE, 20, 48);
    assert_int_equal(apq_lut_price(lut, &layer, &sample), APQ_OK);
    assert_near(sample.latency_ms, 3 + 2 * 48 + 5 * 20);
    assert_near(sample.energy_mj, 20);
    assert_near(sample.latency_spread_ms, sample.latency_ms / 100);
    layer = make_layer(APQ_IR_DEPTHWISE, 24, 24);
    assert_int_equal(apq_lut_price(lut, &layer, &sample), APQ_OK);
    assert_near(sample.latency_ms, (16 * 16 + 32 * 32) / 2.0);
    /* A row of its own is exact, and interpolation leaves it aside. */
    layer = make_layer(APQ_IR_DEPTHWISE, 32, 32);
    assert_int_equal(apq_lut_price(lut, &layer, &sample), APQ_OK);
    assert_near(sample.latency_ms, 32 * 32);
    assert_int_equal(apq_lut_interpolate(lut, &layer, &sample), APQ_OK);
    assert_near(sample.latency_ms, (16 * 16 + 48 * 48) / 2.0);
    apq_lut_destroy(lut);
}

static void nothing_is_extrapolated(void **state) {
    (void)state;
    apq_lut *lut = make_table(true);
    apq_ir_layer layer = make_layer(APQ_IR_DEPTHWISE, 16, 16);
    apq_lut_sample sample = {.latency_ms = -1};
    assert_int_equal(apq_lut_index(lut), APQ_OK);
    assert_int_equal(apq_lut_price(lut, &layer, &sample), APQ_ERR_MISMATCH);
    add(lut, &layer, 1, 1);
    layer = make_layer(APQ_IR_DEPTHWISE, 32, 32);
    add(lut, &layer, 2, 1);
    assert_int_equal(apq_lut_index(lut), APQ_OK);
    static const int outside[] = {8, 40};
    for (int i = 0; i < 2; i++) {
        layer = make_layer(APQ_IR_DEPTHWISE, outside[i], outside[i]);
        assert_int_equal(apq_lut_price(lut, &layer, &sample), APQ_ERR_MISMATCH);
        assert_non_null(strstr(apq_error_message(), "block3.expand"));
    }
    layer = make_layer(APQ_IR_DEPTHWISE, 24, 24);
    layer.kernel = 5;
    assert_int_equal(apq_lut_price(lut, &layer, &sample), APQ_ERR_MISMATCH);
    assert_true(sample.latency_ms == -1);
    apq_lut_destroy(lut);
}

static void unsupported_neighbours_are_unsupported(void **state) {
    (void)state;
    apq_lut *lut = make_table(true);
    apq_lut_sample sample;
    apq_ir_layer layer = make_layer(APQ_IR_DEPTHWISE, 16, 16);
    add(lut, &layer, 1, 1);
    layer = make_layer(APQ_IR_DEPTHWISE, 32, 32);
    assert_int_equal(apq_lut_add(lut, &layer, NULL), APQ_OK);
    assert_int_equal(apq_lut_index(lut), APQ_OK);
    assert_int_equal(apq_lut_price(lut, &layer, &sample), APQ_ERR_UNSUPPORTED);
    layer = make_layer(APQ_IR_DEPTHWISE, 24, 24);
    assert_int_equal(apq_lut_price(lut, &layer, &sample), APQ_ERR_UNSUPPORTED);
    apq_lut_destroy(lut);
}

/* Awkward doubles, unknown energy and a row without numbers. */
static void files_give_back_what_was_saved(void **state) {
    (void)state;
    apq_lut *lut = make_table(true), *back = NULL;
    apq_ir_layer layer = make_layer(APQ_IR_POINTWISE, 8, 16);
    layer.is_act_signed = true;
    add(lut, &layer, 0.1 + 0.2, 1.0 / 3.0);
    layer.has_relu6 = true;
    add(lut, &layer, 5e-324, (double)NAN);
    layer.in_size = 15;
    assert_int_equal(apq_lut_add(lut, &layer, NULL), APQ_OK);
    assert_int_equal(apq_lut_save(lut, path), APQ_OK);
    assert_int_equal(apq_lut_load(path, &back), APQ_OK);
    char first[APQ_HASH_MAX], second[APQ_HASH_MAX];
    assert_int_equal(apq_lut_save(back, other), APQ_OK);
    assert_int_equal(apq_file_hash(path, first), APQ_OK);
    assert_int_equal(apq_file_hash(other, second), APQ_OK);
    assert_string_equal(first, second);
    assert_int_equal(apq_lut_n_rows(back), 3);
    for (size_t i = 0; i < 3; i++) {
        const apq_lut_row *a = apq_lut_row_at(lut, i);
        const apq_lut_row *b = apq_lut_row_at(back, i);
        assert_memory_equal(a->key, b->key, sizeof a->key);
        assert_int_equal(a->is_supported, b->is_supported);
        assert_true(a->sample.latency_ms == b->sample.latency_ms);
        assert_true(a->sample.latency_spread_ms == b->sample.latency_spread_ms);
        assert_true(a->sample.energy_mj == b->sample.energy_mj ||
                    (isnan(a->sample.energy_mj) && isnan(b->sample.energy_mj)));
        assert_int_equal(a->sample.count, b->sample.count);
        assert_int_equal(a->sample.act_container_bits,
                         b->sample.act_container_bits);
    }
    apq_lut_destroy(back);
    apq_lut_destroy(lut);
}

/* Saves a table of two rows, replaces `from` by `to` once, and expects the
 * file to be refused with `message`. */
static void expect_refused(const char *from, const char *to,
                           const char *message) {
    apq_lut *lut = make_table(true), *back = NULL;
    apq_ir_layer layer = make_layer(APQ_IR_POINTWISE, 8, 16);
    layer.has_relu6 = true;
    add(lut, &layer, 0.25, 0.5);
    layer.out_channels = 24;
    add(lut, &layer, 0.375, 0.75);
    assert_int_equal(apq_lut_save(lut, path), APQ_OK);
    apq_lut_destroy(lut);
    char *text = NULL, changed[4096];
    size_t n;
    assert_int_equal(apq_file_read(path, &text, &n), APQ_OK);
    char *at = strstr(text, from);
    if (at == NULL) {
        fail_msg("no %s in %s", from, text);
        return;
    }
    int used = snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text),
                        text, to, at + strlen(from));
    free(text);
    assert_int_equal(apq_file_write(path, changed, (size_t)used), APQ_OK);
    assert_int_equal(apq_lut_load(path, &back), APQ_ERR_FORMAT);
    if (strstr(apq_error_message(), message) == NULL) {
        fail_msg("%s -> %s: %s", from, to, apq_error_message());
    }
}

static void malformed_files_are_refused(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"\"rows\":2", "\"rows\":3", ":3: 2 rows, but the header says 3"},
        {"\"rows\":2", "\"rows\":1", ":3: 2 rows, but the header says 1"},
        {"{\"schema_version\":1", "{\"schema_version\":2",
         ":1: 'schema_version' is not an integer in 1..1"},
        {"\"latency\":\"ms\"", "\"latency\":\"us\"", ":1: 'units'"},
        {"\"date\"", "\"dates\"", "did you mean 'date'?"},
        {"\"batch\":1,", "", ":1: key 'batch' is missing"},
        {"\"latency_ms\":0.25", "\"latency_ms\":NaN", ":2: not a JSON object"},
        {"\"latency_ms\":0.25", "\"latency_ms\":-1", ":2: 'latency_ms'"},
        {"\"latency_ms\":0.25", "\"latency_ms\":1e999", ":2: "},
        {"\"latency_ms\":0.25", "\"latency_ms\":null", ":2: 'latency_ms'"},
        {"\"latency_ms\":0.25", "\"latency_ms\":1,\"latency_ms\":1",
         ":2: not a JSON object: duplicate"},
        {"\"kind\":\"pointwise\"", "\"kind\":\"dense\"", ":2: kind 'dense'"},
        {"\"kernel\":1", "\"kernel\":0", ":2: 'kernel'"},
        {"\"kernel\":1", "\"kernal\":1", "did you mean 'kernel'?"},
        {"\"relu6\":true", "\"relu6\":1", ":2: 'relu6'"},
        {"\"act_signed\":false", "\"act_signed\":true,\"supported\":false",
         ":2: 'supported'"},
        {"\"out_channels\":24", "\"out_channels\":16", "twice"},
        {"\"has_flags\":true", "\"has_flags\":\"no\"", ":1: 'has_flags'"},
        {"\"act_container_bits\":8}\n{", "\"act_container_bits\":8}{",
         ":2: not a JSON object"},
        {"\"has_flags\":true", "\"has_flags\":false",
         ":2: 'relu6' is set in a table without flags"},
        {"\"count\":7,", "", ":2: key 'count' is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_refused(cases[i][0], cases[i][1], cases[i][2]);
    }
}

/* Wherever a table is cut, it is refused. */
static void cut_files_are_refused(void **state) {
    (void)state;
    apq_lut *lut = make_table(true), *back = NULL;
    apq_ir_layer layer = make_layer(APQ_IR_POINTWISE, 8, 16);
    add(lut, &layer, 0.25, 0.5);
    assert_int_equal(apq_lut_save(lut, path), APQ_OK);
    apq_lut_destroy(lut);
    char *text = NULL;
    size_t n;
    assert_int_equal(apq_file_read(path, &text, &n), APQ_OK);
    for (size_t cut = 0; cut < n; cut += 7) {
        assert_int_equal(apq_file_write(path, text, cut), APQ_OK);
        assert_int_equal(apq_lut_load(path, &back), APQ_ERR_FORMAT);
    }
    assert_int_equal(apq_file_write(path, text, n - 1), APQ_OK);
    assert_int_equal(apq_lut_load(path, &back), APQ_ERR_FORMAT);
    free(text);
}

static void tables_are_targets(void **state) {
    (void)state;
    apq_lut *lut = make_table(true);
    apq_target *target = NULL;
    apq_ir_layer layer = make_layer(APQ_IR_POINTWISE, 8, 16);
    add(lut, &layer, 0.25, 0.5);
    layer.is_act_signed = true;
    add(lut, &layer, 0.75, 0.5);
    assert_int_equal(apq_lut_save(lut, path), APQ_OK);
    apq_lut_destroy(lut);
    assert_int_equal(apq_target_load(path, &target), APQ_OK);
    assert_string_equal(apq_target_name(target), "board");
    assert_int_equal(apq_target_check_space(target, "tiny", "fedcba9876543210"),
                     APQ_OK);
    assert_int_equal(apq_target_check_space(target, "tiny", "fedcba9876543211"),
                     APQ_ERR_MISMATCH);
    assert_int_equal(
        apq_target_check_space(target, "cifar10", "fedcba9876543210"),
        APQ_ERR_MISMATCH);
    double latency_ms, energy_mj;
    for (int pass = 0; pass < 2; pass++) { /* fresh, then from the cache */
        layer.is_act_signed = false;
        assert_int_equal(
            apq_target_layer(target, &layer, &latency_ms, &energy_mj), APQ_OK);
        assert_true(latency_ms == 0.25 && energy_mj == 0.5);
        layer.is_act_signed = true;
        assert_int_equal(
            apq_target_layer(target, &layer, &latency_ms, &energy_mj), APQ_OK);
        assert_true(latency_ms == 0.75);
    }
    apq_target_destroy(target);
    expect_refused("\"is_complete\":true", "\"is_complete\":1",
                   ":1: 'is_complete'");
}

static void add_bits(apq_lut *lut, apq_ir_kind kind, int weight, int act,
                     int container) {
    apq_ir_layer l = make_layer(kind, 8, 8);
    l.weight_bits = weight;
    l.act_bits = act;
    apq_lut_sample sample = make_sample(1, 1);
    sample.weight_container_bits = container != 0 ? container : weight;
    sample.act_container_bits = container != 0 ? container : act;
    assert_int_equal(apq_lut_add(lut, &l, &sample), APQ_OK);
}

/* Exactly the pairs that there are: W4 A4 is none of them. */
static void bits_are_those_of_the_rows(void **state) {
    (void)state;
    apq_lut *lut = make_table(true);
    add_bits(lut, APQ_IR_POINTWISE, 4, 8, 0);
    add_bits(lut, APQ_IR_POINTWISE, 8, 4, 0);
    add_bits(lut, APQ_IR_POINTWISE, 8, 8, 0);
    add_bits(lut, APQ_IR_POINTWISE, 6, 8, 0);
    add_bits(lut, APQ_IR_DEPTHWISE, 8, 8, 8);
    add_bits(lut, APQ_IR_DEPTHWISE, 4, 8, 8);
    apq_ir_layer refused = make_layer(APQ_IR_DEPTHWISE, 8, 8);
    refused.weight_bits = refused.act_bits = 6;
    assert_int_equal(apq_lut_add(lut, &refused, NULL), APQ_OK);

    apq_capability bits;
    apq_lut_bits(lut, &bits);
    assert_true(bits.is_given);
    assert_int_equal(bits.n_rows[APQ_IR_POINTWISE], 2);
    const apq_capability_row *row = bits.rows[APQ_IR_POINTWISE];
    assert_true(row[0].weight_bits[4] && row[0].weight_bits[6] &&
                !row[0].weight_bits[8]);
    assert_true(row[0].act_bits[8] && !row[0].act_bits[4]);
    assert_true(row[1].weight_bits[8] && !row[1].weight_bits[4]);
    assert_true(row[1].act_bits[8] && row[1].act_bits[4]);
    assert_int_equal(row[1].weight_container_bits, 0);
    assert_int_equal(bits.n_rows[APQ_IR_DEPTHWISE], 1);
    row = bits.rows[APQ_IR_DEPTHWISE];
    assert_true(row->weight_bits[4] && row->weight_bits[8] &&
                !row->weight_bits[6]);
    assert_int_equal(row->act_container_bits, 8);
    assert_int_equal(bits.n_rows[APQ_IR_LINEAR], 0);
    apq_lut_destroy(lut);
}

static void unfinished_tables_are_no_targets(void **state) {
    (void)state;
    const apq_lut_header header = {
        .target = "board", .space = "tiny", .batch = 1, .width_step = 8};
    apq_lut *lut = NULL;
    apq_target *target = NULL;
    assert_int_equal(apq_lut_create(&header, &lut), APQ_OK);
    assert_int_equal(apq_lut_save(lut, path), APQ_OK);
    assert_int_equal(apq_target_load(path, &target), APQ_ERR_FORMAT);
    assert_non_null(strstr(apq_error_message(), "unfinished"));
    apq_lut_destroy(lut);
}

static void dict_round_trip(void **state) {
    (void)state;
    const apq_lut_header header = {
        .target = "bitfusion", .space = "imagenet-apq", .batch = 1};
    apq_lut *lut = NULL, *back = NULL;
    assert_int_equal(apq_dict_load(golden, &header, &lut), APQ_OK);
    assert_int_equal(apq_lut_n_rows(lut), 60);
    assert_int_equal(apq_dict_save(lut, other), APQ_OK);
    assert_int_equal(apq_dict_load(other, &header, &back), APQ_OK);
    assert_int_equal(apq_lut_n_rows(back), 60);
    for (size_t i = 0; i < 60; i++) {
        const apq_lut_row *a = apq_lut_row_at(lut, i);
        const apq_lut_row *b = apq_lut_row_at(back, i);
        assert_memory_equal(a->key, b->key, sizeof a->key);
        assert_true(a->sample.latency_ms == b->sample.latency_ms &&
                    a->sample.energy_mj == b->sample.energy_mj);
    }
    apq_lut_destroy(back);
    apq_lut_destroy(lut);
}

static void bad_dicts_are_refused(void **state) {
    (void)state;
    const apq_lut_header header = {
        .target = "bitfusion", .space = "imagenet-apq", .batch = 1};
    static const char *const bad[] = {
        "",
        "[1]",
        "{}",
        "{\"head\": {\"energy\": 1, \"latency\": 1}",
        "{\"neck\": {\"energy\": 1, \"latency\": 1}}",
        "{\"head\": {\"energy\": 1}}",
        "{\"head\": {\"energy\": \"1\", \"latency\": 1}}",
        "{\"head\": {\"energy\": -1, \"latency\": 1}}",
        "{\"head\": {\"energy\": 1, \"latency\": 1, \"area\": 1}}",
        "{\"(8, 16, 7, 1, 1, 0, 1)-W4A5x\": {\"energy\": 1, \"latency\": 1}}",
        "{\"(8, 16, 7, 3, 1, 0, 1)-W4A4\": {\"energy\": 1, \"latency\": 1}}",
        "{\"(8, 16, 7, 3, 1, 1, 4)-W4A4\": {\"energy\": 1, \"latency\": 1}}",
        "{\"(8, 16, 7, 1, 1, 0, 1)-W4A9\": {\"energy\": 1, \"latency\": 1}}",
        "{\"(8, 16, 0, 1, 1, 0, 1)-W4A4\": {\"energy\": 1, \"latency\": 1}}",
        ("{\"head\": {\"energy\": 1, \"latency\": 1}, "
         "\"head\": {\"energy\": 1, \"latency\": 1}}"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        apq_lut *lut = NULL;
        assert_int_equal(apq_file_write(other, bad[i], strlen(bad[i])), APQ_OK);
        if (apq_dict_load(other, &header, &lut) != APQ_ERR_FORMAT) {
            fail_msg("accepted: %s", bad[i]);
        }
        assert_non_null(strstr(apq_error_message(), other));
    }
}

static void what_a_dict_cannot_hold_is_refused(void **state) {
    (void)state;
    apq_lut *lut = make_table(true);
    apq_ir_layer layer = make_layer(APQ_IR_POINTWISE, 8, 16);
    (void)unlink(other);
    add(lut, &layer, 1, (double)NAN);
    assert_int_equal(apq_dict_save(lut, other), APQ_ERR_UNSUPPORTED);
    apq_lut_destroy(lut);
    lut = make_table(true);
    add(lut, &layer, 1, 1);
    layer.has_relu6 = true;
    add(lut, &layer, 1, 1); /* the same: one entry */
    assert_int_equal(apq_dict_save(lut, other), APQ_OK);
    assert_int_equal(unlink(other), 0);
    layer.is_act_signed = true;
    add(lut, &layer, 2, 1);
    assert_int_equal(apq_dict_save(lut, other), APQ_ERR_UNSUPPORTED);
    apq_lut_destroy(lut);
    lut = make_table(true);
    layer = make_layer(APQ_IR_LINEAR, 8, 16);
    add(lut, &layer, 1, 1);
    assert_int_equal(apq_dict_save(lut, other), APQ_ERR_UNSUPPORTED);
    assert_false(apq_file_exists(other));
    apq_lut_destroy(lut);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_found_by_every_integer),
        cmocka_unit_test(without_flags_signs_are_one),
        cmocka_unit_test(illegal_rows_are_refused),
        cmocka_unit_test(widths_are_interpolated),
        cmocka_unit_test(nothing_is_extrapolated),
        cmocka_unit_test(unsupported_neighbours_are_unsupported),
        cmocka_unit_test(files_give_back_what_was_saved),
        cmocka_unit_test(malformed_files_are_refused),
        cmocka_unit_test(cut_files_are_refused),
        cmocka_unit_test(tables_are_targets),
        cmocka_unit_test(bits_are_those_of_the_rows),
        cmocka_unit_test(unfinished_tables_are_no_targets),
        cmocka_unit_test(dict_round_trip),
        cmocka_unit_test(bad_dicts_are_refused),
        cmocka_unit_test(what_a_dict_cannot_hold_is_refused),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
