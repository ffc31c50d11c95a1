/* Patches of an NHWC image: the R pixels of one kernel row are consecutive in
 * memory, so each patch is R copies with zeroed margins. */
#include "backend/cpu/cpu.h"

#include "backend/check.h"

#include <string.h>

/* Kernel row of R pixels at column j of an image row of `width` pixels of
 * `channels` floats. */
static void copy_row(const float *row, int width, int channels, int j, int r,
                     float *dst) {
    int first = j < 0 ? -j : 0;
    int last = j + r > width ? width - j : r;
    /* Short copies (three channels) are faster inline than through memcpy. */
    int64_t i = 0;
    int64_t begin = (int64_t)first * channels;
    int64_t end = (int64_t)last * channels;
    const float *src = row + (int64_t)j * channels;
    for (; i < begin; i++) {
        dst[i] = 0.0F;
    }
    for (; i < end; i++) {
        dst[i] = src[i];
    }
    for (; i < (int64_t)r * channels; i++) {
        dst[i] = 0.0F;
    }
}

apq_status apq_cpu_im2col(const apq_depthwise_shape *shape, const float *x,
                          float *col) {
    APQ_TRY(apq_check_im2col(shape));
    int out_h = apq_conv_out(shape->in_height, shape->stride);
    int out_w = apq_conv_out(shape->in_width, shape->stride);
    int r = shape->kernel;
    int64_t row_floats = (int64_t)shape->in_width * shape->channels;
    int64_t tap_row = (int64_t)r * shape->channels;
    int64_t n_rows = (int64_t)shape->n * out_h;
#pragma omp parallel for schedule(static)
    for (int64_t o = 0; o < n_rows; o++) {
        const float *image = x + o / out_h * shape->in_height * row_floats;
        int i0 = (int)(o % out_h) * shape->stride - r / 2;
        float *dst = col + o * out_w * r * tap_row;
        for (int j = 0; j < out_w; j++) {
            for (int u = 0; u < r; u++, dst += tap_row) {
                int i = i0 + u;
                if (i < 0 || i >= shape->in_height) {
                    memset(dst, 0, (size_t)tap_row * sizeof(*dst));
                } else {
                    copy_row(image + i * row_floats, shape->in_width,
                             shape->channels, j * shape->stride - r / 2, r,
                             dst);
                }
            }
        }
    }
    return APQ_OK;
}
