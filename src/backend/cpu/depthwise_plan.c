/* Plan of a depthwise correlation: which taps serve which outputs, packed
 * weights, and the walk over the rows of one channel block. Packing turns NHWC
 * into blocks of one vector with zero margins, which removes bounds checks,
 * masks and large strides from the inner loops. */
#include "backend/cpu/depthwise.h"

#include "backend/check.h"

#include <omp.h>
#include <string.h>

static int first_row(const apq_depthwise_plan *plan, int i) {
    return i / plan->n_parity * plan->stride +
           plan->rows[i % plan->n_parity].base;
}

/* Taps of the rows and columns of each parity. With pad = R/2 output i of the
 * data gradient gathers taps k = i + pad - 2*o: those of the parity of
 * i + pad, in falling order as o rises. */
static void plan_taps(apq_depthwise_plan *plan) {
    int r = plan->kernel;
    int pad = r / 2;
    int64_t w = 0;
    for (int a = 0; a < plan->n_parity; a++) {
        apq_row_class *row = &plan->rows[a];
        row->tap0 = plan->n_parity == 2 ? (a + pad) % 2 : 0;
        row->ky = (r - row->tap0 + plan->n_parity - 1) / plan->n_parity;
        row->base = plan->n_parity == 2
                        ? (a + pad - row->tap0) / 2 - (row->ky - 1)
                        : -pad;
    }
    plan->left = pad;
    for (int a = 0; a < plan->n_parity; a++) {
        for (int b = 0; b < plan->n_parity; b++) {
            const apq_row_class *column = &plan->rows[b];
            apq_column_phase *phase = &plan->rows[a].phase[b];
            *phase = (apq_column_phase){
                .kx = column->ky,
                .tap0 = column->tap0,
                .in_x = plan->left + column->base,
                .out_x = b,
                .n_out =
                    (plan->out_w - b + plan->n_parity - 1) / plan->n_parity,
                .w = w * plan->kernels->lanes,
            };
            w += (int64_t)plan->rows[a].ky * phase->kx;
            int end =
                phase->in_x + (phase->n_out - 1) * plan->stride + phase->kx;
            plan->packed_w = end > plan->packed_w ? end : plan->packed_w;
        }
    }
    if (plan->packed_w < plan->left + plan->in_w) {
        plan->packed_w = plan->left + plan->in_w;
    }
}

apq_depthwise_plan apq_depthwise_plan_make(const apq_cpu_kernels *kernels,
                                           const apq_depthwise_shape *shape,
                                           bool is_gradient) {
    int out_h = apq_conv_out(shape->in_height, shape->stride);
    int out_w = apq_conv_out(shape->in_width, shape->stride);
    apq_depthwise_plan plan = {
        .kernels = kernels,
        .channels = shape->channels,
        .kernel = shape->kernel,
        .in_h = is_gradient ? out_h : shape->in_height,
        .in_w = is_gradient ? out_w : shape->in_width,
        .out_h = is_gradient ? shape->in_height : out_h,
        .out_w = is_gradient ? shape->in_width : out_w,
        .stride = is_gradient ? 1 : shape->stride,
        .n_parity = is_gradient ? shape->stride : 1,
        .is_flipped = is_gradient,
        .n_blocks = (shape->channels + kernels->lanes - 1) / kernels->lanes,
    };
    plan_taps(&plan);
    return plan;
}

int64_t apq_depthwise_weight_floats(const apq_depthwise_plan *plan) {
    return (int64_t)plan->n_blocks * plan->kernels->lanes * plan->kernel *
           plan->kernel;
}

/* Kernel index of the u-th tap used by a row class or column phase. */
static int source_tap(const apq_depthwise_plan *plan, int tap0, int count,
                      int u) {
    return plan->is_flipped ? tap0 + plan->n_parity * (count - 1 - u) : u;
}

void apq_depthwise_pack_weights(apq_depthwise_plan *plan, const float *w,
                                int64_t ldw, float *packed) {
    apq_tile channels = {1, plan->channels, 0, false};
    plan->w = packed;
    int lanes = plan->kernels->lanes;
    int taps = plan->kernel * plan->kernel;
    for (int a = 0; a < plan->n_parity; a++) {
        const apq_row_class *row = &plan->rows[a];
        for (int i = 0; i < plan->n_parity * row->ky; i++) {
            const apq_column_phase *phase = &row->phase[i / row->ky];
            int u = i % row->ky;
            int ky = source_tap(plan, row->tap0, row->ky, u);
            for (int v = 0; v < phase->kx; v++) {
                int kx = source_tap(plan, phase->tap0, phase->kx, v);
                const float *src = w + (ky * plan->kernel + kx) * ldw;
                float *dst =
                    packed + phase->w + (int64_t)(u * phase->kx + v) * lanes;
                plan->kernels->norm_rows(&channels, src, &(apq_norm){0}, dst, 0,
                                         (int64_t)taps * lanes);
            }
        }
    }
}

void apq_depthwise_run_block(const apq_depthwise_plan *plan,
                             const float *packed, int block, float *out_image,
                             int64_t out_step) {
    int lanes = plan->kernels->lanes;
    int taps = plan->kernel * plan->kernel;
    int64_t row_floats = (int64_t)plan->packed_w * lanes;
    int left = plan->channels - block * lanes;
    const float *w = plan->w + (int64_t)block * taps * lanes;
    for (int i = 0; i < plan->out_h; i++) {
        const apq_row_class *row = &plan->rows[i % plan->n_parity];
        int first = first_row(plan, i);
        int skip = first < 0 ? -first : 0;
        int stop = first + row->ky > plan->in_h ? plan->in_h - first : row->ky;
        bool is_empty = stop <= skip;
        const float *in =
            is_empty ? packed : packed + (first + skip) * row_floats;
        float *out = out_image + (int64_t)i * plan->out_w * out_step;
        for (int b = 0; b < plan->n_parity; b++) {
            const apq_column_phase *phase = &row->phase[b];
            if (phase->n_out < 1) {
                continue;
            }
            apq_row_args args = {
                .in = in + phase->in_x * lanes,
                .in_row = row_floats,
                .w = w + phase->w + (is_empty ? 0 : skip * phase->kx * lanes),
                .n_rows = is_empty ? 0 : stop - skip,
                .out = out + phase->out_x * out_step,
                .out_step = plan->n_parity * out_step,
                .n_out = phase->n_out,
                .n_valid = left < lanes ? left : lanes,
            };
            plan->kernels->row[plan->stride - 1][phase->kx](&args);
        }
    }
}

int apq_depthwise_threads(const apq_depthwise_shape *shape) {
    /* Below this many products, waking threads costs more than it saves. */
    const int64_t min_work = 200000;
    int64_t work = (int64_t)shape->n * shape->in_height * shape->in_width *
                   shape->channels * shape->kernel * shape->kernel /
                   (shape->stride * shape->stride);
    int n_threads = work < min_work ? 1 : omp_get_max_threads();
    return shape->n < n_threads ? shape->n : n_threads;
}

int apq_depthwise_group(int n_blocks, int64_t block_floats) {
    const int64_t scratch = 128 * 1024;
    int64_t fit = scratch / block_floats;
    return fit < 1 ? 1 : (fit < n_blocks ? (int)fit : n_blocks);
}
