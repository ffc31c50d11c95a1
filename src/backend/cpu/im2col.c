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

/* The patch of output pixel (i, j) of an image. */
static void copy_patch(const apq_depthwise_shape *shape, const float *image,
                       int i, int j, float *dst) {
    int r = shape->kernel;
    int64_t tap_row = (int64_t)r * shape->channels;
    int64_t row_floats = (int64_t)shape->in_width * shape->channels;
    for (int u = i * shape->stride - r / 2, k = 0; k < r; u++, k++) {
        if (u < 0 || u >= shape->in_height) {
            memset(dst, 0, (size_t)tap_row * sizeof(*dst));
        } else {
            copy_row(image + u * row_floats, shape->in_width, shape->channels,
                     j * shape->stride - r / 2, r, dst);
        }
        dst += tap_row;
    }
}

/* Likewise of a patch inside the image, a vector for every row of taps, which
 * the next covers where it is too long. */
static void copy_inner(const apq_depthwise_shape *shape, const float *image,
                       int i, int j, float *dst) {
    int r = shape->kernel;
    int64_t tap_row = (int64_t)r * shape->channels;
    int64_t row_floats = (int64_t)shape->in_width * shape->channels;
    const float *src = image + (i * shape->stride - r / 2) * row_floats +
                       (j * shape->stride - r / 2) * (int64_t)shape->channels;
    for (int u = 0; u < r; u++) {
        memcpy(dst, src, APQ_PATCH_ROOM * sizeof(*dst));
        src += row_floats;
        dst += tap_row;
    }
}

/* Whether output row i has all its taps, and a row below them to read into. */
static bool is_inner_row(const apq_depthwise_shape *shape, int i) {
    int first = i * shape->stride - shape->kernel / 2;
    return first >= 0 && first + shape->kernel < shape->in_height &&
           shape->kernel * shape->channels <= APQ_PATCH_ROOM &&
           shape->in_width * shape->channels >= APQ_PATCH_ROOM;
}

void apq_cpu_patches(const apq_depthwise_shape *shape, const float *x,
                     int64_t first, int64_t rows, float *dst, int64_t step) {
    int out_h = apq_conv_out(shape->in_height, shape->stride);
    int out_w = apq_conv_out(shape->in_width, shape->stride);
    int r = shape->kernel;
    int64_t length = (int64_t)r * r * shape->channels;
    int64_t image_floats =
        (int64_t)shape->in_height * shape->in_width * shape->channels;
    int64_t o = first / out_w;
    int j = (int)(first % out_w);
    for (int64_t left = rows; left > 0; o++, j = 0) {
        const float *image = x + o / out_h * image_floats;
        int i = (int)(o % out_h);
        bool is_inner = is_inner_row(shape, i);
        for (; j < out_w && left > 0; j++, left--, dst += step) {
            int j0 = j * shape->stride - r / 2;
            if (is_inner && j0 >= 0 && j0 + r <= shape->in_width) {
                copy_inner(shape, image, i, j, dst);
            } else {
                copy_patch(shape, image, i, j, dst);
            }
            memset(dst + length, 0, (size_t)(step - length) * sizeof(*dst));
        }
    }
}

apq_status apq_cpu_im2col(const apq_depthwise_shape *shape, const float *x,
                          float *col) {
    APQ_TRY(apq_check_im2col(shape));
    int out_h = apq_conv_out(shape->in_height, shape->stride);
    int out_w = apq_conv_out(shape->in_width, shape->stride);
    int64_t length = (int64_t)shape->kernel * shape->kernel * shape->channels;
    int64_t image_floats =
        (int64_t)shape->in_height * shape->in_width * shape->channels;
    int64_t n_rows = (int64_t)shape->n * out_h;
#pragma omp parallel for schedule(static)
    for (int64_t o = 0; o < n_rows; o++) {
        const float *image = x + o / out_h * image_floats;
        for (int j = 0; j < out_w; j++) {
            copy_patch(shape, image, (int)(o % out_h), j,
                       col + (o * out_w + j) * length);
        }
    }
    return APQ_OK;
}
