/* Bit inputs that learn together: one gradient, and so, as their weights begin
 * at zero, one weight. The bits of a network cost more accuracy than the layer
 * they are in decides; from few records the latter is noise, and a search would
 * choose the layers whose bits seem to cost nothing. */
#include "predictor/predictor_private.h"

/* Rows first + i * stride, i < n, of `gradient` become their sum. */
static void share_rows(float *gradient, size_t first, size_t stride, size_t n,
                       size_t h) {
    float *sum = gradient + first * h;
    for (size_t i = 1; i < n; i++) {
        const float *row = gradient + (first + i * stride) * h;
        for (size_t j = 0; j < h; j++) {
            sum[j] += row[j];
        }
    }
    for (size_t i = 1; i < n; i++) {
        float *row = gradient + (first + i * stride) * h;
        for (size_t j = 0; j < h; j++) {
            row[j] = sum[j];
        }
    }
}

void apq_bit_share(const apq_predictor *p, apq_bit_code code, float *gradient) {
    size_t n_values = (size_t)p->space.n_bits;
    size_t n_layers = (size_t)p->n_bits / n_values; /* of all genes */
    float *rows = apq_part(p, gradient, APQ_PART_WQ);
    /* Inputs are ordered by layer, then value. */
    for (size_t k = 0; code == APQ_BITS_SHARED && k < n_values; k++) {
        share_rows(rows, k, n_values, n_layers, (size_t)p->hidden);
    }
}
