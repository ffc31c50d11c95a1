/* Batch-normalisation passes: each thread takes a range of rows, sums in
 * float over short blocks and adds the blocks in double; thread totals are
 * added in thread order, so results repeat for a given thread count. */
#include "backend/cpu/cpu.h"

#include "backend/check.h"
#include "backend/cpu/kernels.h"

#include <omp.h>
#include <string.h>

/* (P,C) seen as rows of several pixels. */
typedef struct row_view {
    int64_t n_rows; /* whole rows */
    int repeat;     /* pixels of one row */
    int length;     /* repeat * C floats */
    int tail;       /* floats of the last, partial row */
    int64_t block;  /* rows summed in float */
    int n_threads;
} row_view;

enum {
    MIN_LENGTH = 128,          /* below, the loop overhead shows */
    MAX_LENGTH = 4096,         /* above, parameters leave the L1 cache */
    BLOCK_FLOATS = 16384,      /* about one L1 cache */
    PARALLEL_FLOATS = 1 << 15, /* below, waking threads costs more */
};

static row_view view_of(int64_t rows, int channels, int lanes) {
    int repeat = 1;
    while ((repeat * channels) % lanes != 0 || repeat * channels < MIN_LENGTH) {
        if (2 * repeat * channels > MAX_LENGTH) {
            break;
        }
        repeat *= 2;
    }
    row_view view = {.repeat = repeat, .length = repeat * channels};
    view.n_rows = rows / repeat;
    view.tail = (int)(rows % repeat) * channels;
    view.block = BLOCK_FLOATS / view.length;
    view.block = view.block < 4 ? 4 : view.block;
    bool is_small = rows * channels < PARALLEL_FLOATS;
    view.n_threads = is_small ? 1 : omp_get_max_threads();
    return view;
}

/* A run of rows: `length` floats each. */
typedef struct row_range {
    int64_t first; /* offset in floats */
    int64_t rows;
    int length;
} row_range;

/* Called for each block of a thread's rows. */
typedef void (*block_fn)(void *context, int thread, const row_range *range);

static void run_thread(const row_view *view, int thread, int n_threads,
                       block_fn fn, void *context) {
    int64_t begin = view->n_rows * thread / n_threads;
    int64_t end = view->n_rows * (thread + 1) / n_threads;
    for (int64_t i = begin; i < end; i += view->block) {
        row_range range = {
            .first = i * view->length,
            .rows = i + view->block < end ? view->block : end - i,
            .length = view->length,
        };
        fn(context, thread, &range);
    }
    if (thread == n_threads - 1 && view->tail > 0) {
        row_range range = {
            .first = view->n_rows * view->length,
            .rows = 1,
            .length = view->tail,
        };
        fn(context, thread, &range);
    }
}

static void for_blocks(const row_view *view, block_fn fn, void *context) {
    if (view->n_threads == 1) {
        run_thread(view, 0, 1, fn, context);
        return;
    }
#pragma omp parallel num_threads(view->n_threads)
    run_thread(view, omp_get_thread_num(), omp_get_num_threads(), fn, context);
}

/* src (C) repeated over one row. */
static void repeat_row(const row_view *view, const float *src, float *dst) {
    size_t channels = (size_t)(view->length / view->repeat);
    for (int i = 0; i < view->repeat; i++) {
        memcpy(dst + (size_t)i * channels, src, channels * sizeof(*dst));
    }
}

/* Two sums per channel, with room for every thread. */
typedef struct bn_sums {
    const apq_cpu_kernels *kernels;
    const row_view *view;
    const float *x, *dy;
    apq_bn_params params;
    float *block;  /* (threads, 2, length) of the current block */
    double *total; /* (threads, 2, length) */
    double *over;  /* (threads, 8): one cache line each */
    float *memory;
} bn_sums;

enum {
    OVER_STEP = 8,
};

static apq_status sums_create(bn_sums *sums, const row_view *view, int n_params,
                              apq_arena *arena) {
    int64_t length = view->length;
    int64_t per_thread = 2 * length * 3 + OVER_STEP * 2;
    /* Whole cache lines before the doubles. */
    APQ_TRY(apq_cpu_take(arena,
                         view->n_threads * per_thread + n_params * length + 64,
                         &sums->memory));
    sums->view = view;
    void *memory = sums->memory;
    sums->over = memory;
    sums->total = sums->over + OVER_STEP * view->n_threads;
    void *rest = sums->total + 2 * length * view->n_threads;
    sums->block = rest;
    memset(sums->memory, 0,
           (size_t)(view->n_threads * (OVER_STEP + 2 * length)) *
               sizeof(double));
    return APQ_OK;
}

/* Parameter rows follow the block sums. */
static float *sums_param(const bn_sums *sums, int index) {
    const row_view *view = sums->view;
    return sums->block + (2 * (int64_t)view->n_threads + index) * view->length;
}

/* Adds the block sums of a thread to its totals. */
static void flush_block(bn_sums *sums, int thread, int length) {
    int64_t full = sums->view->length;
    for (int part = 0; part < 2; part++) {
        int64_t at = (2 * (int64_t)thread + part) * full;
        for (int i = 0; i < length; i++) {
            sums->total[at + i] += (double)sums->block[at + i];
        }
    }
}

/* Total of channel c over threads and repeats; part 0 or 1. */
static double total_of(const bn_sums *sums, int part, int c) {
    const row_view *view = sums->view;
    int channels = view->length / view->repeat;
    double sum = 0.0;
    for (int t = 0; t < view->n_threads; t++) {
        const double *row =
            sums->total + (2 * (int64_t)t + part) * view->length;
        for (int i = 0; i < view->repeat; i++) {
            sum += row[i * channels + c];
        }
    }
    return sum;
}

typedef struct apply_context {
    const apq_cpu_kernels *kernels;
    const float *x, *other; /* residual or dy */
    apq_bn_params params;
    float *out;
} apply_context;

static void apply_block(void *context, int thread, const row_range *range) {
    (void)thread;
    const apply_context *a = context;
    const float *residual = a->other != NULL ? a->other + range->first : NULL;
    a->kernels->bn_apply(a->x + range->first, residual, range->rows,
                         range->length, &a->params, a->out + range->first);
}

apq_status apq_cpu_bn_apply(const apq_bn_apply_args *args) {
    APQ_TRY(apq_check_rows(args->rows, args->channels));
    const apq_cpu_kernels *kernels = apq_cpu_kernels_get();
    row_view view = view_of(args->rows, args->channels, kernels->lanes);
    apq_arena_mark mark = apq_arena_position(args->arena);
    float *memory;
    APQ_TRY(apq_cpu_take(args->arena, 2 * (int64_t)view.length, &memory));
    repeat_row(&view, args->scale, memory);
    repeat_row(&view, args->shift, memory + view.length);
    apply_context context = {
        .kernels = kernels,
        .x = args->x,
        .other = args->residual,
        .params =
            {
                .scale = memory,
                .shift = memory + view.length,
                .clip = args->clip,
                .step = args->step,
            },
        .out = args->y,
    };
    for_blocks(&view, apply_block, &context);
    apq_arena_rewind(args->arena, mark);
    return APQ_OK;
}

static void reduce_block(void *context, int thread, const row_range *range) {
    bn_sums *sums = context;
    float *sum = sums->block + 2 * (int64_t)thread * sums->view->length;
    sums->over[thread * OVER_STEP] += sums->kernels->bn_reduce(
        sums->x + range->first, sums->dy + range->first, range->rows,
        range->length, &sums->params, sum, sum + sums->view->length);
    flush_block(sums, thread, range->length);
}

apq_status apq_cpu_bn_backward_reduce(const apq_bn_backward_args *args) {
    APQ_TRY(apq_check_rows(args->rows, args->channels));
    const apq_cpu_kernels *kernels = apq_cpu_kernels_get();
    row_view view = view_of(args->rows, args->channels, kernels->lanes);
    bn_sums sums = {.kernels = kernels, .x = args->x, .dy = args->dy};
    apq_arena_mark mark = apq_arena_position(args->arena);
    APQ_TRY(sums_create(&sums, &view, 3, args->arena));
    repeat_row(&view, args->scale, sums_param(&sums, 0));
    repeat_row(&view, args->shift, sums_param(&sums, 1));
    repeat_row(&view, args->mean, sums_param(&sums, 2));
    sums.params = (apq_bn_params){
        .scale = sums_param(&sums, 0),
        .shift = sums_param(&sums, 1),
        .mean = sums_param(&sums, 2),
        .clip = args->clip,
    };
    for_blocks(&view, reduce_block, &sums);
    for (int c = 0; c < args->channels; c++) {
        args->sum_g[c] = (float)total_of(&sums, 0, c);
        args->sum_gx[c] =
            (float)(total_of(&sums, 1, c) * (double)args->inv_std[c]);
    }
    *args->clip_grad = 0.0;
    for (int t = 0; t < view.n_threads; t++) {
        *args->clip_grad += sums.over[t * OVER_STEP];
    }
    apq_arena_rewind(args->arena, mark);
    return APQ_OK;
}

static void backward_block(void *context, int thread, const row_range *range) {
    (void)thread;
    const apply_context *a = context;
    a->kernels->bn_backward(a->x + range->first, a->other + range->first,
                            range->rows, range->length, &a->params,
                            a->out + range->first);
}

apq_status apq_cpu_bn_backward_apply(const apq_bn_backward_args *args) {
    APQ_TRY(apq_check_rows(args->rows, args->channels));
    const apq_cpu_kernels *kernels = apq_cpu_kernels_get();
    row_view view = view_of(args->rows, args->channels, kernels->lanes);
    int64_t length = view.length;
    apq_arena_mark mark = apq_arena_position(args->arena);
    float *memory;
    APQ_TRY(apq_cpu_take(args->arena, 5 * length, &memory));
    float *slope = memory + 3 * length;
    float *offset = memory + 4 * length;
    repeat_row(&view, args->scale, memory);
    repeat_row(&view, args->shift, memory + length);
    repeat_row(&view, args->mean, memory + 2 * length);
    double p = (double)args->rows;
    for (int i = 0; i < view.length; i++) {
        int c = i % args->channels;
        double scale = (double)args->scale[c];
        slope[i] = (float)(scale * (double)args->sum_gx[c] *
                           (double)args->inv_std[c] / p);
        offset[i] = (float)(scale * (double)args->sum_g[c] / p);
    }
    apply_context context = {
        .kernels = kernels,
        .x = args->x,
        .other = args->dy,
        .params =
            {
                .scale = memory,
                .shift = memory + length,
                .mean = memory + 2 * length,
                .slope = slope,
                .offset = offset,
                .clip = args->clip,
            },
        .out = args->dx,
    };
    for_blocks(&view, backward_block, &context);
    apq_arena_rewind(args->arena, mark);
    return APQ_OK;
}
