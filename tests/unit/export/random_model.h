#ifndef APQ_TESTS_EXPORT_RANDOM_MODEL_H
#define APQ_TESTS_EXPORT_RANDOM_MODEL_H

#include "deploy/int_model.h"

#include <stdint.h>

/* An integer network of random codes whose outputs spread over their ranges:
 * a stem with stride 2, a first block, n_blocks inverted residuals with kernels
 * 3, 5 and 7, strides 1 and 2, with and without residuals, widths of `bits` or,
 * where that is 0, of 4, 6 and 8 mixed, and a classifier. */
typedef struct random_options {
    uint64_t seed;
    int resolution, n_blocks, bits;
    int channels; /* of the first block; a multiple of 4 */
} random_options;

apq_int_model *random_model(const random_options *options);
void random_model_free(apq_int_model *model);
/* (n, H, W, C) with a few pixels beyond the range; free() it. */
float *random_images(const apq_int_model *model, uint64_t seed, int n);

#endif
