/* Depthwise convolution: forward and data gradient. Both are correlations of
 * zero-padded rows, so one plan runs them; at stride 2 the data gradient is
 * split by the parity of its rows and columns into four dense correlations
 * with every second tap. A band of rows is first repacked from NHWC into
 * channel blocks of one vector, which removes bounds checks, masks and large
 * strides from the inner loops. */
#include "backend/cpu/depthwise.h"

#include "backend/check.h"
#include "backend/cpu/cpu.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* Output columns of one parity. */
typedef struct column_phase {
    int kx;    /* taps */
    int tap0;  /* column of the kernel's first tap (lowest source index) */
    int in_x;  /* packed column of the first tap of the first output */
    int out_x; /* first output column */
    int n_out; /* outputs */
    int64_t w; /* offset into the packed weights of a block */
} column_phase;

/* Output rows of one parity. */
typedef struct row_class {
    int ky;
    int tap0;
    int base; /* input row of the first tap of the first row */
    column_phase phase[2];
} row_class;

typedef struct conv_plan {
    const apq_cpu_kernels *kernels;
    int n, channels;
    int in_h, in_w, out_h, out_w;
    int kernel;
    int stride;   /* between inputs of neighbouring outputs */
    int n_parity; /* 1, or 2 for the data gradient at stride 2 */
    bool is_flipped;
    row_class rows[2];
    int left, packed_w; /* margin and width of a packed row, pixels */
    int n_blocks;       /* of `lanes` channels */
    int group;          /* blocks repacked together */
    int band, n_bands;  /* output rows of a task */
    int band_rows;      /* input rows of a task, at most */
    int n_threads;
    float *w; /* (n_blocks, R*R, lanes), taps in the order of use */
} conv_plan;

int apq_depthwise_threads(const apq_depthwise_shape *shape, int64_t n_tasks) {
    /* Below this many products, waking threads costs more than it saves. */
    const int64_t min_work = 200000;
    int64_t work = (int64_t)shape->n * shape->in_height * shape->in_width *
                   shape->channels * shape->kernel * shape->kernel /
                   (shape->stride * shape->stride);
    int n_threads = work < min_work ? 1 : omp_get_max_threads();
    return n_tasks < n_threads ? (int)n_tasks : n_threads;
}

static int first_row(const conv_plan *plan, int i) {
    return i / plan->n_parity * plan->stride +
           plan->rows[i % plan->n_parity].base;
}

/* Input rows [*lo, *hi) of output rows [begin, end), inside the image. */
static void input_rows(const conv_plan *plan, int begin, int end, int *lo,
                       int *hi) {
    *lo = plan->in_h;
    *hi = 0;
    for (int i = begin; i < end; i++) {
        int first = first_row(plan, i);
        int last = first + plan->rows[i % plan->n_parity].ky;
        *lo = first < *lo ? first : *lo;
        *hi = last > *hi ? last : *hi;
    }
    *lo = *lo < 0 ? 0 : *lo;
    *hi = *hi > plan->in_h ? plan->in_h : *hi;
    *hi = *hi < *lo ? *lo : *hi;
}

/* Taps of the rows and columns of each parity. With pad = R/2 output i of the
 * data gradient gathers taps k = i + pad - 2*o: those of the parity of
 * i + pad, in falling order as o rises. */
static void plan_taps(conv_plan *plan) {
    int r = plan->kernel;
    int pad = r / 2;
    int64_t w = 0;
    for (int a = 0; a < plan->n_parity; a++) {
        row_class *row = &plan->rows[a];
        row->tap0 = plan->n_parity == 2 ? (a + pad) % 2 : 0;
        row->ky = (r - row->tap0 + plan->n_parity - 1) / plan->n_parity;
        row->base = plan->n_parity == 2
                        ? (a + pad - row->tap0) / 2 - (row->ky - 1)
                        : -pad;
    }
    plan->left = pad;
    for (int a = 0; a < plan->n_parity; a++) {
        for (int b = 0; b < plan->n_parity; b++) {
            const row_class *column = &plan->rows[b];
            column_phase *phase = &plan->rows[a].phase[b];
            *phase = (column_phase){
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

static void plan_tasks(conv_plan *plan, const apq_depthwise_shape *shape) {
    int lanes = plan->kernels->lanes;
    plan->n_blocks = (plan->channels + lanes - 1) / lanes;
    int target = APQ_DEPTHWISE_BAND * plan->n_parity;
    plan->n_bands = (plan->out_h + target - 1) / target;
    plan->band = (plan->out_h + plan->n_bands - 1) / plan->n_bands;
    for (int i = 0; i < plan->out_h; i += plan->band) {
        int end = i + plan->band < plan->out_h ? i + plan->band : plan->out_h;
        int lo = 0;
        int hi = 0;
        input_rows(plan, i, end, &lo, &hi);
        plan->band_rows = hi - lo > plan->band_rows ? hi - lo : plan->band_rows;
    }
    int64_t block = (int64_t)plan->band_rows * plan->packed_w * lanes;
    int64_t fit = APQ_DEPTHWISE_SCRATCH / (block > 0 ? block : 1);
    plan->group =
        fit < 1 ? 1 : (fit < plan->n_blocks ? (int)fit : plan->n_blocks);
    plan->n_threads =
        apq_depthwise_threads(shape, (int64_t)plan->n * plan->n_bands);
}

/* Kernel index of the u-th tap used by a row class or column phase. */
static int source_tap(const conv_plan *plan, int tap0, int count, int u) {
    return plan->is_flipped ? tap0 + plan->n_parity * (count - 1 - u) : u;
}

static void pack_weights(conv_plan *plan, const float *w, int64_t ldw) {
    int lanes = plan->kernels->lanes;
    int taps = plan->kernel * plan->kernel;
    for (int a = 0; a < plan->n_parity; a++) {
        const row_class *row = &plan->rows[a];
        for (int i = 0; i < plan->n_parity * row->ky; i++) {
            const column_phase *phase = &row->phase[i / row->ky];
            int u = i % row->ky;
            int ky = source_tap(plan, row->tap0, row->ky, u);
            for (int v = 0; v < phase->kx; v++) {
                int kx = source_tap(plan, phase->tap0, phase->kx, v);
                const float *src = w + (ky * plan->kernel + kx) * ldw;
                float *dst =
                    plan->w + phase->w + (int64_t)(u * phase->kx + v) * lanes;
                plan->kernels->pack(src, 0, 1, plan->channels, dst,
                                    (int64_t)taps * lanes);
            }
        }
    }
}

/* All output rows of a band for one channel block. */
static void run_block(const conv_plan *plan, const float *packed, int lo,
                      int begin, int end, int block, float *out_image) {
    int lanes = plan->kernels->lanes;
    int taps = plan->kernel * plan->kernel;
    int64_t row_floats = (int64_t)plan->packed_w * lanes;
    int left = plan->channels - block * lanes;
    const float *w = plan->w + (int64_t)block * taps * lanes;
    for (int i = begin; i < end; i++) {
        const row_class *row = &plan->rows[i % plan->n_parity];
        int first = first_row(plan, i);
        int skip = first < 0 ? -first : 0;
        int stop = first + row->ky > plan->in_h ? plan->in_h - first : row->ky;
        bool is_empty = stop <= skip;
        const float *in =
            is_empty ? packed : packed + (first + skip - lo) * row_floats;
        float *out = out_image + (int64_t)i * plan->out_w * plan->channels +
                     (int64_t)block * lanes;
        for (int b = 0; b < plan->n_parity; b++) {
            const column_phase *phase = &row->phase[b];
            if (phase->n_out < 1) {
                continue;
            }
            apq_row_args args = {
                .in = in + phase->in_x * lanes,
                .in_row = row_floats,
                .w = w + phase->w + (is_empty ? 0 : skip * phase->kx * lanes),
                .n_rows = is_empty ? 0 : stop - skip,
                .out = out + (int64_t)phase->out_x * plan->channels,
                .out_step = (int64_t)plan->n_parity * plan->channels,
                .n_out = phase->n_out,
                .n_valid = left < lanes ? left : lanes,
            };
            plan->kernels->row[plan->stride - 1][phase->kx](&args);
        }
    }
}

static void run_task(const conv_plan *plan, int64_t task, const float *in,
                     float *out, float *scratch) {
    int lanes = plan->kernels->lanes;
    int64_t image = task / plan->n_bands;
    int begin = (int)(task % plan->n_bands) * plan->band;
    int end =
        begin + plan->band < plan->out_h ? begin + plan->band : plan->out_h;
    int lo = 0;
    int hi = 0;
    input_rows(plan, begin, end, &lo, &hi);
    int64_t in_row = (int64_t)plan->in_w * plan->channels;
    int64_t packed_row = (int64_t)plan->packed_w * lanes;
    int64_t block_floats = plan->band_rows * packed_row;
    in += image * plan->in_h * in_row;
    out += image * plan->out_h * plan->out_w * plan->channels;
    for (int g = 0; g < plan->n_blocks; g += plan->group) {
        int left = plan->channels - g * lanes;
        int group =
            plan->n_blocks - g < plan->group ? plan->n_blocks - g : plan->group;
        for (int i = lo; i < hi; i++) {
            plan->kernels->pack(
                in + i * in_row + (int64_t)g * lanes, plan->channels,
                plan->in_w, left < group * lanes ? left : group * lanes,
                scratch + (i - lo) * packed_row + plan->left * lanes,
                block_floats);
        }
        for (int b = 0; b < group; b++) {
            run_block(plan, scratch + b * block_floats, lo, begin, end, g + b,
                      out);
        }
    }
}

static apq_status run_plan(conv_plan *plan, const apq_depthwise_shape *shape,
                           const float *in, const float *w, float *out) {
    plan->kernels = apq_cpu_kernels_get();
    plan->n = shape->n;
    plan->channels = shape->channels;
    plan->kernel = shape->kernel;
    int64_t n_tasks = 0;
    plan_taps(plan);
    plan_tasks(plan, shape);
    n_tasks = (int64_t)plan->n * plan->n_bands;
    if (n_tasks == 0) {
        return APQ_OK;
    }
    int64_t lanes = plan->kernels->lanes;
    int64_t w_floats = plan->n_blocks * lanes * plan->kernel * plan->kernel;
    int64_t scratch = plan->group * lanes * plan->band_rows * plan->packed_w;
    plan->w = apq_cpu_scratch(w_floats + plan->n_threads * scratch);
    if (plan->w == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "depthwise: no memory for %d channels",
                 plan->channels);
    }
    memset(plan->w, 0, (size_t)w_floats * sizeof(float));
    pack_weights(plan, w, shape->ldw);
#pragma omp parallel num_threads(plan->n_threads) if (plan->n_threads > 1)
    {
        int thread = omp_get_thread_num();
        int n_threads = omp_get_num_threads();
        float *own = plan->w + w_floats + thread * scratch;
        /* The margins stay zero: packing writes only the pixels between. */
        memset(own, 0, (size_t)scratch * sizeof(float));
        int64_t last = n_tasks * (thread + 1) / n_threads;
        for (int64_t t = n_tasks * thread / n_threads; t < last; t++) {
            run_task(plan, t, in, out, own);
        }
    }
    free(plan->w);
    return APQ_OK;
}

apq_status apq_cpu_depthwise_forward(const apq_depthwise_shape *shape,
                                     const float *x, const float *w, float *y) {
    APQ_TRY(apq_check_depthwise(shape));
    conv_plan plan = {
        .in_h = shape->in_height,
        .in_w = shape->in_width,
        .out_h = apq_conv_out(shape->in_height, shape->stride),
        .out_w = apq_conv_out(shape->in_width, shape->stride),
        .stride = shape->stride,
        .n_parity = 1,
    };
    return run_plan(&plan, shape, x, w, y);
}

apq_status apq_cpu_depthwise_backward_data(const apq_depthwise_shape *shape,
                                           const float *dy, const float *w,
                                           float *dx) {
    APQ_TRY(apq_check_depthwise(shape));
    conv_plan plan = {
        .in_h = apq_conv_out(shape->in_height, shape->stride),
        .in_w = apq_conv_out(shape->in_width, shape->stride),
        .out_h = shape->in_height,
        .out_w = shape->in_width,
        .stride = 1,
        .n_parity = shape->stride,
        .is_flipped = true,
    };
    return run_plan(&plan, shape, dy, w, dx);
}
