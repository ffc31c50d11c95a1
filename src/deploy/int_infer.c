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

/* Where a product reads and writes; step as in apq_int_product, the last four
 * at the first output of the panel. */
typedef struct product_io {
    const uint8_t *x;
    int64_t pixels, ldx, step;
    uint8_t *codes;
    float *values;
    const float *residual;
    bool is_plain;
} product_io;

/* Panel p of the outputs. */
static void multiply(const apq_int_tiles *k, const apq_int_matrix *m, int p,
                     const product_io *io) {
    int first = apq_int_part(m->n_vectors, p, m->n_panels);
    int n = apq_int_part(m->n_vectors, p + 1, m->n_panels) - first;
    int64_t column = (int64_t)first * k->lanes;
    apq_int_product args = {
        .a = io->x,
        .a_step = io->ldx,
        .depth = m->depth,
        .b = m->b + m->depth * column,
        .init = m->stage->layer.init + column,
        .finish = finish_of(&m->stage->layer, column),
        .step = io->step,
        .codes = io->codes,
        .values = io->values,
        .residual = io->residual,
    };
    int64_t i = 0;
    for (int t = 0; t < APQ_INT_TILES; t++) {
        int rows = k->sizes[n - 1][t];
        apq_int_product_kernel kernel =
            io->is_plain ? k->plain[n - 1][t] : k->full[n - 1][t];
        for (; i + rows <= io->pixels; i += rows) {
            kernel(&args);
            int64_t step = rows * io->step;
            args.a += rows * io->ldx;
            args.codes = args.codes == NULL ? NULL : args.codes + step;
            args.values = args.values == NULL ? NULL : args.values + step;
            args.residual = args.residual == NULL ? NULL : args.residual + step;
        }
    }
}

static int64_t pixels_of(int side) {
    return (int64_t)side * side;
}

/* Stem -------------------------------------------------------------------- */

static void stem_row(const apq_int_tiles *k, apq_int_dense args, int n_out) {
    int i = 0;
    for (int t = 0; t < APQ_INT_TILES; t++) {
        int rows = k->sizes[0][t];
        for (; i + rows <= n_out; i += rows) {
            k->dense[t](&args);
            args.a += rows * args.a_step;
            args.codes += rows * args.step;
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
    for (int y = 0; y < l->in_size; y++) {
        memcpy(padded + (y + pad) * padded_row + pad * l->in_channels,
               image + y * row, (size_t)row * sizeof *image);
    }
    for (int64_t column = 0; column < l->out_channels; column += k->lanes) {
        for (int y = 0; y < l->out_size; y++) {
            stem_row(k,
                     (apq_int_dense){
                         .a = padded + y * l->stride * padded_row,
                         .a_step = (int64_t)l->stride * l->in_channels,
                         .a_row = padded_row,
                         .n_rows = l->kernel,
                         .taps = l->kernel * l->in_channels,
                         .b = f->stem + column * depth,
                         .finish = finish_of(l, column),
                         .step = l->ldy,
                         .codes = codes + y * l->out_size * l->ldy + column,
                     },
                     l->out_size);
        }
    }
}

/* Blocks ------------------------------------------------------------------ */

/* One vector of channels of the depthwise convolution: x (pixels, step) are
 * its codes, vector v of all. */
static void correlate(const apq_int_infer *f, const apq_int_block *b,
                      const apq_int_scratch *m, int v, const uint8_t *x,
                      int64_t step) {
    const apq_int_tiles *k = f->tiles;
    const apq_int_layer *l = &b->depthwise->layer;
    int pad = l->kernel / 2;
    int64_t column = (int64_t)v * k->lanes;
    int64_t words = (int64_t)b->n_words * k->lanes;
    int64_t tap_row =
        (int64_t)(l->kernel > APQ_INT_WORD ? 2 : 1) * k->lanes; /* words */
    const int32_t *taps = b->taps + v * l->kernel * tap_row;
    apq_int_spread spread = {
        .step = step,
        .n_in = l->in_size,
        .pad = pad,
        .zero = l->in_zero,
        .n_words = b->n_words,
    };
    apq_int_row row = {
        .init = l->init + column,
        .finish = finish_of(l, column),
        .step = l->ldy,
        .n_out = l->out_size,
    };
    int filled = 0; /* rows of the image spread so far */
    for (int y = 0; y < l->out_size; y++) {
        int first = y * l->stride - pad;
        int end =
            first + l->kernel < l->in_size ? first + l->kernel : l->in_size;
        for (; filled < end; filled++) {
            spread.x = x + (int64_t)filled * l->in_size * step;
            spread.dst = m->ring + filled % APQ_INT_RING * words;
            k->spread(&spread);
        }
        /* Rows outside add nothing where 0 means 0. */
        int skip = l->in_zero == 0 && first < 0 ? -first : 0;
        int stop = l->in_zero == 0 ? end - first : l->kernel;
        row.n_rows = stop - skip;
        for (int u = skip; u < stop; u++) {
            int at = first + u;
            row.rows[u - skip] = at < 0 || at >= l->in_size
                                     ? m->margin
                                     : m->ring + at % APQ_INT_RING * words;
        }
        row.w = taps + skip * tap_row;
        row.codes = m->deep + (int64_t)y * l->out_size * l->ldy + column;
        k->row[l->stride - 1][l->kernel](&row);
    }
}

/* x, from: codes and values that enter; y, values: that leave. */
static void run_block(const apq_int_infer *f, const apq_int_block *b,
                      const apq_int_scratch *m, const uint8_t *x,
                      const float *from, uint8_t *y, float *values) {
    const apq_int_tiles *k = f->tiles;
    const apq_int_layer *d = &b->depthwise->layer;
    if (d->in_zero != 0) {
        memset(m->margin, d->in_zero,
               (size_t)b->n_words * (size_t)k->lanes * sizeof *m->margin);
    }
    for (int g = 0; g < b->n_groups; g++) {
        int begin = apq_int_part(b->n_vectors, g, b->n_groups);
        int end = apq_int_part(b->n_vectors, g + 1, b->n_groups);
        const uint8_t *wide = x + (int64_t)begin * k->lanes;
        int64_t step = d->ldx;
        if (b->has_expand) {
            wide = m->wide;
            step = (int64_t)(end - begin) * k->lanes;
            multiply(k, &b->expand, g,
                     &(product_io){
                         .x = x,
                         .pixels = pixels_of(d->in_size),
                         .ldx = b->expand.stage->layer.ldx,
                         .step = step,
                         .codes = m->wide,
                         .is_plain = true,
                     });
        }
        for (int v = begin; v < end; v++) {
            correlate(f, b, m, v, wide + (int64_t)(v - begin) * k->lanes, step);
        }
    }
    const apq_int_stage *s = b->project.stage;
    for (int p = 0; p < b->project.n_panels; p++) {
        int64_t column = (int64_t)apq_int_part(b->project.n_vectors, p,
                                               b->project.n_panels) *
                         k->lanes;
        multiply(k, &b->project, p,
                 &(product_io){
                     .x = m->deep,
                     .pixels = pixels_of(d->out_size),
                     .ldx = d->ldy,
                     .step = s->layer.ldy,
                     .codes = y + column,
                     .values = s->has_values ? values + column : NULL,
                     .residual = s->residual_from >= 0 ? from + column : NULL,
                 });
    }
}

/* Images ------------------------------------------------------------------ */

static void run_image(const apq_int_infer *f, const apq_int_scratch *m,
                      const float *image, float *logits) {
    const apq_int_tiles *k = f->tiles;
    run_stem(f, image, m->image, m->narrow[0]);
    int at = 0;
    for (int i = 0; i < f->n_blocks; i++, at = 1 - at) {
        run_block(f, &f->blocks[i], m, m->narrow[at], m->values[at],
                  m->narrow[1 - at], m->values[1 - at]);
    }
    const apq_int_layer *l = &f->mix.stage->layer;
    int64_t pixels = pixels_of(l->out_size);
    float *values = m->values[1 - at];
    for (int p = 0; p < f->mix.n_panels; p++) {
        int first = apq_int_part(f->mix.n_vectors, p, f->mix.n_panels);
        multiply(k, &f->mix, p,
                 &(product_io){
                     .x = m->narrow[at],
                     .pixels = pixels,
                     .ldx = l->ldx,
                     .step = l->ldy,
                     .values = values + (int64_t)first * k->lanes,
                 });
    }
    apq_int_classify(&f->engine, values, pixels, l->ldy, m->pooled,
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
            int32_t sink[2 * APQ_INT_LANES] = {0};
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
