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
    int64_t whole_in, whole_out; /* channels rounded up to whole vectors */
    float *w;                    /* packed for dx */
    float *dz_tiles, *x_tiles;   /* NULL: read where they are */
    /* (threads, gradient): dw or its transpose, whichever has longer rows. */
    bool is_transposed; /* (C, whole K) */
    int64_t gradient;
    float *gradients;
    apq_sums sums;
} plan;

/* Rows of a block, in place or as a tile. */
typedef struct operand {
    const float *data;
    int64_t step;
} operand;

static operand output_gradient(const plan *p, int thread, int64_t first,
                               int64_t rows) {
    int channels = p->shape->out_channels;
    const float *g = p->args->g + first * channels;
    if (p->dz_tiles == NULL) {
        return (operand){g, channels};
    }
    float *tile = p->dz_tiles + thread * p->blocks.block * p->whole_out;
    apq_tile in = {rows, channels, channels};
    int lanes = p->kernels->lanes;
    if (p->args->slopes.by_g == NULL) {
        p->kernels->norm_rows(&in, g, &(apq_norm){0}, tile, p->whole_out,
                              lanes);
    } else {
        p->kernels->slope_rows(&in, g, p->args->z + first * channels,
                               &p->args->slopes, tile, p->whole_out, lanes);
    }
    return (operand){tile, p->whole_out};
}

static operand input(const plan *p, int thread, int64_t first, int64_t rows) {
    int channels = p->shape->in_channels;
    const float *x = p->args->x + first * channels;
    if (p->x_tiles == NULL) {
        return (operand){x, channels};
    }
    float *tile = p->x_tiles + thread * p->blocks.block * p->whole_in;
    apq_tile in = {rows, channels, channels};
    p->kernels->norm_rows(&in, x, &p->args->norm, tile, p->whole_in,
                          p->kernels->lanes);
    return (operand){tile, p->whole_in};
}

static void add_weight_gradient(const plan *p, int thread, int64_t rows,
                                operand dz, operand x) {
    bool t = p->is_transposed;
    operand a = t ? x : dz;
    operand b = t ? dz : x;
    int64_t n = t ? p->whole_out : p->whole_in;
    apq_product_run(p->kernels,
                    &(apq_product){
                        .is_a_transposed = true,
                        .is_added = true,
                        .m = t ? p->shape->in_channels : p->shape->out_channels,
                        .n = n,
                        .depth = rows,
                        .a = a.data,
                        .a_step = a.step,
                        .b = b.data,
                        .b_step = b.step,
                        .c = p->gradients + thread * p->gradient,
                        .c_step = n,
                    });
}

static void make_input_gradient(const plan *p, int thread, int64_t first,
                                int64_t rows, operand dz) {
    int channels = p->shape->in_channels;
    float *dx = p->args->dx + first * channels;
    apq_product_run(p->kernels, &(apq_product){
                                    .is_b_packed = true,
                                    .m = rows,
                                    .n = channels,
                                    .depth = p->shape->out_channels,
                                    .a = dz.data,
                                    .a_step = dz.step,
                                    .b = p->w,
                                    .c = dx,
                                    .c_step = channels,
                                });
    if (p->args->norm.scale != NULL) {
        apq_tile out = {rows, channels, channels};
        apq_sums_mask(&p->sums, thread, &out, 0, dx,
                      p->args->x + first * channels, &p->args->norm);
    }
}

static void run_block(const plan *p, int thread, int64_t index) {
    int64_t first = index * p->blocks.block;
    int64_t rows = p->blocks.rows - first;
    rows = rows < p->blocks.block ? rows : p->blocks.block;
    operand dz = output_gradient(p, thread, first, rows);
    if (p->args->dw != NULL) {
        add_weight_gradient(p, thread, rows, dz, input(p, thread, first, rows));
    }
    if (p->args->dx != NULL) {
        make_input_gradient(p, thread, first, rows, dz);
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
    if (a->slopes.by_g != NULL || p->whole_out != s->out_channels) {
        APQ_TRY(apq_cpu_take(a->arena, rows * p->whole_out, &p->dz_tiles));
    }
    if (a->norm.scale != NULL || p->whole_in != s->in_channels) {
        APQ_TRY(apq_cpu_take(a->arena, rows * p->whole_in, &p->x_tiles));
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
        apq_product_pack(p->kernels, s->out_channels, s->in_channels, a->w,
                         s->ldw, 1, p->w);
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
    if (shape->rows == 0) {
        return APQ_OK;
    }
    apq_arena_mark mark = apq_arena_position(args->arena);
    apq_status st = run(shape, args);
    apq_arena_rewind(args->arena, mark);
    return st;
}
