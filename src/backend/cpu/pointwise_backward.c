/* Pointwise convolution backward: for each block of rows the gradient dz and
 * the input are formed in tiles, from which both products are made; the input
 * gradient is masked and summed up while it is in cache. */
#include "backend/cpu/pointwise.h"

#include "backend/check.h"
#include "backend/cpu/cpu.h"
#include "backend/cpu/product.h"
#include "backend/cpu/sums.h"

#include <omp.h>
#include <string.h>

typedef struct plan {
    const apq_cpu_kernels *kernels;
    const apq_pointwise_shape *shape;
    const apq_conv_backward *args;
    apq_row_blocks blocks;
    bool is_bf16;
    int64_t whole_in, whole_out; /* channels rounded up to whole vectors */
    float *w;                    /* packed for dx */
    float *dz_tiles, *x_tiles;   /* NULL: read where they are */
    float *patches; /* (threads, patch_floats), NULL: x is no image */
    int64_t patch_floats;
    float *dx_tiles; /* (threads, block, C), NULL: written there */
    /* (threads, gradient): dw or its transpose, whichever has longer rows. */
    bool is_transposed; /* (C, whole K) */
    int64_t gradient;
    float *gradients;
    apq_sums sums;
} plan;

/* Rows of a block, in place or as a tile: for the product along the channels
 * and for that along the rows, which differ in bfloat16 alone. */
typedef struct operand {
    const float *by_row, *by_pair;
    int64_t row_step, pair_step;
} operand;

/* The two forms of a tile of slots: together as large as one of floats. */
static apq_slots slots_of(const plan *p, float *tile, int64_t whole) {
    return (apq_slots){tile, tile + p->blocks.block * whole / 2, whole};
}

static operand of_floats(const float *data, int64_t step) {
    return (operand){data, data, step, step};
}

static operand of_slots(const apq_slots *slots) {
    return (operand){slots->by_row, slots->by_pair, slots->whole / 2,
                     slots->whole};
}

static operand output_gradient(const plan *p, int thread, int64_t first,
                               int64_t rows) {
    int channels = p->shape->out_channels;
    bool is_bf16 = p->args->format.is_z_bf16;
    const void *g = apq_at(p->args->g, is_bf16, first * channels);
    if (p->dz_tiles == NULL) {
        return of_floats(g, channels);
    }
    const apq_bn_slopes *slopes = &p->args->slopes;
    const void *z = slopes->by_g == NULL
                        ? NULL
                        : apq_at(p->args->z, is_bf16, first * channels);
    float *tile = p->dz_tiles + thread * p->blocks.block * p->whole_out;
    apq_tile in = {rows, channels, channels, is_bf16};
    if (p->is_bf16) {
        apq_slots slots = slots_of(p, tile, p->whole_out);
        p->kernels->slope_slots(&in, g, z, slopes, &slots);
        return of_slots(&slots);
    }
    p->kernels->slope_rows(&in, g, z, slopes, tile, p->whole_out,
                           p->kernels->lanes);
    return of_floats(tile, p->whole_out);
}

static operand input(const plan *p, int thread, int64_t first, int64_t rows) {
    int channels = p->shape->in_channels;
    bool is_bf16 = p->args->format.is_x_bf16;
    const void *x = apq_at(p->args->x, is_bf16, first * channels);
    if (p->x_tiles == NULL && p->patches == NULL) {
        return of_floats(x, channels);
    }
    float *tile = p->x_tiles + thread * p->blocks.block * p->whole_in;
    apq_tile in = {rows, channels, channels, is_bf16};
    if (p->patches != NULL) {
        float *patches = p->patches + thread * p->patch_floats;
        apq_cpu_patches(p->args->patches, p->args->x, first, rows, patches,
                        p->whole_in);
        if (!p->is_bf16) {
            return of_floats(patches, p->whole_in);
        }
        x = patches;
        in.step = p->whole_in;
    }
    if (p->is_bf16) {
        apq_slots slots = slots_of(p, tile, p->whole_in);
        slots.by_row = NULL;
        p->kernels->norm_slots(&in, x, &p->args->norm, &slots);
        return of_slots(&slots);
    }
    p->kernels->norm_rows(&in, x, &p->args->norm, tile, p->whole_in,
                          p->kernels->lanes);
    return of_floats(tile, p->whole_in);
}

static void add_weight_gradient(const plan *p, int thread, int64_t rows,
                                const operand *dz, const operand *x) {
    bool t = p->is_transposed;
    const operand *a = t ? x : dz;
    const operand *b = t ? dz : x;
    int64_t n = t ? p->whole_out : p->whole_in;
    apq_product_run(p->kernels,
                    &(apq_product){
                        .is_bf16 = p->is_bf16,
                        .is_a_transposed = true,
                        .is_added = true,
                        .m = t ? p->shape->in_channels : p->shape->out_channels,
                        .n = n,
                        .depth = apq_steps(p->is_bf16, rows),
                        .a = a->by_pair,
                        .a_step = a->pair_step,
                        .b = b->by_pair,
                        .b_step = b->pair_step,
                        .c = p->gradients + thread * p->gradient,
                        .c_step = n,
                    });
}

static void make_input_gradient(const plan *p, int thread, int64_t first,
                                int64_t rows, const operand *dz) {
    int channels = p->shape->in_channels;
    bool is_bf16 = p->args->format.is_x_bf16;
    void *dx = apq_at_out(p->args->dx, is_bf16, first * channels);
    float *out = p->dx_tiles == NULL
                     ? dx
                     : p->dx_tiles + thread * p->blocks.block * channels;
    apq_product_run(p->kernels,
                    &(apq_product){
                        .is_bf16 = p->is_bf16,
                        .is_b_packed = true,
                        .m = rows,
                        .n = channels,
                        .depth = apq_steps(p->is_bf16, p->shape->out_channels),
                        .a = dz->by_row,
                        .a_step = dz->row_step,
                        .b = p->w,
                        .c = out,
                        .c_step = channels,
                    });
    if (p->args->norm.scale != NULL) {
        apq_tile x = {rows, channels, channels, is_bf16};
        apq_sums_mask(&p->sums, thread, &x, 0,
                      apq_at(p->args->x, is_bf16, first * channels), out,
                      channels, &p->args->norm);
    }
    if (p->dx_tiles != NULL) {
        apq_tile tile = {rows, channels, channels, false};
        p->kernels->round_rows(&tile, out, dx, channels);
    }
}

static void run_block(const plan *p, int thread, int64_t index) {
    int64_t first = index * p->blocks.block;
    int64_t rows = p->blocks.rows - first;
    rows = rows < p->blocks.block ? rows : p->blocks.block;
    operand dz = output_gradient(p, thread, first, rows);
    if (p->args->dw != NULL) {
        operand x = input(p, thread, first, rows);
        add_weight_gradient(p, thread, rows, &dz, &x);
    }
    if (p->args->dx != NULL) {
        make_input_gradient(p, thread, first, rows, &dz);
    }
}

/* dw += the gradients of all threads, in thread order. */
static void add_threads(const plan *p) {
    const apq_pointwise_shape *s = p->shape;
    int64_t step_k = p->is_transposed ? 1 : p->whole_in;
    int64_t step_c = p->is_transposed ? p->whole_out : 1;
    for (int k = 0; k < s->out_channels; k++) {
        float *dw = p->args->dw + k * p->args->lddw;
        const float *from = p->gradients + k * step_k;
        for (int t = 0; t < p->blocks.n_threads; t++) {
            for (int c = 0; c < s->in_channels; c++) {
                dw[c] += from[c * step_c];
            }
            from += p->gradient;
        }
    }
}

static apq_status take_memory(plan *p) {
    const apq_pointwise_shape *s = p->shape;
    const apq_conv_backward *a = p->args;
    int64_t n_threads = p->blocks.n_threads;
    int64_t rows = n_threads * p->blocks.block;
    /* Vectors are read whole, so odd channel counts need padded tiles. */
    if (a->slopes.by_g != NULL || p->whole_out != s->out_channels ||
        p->is_bf16) {
        APQ_TRY(apq_cpu_take(a->arena, rows * p->whole_out, &p->dz_tiles));
    }
    if (a->norm.scale != NULL || p->whole_in != s->in_channels || p->is_bf16) {
        APQ_TRY(apq_cpu_take(a->arena, rows * p->whole_in, &p->x_tiles));
    }
    if (a->patches != NULL) {
        p->patch_floats = p->blocks.block * p->whole_in + APQ_PATCH_ROOM;
        APQ_TRY(
            apq_cpu_take(a->arena, n_threads * p->patch_floats, &p->patches));
    }
    if (a->format.is_x_bf16 && a->dx != NULL) {
        APQ_TRY(apq_cpu_take(a->arena, rows * s->in_channels, &p->dx_tiles));
    }
    if (a->dw != NULL) {
        p->is_transposed = p->whole_out > p->whole_in;
        p->gradient = p->is_transposed ? s->in_channels * p->whole_out
                                       : s->out_channels * p->whole_in;
        APQ_TRY(apq_cpu_take(a->arena, n_threads * p->gradient, &p->gradients));
        memset(p->gradients, 0,
               (size_t)(n_threads * p->gradient) * sizeof(float));
    }
    if (a->dx != NULL) {
        float *sums;
        APQ_TRY(apq_cpu_take(a->arena, s->out_channels * p->whole_in, &p->w));
        APQ_TRY(apq_cpu_take(
            a->arena, apq_sums_floats(p->blocks.n_threads, s->in_channels),
            &sums));
        apq_product_pack(p->kernels, p->is_bf16, s->out_channels,
                         s->in_channels, a->w, s->ldw, 1, p->w);
        p->sums = apq_sums_make(p->kernels, p->blocks.n_threads, s->in_channels,
                                sums);
    }
    return APQ_OK;
}

static apq_status run(const apq_pointwise_shape *shape,
                      const apq_conv_backward *args) {
    plan p = {
        .kernels = apq_cpu_kernels_get(),
        .shape = shape,
        .args = args,
        .blocks = apq_row_blocks_make(shape),
        .is_bf16 = args->format.precision == APQ_BFLOAT16,
    };
    p.whole_in = apq_whole(p.kernels, shape->in_channels);
    p.whole_out = apq_whole(p.kernels, shape->out_channels);
    APQ_TRY(take_memory(&p));
#pragma omp parallel num_threads(p.blocks.n_threads) if (p.blocks.n_threads > 1)
    {
        int64_t begin, end;
        int thread = omp_get_thread_num();
        apq_row_blocks_share(&p.blocks, thread, omp_get_num_threads(), &begin,
                             &end);
        for (int64_t i = begin; i < end; i++) {
            run_block(&p, thread, i);
        }
    }
    if (args->dw != NULL) {
        add_threads(&p);
    }
    if (args->dx != NULL && args->norm.scale != NULL) {
        apq_sums_gradient(&p.sums, args->norm.inv_std, args->sum_g,
                          args->sum_gx, args->clip_grad);
    }
    return APQ_OK;
}

apq_status apq_cpu_pointwise_backward(const apq_pointwise_shape *shape,
                                      const apq_conv_backward *args) {
    APQ_TRY(apq_check_pointwise(shape));
    APQ_TRY(apq_check_format(&args->format));
    if (shape->rows == 0) {
        return APQ_OK;
    }
    apq_arena_mark mark = apq_arena_position(args->arena);
    apq_status st = run(shape, args);
    apq_arena_rewind(args->arena, mark);
    return st;
}
