/* Quantisation with learned steps (LSQ): values, codes, and gradients of both
 * the values and the steps. Sums are taken over fixed parts, so they do not
 * depend on the number of threads. Source: see lsq.h. */
#include "quant/lsq.h"

#include "base/memory.h"
#include "base/simd.h"
#include "quant/round.h"

#include <math.h>

enum {
    PARALLEL_MIN = 32768, /* elements worth a thread team */
    N_PARTS = 64,
    N_SHARES = 40, /* of the largest weight, tried as limits */
};

static const float smallest_step = 1e-6F;

int apq_lsq_highest(int bits, bool is_signed) {
    APQ_ASSERT(bits >= 2 && bits <= 8);
    return is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
}

int apq_lsq_lowest(int bits, bool is_signed) {
    APQ_ASSERT(bits >= 2 && bits <= 8);
    return is_signed ? -(1 << (bits - 1)) : 0;
}

double apq_lsq_scale(int64_t n, int bits, bool is_signed) {
    double high = apq_lsq_highest(bits, is_signed);
    double pace = fmin(apq_lsq_highest(4, is_signed) / high, 1.0);
    return pow(pace, 1.5) / sqrt((double)n * high);
}

/* -------------------------------------------------------------- weights */

static double squared_error(const apq_lsq_weights *t, const float *w,
                            float step) {
    float high = (float)apq_lsq_highest(t->bits, true), low = -high;
    double sum = 0;
    for (int64_t i = 0; i < t->n; i++) {
        float x = w[i * t->by_value];
        float error = step * round_even(clamp(x / step, low, high)) - x;
        sum += (double)error * (double)error;
    }
    return sum;
}

static float initial_step(const apq_lsq_weights *t, const float *w) {
    float largest = 0;
    for (int64_t i = 0; i < t->n; i++) {
        largest = fmaxf(largest, fabsf(w[i * t->by_value]));
    }
    float widest = largest / (float)apq_lsq_highest(t->bits, true);
    float best = fmaxf(widest, smallest_step);
    double least = squared_error(t, w, best);
    for (int part = N_SHARES - 1; part >= N_SHARES / 4; part--) {
        float step = widest * (float)part / (float)N_SHARES;
        if (step < smallest_step) {
            break;
        }
        double error = squared_error(t, w, step);
        if (error < least) {
            least = error;
            best = step;
        }
    }
    return best;
}

void apq_lsq_weight_steps(const apq_lsq_weights *t, float *steps) {
#pragma omp parallel for schedule(static) if (t->channels * t->n >=            \
                                              PARALLEL_MIN)
    for (int64_t k = 0; k < t->channels; k++) {
        steps[k] = initial_step(t, t->w + k * t->by_channel);
    }
}

void apq_lsq_quantise_weights(const apq_lsq_weights *t, float *out) {
    float high = (float)apq_lsq_highest(t->bits, true), low = -high;
#pragma omp parallel for schedule(static) if (t->channels * t->n >=            \
                                              PARALLEL_MIN)
    for (int64_t k = 0; k < t->channels; k++) {
        const float *w = t->w + k * t->by_channel;
        float *y = out + k * t->out_by_channel;
        float step = t->steps[k];
        for (int64_t i = 0; i < t->n; i++) {
            y[i * t->out_by_value] =
                step * round_even(clamp(w[i * t->by_value] / step, low, high));
        }
    }
}

void apq_lsq_weight_codes(const apq_lsq_weights *t, int8_t *codes) {
    float high = (float)apq_lsq_highest(t->bits, true), low = -high;
    for (int64_t k = 0; k < t->channels; k++) {
        const float *w = t->w + k * t->by_channel;
        int8_t *y = codes + k * t->out_by_channel;
        for (int64_t i = 0; i < t->n; i++) {
            float v = w[i * t->by_value] / t->steps[k];
            v = v == v ? v : 0.0F; /* no cast of NaN */
            y[i * t->out_by_value] =
                (int8_t)(int)round_even(clamp(v, low, high));
        }
    }
}

void apq_lsq_weights_backward(const apq_lsq_weights *t, const float *dout,
                              float *dw, float *dsteps) {
    float high = (float)apq_lsq_highest(t->bits, true), low = -high;
    double scale = apq_lsq_scale(t->n, t->bits, true);
#pragma omp parallel for schedule(static) if (t->channels * t->n >=            \
                                              PARALLEL_MIN)
    for (int64_t k = 0; k < t->channels; k++) {
        const float *w = t->w + k * t->by_channel;
        const float *dy = dout + k * t->out_by_channel;
        float *dx = dw + k * t->by_channel;
        double sum = 0;
        for (int64_t i = 0; i < t->n; i++) {
            float v = w[i * t->by_value] / t->steps[k];
            float g = dy[i * t->out_by_value];
            bool is_inside = v > low && v < high;
            dx[i * t->by_value] += is_inside ? g : 0.0F;
            float slope = is_inside ? round_even(v) - v : clamp(v, low, high);
            sum += (double)g * (double)slope;
        }
        dsteps[k] += (float)(scale * sum);
    }
}

/* ---------------------------------------------------------- activations */

static double total_of(const double sums[N_PARTS]) {
    double total = 0;
    for (int part = 0; part < N_PARTS; part++) {
        total += sums[part];
    }
    return total;
}

APQ_SIMD_CLONES
static void act_part(const float *x, size_t n, float step, float low,
                     float high, float *y) {
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        y[i] = step * round_even(clamp(x[i] / step, low, high));
    }
}

void apq_lsq_act(const float *x, size_t n, float step, int bits, bool is_signed,
                 float *y) {
    float low = (float)apq_lsq_lowest(bits, is_signed);
    float high = (float)apq_lsq_highest(bits, is_signed);
#pragma omp parallel for schedule(static) if (n >= PARALLEL_MIN)
    for (int part = 0; part < N_PARTS; part++) {
        size_t begin = part_begin(n, part, N_PARTS),
               end = part_begin(n, part + 1, N_PARTS);
        act_part(x + begin, end - begin, step, low, high, y + begin);
    }
}

APQ_SIMD_CLONES
static double backward_part(const float *x, const float *dy, size_t n,
                            float step, float low, float high, float *dx) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) {
        float v = x[i] / step, g = dy[i];
        float inside = v > low && v < high ? 1.0F : 0.0F;
        float nearest = clamp(v, low, high);
        dx[i] = inside * g;
        sum += (double)(g * (round_even(nearest) - inside * v));
    }
    return sum;
}

void apq_lsq_act_backward(const float *x, const float *dy, size_t n, float step,
                          int bits, bool is_signed, float *dx, double *dstep) {
    double sums[N_PARTS];
    float low = (float)apq_lsq_lowest(bits, is_signed);
    float high = (float)apq_lsq_highest(bits, is_signed);
#pragma omp parallel for schedule(static) if (n >= PARALLEL_MIN)
    for (int part = 0; part < N_PARTS; part++) {
        size_t begin = part_begin(n, part, N_PARTS),
               end = part_begin(n, part + 1, N_PARTS);
        sums[part] = backward_part(x + begin, dy + begin, end - begin, step,
                                   low, high, dx + begin);
    }
    *dstep = total_of(sums);
}

/* A row is short enough to be added up in float. */
APQ_SIMD_CLONES
static float inside_row(const float *z, const float *dy, int channels,
                        const float *scale, const float *shift, float per_step,
                        float high) {
    float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
    for (int c = 0; c < channels; c++) {
        float v = (scale[c] * z[c] + shift[c]) * per_step;
        float slope = round_even(v) - v;
        sum += v > 0.0F && v < high ? dy[c] * slope : 0.0F;
    }
    return sum;
}

double apq_lsq_inside(const float *z, const float *dy, int64_t rows,
                      int channels, const float *scale, const float *shift,
                      float step, int bits) {
    double sums[N_PARTS];
    float high = (float)apq_lsq_highest(bits, false);
#pragma omp parallel for schedule(static) if (rows * channels >= PARALLEL_MIN)
    for (int part = 0; part < N_PARTS; part++) {
        int64_t end = rows * (part + 1) / N_PARTS;
        sums[part] = 0;
        for (int64_t r = rows * part / N_PARTS; r < end; r++) {
            sums[part] +=
                (double)inside_row(z + r * channels, dy + r * channels,
                                   channels, scale, shift, 1.0F / step, high);
        }
    }
    return total_of(sums);
}
