/* Weight gradient of the depthwise convolution: bands of x and dy are
 * repacked into channel blocks, each thread adds up its own gradient with the
 * taps of one kernel row in registers, and the threads are added in order. */
#include "backend/cpu/depthwise.h"

#include "backend/check.h"
#include "backend/cpu/cpu.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

typedef struct wgrad_plan {
    const apq_cpu_kernels *kernels;
    const apq_depthwise_shape *shape;
    int out_h, out_w;
    int packed_w;  /* pixels of a packed row of x */
    int packed_dy; /* pixels of a packed row of dy */
    int n_blocks, group;
    int band, n_bands;
    int band_rows; /* rows of x of a task, at most */
    int n_threads;
    int64_t gradient; /* floats of one thread's gradient */
    int64_t scratch;  /* floats of one thread's packed x and dy */
} wgrad_plan;

static wgrad_plan make_plan(const apq_depthwise_shape *shape) {
    wgrad_plan plan = {.kernels = apq_cpu_kernels_get(), .shape = shape};
    int lanes = plan.kernels->lanes;
    int r = shape->kernel;
    int s = shape->stride;
    plan.out_h = apq_conv_out(shape->in_height, s);
    plan.out_w = apq_conv_out(shape->in_width, s);
    plan.packed_dy = (plan.out_w + APQ_WGRAD_UNROLL - 1) / APQ_WGRAD_UNROLL *
                     APQ_WGRAD_UNROLL;
    plan.packed_w = (plan.packed_dy - 1) * s + r;
    if (plan.packed_w < r / 2 + shape->in_width) {
        plan.packed_w = r / 2 + shape->in_width;
    }
    plan.n_blocks = (shape->channels + lanes - 1) / lanes;
    plan.n_bands = (plan.out_h + APQ_DEPTHWISE_BAND - 1) / APQ_DEPTHWISE_BAND;
    plan.band = (plan.out_h + plan.n_bands - 1) / plan.n_bands;
    plan.band_rows = (plan.band - 1) * s + r;
    int64_t block = ((int64_t)plan.band_rows * plan.packed_w +
                     (int64_t)plan.band * plan.packed_dy) *
                    lanes;
    int64_t fit = APQ_DEPTHWISE_SCRATCH / block;
    plan.group = fit < 1 ? 1 : (fit < plan.n_blocks ? (int)fit : plan.n_blocks);
    plan.n_threads =
        apq_depthwise_threads(shape, (int64_t)shape->n * plan.n_bands);
    plan.gradient = (int64_t)plan.n_blocks * r * r * lanes;
    plan.scratch = plan.group * block;
    return plan;
}

/* Packed rows of a task and where they come from. */
typedef struct band_view {
    const float *x, *dy; /* packed */
    int begin, end;      /* output rows */
    int lo, hi;          /* input rows */
} band_view;

static void add_block(const wgrad_plan *plan, const band_view *band,
                      float *gradient) {
    const apq_depthwise_shape *shape = plan->shape;
    int lanes = plan->kernels->lanes;
    int s = shape->stride;
    int r = shape->kernel;
    int64_t x_row = (int64_t)plan->packed_w * lanes;
    int64_t dy_row = (int64_t)plan->packed_dy * lanes;
    for (int u = 0; u < r; u++) {
        /* Rows i with 0 <= i*s + u - pad < H. */
        int offset = u - r / 2;
        int begin = offset < 0 ? (s - 1 - offset) / s : 0;
        begin = begin < band->begin ? band->begin : begin;
        int room = shape->in_height - 1 - offset;
        int end = room < 0 ? 0 : room / s + 1;
        end = end > band->end ? band->end : end;
        if (begin >= end) {
            continue;
        }
        apq_wgrad_args args = {
            .x = band->x + (begin * s + offset - band->lo) * x_row,
            .x_row = x_row * s,
            .dy = band->dy + (begin - band->begin) * dy_row,
            .dy_row = dy_row,
            .n_rows = end - begin,
            .n_out = plan->packed_dy,
            .acc = gradient + (int64_t)u * r * lanes,
        };
        plan->kernels->wgrad[s - 1][r](&args);
    }
}

static void run_task(const wgrad_plan *plan, int64_t task, const float *x,
                     const float *dy, float *gradient, float *scratch) {
    const apq_depthwise_shape *shape = plan->shape;
    int lanes = plan->kernels->lanes;
    int channels = shape->channels;
    int pad = shape->kernel / 2;
    int64_t image = task / plan->n_bands;
    band_view band = {.begin = (int)(task % plan->n_bands) * plan->band};
    band.end = band.begin + plan->band;
    band.end = band.end > plan->out_h ? plan->out_h : band.end;
    band.lo = band.begin * shape->stride - pad;
    band.lo = band.lo < 0 ? 0 : band.lo;
    band.hi = (band.end - 1) * shape->stride - pad + shape->kernel;
    band.hi = band.hi > shape->in_height ? shape->in_height : band.hi;
    int64_t x_row = (int64_t)plan->packed_w * lanes;
    int64_t dy_row = (int64_t)plan->packed_dy * lanes;
    int64_t x_block = plan->band_rows * x_row;
    int64_t dy_block = plan->band * dy_row;
    float *packed_dy = scratch + plan->group * x_block;
    for (int g = 0; g < plan->n_blocks; g += plan->group) {
        int rest = channels - g * lanes;
        int width = rest < plan->group * lanes ? rest : plan->group * lanes;
        for (int i = band.lo; i < band.hi; i++) {
            int64_t row = image * shape->in_height + i;
            plan->kernels->pack(
                x + row * shape->in_width * channels + (int64_t)g * lanes,
                channels, shape->in_width, width,
                scratch + (i - band.lo) * x_row + pad * lanes, x_block);
        }
        for (int i = band.begin; i < band.end; i++) {
            int64_t row = image * plan->out_h + i;
            plan->kernels->pack(
                dy + row * plan->out_w * channels + (int64_t)g * lanes,
                channels, plan->out_w, width,
                packed_dy + (i - band.begin) * dy_row, dy_block);
        }
        for (int b = 0; b * lanes < width; b++) {
            band.x = scratch + b * x_block;
            band.dy = packed_dy + b * dy_block;
            add_block(plan, &band,
                      gradient + (int64_t)(g + b) * shape->kernel *
                                     shape->kernel * lanes);
        }
    }
}

/* dw += the gradients of all threads, in thread order. */
static void add_threads(const wgrad_plan *plan, const float *gradients,
                        float *dw) {
    const apq_depthwise_shape *shape = plan->shape;
    int lanes = plan->kernels->lanes;
    int taps = shape->kernel * shape->kernel;
    for (int t = 0; t < taps; t++) {
        for (int c = 0; c < shape->channels; c++) {
            int64_t at = ((int64_t)(c / lanes) * taps + t) * lanes + c % lanes;
            double sum = (double)dw[t * shape->ldw + c];
            for (int i = 0; i < plan->n_threads; i++) {
                sum += (double)gradients[i * plan->gradient + at];
            }
            dw[t * shape->ldw + c] = (float)sum;
        }
    }
}

apq_status apq_cpu_depthwise_backward_weights(const apq_depthwise_shape *shape,
                                              const float *x, const float *dy,
                                              float *dw) {
    APQ_TRY(apq_check_depthwise(shape));
    wgrad_plan plan = make_plan(shape);
    int64_t n_tasks = (int64_t)shape->n * plan.n_bands;
    if (n_tasks == 0) {
        return APQ_OK;
    }
    int64_t per_thread = plan.gradient + plan.scratch;
    float *memory = apq_cpu_scratch(plan.n_threads * per_thread);
    if (memory == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "depthwise: no memory for %d channels",
                 shape->channels);
    }
    /* Gradients first; also those of threads that OpenMP does not grant. */
    memset(memory, 0, (size_t)(plan.n_threads * plan.gradient) * sizeof(float));
#pragma omp parallel num_threads(plan.n_threads) if (plan.n_threads > 1)
    {
        int thread = omp_get_thread_num();
        int n_threads = omp_get_num_threads();
        float *scratch =
            memory + plan.n_threads * plan.gradient + thread * plan.scratch;
        /* The margins stay zero: packing writes only the pixels between. */
        memset(scratch, 0, (size_t)plan.scratch * sizeof(float));
        int64_t last = n_tasks * (thread + 1) / n_threads;
        for (int64_t t = n_tasks * thread / n_threads; t < last; t++) {
            run_task(&plan, t, x, dy, memory + thread * plan.gradient, scratch);
        }
    }
    add_threads(&plan, memory, dw);
    free(memory);
    return APQ_OK;
}
