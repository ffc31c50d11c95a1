/* Batch normalisation with clamp by the definition (Ioffe & Szegedy 2015,
 * doi:10.48550/arXiv.1502.03167), sums in double, variance in two passes. */
#include "backend/ref/ref.h"

#include "backend/check.h"

#include <math.h>

apq_status apq_ref_bn_statistics(int64_t rows, int channels, const float *x,
                                 float *mean, float *variance) {
    APQ_TRY(apq_check_rows(rows, channels));
    for (int c = 0; c < channels; c++) {
        double sum = 0.0;
        for (int64_t i = 0; i < rows; i++) {
            sum += (double)x[i * channels + c];
        }
        double m = sum / (double)rows;
        double sum_sq = 0.0;
        for (int64_t i = 0; i < rows; i++) {
            double d = (double)x[i * channels + c] - m;
            sum_sq += d * d;
        }
        mean[c] = (float)m;
        variance[c] = (float)(sum_sq / (double)rows);
    }
    return APQ_OK;
}

apq_status apq_ref_bn_apply(const apq_bn_apply_args *args) {
    APQ_TRY(apq_check_rows(args->rows, args->channels));
    for (int64_t i = 0; i < args->rows * args->channels; i++) {
        int64_t c = i % args->channels;
        float v = fmaf(args->scale[c], args->x[i], args->shift[c]);
        if (args->residual != NULL) {
            v += args->residual[i];
        }
        if (args->clip > 0.0F) {
            /* Not fmaxf and fminf: a NaN must stay one. */
            v = v < 0.0F ? 0.0F : v;
            v = v > args->clip ? args->clip : v;
            if (args->step > 0.0F) {
                /* rintf rounds half to even in the default mode. */
                v = args->step * rintf(v / args->step);
            }
        }
        args->y[i] = v;
    }
    return APQ_OK;
}

bool apq_ref_is_inside_clip(const apq_norm *norm, float x, int64_t channel) {
    float v = fmaf(norm->scale[channel], x, norm->shift[channel]);
    return v > 0.0F && v < norm->clip;
}

/* g of backend.h for element i; *over tells whether v >= clip > 0. */
static double clamped_gradient(const apq_bn_backward_args *args, int64_t i,
                               bool *over) {
    int64_t c = i % args->channels;
    *over = false;
    if (args->clip <= 0.0F) {
        return (double)args->dy[i];
    }
    /* The same rounding as in bn_apply, so the same side of the clamp. */
    float v = fmaf(args->scale[c], args->x[i], args->shift[c]);
    *over = v >= args->clip;
    return v > 0.0F && v < args->clip ? (double)args->dy[i] : 0.0;
}

apq_status apq_ref_bn_backward_reduce(const apq_bn_backward_args *args) {
    APQ_TRY(apq_check_rows(args->rows, args->channels));
    double clip_grad = 0.0;
    for (int c = 0; c < args->channels; c++) {
        double sum_g = 0.0;
        double sum_gx = 0.0;
        for (int64_t r = 0; r < args->rows; r++) {
            int64_t i = r * args->channels + c;
            bool over = false;
            double g = clamped_gradient(args, i, &over);
            sum_g += g;
            sum_gx += g * ((double)args->x[i] - (double)args->mean[c]);
            clip_grad += over ? (double)args->dy[i] : 0.0;
        }
        args->sum_g[c] = (float)sum_g;
        args->sum_gx[c] = (float)(sum_gx * (double)args->inv_std[c]);
    }
    *args->clip_grad = clip_grad;
    return APQ_OK;
}

apq_status apq_ref_bn_backward_apply(const apq_bn_backward_args *args) {
    APQ_TRY(apq_check_rows(args->rows, args->channels));
    double p = (double)args->rows;
    for (int64_t i = 0; i < args->rows * args->channels; i++) {
        int64_t c = i % args->channels;
        bool over = false;
        double g = clamped_gradient(args, i, &over);
        double xhat = ((double)args->x[i] - (double)args->mean[c]) *
                      (double)args->inv_std[c];
        args->dx[i] = (float)((double)args->scale[c] *
                              (g - (double)args->sum_g[c] / p -
                               xhat * (double)args->sum_gx[c] / p));
    }
    return APQ_OK;
}
