/* The fused integer evaluation: images over the threads, each taken block by
 * block through cached scratch, a few vectors of channels at a time (ours; the
 * fusion is that of MobileNetV2, section 5.1). */
#include "deploy/int_infer.h"

#include "base/log.h"
#include "deploy/int_plan.h"

#include <omp.h>
#include <string.h>

static apq_int_finish finish_of(const apq_int_layer *l, int64_t column) {
    return (apq_int_finish){
        .scale = l->scale + column,
        .shift = l->shift + column,
        .clip = l->clip,
        .code_scale = l->code_scale,
        .code_low = l->code_low,
        .code_high = l->code_high,
        .code_zero = l->code_zero,
    };
}

/* Where a product reads and writes; codes and values as a whole. */
typedef struct product_io {
    const uint8_t *x;
    int64_t pixels;   /* as stored */
    int64_t channels; /* of x as stored */
    uint8_t *codes;
    int64_t codes_channels;
    float *values;
    const float *residual;
    int64_t values_channels;
    bool is_plain;
} product_io;

/* Panel p of the outputs, to channel `column` on of what is written. */
static void multiply(const apq_int_tiles *k, const apq_int_matrix *m, int p,
                     int64_t column, const product_io *io) {
    int first = apq_int_part(m->n_vectors, p, m->n_panels);
    int n = apq_int_part(m->n_vectors, p + 1, m->n_panels) - first;
    int64_t from = (int64_t)first * k->lanes;
    apq_int_product args = {
        .a = io->x,
        .a_step = io->channels * APQ_INT_WORD,
        .depth = m->depth,
        .b = m->b + m->depth * from,
        .init = m->stage->layer.init + from,
        .finish = finish_of(&m->stage->layer, from),
        .codes_step = io->codes_channels * APQ_INT_WORD,
        .values_step = io->values_channels,
    };
    int64_t i = 0;
    for (int t = 0; t < APQ_INT_TILES; t++) {
        int rows = k->sizes[n - 1][t];
        apq_int_product_kernel kernel =
            io->is_plain ? k->plain[n - 1][t] : k->full[n - 1][t];
        for (; i + rows <= io->pixels; i += rows) {
            int64_t at = i * io->values_channels + column;
            args.a = io->x + i * io->channels;
            args.codes = io->codes == NULL
                             ? NULL
                             : io->codes + i * io->codes_channels +
                                   column * APQ_INT_WORD;
            args.values = io->values == NULL ? NULL : io->values + at;
            args.residual = io->residual == NULL ? NULL : io->residual + at;
            kernel(&args);
        }
    }
}

/* All panels. */
static void multiply_all(const apq_int_tiles *k, const apq_int_matrix *m,
                         const product_io *io) {
    for (int p = 0; p < m->n_panels; p++) {
        int first = apq_int_part(m->n_vectors, p, m->n_panels);
        multiply(k, m, p, (int64_t)first * k->lanes, io);
    }
}

/* As stored. */
static int64_t pixels_of(int side) {
    return (int64_t)side * apq_int_pitch(side);
}

/* Stem -------------------------------------------------------------------- */

static void stem_row(const apq_int_tiles *k, apq_int_dense args, int n_out) {
    int i = 0;
    for (int t = 0; t < APQ_INT_TILES; t++) {
        int rows = k->sizes[0][t];
        for (; i + rows <= n_out; i += rows) {
            k->dense[t](&args);
            args.a += rows * args.a_step;
            args.codes += rows / 4 * args.codes_step;
        }
    }
}

static void run_stem(const apq_int_infer *f, const float *image, float *padded,
                     uint8_t *codes) {
    const apq_int_tiles *k = f->tiles;
    const apq_int_layer *l = &f->engine.stages[0].layer;
    int64_t row = (int64_t)l->in_size * l->in_channels;
    int64_t padded_row = (int64_t)f->stem_width * l->in_channels;
    int64_t depth = (int64_t)l->kernel * l->kernel * l->in_channels;
    int pad = l->kernel / 2;
    int pitch = apq_int_pitch(l->out_size);
    for (int y = 0; y < l->in_size; y++) {
        memcpy(padded + (y + pad) * padded_row + pad * l->in_channels,
               image + y * row, (size_t)row * sizeof *image);
    }
    for (int64_t column = 0; column < l->out_channels; column += k->lanes) {
        for (int y = 0; y < l->out_size; y++) {
            stem_row(
                k,
                (apq_int_dense){
                    .a = padded + y * l->stride * padded_row,
                    .a_step = (int64_t)l->stride * l->in_channels,
                    .a_row = padded_row,
                    .n_rows = l->kernel,
                    .taps = l->kernel * l->in_channels,
                    .b = f->stem + column * depth,
                    .finish = finish_of(l, column),
                    .codes = codes + y * pitch * l->ldy + column * APQ_INT_WORD,
                    .codes_step = l->ldy * APQ_INT_WORD,
                },
                pitch);
        }
    }
}

/* Blocks ------------------------------------------------------------------ */

/* Where rows outside of the image are read: above and below. */
static void fill_margins(const apq_int_block *b, int32_t *plane) {
    const apq_int_layer *l = &b->depthwise->layer;
    size_t n = (size_t)l->kernel * (size_t)b->plane_row;
    memset(plane, l->in_zero, n * sizeof *plane);
    memset(plane + (l->kernel + l->in_size) * b->plane_row, l->in_zero,
           n * sizeof *plane);
}

/* Vector v of the depthwise convolution; x (step channels) begins with it. */
static void correlate(const apq_int_infer *f, const apq_int_block *b,
                      const apq_int_scratch *m, int v, const uint8_t *x,
                      int64_t step) {
    const apq_int_tiles *k = f->tiles;
    const apq_int_layer *l = &b->depthwise->layer;
    int64_t column = (int64_t)v * k->lanes;
    int64_t taps = (int64_t)l->kernel * (l->kernel > APQ_INT_WORD ? 2 : 1);
    k->depthwise[l->stride - 1][l->kernel](&(apq_int_depthwise_args){
        .x = x,
        .x_step = step * APQ_INT_WORD,
        .in_size = l->in_size,
        .out_size = l->out_size,
        .zero = l->in_zero,
        .plane = m->plane + l->kernel * b->plane_row,
        .n_quads = b->n_quads,
        .w = b->taps + taps * column,
        .init = l->init + column,
        .finish = finish_of(l, column),
        .codes = m->deep + column * APQ_INT_WORD,
        .codes_step = l->ldy * APQ_INT_WORD,
    });
}

/* x, from: codes and values that enter; y, values: that leave. */
static void run_block(const apq_int_infer *f, const apq_int_block *b,
                      const apq_int_scratch *m, const uint8_t *x,
                      const float *from, uint8_t *y, float *values) {
    const apq_int_tiles *k = f->tiles;
    const apq_int_layer *d = &b->depthwise->layer;
    const apq_int_stage *s = b->project.stage;
    if (d->in_zero != 0) {
        fill_margins(b, m->plane);
    }
    for (int g = 0; g < b->n_groups; g++) {
        int begin = apq_int_part(b->n_vectors, g, b->n_groups);
        int end = apq_int_part(b->n_vectors, g + 1, b->n_groups);
        int64_t step = d->ldx;
        const uint8_t *wide = x + (int64_t)begin * k->lanes * APQ_INT_WORD;
        if (b->has_expand) {
            step = (int64_t)(end - begin) * k->lanes;
            wide = m->wide;
            multiply(k, &b->expand, g, 0,
                     &(product_io){
                         .x = x,
                         .pixels = pixels_of(d->in_size),
                         .channels = b->expand.stage->layer.ldx,
                         .codes = m->wide,
                         .codes_channels = step,
                         .is_plain = true,
                     });
        }
        for (int v = begin; v < end; v++) {
            int64_t column = (int64_t)(v - begin) * k->lanes;
            correlate(f, b, m, v, wide + column * APQ_INT_WORD, step);
        }
    }
    multiply_all(k, &b->project,
                 &(product_io){
                     .x = m->deep,
                     .pixels = pixels_of(d->out_size),
                     .channels = d->ldy,
                     .codes = y,
                     .codes_channels = s->layer.ldy,
                     .values = s->has_values ? values : NULL,
                     .residual = s->residual_from >= 0 ? from : NULL,
                     .values_channels = s->layer.ldy,
                 });
}

/* Images ------------------------------------------------------------------ */

static void run_image(const apq_int_infer *f, const apq_int_scratch *m,
                      const float *image, float *logits) {
    run_stem(f, image, m->image, m->narrow[0]);
    int at = 0;
    for (int i = 0; i < f->n_blocks; i++, at = 1 - at) {
        run_block(f, &f->blocks[i], m, m->narrow[at], m->values[at],
                  m->narrow[1 - at], m->values[1 - at]);
    }
    const apq_int_layer *l = &f->mix.stage->layer;
    multiply_all(f->tiles, &f->mix,
                 &(product_io){
                     .x = m->narrow[at],
                     .pixels = pixels_of(l->out_size),
                     .channels = l->ldx,
                     .values = m->values[1 - at],
                     .values_channels = l->ldy,
                 });
    apq_int_classify(&f->engine, m->values[1 - at], l->out_size,
                     apq_int_pitch(l->out_size), l->ldy, m->pooled,
                     m->pooled_codes, logits);
}

void apq_int_infer_run(apq_int_infer *f, const float *images, int n,
                       float *logits) {
    int n_threads = n < f->n_threads ? n : f->n_threads;
#pragma omp parallel for schedule(dynamic) num_threads(n_threads) if (n > 1)
    for (int i = 0; i < n; i++) {
        run_image(f, &f->scratch[omp_get_thread_num()],
                  images + (size_t)i * f->image_values,
                  logits + (int64_t)i * f->engine.n_classes);
    }
}

/* Kernels ----------------------------------------------------------------- */

#ifdef APQ_DEPLOY_X86
static bool has_avxvnni(void) {
#if defined(__clang__) || __GNUC__ >= 11
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("avxvnni");
#else
    return false;
#endif
}
#endif

const apq_int_tiles *apq_int_tiles_get(int i) {
#ifdef APQ_DEPLOY_X86
    if (__builtin_cpu_supports("avx512vnni") &&
        __builtin_cpu_supports("avx512vbmi2") &&
        __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && i-- == 0) {
        return &apq_int_tiles_avx512vnni;
    }
    if (has_avxvnni() && i-- == 0) {
        return &apq_int_tiles_avxvnni;
    }
    if (__builtin_cpu_supports("avx2") && i-- == 0) {
        return &apq_int_tiles_avx2;
    }
#endif
    return i == 0 ? &apq_int_tiles_portable : NULL;
}

const char *apq_int_infer_isa(void) {
    return apq_int_tiles_get(0)->name;
}

double apq_int_infer_peak(double seconds) {
    enum { ROUNDS = 1 << 20 };
    const apq_int_tiles *k = apq_int_tiles_get(0);
    double best = 0.0, start = apq_now_s();
    do {
        double before = apq_now_s();
        int n_threads = 1;
#pragma omp parallel
        {
            int32_t sink[9 * APQ_INT_LANES] = {0};
            k->peak(ROUNDS, sink);
#pragma omp single
            n_threads = omp_get_num_threads();
        }
        double rate = 2.0 * ROUNDS * k->peak_products * n_threads /
                      (apq_now_s() - before);
        best = rate > best ? rate : best;
    } while (apq_now_s() - start < seconds);
    return best;
}
