/* The schedule search beside the reference's own schedules: tile, traffic,
 * chunks, compute cycles and data flow, not the price alone; and batches. */
#include "cost/bitfusion/bitfusion.h"

#include "base/file.h"
#include "base/yaml.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int load(void **state) {
    static bitfusion_config config;
    apq_yaml *yaml = NULL;
    if (apq_yaml_load("configs/targets/bitfusion.yaml", &yaml) != APQ_OK) {
        print_error("%s\n", apq_error_message());
        return -1;
    }
    apq_status st = apq_target_bitfusion.init(&config, yaml);
    apq_yaml_destroy(yaml);
    *state = &config;
    return st == APQ_OK ? 0 : -1;
}

/* One row of the file, its columns in order. */
typedef struct row {
    int64_t in, out, size, kernel, stride, groups, weight_bits, act_bits;
    int64_t n_groups, trips_x, trips_y, trips_i, trips_c;
    int64_t side, tile_in, tile_out;
    char order[8];
    int64_t traffic[3], chunk[3], dram_read, dram_write, compute, cycles;
    char flow[4];
    int64_t total, published;
} row;

static bool read_row(const char *line, row *r) {
    int64_t *numbers[] = {
        &r->in,         &r->out,        &r->size,        &r->kernel,
        &r->stride,     &r->groups,     &r->weight_bits, &r->act_bits,
        &r->n_groups,   &r->trips_x,    &r->trips_y,     &r->trips_i,
        &r->trips_c,    &r->side,       &r->tile_in,     &r->tile_out,
        NULL,           &r->traffic[0], &r->traffic[1],  &r->traffic[2],
        &r->chunk[0],   &r->chunk[1],   &r->chunk[2],    &r->dram_read,
        &r->dram_write, &r->compute,    &r->cycles,      NULL,
        &r->total,      &r->published};
    char *texts[] = {r->order, r->flow};
    size_t n_texts = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        size_t n = strcspn(line, ",\n");
        if (numbers[i] != NULL) {
            *numbers[i] = strtoll(line, NULL, 10);
        } else {
            (void)snprintf(texts[n_texts], n_texts == 0 ? 8 : 4, "%.*s", (int)n,
                           line);
            n_texts++;
        }
        if (n == 0) {
            return false;
        }
        line += n + 1;
    }
    return true;
}

static bitfusion_dense dense_of(const row *r) {
    bool is_depthwise = r->groups > 1;
    int64_t lanes = (r->weight_bits == 4 ? 2 : 1) * (r->act_bits == 4 ? 2 : 1);
    return (bitfusion_dense){
        .kernel = r->kernel,
        .stride = r->stride,
        .out_size = r->size / r->stride,
        .in_channels = is_depthwise ? 8 * lanes : r->in,
        .out_channels = is_depthwise ? 8 * lanes : r->out,
        .weight_bits = r->weight_bits,
        .act_bits = r->act_bits,
    };
}

static void expect(const row *r, const char *what, int64_t got,
                   int64_t expected) {
    if (got != expected) {
        fail_msg("%" PRId64 ">%" PRId64 " k%" PRId64 " @%" PRId64 " W%" PRId64
                 "A%" PRId64 ": %s %" PRId64 ", expected %" PRId64,
                 r->in, r->out, r->kernel, r->size, r->weight_bits, r->act_bits,
                 what, got, expected);
    }
}

/* Energy of the reference's schedule in nJ, from its own numbers. */
static double energy_of(const bitfusion_config *c, const row *r) {
    double taps = (double)(r->kernel * r->kernel);
    double tiles = (double)(r->trips_x * r->trips_y * r->trips_i * r->trips_c);
    double pixels = tiles * (double)(r->side * r->side);
    double touched = pixels * taps * (double)r->tile_in;
    int64_t depth =
        16 * (r->weight_bits == 4 ? 2 : 1) * (r->act_bits == 4 ? 2 : 1);
    double sums = pixels * (double)r->tile_out * 32;
    double weights = (double)(r->tile_out * r->weight_bits);
    if (strcmp(r->flow, "WS") == 0) {
        weights *= tiles * taps * (double)r->tile_in;
        sums *= taps * (double)((r->tile_in + depth - 1) / depth);
    } else {
        weights *= touched;
    }
    const double *read = c->read_nj_per_bit, *write = c->write_nj_per_bit;
    double nj = read[0] * touched * (double)((r->tile_out + 31) / 32) *
                    (double)r->act_bits +
                read[1] * weights + (read[2] + write[2]) * sums;
    for (int i = 0; i < BITFUSION_N_OPERANDS; i++) {
        nj += write[i] * (double)r->traffic[i];
    }
    return nj + read[2] * (double)r->traffic[2] +
           c->dram_nj_per_bit * (double)(r->dram_read + r->dram_write) +
           c->compute_nj_per_cycle * (double)r->compute +
           c->leakage_nj_per_cycle * (double)r->cycles;
}

/* Checks one row; true when another schedule of the same cycles and energy
 * was chosen, so that only these can be compared. */
static bool check_row(const bitfusion_config *config, const row *r) {
    bitfusion_dense dense = dense_of(r);
    bitfusion_plan plan;
    assert_true(apq_bitfusion_schedule(config, &dense, &plan));
    expect(r, "cycles", plan.cycles, r->cycles);
    expect(r, "all cycles", plan.cycles * r->n_groups, r->published);
    double nj = energy_of(config, r);
    if (!(fabs(plan.energy_nj - nj) <= 1e-12 * nj)) {
        fail_msg("energy %.17g, expected %.17g nJ", plan.energy_nj, nj);
    }
    if (plan.tile_side != r->side || plan.tile_in != r->tile_in ||
        plan.tile_out != r->tile_out) {
        return true;
    }
    expect(r, "compute cycles", plan.compute_cycles, r->compute);
    for (int i = 0; i < BITFUSION_N_OPERANDS; i++) {
        expect(r, "traffic", plan.traffic_bits[i], r->traffic[i]);
        expect(r, "chunk", plan.chunk_bits[i], r->chunk[i]);
    }
    expect(r, "bits read", plan.dram_read_bits, r->dram_read);
    expect(r, "bits written", plan.dram_write_bits, r->dram_write);
    expect(r, "weight stationary", plan.is_weight_stationary,
           strcmp(r->flow, "WS") == 0);
    return false;
}

static int check_file(const bitfusion_config *config, const char *path,
                      int *n_ties) {
    char *text = NULL;
    size_t n_bytes;
    assert_int_equal(apq_file_read(path, &text, &n_bytes), APQ_OK);
    int n = 0;
    *n_ties = 0;
    for (const char *at = strchr(text, '\n') + 1; *at != '\0';
         at = strchr(at, '\n') + 1) {
        row r;
        assert_true(read_row(at, &r));
        *n_ties += check_row(config, &r) ? 1 : 0;
        n++;
    }
    free(text);
    return n;
}

static void schedules_are_those_of_the_reference(void **state) {
    int n_ties;
    int n = check_file(*state, "tests/golden/bitfusion_schedules.csv", &n_ties);
    assert_int_equal(n, 60);
    assert_int_equal(n_ties, 7);
}

/* All rows, where the folder with the reference files is given. */
static void all_schedules_of_the_reference(void **state) {
    const char *dir = getenv("APQ_REFERENCE_DIR");
    char path[APQ_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/bitfusion_debug.csv",
                   dir != NULL ? dir : "../shared/reference");
    if (!apq_file_exists(path)) {
        print_message("skipped: needs %s of the authors' code "
                      "(APQ_REFERENCE_DIR: its folder)\n",
                      path);
        skip();
    }
    int n_ties;
    int n = check_file(*state, path, &n_ties);
    assert_true(n > 300 && n_ties < n / 8);
}

/* By hand: 16 inputs, 32 outputs, one pixel, 8 bits. One image moves 128 +
 * 4096 + 1024 bits in and 1024 out, 28 + 6 cycles around 1 of compute. Two
 * move 256 + 4096 + 2048 in and 2048 out, 34 + 11 around 2, with weights
 * still for both: 4096 bits to the array. */
static void two_images_by_hand(void **state) {
    bitfusion_config config = *(const bitfusion_config *)*state;
    const bitfusion_dense dense = {.kernel = 1,
                                   .stride = 1,
                                   .out_size = 1,
                                   .in_channels = 16,
                                   .out_channels = 32,
                                   .weight_bits = 8,
                                   .act_bits = 8};
    bitfusion_plan one, two;
    assert_true(apq_bitfusion_schedule(&config, &dense, &one));
    assert_int_equal(one.cycles, 35);
    assert_int_equal(strlen(one.loop_order), 4);
    config.batch = 2;
    assert_true(apq_bitfusion_schedule(&config, &dense, &two));
    assert_int_equal(two.cycles, 47);
    assert_int_equal(two.tile_images, 2);
    assert_true(two.is_weight_stationary);
    assert_int_equal(strlen(two.loop_order), 5);
    assert_int_equal(two.dram_read_bits, 256 + 4096 + 2048);
    assert_int_equal(two.dram_write_bits, 2048);
    double nj = 2 * 0.4766518 + 47 * 0.433014704 + 0.015 * (6400 + 2048) +
                1.137040625e-4 * 256 + 2.891615625e-5 * 4096 +
                9.250146875e-5 * 2048 + 5.9474375e-5 * 256 +
                2.136565625e-5 * 4096 + 9.250146875e-5 * 2048;
    assert_true(fabs(two.energy_nj - nj) <= 1e-12 * nj);
}

/* A batch can always run as two halves, so it takes no longer; and it has at
 * least the arithmetic and the outputs of its images. */
static void batch_is_no_slower_than_its_halves(void **state) {
    bitfusion_config config = *(const bitfusion_config *)*state;
    const int64_t shapes[][4] = {{1, 16, 96, 112},  {1, 96, 24, 56},
                                 {1, 192, 1064, 7}, {1, 1280, 1000, 1},
                                 {3, 8, 8, 56},     {5, 16, 16, 14},
                                 {7, 8, 8, 14},     {3, 32, 32, 7}};
    const int64_t widths[] = {4, 6, 8};
    int n_priced = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        for (size_t b = 0; b < 9; b++) {
            const int64_t *s = shapes[i];
            bitfusion_dense dense = {.kernel = s[0],
                                     .stride = 1,
                                     .out_size = s[3],
                                     .in_channels = s[1],
                                     .out_channels = s[2],
                                     .weight_bits = widths[b / 3],
                                     .act_bits = widths[b % 3]};
            bitfusion_plan last = {0}, plan;
            for (config.batch = 1; config.batch <= 16; config.batch *= 2) {
                if (!apq_bitfusion_schedule(&config, &dense, &plan)) {
                    break; /* 7 x 7 with 4-bit activations */
                }
                n_priced++;
                int64_t written = config.batch * s[2] * s[3] * s[3] * 32 / 192;
                assert_true(plan.cycles > written);
                if (config.batch > 1) {
                    assert_true(plan.cycles <= 2 * last.cycles);
                    assert_true(plan.cycles > last.cycles);
                }
                last = plan;
            }
        }
    }
    assert_int_equal(n_priced, 5 * (8 * 9 - 3));
}

/* The target divides a batch by its size, and forgets the prices of another
 * batch. */
static void target_prices_are_per_image(void **state) {
    const bitfusion_config *config = *state;
    apq_target *target = NULL;
    assert_int_equal(apq_target_load("bitfusion", &target), APQ_OK);
    assert_int_equal(apq_target_batch(target), 1);
    apq_ir_layer layer = {.name = "layer",
                          .kind = APQ_IR_POINTWISE,
                          .in_channels = 16,
                          .out_channels = 32,
                          .kernel = 1,
                          .stride = 1,
                          .in_size = 1,
                          .out_size = 1,
                          .weight_bits = 8,
                          .act_bits = 8,
                          .is_priced = true};
    const int64_t cycles[] = {35, 47, 35};
    for (int i = 0; i < 3; i++) {
        double latency_ms, energy_mj;
        int batch = i == 1 ? 2 : 1;
        apq_layer_cost why;
        assert_int_equal(apq_target_set_batch(target, batch), APQ_OK);
        assert_int_equal(apq_target_batch(target), batch);
        assert_int_equal(
            apq_target_layer(target, &layer, &latency_ms, &energy_mj), APQ_OK);
        assert_int_equal(apq_target_explain(target, &layer, &why), APQ_OK);
        double ms = (double)cycles[i] / config->clock_mhz / 1e3 / batch;
        assert_true(fabs(latency_ms - ms) <= 1e-15);
        assert_int_equal(why.cycles, cycles[i]);
        assert_true(why.energy_mj == energy_mj);
    }
    assert_int_equal(apq_target_set_batch(target, 0), APQ_ERR_ARG);
    assert_int_equal(apq_target_set_batch(target, APQ_MAX_BATCH + 1),
                     APQ_ERR_ARG);
    assert_int_equal(apq_target_batch(target), 1);
    apq_target_destroy(target);
}

static void too_small_buffers_are_named(void **state) {
    bitfusion_config config = *(const bitfusion_config *)*state;
    config.capacity_bits[BITFUSION_ACT] = 64;
    config.capacity_bits[BITFUSION_OUTPUT] = 1000;
    apq_ir_layer layer = {.name = "stem",
                          .kind = APQ_IR_CONV,
                          .in_channels = 3,
                          .out_channels = 32,
                          .kernel = 3,
                          .stride = 2,
                          .in_size = 224,
                          .out_size = 112,
                          .weight_bits = 8,
                          .act_bits = 8};
    apq_layer_cost cost;
    assert_int_equal(apq_target_bitfusion.layer(&config, &layer, &cost),
                     APQ_ERR_UNSUPPORTED);
    assert_string_equal(
        apq_error_message(),
        "stem: no tile of kernel 3, stride 2, W8 A8 fits on chip: activation "
        "buffer needs 144 bytes of 8, output buffer needs 128 bytes of 125");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules_are_those_of_the_reference),
        cmocka_unit_test(all_schedules_of_the_reference),
        cmocka_unit_test(two_images_by_hand),
        cmocka_unit_test(batch_is_no_slower_than_its_halves),
        cmocka_unit_test(target_prices_are_per_image),
        cmocka_unit_test(too_small_buffers_are_named),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
