/* Pointwise convolution forward: blocks of rows are normalised into a tile,
 * multiplied by the packed weights and summed up for the statistics while they
 * are in cache, so that input and output cross the memory bus once. */
#include "backend/cpu/pointwise.h"

#include "backend/check.h"
#include "backend/cpu/cpu.h"
#include "backend/cpu/product.h"
#include "backend/cpu/sums.h"

#include <omp.h>

enum {
    BLOCK_FLOATS = 16 * 1024, /* of the two tiles, about */
    MIN_BLOCK = 48,           /* rows: fewer, and loading weights shows */
    MAX_BLOCK = 192,          /* multiples of 24, as the register tiles */
    PARALLEL_WORK = 1 << 17,  /* products: below, waking threads costs more */
};

apq_row_blocks apq_row_blocks_make(const apq_pointwise_shape *shape) {
    int64_t columns = (int64_t)shape->in_channels + shape->out_channels;
    int64_t block = BLOCK_FLOATS / columns / 24 * 24;
    block = block < MIN_BLOCK ? MIN_BLOCK : block;
    block = block > MAX_BLOCK ? MAX_BLOCK : block;
    apq_row_blocks blocks = {
        .rows = shape->rows,
        .block = block,
        .n_blocks = (shape->rows + block - 1) / block,
    };
    int64_t work = shape->rows * shape->in_channels * shape->out_channels;
    int64_t n_threads = work < PARALLEL_WORK ? 1 : omp_get_max_threads();
    n_threads = blocks.n_blocks < n_threads ? blocks.n_blocks : n_threads;
    blocks.n_threads = (int)n_threads;
    return blocks;
}

typedef struct plan {
    const apq_cpu_kernels *kernels;
    const apq_pointwise_shape *shape;
    const apq_conv_forward *args;
    apq_row_blocks blocks;
    float *w;       /* packed */
    float *tiles;   /* (threads, block, whole C), NULL: x is read as it is */
    float *patches; /* (threads, patch_floats), NULL: x is no image */
    int64_t patch_floats;
    float *out_tiles; /* (threads, block, K), NULL: z is written as it is */
    apq_sums sums;
} plan;

static void run_block(const plan *p, int thread, int64_t index) {
    const apq_pointwise_shape *s = p->shape;
    int64_t first = index * p->blocks.block;
    int64_t rows = p->blocks.rows - first;
    rows = rows < p->blocks.block ? rows : p->blocks.block;
    const apq_format *format = &p->args->format;
    bool is_bf16 = format->precision == APQ_BFLOAT16;
    int64_t step = apq_whole(p->kernels, s->in_channels);
    apq_tile in = {rows, s->in_channels, s->in_channels, format->is_x_bf16};
    apq_tile out = {rows, s->out_channels, s->out_channels, false};
    const void *x =
        apq_at(p->args->x, format->is_x_bf16, first * s->in_channels);
    void *z =
        apq_at_out(p->args->z, format->is_z_bf16, first * s->out_channels);
    if (p->patches != NULL) {
        float *patches = p->patches + thread * p->patch_floats;
        apq_cpu_patches(p->args->patches, p->args->x, first, rows, patches,
                        step);
        x = patches;
        in.step = step;
    }
    apq_product product = {
        .is_bf16 = is_bf16,
        .is_b_packed = true,
        .m = rows,
        .n = s->out_channels,
        .depth = apq_steps(is_bf16, s->in_channels),
        .a = x,
        .a_step = in.step,
        .b = p->w,
        .c = z,
        .c_step = s->out_channels,
    };
    if (p->tiles != NULL) {
        float *tile = p->tiles + thread * p->blocks.block * step;
        if (is_bf16) {
            p->kernels->norm_slots(&in, x, &p->args->norm,
                                   &(apq_slots){.by_row = tile, .whole = step});
        } else {
            p->kernels->norm_rows(&in, x, &p->args->norm, tile, step,
                                  p->kernels->lanes);
        }
        product.a = tile;
        product.a_step = apq_steps(is_bf16, step);
    }
    if (p->out_tiles != NULL) {
        product.c = p->out_tiles + thread * p->blocks.block * s->out_channels;
    }
    apq_product_run(p->kernels, &product);
    if (p->args->mean != NULL) {
        apq_sums_add(&p->sums, thread, &out, 0, product.c);
    }
    if (p->out_tiles != NULL) {
        p->kernels->round_rows(&out, product.c, z, s->out_channels);
    }
}

static apq_status run(const apq_pointwise_shape *shape,
                      const apq_conv_forward *args) {
    plan p = {
        .kernels = apq_cpu_kernels_get(),
        .shape = shape,
        .args = args,
        .blocks = apq_row_blocks_make(shape),
    };
    int n_threads = p.blocks.n_threads;
    float *sums;
    int64_t w_floats =
        shape->in_channels * apq_whole(p.kernels, shape->out_channels);
    APQ_TRY(apq_cpu_take(args->arena, w_floats, &p.w));
    APQ_TRY(apq_cpu_take(
        args->arena, apq_sums_floats(n_threads, shape->out_channels), &sums));
    bool is_bf16 = args->format.precision == APQ_BFLOAT16;
    int64_t rows = n_threads * p.blocks.block;
    int64_t whole_in = apq_whole(p.kernels, shape->in_channels);
    if (args->norm.scale != NULL || is_bf16) {
        APQ_TRY(apq_cpu_take(args->arena, rows * whole_in, &p.tiles));
    }
    if (args->patches != NULL) {
        p.patch_floats = p.blocks.block * whole_in + APQ_PATCH_ROOM;
        APQ_TRY(
            apq_cpu_take(args->arena, n_threads * p.patch_floats, &p.patches));
    }
    if (args->format.is_z_bf16) {
        APQ_TRY(apq_cpu_take(args->arena, rows * shape->out_channels,
                             &p.out_tiles));
    }
    apq_product_pack(p.kernels, is_bf16, shape->in_channels,
                     shape->out_channels, args->w, 1, shape->ldw, p.w);
    p.sums = apq_sums_make(p.kernels, n_threads, shape->out_channels, sums);
#pragma omp parallel num_threads(n_threads) if (n_threads > 1)
    {
        int64_t begin, end;
        int thread = omp_get_thread_num();
        apq_row_blocks_share(&p.blocks, thread, omp_get_num_threads(), &begin,
                             &end);
        for (int64_t i = begin; i < end; i++) {
            run_block(&p, thread, i);
        }
    }
    if (args->mean != NULL) {
        apq_sums_statistics(&p.sums, args->mean, args->variance);
    }
    return APQ_OK;
}

apq_status apq_cpu_pointwise_forward(const apq_pointwise_shape *shape,
                                     const apq_conv_forward *args) {
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
