/* Tables of layer costs, as JSON lines and in the authors' form: what is taken
 * prices its own layers and can be written and read again. */
#include "fuzz/fuzz.h"

#include "cost/lut/dict.h"
#include "cost/lut/lut.h"

#include <string.h>

static const apq_lut_header header = {.target = "board",
                                      .space = "tiny",
                                      .date = "2024-01-31",
                                      .tool_version = "1",
                                      .batch = 1,
                                      .width_step = 8,
                                      .has_flags = true,
                                      .is_complete = true};

static void check_rows(const apq_lut *lut) {
    for (size_t i = 0; i < apq_lut_n_rows(lut); i++) {
        apq_ir_layer layer;
        apq_lut_sample sample;
        apq_lut_row_layer(apq_lut_row_at(lut, i), &layer);
        FUZZ_CHECK(apq_lut_find(lut, &layer) == apq_lut_row_at(lut, i));
        (void)fuzz_took(apq_lut_price(lut, &layer, &sample));
        layer.out_channels += 8;
        (void)fuzz_took(apq_lut_price(lut, &layer, &sample));
    }
}

static void check(const apq_lut *lut) {
    const char *path = fuzz_path("again.jsonl");
    apq_lut *again;
    check_rows(lut);
    FUZZ_CHECK(apq_lut_save(lut, path) == APQ_OK);
    FUZZ_CHECK(apq_lut_load(path, &again) == APQ_OK);
    FUZZ_CHECK(apq_lut_n_rows(again) == apq_lut_n_rows(lut));
    apq_lut_destroy(again);
    /* Without rows it is an object that has no entry, which is none. */
    if (fuzz_took(apq_dict_save(lut, path)) &&
        fuzz_took(apq_dict_load(path, &header, &again))) {
        apq_lut_destroy(again);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = fuzz_path("input.jsonl");
    apq_lut *lut;
    fuzz_write(path, data, size);
    if (fuzz_took(apq_lut_load(path, &lut))) {
        check(lut);
        apq_lut_destroy(lut);
    }
    if (fuzz_took(apq_dict_load(path, &header, &lut))) {
        check(lut);
        apq_lut_destroy(lut);
    }
    return 0;
}

/* Layers of two widths, one that cannot be executed. */
static void add_rows(apq_lut *lut) {
    static const apq_ir_kind kinds[] = {APQ_IR_CONV, APQ_IR_POINTWISE,
                                        APQ_IR_DEPTHWISE};
    for (int i = 0; i < 6; i++) {
        apq_ir_kind kind = kinds[i / 2];
        int width = 16 + 8 * (i % 2);
        apq_ir_layer layer = {
            .kind = kind,
            .in_channels = kind == APQ_IR_DEPTHWISE ? width : 8,
            .out_channels = width,
            .kernel = kind == APQ_IR_POINTWISE ? 1 : 3,
            .stride = 1,
            .in_size = 8,
            .weight_bits = 4,
            .act_bits = 8,
            .is_input_image = kind == APQ_IR_CONV,
        };
        apq_lut_sample sample = {.latency_ms = 0.25 + i,
                                 .energy_mj = 0.5,
                                 .count = 3,
                                 .weight_container_bits = 4,
                                 .act_container_bits = 8};
        FUZZ_CHECK(apq_lut_add(lut, &layer, i == 1 ? NULL : &sample) == APQ_OK);
    }
}

void fuzz_seeds(fuzz_give *give, void *ctx) {
    static const char named[] =
        "{\"head\": {\"energy\": 0.1, \"latency\": 0.02}, \"tail\": "
        "{\"energy\": 1e-3, \"latency\": 7}}";
    const char *path = fuzz_path("seed");
    apq_lut *lut;
    FUZZ_CHECK(apq_lut_create(&header, &lut) == APQ_OK);
    add_rows(lut);
    FUZZ_CHECK(apq_lut_save(lut, path) == APQ_OK);
    fuzz_give_file(path, give, ctx);
    FUZZ_CHECK(apq_dict_save(lut, path) == APQ_OK);
    fuzz_give_file(path, give, ctx);
    apq_lut_destroy(lut);
    give(ctx, named, strlen(named));
}
