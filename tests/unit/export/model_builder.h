#ifndef APQ_TEST_EXPORT_MODEL_BUILDER_H
#define APQ_TEST_EXPORT_MODEL_BUILDER_H

#include "deploy/int_model.h"

#include <stdint.h>

/* Integer networks with random weights whose codes fill their ranges, without
 * training: stem, first block, inverted residual blocks, feature mix and
 * classifier, as the spaces lower to. */
typedef struct block_shape {
    int kernel, stride, middle, channels;     /* middle: expanded channels */
    int pw_weight, pw_act, dw_weight, dw_act; /* bits */
} block_shape;

typedef struct model_shape {
    int resolution, stem_stride, channels, mix_channels, n_classes;
    bool has_class_steps; /* the classifier's steps differ, as with LSQ */
    int n_blocks;
    const block_shape *blocks; /* a residual where the shape allows one */
} model_shape;

/* 12 x 12 pixels: kernels 3, 5 and 7, both strides, blocks with and without a
 * residual, 4, 6 and 8 bits. Odd numbers of channels. */
extern const model_shape mixed_shape;
/* 9 x 9 pixels, every kernel larger than the last maps; steps by class. */
extern const model_shape odd_shape;

/* Fails the test when memory is out. */
apq_int_model *build_model(const model_shape *shape, uint64_t seed);

/* n pixels of a picture: smooth waves and noise. Release with free. */
uint8_t *draw_pixels(const apq_int_model *model, int n_images, uint64_t seed);

#endif
