/* The reference gradients against central differences of the reference
 * forward passes. Depthwise convolution is linear in each operand, so its
 * differences are exact up to rounding. */
#include "unit/backend/cases.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static double dot(const float *a, const float *b, int64_t n) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return sum;
}

static double depthwise_loss(const apq_depthwise_shape *s, const float *x,
                             const float *w, const float *dy, float *y,
                             int64_t n) {
    assert_int_equal(
        reference()->depthwise_forward(
            s,
            &(apq_conv_forward){.x = x, .w = w, .z = y, .arena = case_arena()}),
        APQ_OK);
    return dot(y, dy, n);
}

/* Compares `gradient` (n) with differences of the loss in `values`. */
static void check_depthwise_gradient(const apq_depthwise_shape *s,
                                     const float *x, const float *w,
                                     const float *dy, float *y, int64_t ny,
                                     float *values, const float *gradient,
                                     int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float keep = values[i];
        values[i] = keep + 0.5F;
        double up = depthwise_loss(s, x, w, dy, y, ny);
        values[i] = keep - 0.5F;
        double down = depthwise_loss(s, x, w, dy, y, ny);
        values[i] = keep;
        assert_true(fabs(up - down - (double)gradient[i]) <= 2e-5);
    }
}

static void test_depthwise(void **state) {
    (void)state;
    for (int i = 0; i < 6; i++) {
        apq_depthwise_shape s = {
            .n = 2,
            .in_height = 5,
            .in_width = 4,
            .channels = 2,
            .kernel = 3 + 2 * (i / 2),
            .stride = 1 + i % 2,
            .ldw = 2,
        };
        int64_t nx = 2 * 5 * 4 * 2;
        int64_t ny = s.stride == 1 ? nx : 2 * 3 * 2 * 2;
        int64_t nw = s.kernel * s.kernel * 2;
        float *x = guarded_random(nx, 1);
        float *dy = guarded_random(ny, 2);
        float *w = guarded_random(nw, 3);
        float *y = guarded_new(ny);
        float *dx = guarded_new(nx);
        float *dw = guarded_new(nw);
        memset(dw, 0, (size_t)nw * sizeof(*dw));
        assert_int_equal(
            reference()->depthwise_backward(&s,
                                            &(apq_conv_backward){
                                                .g = dy,
                                                .x = x,
                                                .w = w,
                                                .dw = dw,
                                                .lddw = s.ldw,
                                                .dx = dx,
                                                .arena = case_arena(),
                                            }),
            APQ_OK);
        check_depthwise_gradient(&s, x, w, dy, y, ny, x, dx, nx);
        check_depthwise_gradient(&s, x, w, dy, y, ny, w, dw, nw);
        float *all[] = {x, dy, w, y, dx, dw};
        for (size_t j = 0; j < sizeof(all) / sizeof(all[0]); j++) {
            guarded_free(all[j]);
        }
    }
}

/* Forward pass of training-mode batch normalisation; fills the parameter
 * arrays of `args` as the layer does, and returns sum dy * y. */
typedef struct bn_case {
    int64_t rows;
    int channels;
    float clip;
    float *x, *dy, *gamma, *beta;
    float mean[4], variance[4], inv_std[4], scale[4], shift[4];
    float y[256];
} bn_case;

static double bn_loss(bn_case *b) {
    const apq_backend *ref = reference();
    for (int c = 0; c < b->channels; c++) {
        double sum = 0.0, squares = 0.0;
        for (int64_t i = 0; i < b->rows; i++) {
            sum += (double)b->x[i * b->channels + c];
        }
        double mean = sum / (double)b->rows;
        for (int64_t i = 0; i < b->rows; i++) {
            double d = (double)b->x[i * b->channels + c] - mean;
            squares += d * d;
        }
        b->mean[c] = (float)mean;
        b->variance[c] = (float)(squares / (double)b->rows);
    }
    for (int c = 0; c < b->channels; c++) {
        b->inv_std[c] = 1.0F / sqrtf(b->variance[c] + 1e-5F);
        b->scale[c] = b->gamma[c] * b->inv_std[c];
        b->shift[c] = b->beta[c] - b->mean[c] * b->scale[c];
    }
    apq_bn_apply_args args = {
        .rows = b->rows,
        .channels = b->channels,
        .x = b->x,
        .scale = b->scale,
        .shift = b->shift,
        .clip = b->clip,
        .y = b->y,
    };
    assert_int_equal(ref->bn_apply(&args), APQ_OK);
    return dot(b->y, b->dy, b->rows * b->channels);
}

/* Central difference of the loss in *value. */
static double difference(bn_case *b, float *value) {
    const float h = 1.0F / 512.0F;
    float keep = *value;
    *value = keep + h;
    double up = bn_loss(b);
    *value = keep - h;
    double down = bn_loss(b);
    *value = keep;
    return (up - down) / (2.0 * (double)h);
}

/* Elements within h of a kink have no usable difference. */
static bool is_near_kink(const bn_case *b) {
    for (int64_t i = 0; i < b->rows * b->channels; i++) {
        int64_t c = i % b->channels;
        float v = b->scale[c] * b->x[i] + b->shift[c];
        if (fabsf(v) < 0.01F || fabsf(v - b->clip) < 0.01F) {
            return true;
        }
    }
    return false;
}

/* False where the draw was too near a kink to compare. */
static bool check_bn(float clip, uint64_t stream) {
    bn_case b = {.rows = 12, .channels = 3, .clip = clip};
    int64_t n = b.rows * b.channels;
    b.x = guarded_random(n, stream);
    b.dy = guarded_random(n, stream + 100);
    b.gamma = guarded_random(b.channels, stream + 200);
    b.beta = guarded_random(b.channels, stream + 300);
    (void)bn_loss(&b);
    float sum_g[4];
    float sum_gx[4];
    float dx[256];
    double clip_grad = 0.0;
    apq_bn_backward_args args = {
        .rows = b.rows,
        .channels = b.channels,
        .x = b.x,
        .dy = b.dy,
        .mean = b.mean,
        .inv_std = b.inv_std,
        .scale = b.scale,
        .shift = b.shift,
        .clip = clip,
        .sum_g = sum_g,
        .sum_gx = sum_gx,
        .clip_grad = &clip_grad,
        .dx = dx,
    };
    assert_int_equal(reference()->bn_backward_reduce(&args), APQ_OK);
    assert_int_equal(reference()->bn_backward_apply(&args), APQ_OK);
    bool is_usable = clip <= 0.0F || !is_near_kink(&b);
    if (is_usable) {
        for (int64_t i = 0; i < n; i++) {
            assert_true(fabs(difference(&b, &b.x[i]) - (double)dx[i]) <= 2e-3);
        }
        for (int c = 0; c < b.channels; c++) {
            double d_gamma = difference(&b, &b.gamma[c]);
            double d_beta = difference(&b, &b.beta[c]);
            assert_true(fabs(d_gamma - (double)sum_gx[c]) <= 1e-3);
            assert_true(fabs(d_beta - (double)sum_g[c]) <= 1e-3);
        }
        if (clip > 0.0F) {
            assert_true(fabs(difference(&b, &b.clip) - clip_grad) <= 1e-3);
        }
    }
    float *all[] = {b.x, b.dy, b.gamma, b.beta};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        guarded_free(all[i]);
    }
    return is_usable;
}

static void test_batch_norm(void **state) {
    (void)state;
    assert_true(check_bn(0.0F, 20));
    int n_used = 0;
    for (uint64_t stream = 30; stream < 60; stream++) {
        n_used += check_bn(0.6F, stream) ? 1 : 0;
    }
    assert_true(n_used >= 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_depthwise),
        cmocka_unit_test(test_batch_norm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
