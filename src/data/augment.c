/* Shift within a padded frame and horizontal flip, the usual augmentation of
 * small images (He et al. 2016, section 4.2), and cutout, fused with
 * normalisation. */
#include "data/data_internal.h"

#include <string.h>

static int shift(apq_rng *rng, int pad) {
    return (int)apq_rng_below(rng, (uint32_t)(2 * pad + 1)) - pad;
}

static apq_rng stream(uint64_t seed, uint64_t epoch, size_t index) {
    return apq_rng_make(seed, APQ_RNG_AUGMENT, (epoch << 32) | (uint64_t)index);
}

data_placement apq_data_augment_draw(const apq_augmentation *augmentation,
                                     uint64_t seed, uint64_t epoch,
                                     size_t index, int resolution) {
    int pad = augmentation->crop_padding;
    apq_rng rng = stream(seed, epoch, index);
    data_placement placement = {.is_reflected = augmentation->crop_reflect,
                                .cutout = augmentation->cutout};
    placement.dx = shift(&rng, pad);
    placement.dy = shift(&rng, pad);
    placement.is_flipped = apq_rng_below(&rng, 2) == 1;
    if (placement.cutout > 0) {
        uint32_t n = (uint32_t)(resolution - placement.cutout + 1);
        placement.cutout_x = (int)apq_rng_below(&rng, n);
        placement.cutout_y = (int)apq_rng_below(&rng, n);
    }
    if (augmentation->distort) {
        placement.distortion = apq_data_distortion_draw(&rng);
    }
    if (augmentation->flip == APQ_FLIP_ALTERNATING) {
        apq_rng first = stream(seed, 0, index);
        (void)shift(&first, pad);
        (void)shift(&first, pad);
        bool was_flipped = apq_rng_below(&first, 2) == 1;
        placement.is_flipped = was_flipped != (epoch % 2 == 1);
    }
    return placement;
}

/* The pixel that lies at `at`, or -1 outside; the edge is not repeated. */
static int source_of(int at, int side, bool is_reflected) {
    if (at >= 0 && at < side) {
        return at;
    }
    if (!is_reflected) {
        return -1;
    }
    return at < 0 ? -at : 2 * (side - 1) - at;
}

static void cut_out(const data_placement *p, int side, float *out) {
    size_t n = 3 * (size_t)p->cutout * sizeof *out;
    for (int y = p->cutout_y; y < p->cutout_y + p->cutout; y++) {
        memset(out + 3 * ((size_t)y * (size_t)side + (size_t)p->cutout_x), 0,
               n);
    }
}

void apq_data_augment_apply(const uint8_t *hwc, int side,
                            const float table[3][256], data_placement placement,
                            float *out) {
    for (int y = 0; y < side; y++) {
        int from_y = source_of(y + placement.dy, side, placement.is_reflected);
        float *line = out + 3 * (size_t)y * (size_t)side;
        if (from_y < 0) {
            memset(line, 0, 3 * (size_t)side * sizeof *line);
            continue;
        }
        const uint8_t *in = hwc + 3 * (size_t)from_y * (size_t)side;
        for (int x = 0; x < side; x++) {
            int at = (placement.is_flipped ? side - 1 - x : x) + placement.dx;
            int from_x = source_of(at, side, placement.is_reflected);
            float *pixel = line + 3 * (size_t)x;
            bool is_inside = from_x >= 0;
            const uint8_t *source = in + 3 * (size_t)(is_inside ? from_x : 0);
            for (size_t c = 0; c < 3; c++) {
                pixel[c] = is_inside ? table[c][source[c]] : 0.0f;
            }
        }
    }
    cut_out(&placement, side, out);
}
