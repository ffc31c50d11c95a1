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

/* Channels [channel, channel + width) of an image, normalised into packed
 * blocks; what an expansion makes goes through `tile`. */
static void pack_input(const forward *f, int thread, int image, int channel,
                       int width, float *packed, float *tile) {
    const apq_depthwise_plan *plan = &f->plan;
    int lanes = plan->kernels->lanes;
    bool is_expanded = f->expansion.args->x != NULL;
    apq_tile row = {plan->in_w, width, plan->channels,
                    f->args->format.is_x_bf16};
    const void *x = tile;
    if (is_expanded) {
        apq_expansion_make(&f->expansion, thread, image, channel, tile);
        row.step = f->expansion.group_width;
        row.is_bf16 = false;
    } else {
        x = apq_at(f->args->x, row.is_bf16,
                   image * plan->in_h * plan->in_w * row.step + channel);
    }
    apq_norm norm = apq_norm_from(&f->args->norm, channel);
    for (int i = 0; i < plan->in_h; i++) {
        plan->kernels->norm_rows(
            &row, apq_at(x, row.is_bf16, i * plan->in_w * row.step), &norm,
            packed + ((int64_t)i * plan->packed_w + plan->left) * lanes, lanes,
            f->block);
    }
}

/* Channel blocks [first, first + group) of an image. */
static void run_group(const forward *f, int thread, int image, int first,
                      float *packed) {
    const apq_depthwise_plan *plan = &f->plan;
    bool is_z_bf16 = f->args->format.is_z_bf16;
    int lanes = plan->kernels->lanes;
    int channel = first * lanes;
    int left = plan->channels - channel;
    int group =
        plan->n_blocks - first < f->group ? plan->n_blocks - first : f->group;
    int width = left < group * lanes ? left : group * lanes;
    float *tile = packed + f->group * f->block;
    pack_input(f, thread, image, channel, width, packed, tile);
    int64_t pixels = (int64_t)plan->out_h * plan->out_w;
    void *z = apq_at_out(f->args->z, is_z_bf16,
                         image * pixels * plan->channels + channel);
    /* What is rounded on its way to memory takes the place of what the
     * expansion made. */
    float *out = is_z_bf16 ? tile : z;
    apq_tile result = {pixels, width, is_z_bf16 ? width : plan->channels,
                       false};
    for (int b = 0; b < group; b++) {
        apq_depthwise_run_block(plan, packed + b * f->block, first + b,
                                out + b * lanes, result.step);
    }
    if (f->args->mean != NULL) {
        apq_sums_add(&f->sums, thread, &result, channel, out);
    }
    if (is_z_bf16) {
        plan->kernels->round_rows(&result, out, z, plan->channels);
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
    /* Of what an expansion makes, or of what is rounded: at most as large. */
    int64_t tile = args->expand.x != NULL || args->format.is_z_bf16
                       ? (int64_t)f.plan.in_h * f.plan.in_w * kernels->lanes
                       : 0;
    f.group = apq_depthwise_group(f.plan.n_blocks, f.block + tile);
    f.expansion = (apq_expansion){
        .kernels = kernels,
        .args = &args->expand,
        .norm = &args->norm,
        .is_bf16 = args->format.precision == APQ_BFLOAT16,
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
    APQ_TRY(apq_check_format(&args->format));
    if (shape->n == 0) {
        return APQ_OK;
    }
    apq_arena_mark mark = apq_arena_position(args->arena);
    apq_status st = run(shape, args);
    apq_arena_rewind(args->arena, mark);
    return st;
}
