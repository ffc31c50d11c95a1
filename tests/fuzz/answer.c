/* Answers of a measuring command: what is taken is a sample that a table
 * takes, too. */
#include "fuzz/fuzz.h"

#include "cost/lut/lut.h"
#include "measure/answer.h"

#include <stdlib.h>
#include <string.h>

static void check(const apq_lut_sample *sample) {
    static const apq_lut_header header = {
        .target = "board", .space = "tiny", .batch = 1, .width_step = 8};
    static const apq_ir_layer layer = {.kind = APQ_IR_CONV,
                                       .in_channels = 3,
                                       .out_channels = 8,
                                       .kernel = 3,
                                       .stride = 1,
                                       .in_size = 8,
                                       .weight_bits = 8,
                                       .act_bits = 8};
    apq_lut *lut;
    FUZZ_CHECK(apq_lut_create(&header, &lut) == APQ_OK);
    FUZZ_CHECK(apq_lut_add(lut, &layer, sample) == APQ_OK);
    apq_lut_destroy(lut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const apq_answer_source from = {"command", "board", "layer"};
    char *text = fuzz_text(data, size);
    apq_lut_sample sample;
    if (fuzz_took(apq_answer_read(text, &from, &sample))) {
        sample.weight_container_bits = sample.act_container_bits = 8;
        check(&sample);
    }
    free(text);
    return 0;
}

void fuzz_seeds(fuzz_give *give, void *ctx) {
    static const char *const answers[] = {
        "{\"latency_ms\": 1.5, \"latency_spread_ms\": 0.25, \"energy_mj\": 3, "
        "\"energy_spread_mj\": 0.5, \"count\": 20}",
        "{\"latency_ms\": 2e-3, \"energy_mj\": null}",
        "{\"unsupported\": \"no such layer\"}",
        "{\"unsupported\": false, \"latency_ms\": 0}",
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        give(ctx, answers[i], strlen(answers[i]));
    }
}
