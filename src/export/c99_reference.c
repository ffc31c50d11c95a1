/* What the reference makes of an image of bytes, with the classifier's sums,
 * which exports are compared by. */
#include "export/c99_internal.h"

#include <stdlib.h>
#include <string.h>

float apq_c99_pixel_value(float mean, float std, int v) {
    return ((float)v / 255.0F - mean) / std;
}

/* (n_classes) from the codes of the last convolution. */
static void add_up(const apq_int_model *m, const int16_t *codes,
                   int32_t *sums) {
    int side = m->convs[m->n_convs - 1].ir.out_size;
    memcpy(sums, m->bias, (size_t)m->n_classes * sizeof *sums);
    for (int c = 0; c < m->channels; c++) {
        int32_t total = 0;
        for (int p = 0; p < side * side; p++) {
            total += codes[p * m->channels + c];
        }
        int code = apq_int_round((float)total * m->pool_rescale, &m->pooled);
        for (int k = 0; k < m->n_classes; k++) {
            sums[k] += code * m->w[(int64_t)k * m->channels + c];
        }
    }
}

/* FNV-1a of the codes as bytes, as main_test.c has it. */
static uint32_t checksum(const int16_t *codes, size_t n) {
    uint32_t sum = 2166136261U;
    for (size_t i = 0; i < n; i++) {
        sum = (sum ^ (uint8_t)codes[i]) * 16777619U;
    }
    return sum;
}

apq_status apq_c99_reference(const apq_int_model *m, const float mean[3],
                             const float std[3], const uint8_t *image,
                             int32_t *sums, float *logits,
                             uint32_t *checksums) {
    size_t n_values = 3 * (size_t)m->resolution * (size_t)m->resolution;
    size_t total = 0;
    for (int i = 0; i < m->n_convs; i++) {
        total += apq_ir_layer_outputs(&m->convs[i].ir);
    }
    apq_status st = APQ_OK;
    float *values = apq_calloc(n_values, sizeof *values);
    int16_t *codes = apq_calloc(total, sizeof *codes);
    if (values == NULL || codes == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "c: out of memory");
        goto done;
    }
    for (size_t i = 0; i < n_values; i++) {
        values[i] = apq_c99_pixel_value(mean[i % 3], std[i % 3], image[i]);
    }
    int16_t *outputs[APQ_IR_MAX_LAYERS];
    int16_t *at = codes;
    for (int i = 0; i < m->n_convs; i++) {
        outputs[i] = at;
        at += apq_ir_layer_outputs(&m->convs[i].ir);
    }
    st = apq_int_reference_run(m, values, outputs, logits);
    if (st == APQ_OK) {
        add_up(m, outputs[m->n_convs - 1], sums);
    }
    for (int i = 0; checksums != NULL && i < m->n_convs; i++) {
        checksums[i] =
            checksum(outputs[i], apq_ir_layer_outputs(&m->convs[i].ir));
    }
done:
    free(values);
    free(codes);
    return st;
}
