/* Depthwise convolution forward: the channel blocks of an image are normalised
 * while they are packed, correlated, and summed up for the statistics before
 * they leave the cache. */
#include "backend/cpu/depthwise.h"

#include "backend/check.h"
#include "backend/cpu/cpu.h"
#include "backend/cpu/expand.h"
#include "backend/cpu/sums.h"

#include <omp.h>
#include <string.h>

typedef struct forward {
    const apq_depthwise_shape *shape;
    const apq_conv_forward *args;
    apq_depthwise_plan plan;
    int group;     /* channel blocks packed together */
    int64_t block; /* floats of a packed channel block */
    apq_expansion expansion;
    apq_sums sums;
} forward;

/* Rows of an image, `width` channels from `channel` on, normalised into
 * packed blocks; what an expansion makes goes through `tile`. */
static void pack_input(const forward *f, int image, int channel, int width,
                       float *packed, float *tile) {
    const apq_depthwise_plan *plan = &f->plan;
    int lanes = plan->kernels->lanes;
    int64_t step = plan->channels;
    const float *x = tile;
    if (f->expansion.args->x != NULL) {
        apq_expansion_make(&f->expansion, image, channel, tile);
        step = f->expansion.group_width;
    } else {
        x = f->args->x + image * plan->in_h * plan->in_w * step + channel;
    }
    apq_norm norm = apq_norm_from(&f->args->norm, channel);
    apq_tile row = {plan->in_w, width, step};
    for (int i = 0; i < plan->in_h; i++) {
        plan->kernels->norm_rows(
            &row, x + i * plan->in_w * step, &norm,
            packed + ((int64_t)i * plan->packed_w + plan->left) * lanes, lanes,
            f->block);
    }
}

/* Channel blocks [first, first + group) of an image. */
static void run_group(const forward *f, int thread, int image, int first,
                      float *packed) {
    const apq_depthwise_plan *plan = &f->plan;
    int lanes = plan->kernels->lanes;
    int channel = first * lanes;
    int left = plan->channels - channel;
    int group =
        plan->n_blocks - first < f->group ? plan->n_blocks - first : f->group;
    int width = left < group * lanes ? left : group * lanes;
    pack_input(f, image, channel, width, packed, packed + f->group * f->block);
    int64_t pixels = (int64_t)plan->out_h * plan->out_w;
    float *z = f->args->z + image * pixels * plan->channels;
    for (int b = 0; b < group; b++) {
        apq_depthwise_run_block(plan, packed + b * f->block, first + b,
                                z + channel + b * lanes, plan->channels);
    }
    if (f->args->mean != NULL) {
        apq_tile out = {pixels, width, plan->channels};
        apq_sums_add(&f->sums, thread, &out, channel, z + channel);
    }
}

static apq_status run(const apq_depthwise_shape *shape,
                      const apq_conv_forward *args) {
    const apq_cpu_kernels *kernels = apq_cpu_kernels_get();
    forward f = {
        .shape = shape,
        .args = args,
        .plan = apq_depthwise_plan_make(kernels, shape, false),
    };
    int n_threads = apq_depthwise_threads(shape);
    f.block = (int64_t)f.plan.in_h * f.plan.packed_w * kernels->lanes;
    int64_t tile = args->expand.x != NULL
                       ? (int64_t)f.plan.in_h * f.plan.in_w * kernels->lanes
                       : 0;
    f.group = apq_depthwise_group(f.plan.n_blocks, f.block + tile);
    f.expansion = (apq_expansion){
        .kernels = kernels,
        .args = &args->expand,
        .norm = &args->norm,
        .channels = shape->channels,
        .group_width = f.group * kernels->lanes,
        .pixels = (int64_t)f.plan.in_h * f.plan.in_w,
    };
    int64_t packed_floats = f.group * (f.block + tile);
    float *w, *packed, *sums;
    APQ_TRY(
        apq_cpu_take(args->arena, apq_depthwise_weight_floats(&f.plan), &w));
    APQ_TRY(apq_cpu_take(args->arena, n_threads * packed_floats, &packed));
    APQ_TRY(apq_cpu_take(args->arena,
                         apq_sums_floats(n_threads, shape->channels), &sums));
    APQ_TRY(apq_expansion_open(&f.expansion, false, n_threads, args->arena));
    apq_depthwise_pack_weights(&f.plan, args->w, shape->ldw, w);
    f.sums = apq_sums_make(kernels, n_threads, shape->channels, sums);
#pragma omp parallel num_threads(n_threads) if (n_threads > 1)
    {
        int thread = omp_get_thread_num();
        int granted = omp_get_num_threads();
        float *own = packed + thread * packed_floats;
        /* The margins stay zero: packing writes only the pixels between. */
        memset(own, 0, (size_t)packed_floats * sizeof(*own));
        int last = (int)((int64_t)shape->n * (thread + 1) / granted);
        for (int i = (int)((int64_t)shape->n * thread / granted); i < last;
             i++) {
            for (int b = 0; b < f.plan.n_blocks; b += f.group) {
                run_group(&f, thread, i, b, own);
            }
        }
    }
    if (args->mean != NULL) {
        apq_sums_statistics(&f.sums, args->mean, args->variance);
    }
    return APQ_OK;
}

apq_status apq_cpu_depthwise_forward(const apq_depthwise_shape *shape,
                                     const apq_conv_forward *args) {
    APQ_TRY(apq_check_depthwise(shape));
    if (shape->n == 0) {
        return APQ_OK;
    }
    apq_arena_mark mark = apq_arena_position(args->arena);
    apq_status st = run(shape, args);
    apq_arena_rewind(args->arena, mark);
    return st;
}
