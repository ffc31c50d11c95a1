/* Fake quantisation of weights and activations, its straight-through
 * gradient, and the ranges. Plain loops that the compiler vectorises; large
 * tensors are split over threads. Source: see quant.h. */
#include "quant/quant.h"

#include "base/memory.h"
#include "base/simd.h"
#include "quant/round.h"

#include <math.h>
#include <stdlib.h>

enum {
    PARALLEL_MIN = 32768, /* elements worth a thread team */
    MAX_PARTS = 256,      /* fixed split: sums do not depend on threads */
    MIN_PART = 4096,
    KL_BELOW_BITS = 5,
};

static const float max_range = 6.0f; /* ReLU6 */

APQ_SIMD_CLONES
static void fake_quantise(const float *x, size_t n, float low, float high,
                          float step, float *y) {
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        y[i] = step * round_even(clamp(x[i], low, high) / step);
    }
}

APQ_SIMD_CLONES
static void zero_fill(float *y, size_t n) {
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        y[i] = 0.0f;
    }
}

APQ_SIMD_CLONES
static void quantise_codes(const float *x, size_t n, float clip, float step,
                           int8_t *codes) {
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float v = x[i] == x[i] ? x[i] : 0.0f; /* no cast of NaN */
        codes[i] = (int8_t)(int)round_even(clamp(v, -clip, clip) / step);
    }
}

APQ_SIMD_CLONES
static float max_magnitude(const float *x, size_t n) {
    float max = 0.0f;
#pragma omp simd reduction(max : max)
    for (size_t i = 0; i < n; i++) {
        float magnitude = fabsf(x[i]);
        max = magnitude > max ? magnitude : max;
    }
    return max;
}

APQ_SIMD_CLONES
static double backward_part(const float *x, const float *dy, size_t n,
                            float low, float high, float sign, float *dx) {
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) {
        float g = dy[i];
        float above = x[i] > high ? g : 0.0f;
        float below = x[i] < low ? g : 0.0f;
        dx[i] = x[i] >= low && x[i] <= high ? g : 0.0f;
        sum += (double)(above - sign * below);
    }
    return sum;
}

/* A contiguous view is one long row. */
static void flatten(int64_t *rows, int64_t *cols, int64_t ld, int64_t ldo) {
    if (ld == *cols && ldo == *cols) {
        *cols *= *rows;
        *rows = 1;
    }
}

/* Number of equal parts that n elements are cut into. */
static int n_parts(size_t n) {
    size_t parts = (n + MIN_PART - 1) / MIN_PART;
    return parts > MAX_PARTS ? MAX_PARTS : (int)parts;
}

static void fake_quantise_all(const float *x, size_t n, float low, float high,
                              float step, float *y) {
    int parts = n_parts(n);
#pragma omp parallel for schedule(static) if (n >= PARALLEL_MIN)
    for (int part = 0; part < parts; part++) {
        size_t begin = part_begin(n, part, parts);
        size_t end = part_begin(n, part + 1, parts);
        if (step > 0.0f) {
            fake_quantise(x + begin, end - begin, low, high, step, y + begin);
        } else {
            zero_fill(y + begin, end - begin);
        }
    }
}

static int max_code(int bits, bool is_signed) {
    return is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
}

float apq_quant_weight_step(float clip, int bits) {
    APQ_ASSERT(bits >= 2 && bits <= 8);
    return clip / (float)max_code(bits, true);
}

float apq_quant_act_step(float range, int bits, bool is_signed) {
    APQ_ASSERT(bits >= 2 && bits <= 8);
    return range / (float)max_code(bits, is_signed);
}

/* Contiguous copy of a view; NULL when memory is exhausted. */
static float *gather(const float *w, int64_t rows, int64_t cols, int64_t ld) {
    float *values = apq_calloc((size_t)(rows * cols), sizeof *values);
    for (int64_t r = 0; values != NULL && r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) {
            values[r * cols + c] = w[r * ld + c];
        }
    }
    return values;
}

apq_status apq_quant_weight_clip(const float *w, int64_t rows, int64_t cols,
                                 int64_t ld, int bits, float *clip) {
    if (bits >= KL_BELOW_BITS) {
        float max = 0.0f;
        for (int64_t r = 0; r < rows; r++) {
            max = fmaxf(max, max_magnitude(w + r * ld, (size_t)cols));
        }
        *clip = max;
        return APQ_OK;
    }
    float *values = gather(w, rows, cols, ld);
    if (values == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "weight clip: no memory for %lld values",
                 (long long)(rows * cols));
    }
    apq_status st =
        apq_quant_kl_threshold(values, (size_t)(rows * cols), bits, clip);
    free(values);
    return st;
}

void apq_quant_weights(const float *w, int64_t rows, int64_t cols, int64_t ld,
                       float clip, int bits, float *out, int64_t ldo) {
    float step = apq_quant_weight_step(clip, bits);
    flatten(&rows, &cols, ld, ldo);
    if (rows == 1) {
        fake_quantise_all(w, (size_t)cols, -clip, clip, step, out);
        return;
    }
#pragma omp parallel for schedule(static) if (rows * cols >= PARALLEL_MIN)
    for (int64_t r = 0; r < rows; r++) {
        if (step > 0.0f) {
            fake_quantise(w + r * ld, (size_t)cols, -clip, clip, step,
                          out + r * ldo);
        } else {
            zero_fill(out + r * ldo, (size_t)cols);
        }
    }
}

void apq_quant_weight_codes(const float *w, int64_t rows, int64_t cols,
                            int64_t ld, float clip, int bits, int8_t *codes) {
    float step = apq_quant_weight_step(clip, bits);
    for (int64_t r = 0; r < rows; r++) {
        /* A zero clip makes every code zero; any step will do. */
        quantise_codes(w + r * ld, (size_t)cols, clip,
                       step > 0.0f ? step : 1.0f, codes + r * cols);
    }
}

apq_status apq_quant_act_range(const float *x, size_t n, int bits,
                               bool is_signed, float *range) {
    float r = fminf(max_range, max_magnitude(x, n));
    /* The sign takes a bit, but the search needs two levels. */
    int magnitude_bits = is_signed && bits > 2 ? bits - 1 : bits;
    if (magnitude_bits < KL_BELOW_BITS && r > 0.0f) {
        float threshold = 0.0f;
        APQ_TRY(apq_quant_kl_threshold(x, n, magnitude_bits, &threshold));
        r = fminf(r, threshold);
    }
    /* A sample without any signal says nothing: keep the initial range. */
    *range = r > 0.0f ? r : max_range;
    return APQ_OK;
}

void apq_quant_act(const float *x, size_t n, float range, int bits,
                   bool is_signed, float *y) {
    float step = apq_quant_act_step(range, bits, is_signed);
    fake_quantise_all(x, n, is_signed ? -range : 0.0f, range, step, y);
}

APQ_SIMD_CLONES
static void stream_part(const float *x, const float *residual, size_t n,
                        float step, float *y) {
    if (residual == NULL) {
#pragma omp simd
        for (size_t i = 0; i < n; i++) {
            y[i] = step * round_even(clamp(x[i] / step, -128.0f, 127.0f));
        }
        return;
    }
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float code = round_even(clamp(x[i] / step, -128.0f, 127.0f));
        code += round_even(residual[i] / step);
        y[i] = step * clamp(code, -128.0f, 127.0f);
    }
}

void apq_quant_stream(const float *x, const float *residual, size_t n,
                      float range, float *y) {
    float step = apq_quant_act_step(range, 8, true);
    int parts = n_parts(n);
#pragma omp parallel for schedule(static) if (n >= PARALLEL_MIN)
    for (int part = 0; part < parts; part++) {
        size_t begin = part_begin(n, part, parts);
        size_t end = part_begin(n, part + 1, parts);
        stream_part(x + begin, residual == NULL ? NULL : residual + begin,
                    end - begin, step, y + begin);
    }
}

void apq_quant_act_backward(const float *x, const float *dy, size_t n,
                            float range, bool is_signed, float *dx,
                            double *range_grad) {
    double sums[MAX_PARTS] = {0.0};
    int parts = n_parts(n);
    float low = is_signed ? -range : 0.0f;
    float sign = is_signed ? 1.0f : 0.0f;
#pragma omp parallel for schedule(static) if (n >= PARALLEL_MIN)
    for (int part = 0; part < parts; part++) {
        size_t begin = part_begin(n, part, parts);
        size_t end = part_begin(n, part + 1, parts);
        sums[part] = backward_part(x + begin, dy + begin, end - begin, low,
                                   range, sign, dx + begin);
    }
    double total = 0.0;
    for (int part = 0; part < parts; part++) {
        total += sums[part];
    }
    *range_grad = total;
}
