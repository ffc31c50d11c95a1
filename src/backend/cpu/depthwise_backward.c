/* Depthwise convolution backward: the channel blocks of an image's gradient and
 * input are formed while they are packed, and serve both gradients; the input
 * gradient is masked and summed up before it leaves the cache. */
#include "backend/cpu/depthwise.h"

#include "backend/check.h"
#include "backend/cpu/cpu.h"
#include "backend/cpu/expand.h"
#include "backend/cpu/sums.h"

#include <omp.h>
#include <string.h>

typedef struct backward {
    const apq_depthwise_shape *shape;
    const apq_conv_backward *args;
    const apq_cpu_kernels *kernels;
    apq_depthwise_plan plan; /* of the data gradient */
    int out_h, out_w;
    int x_width, dz_width;     /* pixels of a packed row */
    int n_out;                 /* out_w rounded up for the weight kernel */
    int64_t x_block, dz_block; /* floats of a packed channel block */
    int group;                 /* channel blocks packed together */
    int64_t gradient, scratch; /* floats of one thread */
    float *gradients, *scratches;
    /* Floats of a channel block of part.made and of its gradient, or 0. */
    int64_t tile, gradient_tile;
    apq_expansion expansion;
    apq_sums sums;
} backward;

/* Channels [channel, channel + width) of one image. */
typedef struct part {
    int image, thread, channel, width;
    float *x, *dz; /* packed */
    /* With an expansion: what it makes, and its gradient; without, dx before
     * it is rounded. */
    float *made, *made_gradient;
} part;

static void pack_gradient(const backward *b, const part *p) {
    int channels = b->shape->channels;
    int lanes = b->kernels->lanes;
    bool is_bf16 = b->args->format.is_z_bf16;
    int64_t row = (int64_t)b->out_w * channels;
    int64_t at = p->image * b->out_h * row + p->channel;
    apq_bn_slopes slopes = apq_slopes_from(&b->args->slopes, p->channel);
    apq_tile tile = {b->out_w, p->width, channels, is_bf16};
    float *dst = p->dz + b->plan.left * lanes;
    for (int i = 0; i < b->out_h; i++, at += row) {
        const void *z =
            slopes.by_g == NULL ? NULL : apq_at(b->args->z, is_bf16, at);
        b->kernels->slope_rows(&tile, apq_at(b->args->g, is_bf16, at), z,
                               &slopes, dst, lanes, b->dz_block);
        dst += (int64_t)b->dz_width * lanes;
    }
}

static void pack_input(const backward *b, const part *p) {
    const apq_depthwise_shape *s = b->shape;
    int lanes = b->kernels->lanes;
    apq_tile tile = {s->in_width, p->width, s->channels,
                     b->args->format.is_x_bf16};
    const void *x = p->made;
    if (b->expansion.args->x != NULL) {
        apq_expansion_make(&b->expansion, p->thread, p->image, p->channel,
                           p->made);
        tile.step = b->expansion.group_width;
        tile.is_bf16 = false;
    } else {
        x = apq_at(b->args->x, tile.is_bf16,
                   p->image * s->in_height * s->in_width * tile.step +
                       p->channel);
    }
    apq_norm norm = apq_norm_from(&b->args->norm, p->channel);
    float *dst = p->x + s->kernel / 2 * lanes;
    for (int i = 0; i < s->in_height; i++) {
        b->kernels->norm_rows(
            &tile, apq_at(x, tile.is_bf16, i * s->in_width * tile.step), &norm,
            dst, lanes, b->x_block);
        dst += (int64_t)b->x_width * lanes;
    }
}

/* gradient (R*R, lanes) += that of one channel block of one image. */
static void add_weight_gradient(const backward *b, const float *x,
                                const float *dz, float *gradient) {
    const apq_depthwise_shape *shape = b->shape;
    int lanes = b->kernels->lanes;
    int s = shape->stride;
    int r = shape->kernel;
    int64_t x_row = (int64_t)b->x_width * lanes;
    int64_t dz_row = (int64_t)b->dz_width * lanes;
    for (int u = 0; u < r; u++) {
        /* Rows i with 0 <= i*s + u - pad < H. */
        int offset = u - r / 2;
        int begin = offset < 0 ? (s - 1 - offset) / s : 0;
        int room = shape->in_height - 1 - offset;
        int end = room < 0 ? 0 : room / s + 1;
        end = end > b->out_h ? b->out_h : end;
        if (begin >= end) {
            continue;
        }
        apq_wgrad_args args = {
            .x = x + (begin * s + offset) * x_row,
            .x_row = x_row * s,
            .dy = dz + begin * dz_row + b->plan.left * lanes,
            .dy_row = dz_row,
            .n_rows = end - begin,
            .n_out = b->n_out,
            .acc = gradient + (int64_t)u * r * lanes,
        };
        b->kernels->wgrad[s - 1][r](&args);
    }
}

/* dx of the part, or the gradient of what the expansion made, which goes
 * through the expansion. */
static void make_input_gradient(const backward *b, const part *p) {
    const apq_depthwise_shape *s = b->shape;
    int lanes = b->kernels->lanes;
    int64_t pixels = (int64_t)s->in_height * s->in_width;
    bool is_expanded = b->expansion.args->x != NULL;
    bool is_bf16 = b->args->format.is_x_bf16;
    apq_tile x_tile = {pixels, p->width, s->channels, is_bf16};
    int64_t offset = p->image * pixels * s->channels + p->channel;
    const void *x = p->made;
    float *dx = p->made_gradient;
    int64_t step = b->group * lanes;
    if (is_expanded) {
        x_tile = (apq_tile){pixels, p->width, step, false};
    } else {
        x = apq_at(b->args->x, is_bf16, offset);
        dx = is_bf16 ? p->made_gradient : (float *)b->args->dx + offset;
        step = is_bf16 ? step : s->channels;
    }
    for (int i = 0; i * lanes < p->width; i++) {
        apq_depthwise_run_block(&b->plan, p->dz + i * b->dz_block,
                                p->channel / lanes + i, dx + i * lanes, step);
    }
    if (b->args->norm.scale != NULL) {
        apq_norm norm = apq_norm_from(&b->args->norm, p->channel);
        apq_sums_mask(&b->sums, p->thread, &x_tile, p->channel, x, dx, step,
                      &norm);
    }
    if (is_expanded) {
        apq_expansion_back(&b->expansion, p->thread, p->image, p->channel, dx,
                           b->args->dx);
    } else if (is_bf16) {
        apq_tile tile = {pixels, p->width, step, false};
        b->kernels->round_rows(&tile, dx, apq_at_out(b->args->dx, true, offset),
                               s->channels);
    }
}

static void run_part(const backward *b, const part *p) {
    int lanes = b->kernels->lanes;
    int first = p->channel / lanes;
    int taps = b->shape->kernel * b->shape->kernel;
    pack_gradient(b, p);
    if (b->args->dw != NULL || b->expansion.args->x != NULL) {
        pack_input(b, p);
    }
    float *gradient = b->gradients + p->thread * b->gradient;
    for (int i = 0; i * lanes < p->width && b->args->dw != NULL; i++) {
        add_weight_gradient(b, p->x + i * b->x_block, p->dz + i * b->dz_block,
                            gradient + (int64_t)(first + i) * taps * lanes);
    }
    if (b->args->dx != NULL) {
        make_input_gradient(b, p);
    }
}

static void run_image(const backward *b, int thread, int image,
                      float *scratch) {
    int lanes = b->kernels->lanes;
    for (int first = 0; first < b->plan.n_blocks; first += b->group) {
        int left = b->shape->channels - first * lanes;
        int most = b->group * lanes;
        part p = {
            .image = image,
            .thread = thread,
            .channel = first * lanes,
            .width = left < most ? left : most,
            .x = scratch,
            .dz = scratch + b->group * b->x_block,
            .made = scratch + b->group * (b->x_block + b->dz_block),
            .made_gradient =
                scratch + b->group * (b->x_block + b->dz_block + b->tile),
        };
        run_part(b, &p);
    }
}

/* dw += the gradients of all threads, in thread order. */
static void add_threads(const backward *b, int n_threads) {
    const apq_depthwise_shape *shape = b->shape;
    int lanes = b->kernels->lanes;
    int taps = shape->kernel * shape->kernel;
    for (int t = 0; t < taps; t++) {
        float *dw = b->args->dw + t * b->args->lddw;
        for (int c = 0; c < shape->channels; c++) {
            int64_t at = ((int64_t)(c / lanes) * taps + t) * lanes + c % lanes;
            double sum = (double)dw[c];
            for (int i = 0; i < n_threads; i++) {
                sum += (double)b->gradients[i * b->gradient + at];
            }
            dw[c] = (float)sum;
        }
    }
}

static backward make_backward(const apq_depthwise_shape *shape,
                              const apq_conv_backward *args) {
    const apq_cpu_kernels *kernels = apq_cpu_kernels_get();
    backward b = {
        .shape = shape,
        .args = args,
        .kernels = kernels,
        .plan = apq_depthwise_plan_make(kernels, shape, true),
        .out_h = apq_conv_out(shape->in_height, shape->stride),
        .out_w = apq_conv_out(shape->in_width, shape->stride),
    };
    int pad = shape->kernel / 2;
    b.n_out =
        (b.out_w + APQ_WGRAD_UNROLL - 1) / APQ_WGRAD_UNROLL * APQ_WGRAD_UNROLL;
    /* Both kernels read dz; the wider of their margins serves both. */
    int wide = b.plan.left + b.n_out;
    b.plan.packed_w = wide > b.plan.packed_w ? wide : b.plan.packed_w;
    b.dz_width = b.plan.packed_w;
    b.x_width = (b.n_out - 1) * shape->stride + shape->kernel;
    if (b.x_width < pad + shape->in_width) {
        b.x_width = pad + shape->in_width;
    }
    b.x_block = (int64_t)shape->in_height * b.x_width * kernels->lanes;
    b.dz_block = (int64_t)b.out_h * b.dz_width * kernels->lanes;
    int64_t pixels = (int64_t)shape->in_height * shape->in_width;
    b.tile = args->expand.x != NULL ? pixels * kernels->lanes : 0;
    b.gradient_tile = args->format.is_x_bf16 ? pixels * kernels->lanes : b.tile;
    int64_t block = b.x_block + b.dz_block + b.tile + b.gradient_tile;
    b.group = apq_depthwise_group(b.plan.n_blocks, block);
    b.gradient = apq_depthwise_weight_floats(&b.plan);
    b.scratch = b.group * block;
    b.expansion = (apq_expansion){
        .kernels = kernels,
        .args = &args->expand,
        .norm = &args->norm,
        .is_bf16 = args->format.precision == APQ_BFLOAT16,
        .channels = shape->channels,
        .group_width = b.group * kernels->lanes,
        .pixels = pixels,
    };
    return b;
}

static apq_status run(const apq_depthwise_shape *shape,
                      const apq_conv_backward *args) {
    backward b = make_backward(shape, args);
    int n_threads = apq_depthwise_threads(shape);
    float *w, *sums;
    APQ_TRY(apq_cpu_take(args->arena, b.gradient, &w));
    APQ_TRY(apq_cpu_take(args->arena, n_threads * b.gradient, &b.gradients));
    APQ_TRY(apq_cpu_take(args->arena, n_threads * b.scratch, &b.scratches));
    APQ_TRY(apq_cpu_take(args->arena,
                         apq_sums_floats(n_threads, shape->channels), &sums));
    APQ_TRY(apq_expansion_open(&b.expansion, true, n_threads, args->arena));
    apq_depthwise_pack_weights(&b.plan, args->w, shape->ldw, w);
    b.sums = apq_sums_make(b.kernels, n_threads, shape->channels, sums);
    /* Also the gradients of threads that OpenMP does not grant. */
    memset(b.gradients, 0, (size_t)(n_threads * b.gradient) * sizeof(float));
#pragma omp parallel num_threads(n_threads) if (n_threads > 1)
    {
        int thread = omp_get_thread_num();
        int granted = omp_get_num_threads();
        float *own = b.scratches + thread * b.scratch;
        /* The margins stay zero: packing writes only the pixels between. */
        memset(own, 0, (size_t)b.scratch * sizeof(*own));
        int last = (int)((int64_t)shape->n * (thread + 1) / granted);
        for (int i = (int)((int64_t)shape->n * thread / granted); i < last;
             i++) {
            run_image(&b, thread, i, own);
        }
    }
    if (args->dw != NULL) {
        add_threads(&b, n_threads);
    }
    if (args->dx != NULL && args->norm.scale != NULL) {
        apq_sums_gradient(&b.sums, args->norm.inv_std, args->sum_g,
                          args->sum_gx, args->clip_grad);
    }
    if (args->expand.x == NULL) {
        return APQ_OK;
    }
    return apq_expansion_close(&b.expansion, shape->n * b.expansion.pixels,
                               n_threads, args->sum_g, args->sum_gx, args->dx,
                               args->arena);
}

apq_status apq_cpu_depthwise_backward(const apq_depthwise_shape *shape,
                                      const apq_conv_backward *args) {
    APQ_TRY(apq_check_depthwise(shape));
    APQ_TRY(apq_check_format(&args->format));
    if (shape->n == 0) {
        return APQ_OK;
    }
    apq_arena_mark mark = apq_arena_position(args->arena);
    apq_status st = run(shape, args);
    apq_arena_rewind(args->arena, mark);
    return st;
}
