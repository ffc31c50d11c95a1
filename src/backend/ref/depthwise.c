/* Depthwise convolution and im2col by the definition:
 *   y[n,i,j,c] = sum over u,v of x[n, i*s+u-p, j*s+v-p, c] * w[u*R+v, c],
 * p = R/2, zero outside; the two gradients are its transposes. */
#include "backend/ref/ref.h"

#include "backend/check.h"

/* Sizes derived once; index helpers for the NHWC tensors. */
typedef struct conv_view {
    int64_t n, h, w, c, out_h, out_w, r, s, pad;
} conv_view;

static conv_view view_of(const apq_depthwise_shape *shape) {
    return (conv_view){
        .n = shape->n,
        .h = shape->in_height,
        .w = shape->in_width,
        .c = shape->channels,
        .out_h = apq_conv_out(shape->in_height, shape->stride),
        .out_w = apq_conv_out(shape->in_width, shape->stride),
        .r = shape->kernel,
        .s = shape->stride,
        .pad = shape->kernel / 2,
    };
}

static int64_t in_index(const conv_view *v, int64_t n, int64_t i, int64_t j) {
    return ((n * v->h + i) * v->w + j) * v->c;
}

static int64_t out_index(const conv_view *v, int64_t n, int64_t i, int64_t j) {
    return ((n * v->out_h + i) * v->out_w + j) * v->c;
}

static bool is_inside(int64_t i, int64_t n) {
    return i >= 0 && i < n;
}

void apq_ref_depthwise_plain(const apq_depthwise_shape *shape, const float *x,
                             const float *w, float *y) {
    conv_view v = view_of(shape);
    for (int64_t o = 0; o < v.n * v.out_h * v.out_w; o++) {
        int64_t n = o / (v.out_h * v.out_w);
        int64_t i = o / v.out_w % v.out_h * v.s - v.pad;
        int64_t j = o % v.out_w * v.s - v.pad;
        for (int64_t c = 0; c < v.c; c++) {
            double sum = 0.0;
            for (int64_t t = 0; t < v.r * v.r; t++) {
                int64_t in_i = i + t / v.r;
                int64_t in_j = j + t % v.r;
                if (is_inside(in_i, v.h) && is_inside(in_j, v.w)) {
                    sum += (double)x[in_index(&v, n, in_i, in_j) + c] *
                           (double)w[t * shape->ldw + c];
                }
            }
            y[o * v.c + c] = (float)sum;
        }
    }
}

void apq_ref_depthwise_data(const apq_depthwise_shape *shape, const float *dy,
                            const float *w, float *dx) {
    conv_view v = view_of(shape);
    for (int64_t o = 0; o < v.n * v.h * v.w; o++) {
        int64_t n = o / (v.h * v.w);
        int64_t i = o / v.w % v.h + v.pad;
        int64_t j = o % v.w + v.pad;
        for (int64_t c = 0; c < v.c; c++) {
            double sum = 0.0;
            for (int64_t t = 0; t < v.r * v.r; t++) {
                int64_t out_i = i - t / v.r;
                int64_t out_j = j - t % v.r;
                if (out_i % v.s != 0 || out_j % v.s != 0) {
                    continue;
                }
                out_i /= v.s;
                out_j /= v.s;
                if (is_inside(out_i, v.out_h) && is_inside(out_j, v.out_w)) {
                    sum += (double)dy[out_index(&v, n, out_i, out_j) + c] *
                           (double)w[t * shape->ldw + c];
                }
            }
            dx[o * v.c + c] = (float)sum;
        }
    }
}

/* Sum of one tap's products for channel c. */
static double tap_gradient(const conv_view *v, int64_t t, int64_t c,
                           const float *x, const float *dy) {
    double sum = 0.0;
    for (int64_t n = 0; n < v->n; n++) {
        for (int64_t i = 0; i < v->out_h; i++) {
            int64_t in_i = i * v->s + t / v->r - v->pad;
            for (int64_t j = 0; j < v->out_w; j++) {
                int64_t in_j = j * v->s + t % v->r - v->pad;
                if (is_inside(in_i, v->h) && is_inside(in_j, v->w)) {
                    sum += (double)x[in_index(v, n, in_i, in_j) + c] *
                           (double)dy[out_index(v, n, i, j) + c];
                }
            }
        }
    }
    return sum;
}

void apq_ref_depthwise_weights(const apq_depthwise_shape *shape, const float *x,
                               const float *dy, float *dw, int64_t lddw) {
    conv_view v = view_of(shape);
    for (int64_t t = 0; t < v.r * v.r; t++) {
        for (int64_t c = 0; c < v.c; c++) {
            float *d = dw + t * lddw + c;
            *d = (float)((double)*d + tap_gradient(&v, t, c, x, dy));
        }
    }
}

apq_status apq_ref_im2col(const apq_depthwise_shape *shape, const float *x,
                          float *col) {
    APQ_TRY(apq_check_im2col(shape));
    conv_view v = view_of(shape);
    for (int64_t o = 0; o < v.n * v.out_h * v.out_w; o++) {
        int64_t n = o / (v.out_h * v.out_w);
        int64_t i = o / v.out_w % v.out_h * v.s - v.pad;
        int64_t j = o % v.out_w * v.s - v.pad;
        for (int64_t t = 0; t < v.r * v.r; t++) {
            int64_t in_i = i + t / v.r;
            int64_t in_j = j + t % v.r;
            bool inside = is_inside(in_i, v.h) && is_inside(in_j, v.w);
            for (int64_t c = 0; c < v.c; c++) {
                *col++ = inside ? x[in_index(&v, n, in_i, in_j) + c] : 0.0F;
            }
        }
    }
    return APQ_OK;
}
