/* Speed of every operator of a backend at the shapes of the CIFAR-10 nets:
 * GFLOP/s and the fraction of the product peak, or GB/s for the passes that
 * move memory. Usage: bench_backend [backend [threads [batch [isa]]]] */
#include "backend/backend.h"

#include "base/memory.h"
#include "base/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct bench {
    const apq_backend *backend;
    int batch;
    double peak; /* FLOP/s */
    /* Buffers of `n` floats, enough for the largest shape. */
    int64_t n;
    float *x, *y, *z, *small;
    float *vectors, *sums; /* per channel: read, written */
    apq_arena *arena;
} bench;

/* One operator call of the shape in `context`. */
typedef apq_status (*call_fn)(const bench *b, const void *context);

enum {
    REPEATS = 5,
    SMALL = 1 << 20,
};

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best seconds of a call over a few runs after a warm-up: the least disturbed
 * one on a shared machine. */
static double time_call(const bench *b, call_fn call, const void *context) {
    double best = 1e30;
    for (int i = 0; i <= REPEATS; i++) {
        double before = seconds_now();
        if (call(b, context) != APQ_OK) {
            fprintf(stderr, "bench_backend: %s\n", apq_error_message());
            exit(1);
        }
        double took = seconds_now() - before;
        if (i > 0 && took < best) {
            best = took;
        }
    }
    return best;
}

static void report_flops(const bench *b, const char *what, double flops,
                         call_fn call, const void *context) {
    double rate = flops / time_call(b, call, context);
    printf("%-34s %8.1f GFLOP/s  %5.1f %%\n", what, rate * 1e-9,
           100.0 * rate / b->peak);
}

static void report_bytes(const bench *b, const char *what, double bytes,
                         call_fn call, const void *context) {
    double took = time_call(b, call, context);
    printf("%-34s %8.1f GB/s     %7.3f ms\n", what, bytes / took * 1e-9,
           took * 1e3);
}

/* Pointwise convolutions ------------------------------------------------- */

typedef struct pointwise {
    int side, in, out;
} pointwise;

/* What is measured has the norms and sums of training around it. */
static apq_norm input_norm(const bench *b, int channels) {
    return (apq_norm){
        .scale = b->vectors,
        .shift = b->vectors + channels,
        .mean = b->vectors + 2 * (int64_t)channels,
        .inv_std = b->vectors + 3 * (int64_t)channels,
        .clip = 6.0F,
    };
}

static apq_conv_forward forward_args(const bench *b, int in, int out) {
    return (apq_conv_forward){
        .x = b->x,
        .norm = input_norm(b, in),
        .w = b->small,
        .z = b->y,
        .mean = b->sums,
        .variance = b->sums + out,
        .arena = b->arena,
    };
}

static apq_status pointwise_forward(const bench *b, const void *context) {
    const pointwise *p = context;
    apq_pointwise_shape s = {(int64_t)b->batch * p->side * p->side, p->in,
                             p->out, p->in};
    apq_conv_forward args = forward_args(b, p->in, p->out);
    return b->backend->pointwise_forward(&s, &args);
}

static apq_conv_backward backward_conv_args(const bench *b, int in, int out,
                                            double *clip_grad) {
    return (apq_conv_backward){
        .g = b->y,
        .z = b->y,
        .slopes = {b->vectors, b->vectors + out, b->vectors + 2 * (int64_t)out},
        .x = b->x,
        .norm = input_norm(b, in),
        .w = b->small,
        .dw = b->sums,
        .lddw = in,
        .dx = b->z,
        .sum_g = b->sums,
        .sum_gx = b->sums + in,
        .clip_grad = clip_grad,
        .arena = b->arena,
    };
}

static apq_status pointwise_backward(const bench *b, const void *context) {
    const pointwise *p = context;
    double clip_grad;
    apq_pointwise_shape s = {(int64_t)b->batch * p->side * p->side, p->in,
                             p->out, p->in};
    apq_conv_backward args = backward_conv_args(b, p->in, p->out, &clip_grad);
    return b->backend->pointwise_backward(&s, &args);
}

static void bench_pointwise(const bench *b) {
    static const pointwise k_shapes[] = {
        {32, 16, 96}, {32, 96, 24}, {16, 24, 144}, {16, 144, 32},
        {8, 64, 384}, {8, 384, 64}, {4, 160, 960}, {8, 56, 280},
    };
    for (size_t i = 0; i < sizeof(k_shapes) / sizeof(k_shapes[0]); i++) {
        const pointwise *p = &k_shapes[i];
        double flops = 2.0 * b->batch * p->side * p->side * p->in * p->out;
        char name[64];
        static const call_fn k_calls[] = {pointwise_forward,
                                          pointwise_backward};
        static const char *const k_names[] = {"forward", "backward"};
        for (int j = 0; j < 2; j++) {
            snprintf(name, sizeof(name), "pointwise %dx%d %d->%d %s", p->side,
                     p->side, p->in, p->out, k_names[j]);
            report_flops(b, name, flops * (j + 1), k_calls[j], p);
        }
    }
}

/* Depthwise and im2col --------------------------------------------------- */

static apq_status depthwise_forward(const bench *b, const void *context) {
    const apq_depthwise_shape *s = context;
    apq_conv_forward args = forward_args(b, s->channels, s->channels);
    return b->backend->depthwise_forward(s, &args);
}

static apq_status depthwise_backward(const bench *b, const void *context) {
    const apq_depthwise_shape *s = context;
    double clip_grad;
    apq_conv_backward args =
        backward_conv_args(b, s->channels, s->channels, &clip_grad);
    return b->backend->depthwise_backward(s, &args);
}

static apq_status im2col(const bench *b, const void *context) {
    return b->backend->im2col(context, b->x, b->y);
}

static void bench_depthwise(const bench *b) {
    static const int k_shapes[][3] = {
        {32, 96, 1}, {32, 96, 2}, {16, 144, 1}, {16, 136, 1},
        {8, 384, 1}, {8, 384, 2}, {4, 960, 1},
    };
    for (size_t i = 0; i < sizeof(k_shapes) / sizeof(k_shapes[0]); i++) {
        for (int kernel = 3; kernel <= 7; kernel += 2) {
            int side = k_shapes[i][0];
            int channels = k_shapes[i][1];
            int stride = k_shapes[i][2];
            apq_depthwise_shape s = {
                .n = b->batch,
                .in_height = side,
                .in_width = side,
                .channels = channels,
                .kernel = kernel,
                .stride = stride,
                .ldw = channels,
            };
            int out = (side + stride - 1) / stride;
            double flops =
                2.0 * b->batch * out * out * channels * kernel * kernel;
            char name[64];
            static const call_fn k_calls[] = {depthwise_forward,
                                              depthwise_backward};
            static const char *const k_names[] = {"forward", "backward"};
            for (int j = 0; j < 2; j++) {
                snprintf(name, sizeof(name), "depthwise%d %dx%d c%d s%d %s",
                         kernel, side, side, channels, stride, k_names[j]);
                report_flops(b, name, flops * (j + 1), k_calls[j], &s);
            }
        }
    }
    apq_depthwise_shape stem = {
        .n = b->batch,
        .in_height = 32,
        .in_width = 32,
        .channels = 3,
        .kernel = 3,
        .stride = 1,
    };
    report_bytes(b, "im2col 32x32 c3", 4.0 * b->batch * 32 * 32 * (27 + 3),
                 im2col, &stem);
}

/* Batch normalisation ---------------------------------------------------- */

typedef struct rows {
    int64_t rows;
    int channels;
} rows;

static apq_status bn_apply(const bench *b, const void *context) {
    const rows *r = context;
    apq_bn_apply_args args = {
        .rows = r->rows,
        .channels = r->channels,
        .x = b->x,
        .scale = b->small,
        .shift = b->small + r->channels,
        .clip = 6.0F,
        .y = b->y,
        .arena = b->arena,
    };
    return b->backend->bn_apply(&args);
}

static apq_bn_backward_args backward_args(const bench *b, const rows *r,
                                          double *clip_grad) {
    float *p = b->small;
    return (apq_bn_backward_args){
        .rows = r->rows,
        .channels = r->channels,
        .x = b->x,
        .dy = b->y,
        .mean = p,
        .inv_std = p + r->channels,
        .scale = p + 2 * (int64_t)r->channels,
        .shift = p + 3 * (int64_t)r->channels,
        .clip = 6.0F,
        .sum_g = p + 4 * (int64_t)r->channels,
        .sum_gx = p + 5 * (int64_t)r->channels,
        .clip_grad = clip_grad,
        .dx = b->z,
        .arena = b->arena,
    };
}

static apq_status bn_reduce(const bench *b, const void *context) {
    double clip_grad = 0.0;
    apq_bn_backward_args args = backward_args(b, context, &clip_grad);
    return b->backend->bn_backward_reduce(&args);
}

static apq_status bn_backward(const bench *b, const void *context) {
    double clip_grad = 0.0;
    apq_bn_backward_args args = backward_args(b, context, &clip_grad);
    return b->backend->bn_backward_apply(&args);
}

static void bench_batch_norm(const bench *b) {
    static const int k_shapes[][2] = {
        {32, 96}, {32, 24}, {16, 144}, {16, 136}, {8, 384}, {4, 960},
    };
    for (size_t i = 0; i < sizeof(k_shapes) / sizeof(k_shapes[0]); i++) {
        int side = k_shapes[i][0];
        rows r = {(int64_t)b->batch * side * side, k_shapes[i][1]};
        double bytes = 4.0 * (double)r.rows * r.channels;
        static const call_fn k_calls[] = {bn_apply, bn_reduce, bn_backward};
        static const char *const k_names[] = {"apply", "reduce", "backward"};
        static const double k_passes[] = {2.0, 2.0, 3.0};
        char name[64];
        for (int j = 0; j < 3; j++) {
            snprintf(name, sizeof(name), "bn %dx%d c%d %s", side, side,
                     r.channels, k_names[j]);
            report_bytes(b, name, bytes * k_passes[j], k_calls[j], &r);
        }
    }
}

static float *random_buffer(int64_t n, uint64_t stream) {
    float *p = apq_calloc((size_t)n, sizeof(*p));
    if (p == NULL) {
        fprintf(stderr, "bench_backend: no memory\n");
        exit(1);
    }
    apq_rng rng = apq_rng_make(1, APQ_RNG_TEST, stream);
    for (int64_t i = 0; i < n; i++) {
        p[i] = (float)apq_rng_u32(&rng) * 0x1p-31F - 1.0F;
    }
    return p;
}

int main(int argc, char **argv) {
    bench b = {.batch = argc > 3 ? atoi(argv[3]) : 64};
    apq_backend_set_threads(argc > 2 ? atoi(argv[2]) : 0);
    if (apq_backend_find(argc > 1 ? argv[1] : "auto", &b.backend) != APQ_OK ||
        (argc > 4 && apq_backend_limit_isa(argv[4]) != APQ_OK)) {
        fprintf(stderr, "bench_backend: %s\n", apq_error_message());
        return 2;
    }
    if (b.batch < 1) {
        fprintf(stderr, "bench_backend: batch \"%s\" is below 1\n", argv[3]);
        return 2;
    }
    b.n = (int64_t)b.batch * 32 * 32 * 96;
    b.x = random_buffer(b.n, 1);
    b.y = random_buffer(b.n, 2);
    b.z = random_buffer(b.n, 3);
    b.small = random_buffer(SMALL, 4);
    b.vectors = random_buffer(SMALL, 5);
    b.sums = random_buffer(SMALL, 6);
    if (apq_arena_create(&b.arena) != APQ_OK) {
        fprintf(stderr, "bench_backend: %s\n", apq_error_message());
        return 1;
    }
    b.peak = apq_backend_gemm_peak(b.backend, 0.5);
    printf("backend %s, %s, %d threads, batch %d, product peak %.1f GFLOP/s\n",
           b.backend->name, apq_backend_isa(), apq_backend_threads(), b.batch,
           b.peak * 1e-9);
    bench_pointwise(&b);
    bench_depthwise(&b);
    bench_batch_norm(&b);
    free(b.x);
    free(b.y);
    free(b.z);
    free(b.small);
    free(b.vectors);
    free(b.sums);
    apq_arena_destroy(b.arena);
    return 0;
}
