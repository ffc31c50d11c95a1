/* Shift within a padded frame and horizontal flip, the usual augmentation of
 * small images (He et al. 2016, section 4.2), fused with normalisation. */
#include "data/data_internal.h"

#include <string.h>

data_placement data_augment_draw(uint64_t seed, uint64_t epoch, size_t index,
                                 int resolution) {
    apq_rng rng =
        apq_rng_make(seed, APQ_RNG_AUGMENT, (epoch << 32) | (uint64_t)index);
    int pad = resolution / 8;
    uint32_t n = (uint32_t)(2 * pad + 1);
    data_placement placement;
    placement.dx = (int)apq_rng_below(&rng, n) - pad;
    placement.dy = (int)apq_rng_below(&rng, n) - pad;
    placement.is_flipped = apq_rng_below(&rng, 2) == 1;
    return placement;
}

void data_augment_apply(const uint8_t *hwc, int side, const float table[3][256],
                        data_placement placement, float *out) {
    for (int y = 0; y < side; y++) {
        int from_y = y + placement.dy;
        float *line = out + 3 * (size_t)y * (size_t)side;
        if (from_y < 0 || from_y >= side) {
            memset(line, 0, 3 * (size_t)side * sizeof *line);
            continue;
        }
        const uint8_t *in = hwc + 3 * (size_t)from_y * (size_t)side;
        for (int x = 0; x < side; x++) {
            int from_x =
                (placement.is_flipped ? side - 1 - x : x) + placement.dx;
            float *pixel = line + 3 * (size_t)x;
            bool is_inside = from_x >= 0 && from_x < side;
            const uint8_t *source = in + 3 * (size_t)(is_inside ? from_x : 0);
            for (size_t c = 0; c < 3; c++) {
                pixel[c] = is_inside ? table[c][source[c]] : 0.0f;
            }
        }
    }
}
