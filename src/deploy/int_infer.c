/* The fused integer evaluation: images over the threads, each taken block by
 * block through cached scratch, a few vectors of channels at a time (ours; the
 * fusion is that of MobileNetV2, section 5.1). */
#include "deploy/int_infer.h"

#include "base/log.h"
#include "deploy/int_plan.h"

#include <omp.h>
#include <string.h>
#ifdef APQ_DEPLOY_X86
#include <cpuid.h>
#endif

/* Where a product reads and writes, as a whole. */
typedef struct product_io {
    const uint8_t *x;
    int64_t pixels;   /* as stored */
    int64_t channels; /* of x as stored */
    uint8_t *codes;
    int64_t codes_channels;
    const uint8_t *residual; /* as codes; or NULL */
} product_io;

/* Panel p of the outputs, to channel `column` on of what is written. */
static void multiply(const apq_int_tiles *k, const apq_int_matrix *m, int p,
                     int64_t column, const product_io *io) {
    int first = apq_int_part(m->n_vectors, p, m->n_panels);
    int n = apq_int_part(m->n_vectors, p + 1, m->n_panels) - first;
    int64_t from = (int64_t)first * k->lanes;
    apq_int_product args = {
        .a_step = io->channels * APQ_INT_WORD,
        .depth = m->depth,
        .b = m->b + m->depth * from,
        .init = m->layer.init + from,
        .scale = m->layer.scale + from,
        .high = m->layer.code_high,
        .codes_step = io->codes_channels * APQ_INT_WORD,
    };
    bool is_signed = m->layer.code_low < 0;
    int64_t i = 0;
    for (int t = 0; t < APQ_INT_TILES; t++) {
        int rows = k->sizes[n - 1][t];
        apq_int_product_kernel kernel =
            is_signed ? k->to_signed[n - 1][t] : k->to_unsigned[n - 1][t];
        for (; i + rows <= io->pixels; i += rows) {
            int64_t at = i * io->codes_channels + column * APQ_INT_WORD;
            args.a = io->x + i * io->channels;
            args.codes = io->codes + at;
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

/* What a layer reads, rounded again where it wants that. */
static const uint8_t *read_codes(const apq_int_infer *f, const apq_int_layer *l,
                                 const apq_int_scratch *m, const uint8_t *x) {
    if (l->reround == NULL) {
        return x;
    }
    f->tiles->reround(l->reround, x, apq_int_stored_pixels(l->in_size) * l->ldx,
                      m->reread);
    return m->reread;
}

/* Stem -------------------------------------------------------------------- */

/* The image's codes into the middle of the padded words. What a word has beyond
 * the channels of its pixel is multiplied by 0. */
static void place_image(const apq_int_infer *f, const float *image,
                        const apq_int_scratch *m) {
    const apq_int_start *s = &f->stem;
    int side = s->layer.in_size, channels = s->layer.in_channels;
    int pad = s->layer.kernel / 2;
    apq_int_encode_image(image, (int64_t)f->image_values, f->image_step,
                         m->image);
    const uint8_t *from = m->image;
    for (int y = 0; y < side; y++) {
        int32_t *to = m->padded + ((y + pad) * s->width + pad) * s->pixel_words;
        for (int x = 0; x < side; x++) {
            for (int w = 0; w < s->pixel_words; w++) {
                memcpy(to++, from + w * APQ_INT_WORD, sizeof *to);
            }
            from += channels;
        }
    }
}

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

static void run_stem(const apq_int_infer *f, const float *image,
                     const apq_int_scratch *m, uint8_t *codes) {
    const apq_int_start *s = &f->stem;
    const apq_int_layer *l = &s->layer;
    int64_t row = (int64_t)s->width * s->pixel_words;
    int64_t depth = (int64_t)l->kernel * l->kernel * s->pixel_words;
    int lanes = f->tiles->lanes, pitch = apq_int_pitch(l->out_size);
    place_image(f, image, m);
    for (int64_t column = 0; column < l->out_channels; column += lanes) {
        for (int y = 0; y < l->out_size; y++) {
            stem_row(
                f->tiles,
                (apq_int_dense){
                    .a = m->padded + y * l->stride * row,
                    .a_step = (int64_t)l->stride * s->pixel_words,
                    .a_row = row,
                    .n_rows = l->kernel,
                    .taps = l->kernel * s->pixel_words,
                    .b = s->w + column * depth,
                    .init = l->init + column,
                    .scale = l->scale + column,
                    .high = l->code_high,
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
    const apq_int_layer *d = &b->depthwise;
    size_t n = (size_t)d->kernel * (size_t)b->plane_row;
    memset(plane, d->in_zero, n * sizeof *plane);
    memset(plane + (d->kernel + d->in_size) * b->plane_row, d->in_zero,
           n * sizeof *plane);
}

/* Vector v of the depthwise convolution; x (step channels) begins with it. */
static void correlate(const apq_int_infer *f, const apq_int_block *b,
                      const apq_int_scratch *m, int v, const uint8_t *x,
                      int64_t step) {
    const apq_int_tiles *k = f->tiles;
    const apq_int_layer *d = &b->depthwise;
    int64_t column = (int64_t)v * k->lanes;
    int64_t taps = (int64_t)d->kernel * (d->kernel > APQ_INT_WORD ? 2 : 1);
    k->depthwise[d->stride - 1][d->kernel](&(apq_int_depthwise_args){
        .x = x,
        .x_step = step * APQ_INT_WORD,
        .in_size = d->in_size,
        .out_size = d->out_size,
        .zero = d->in_zero,
        .plane = m->plane + d->kernel * b->plane_row,
        .n_quads = b->n_quads,
        .w = b->taps + taps * column,
        .init = d->init + column,
        .scale = d->scale + column,
        .high = d->code_high,
        .codes = m->deep + column * APQ_INT_WORD,
        .codes_step = d->ldy * APQ_INT_WORD,
    });
}

/* What lies between: the expansion in groups, each correlated while it is in
 * cache. */
static void run_middle(const apq_int_infer *f, const apq_int_block *b,
                       const apq_int_scratch *m, const uint8_t *x) {
    const apq_int_tiles *k = f->tiles;
    const apq_int_layer *d = &b->depthwise;
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
                         .pixels = apq_int_stored_pixels(d->in_size),
                         .channels = b->expand.layer.ldx,
                         .codes = m->wide,
                         .codes_channels = step,
                     });
        }
        for (int v = begin; v < end; v++) {
            int64_t column = (int64_t)(v - begin) * k->lanes;
            correlate(f, b, m, v, wide + column * APQ_INT_WORD, step);
        }
    }
}

static void run_block(const apq_int_infer *f, const apq_int_block *b,
                      const apq_int_scratch *m, const uint8_t *x, uint8_t *y) {
    const apq_int_layer *d = &b->depthwise, *project = &b->project.layer;
    if (d->in_zero != 0) {
        fill_margins(b, m->plane);
    }
    run_middle(f, b, m,
               read_codes(f, b->has_expand ? &b->expand.layer : d, m, x));
    multiply_all(f->tiles, &b->project,
                 &(product_io){
                     .x = m->deep,
                     .pixels = apq_int_stored_pixels(d->out_size),
                     .channels = d->ldy,
                     .codes = y,
                     .codes_channels = project->ldy,
                     .residual = b->is_residual ? x : NULL,
                 });
}

/* Images ------------------------------------------------------------------ */

static void run_image(const apq_int_infer *f, const apq_int_scratch *m,
                      const float *image, float *logits) {
    run_stem(f, image, m, m->narrow[0]);
    int at = 0;
    for (int i = 0; i < f->n_blocks; i++, at = 1 - at) {
        run_block(f, &f->blocks[i], m, m->narrow[at], m->narrow[1 - at]);
    }
    const apq_int_layer *l = &f->mix.layer;
    multiply_all(f->tiles, &f->mix,
                 &(product_io){
                     .x = read_codes(f, l, m, m->narrow[at]),
                     .pixels = apq_int_stored_pixels(l->out_size),
                     .channels = l->ldx,
                     .codes = m->narrow[1 - at],
                     .codes_channels = l->ldy,
                 });
    f->tiles->add_up(m->narrow[1 - at], l->out_size, l->ldy, m->totals);
    apq_int_classify(&f->head, m->totals, m->pooled, logits);
}

void apq_int_infer_run(apq_int_infer *f, const float *images, int n,
                       float *logits) {
    int n_threads = n < f->n_threads ? n : f->n_threads;
#pragma omp parallel for schedule(dynamic) num_threads(n_threads) if (n > 1)
    for (int i = 0; i < n; i++) {
        run_image(f, &f->scratch[omp_get_thread_num()],
                  images + (size_t)i * f->image_values,
                  logits + (int64_t)i * f->head.n_classes);
    }
}

/* Kernels ----------------------------------------------------------------- */

#ifdef APQ_DEPLOY_X86
/* By the instruction: not every compiler's __builtin_cpu_supports() knows its
 * name. AVX2 says that the system saves the registers. */
static bool has_avxvnni(void) {
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx2") &&
           __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1) != 0;
}
#endif

const apq_int_tiles *apq_int_tiles_get(int i) {
#ifdef APQ_DEPLOY_X86
    if (__builtin_cpu_supports("avx512vnni") &&
        __builtin_cpu_supports("avx512vbmi") &&
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
