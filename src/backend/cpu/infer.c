/* Evaluation of whole networks: tiles of a few images over the threads, each
 * run block by block through cached scratch, a group of channels and a strip
 * of rows at a time (ours; the fusion is that of MobileNetV2, section 5.1). */
#include "backend/cpu/infer_plan.h"

#include <omp.h>
#include <string.h>

/* Where a product reads and writes. */
typedef struct product_io {
    apq_infer_product args; /* but b, bias and clip */
    int pixels;
} product_io;

/* Vectors [begin, end) of outputs, whole groups; args.c is that of `begin`.
 * Of the depth, args.depth words from `skip` on: the first bring the bias, the
 * last are clamped. */
static void multiply(const apq_infer_matrix *m, int begin, int end,
                     int64_t skip, const product_io *io) {
    const apq_infer_kernels *k = m->kernels;
    int lanes = k->lanes;
    int count = end - begin;
    int n_panels = (count + APQ_INFER_VECTORS - 1) / APQ_INFER_VECTORS;
    bool is_strided = io->args.a_step != k->block_words;
    for (int p = 0; p < n_panels; p++) {
        int first = apq_infer_part(count, p, n_panels);
        int n = apq_infer_part(count, p + 1, n_panels) - first;
        int64_t column = (int64_t)(begin + first) * lanes;
        apq_infer_product args = io->args;
        args.b = m->w + m->depth * column + skip * n * lanes;
        args.bias = skip == 0 ? m->bias + column : NULL;
        args.clip = skip + args.depth == m->depth ? m->clip : 0.0F;
        args.c += first * args.c_block;
        args.from = args.from == NULL ? NULL : args.from + first * args.c_block;
        int i = 0;
        for (int t = 0; t < APQ_INFER_TILES; t++) {
            int rows = k->tiles[n - 1][t];
            apq_infer_product_kernel kernel =
                is_strided ? k->strided[n - 1][t] : k->blocked[n - 1][t];
            for (; i + rows <= io->pixels; i += rows) {
                kernel(&args);
                args.a += rows * args.a_step;
                args.place += rows;
            }
        }
    }
}

/* Stem -------------------------------------------------------------------- */

static void run_stem(const apq_infer *f, const float *image, float *padded,
                     float *y) {
    int pad = f->stem_kernel / 2;
    int64_t row = (int64_t)f->image_size * f->image_channels;
    int64_t step =
        (int64_t)(f->image_size + f->stem_kernel) * f->image_channels;
    for (int i = 0; i < f->image_size; i++) {
        memcpy(padded + (i + pad) * step + pad * f->image_channels,
               image + i * row, (size_t)row * sizeof *image);
    }
    for (int i = 0; i < f->stem_size; i++) {
        multiply(
            &f->stem, 0, f->stem.n_vectors, 0,
            &(product_io){
                .args =
                    {
                        .a = padded + i * f->stem_stride * step,
                        .a_step = (int64_t)f->stem_stride * f->image_channels,
                        .segment = (int64_t)f->stem_kernel * f->image_channels,
                        .a_segment = step,
                        .depth = f->stem.depth,
                        .c = y,
                        .c_block = (int64_t)f->stem_size * f->stem_size *
                                   f->stem.kernels->lanes,
                        .place = f->place + i * f->stem_size,
                    },
                .pixels = f->stem_size,
            });
    }
}

/* Blocks ------------------------------------------------------------------ */

/* One group of channels of one image. */
typedef struct group_run {
    const apq_infer *f;
    const apq_infer_stage *s;
    const apq_infer_scratch *m;
    int begin, end;       /* vectors */
    const float *x;       /* blocked, floats */
    const float *operand; /* the same as operands; NULL: not expanded */
    float *y;
    int64_t wide_block, deep_block; /* floats; words */
} group_run;

/* Input rows [first, end) into the rows of `wide` from `at` on. */
static void fill_rows(const group_run *g, int first, int end, int at) {
    const apq_infer_stage *s = g->s;
    const apq_infer_kernels *k = g->f->kernels;
    int64_t pixels = (int64_t)s->in_size * s->in_size;
    int64_t skip = (int64_t)first * s->in_size;
    const int32_t *place = s->place + (int64_t)at * s->in_size;
    if (s->has_expand) {
        multiply(&s->expand, g->begin, g->end, 0,
                 &(product_io){
                     .args =
                         {
                             .a = g->operand + skip * k->block_words,
                             .a_step = k->block_words,
                             .segment = k->block_words,
                             .a_segment = pixels * k->block_words,
                             .depth = s->expand.depth,
                             .c = g->m->wide,
                             .c_block = g->wide_block,
                             .place = place,
                         },
                     .pixels = (end - first) * s->in_size,
                 });
        return;
    }
    size_t bytes = (size_t)s->in_size * (size_t)k->lanes * sizeof(float);
    for (int b = g->begin; b < g->end; b++) {
        const float *x = g->x + (b * pixels + skip) * k->lanes;
        float *wide = g->m->wide + (b - g->begin) * g->wide_block;
        for (int i = 0; i < end - first; i++) {
            memcpy(wide + place[i * s->in_size],
                   x + (int64_t)i * s->in_size * k->lanes, bytes);
        }
    }
}

/* Output rows [first, end); `wide` begins with input row `top`. */
static void correlate(const group_run *g, int first, int end, int top) {
    const apq_infer_stage *s = g->s;
    const apq_infer_kernels *k = g->f->kernels;
    int64_t row = (int64_t)s->packed_w * k->lanes;
    int taps = s->kernel * s->kernel;
    for (int b = g->begin; b < g->end; b++) {
        const float *wide = g->m->wide + (b - g->begin) * g->wide_block;
        float *deep = g->m->deep + (b - g->begin) * g->deep_block;
        const float *w = s->taps + (int64_t)b * taps * k->lanes;
        for (int i = first; i < end; i++) {
            int in = i * s->stride - s->kernel / 2;
            int skip = in < 0 ? -in : 0;
            int stop =
                in + s->kernel > s->in_size ? s->in_size - in : s->kernel;
            k->row[s->stride - 1][s->kernel](&(apq_infer_row){
                .in = wide + (in + skip - top) * row,
                .in_row = row,
                .w = w + (int64_t)skip * s->kernel * k->lanes,
                .bias = s->bias + (int64_t)b * k->lanes,
                .clip = s->clip,
                .n_rows = stop - skip,
                .out =
                    deep + (int64_t)(i - first) * s->out_size * k->block_words,
                .n_out = s->out_size,
            });
        }
    }
}

/* Adds what the group contributes to output rows [first, end). */
static void project(const group_run *g, int first, int end) {
    const apq_infer_stage *s = g->s;
    const apq_infer_kernels *k = g->f->kernels;
    int64_t skip = (int64_t)g->begin * k->block_words;
    int64_t depth = (int64_t)g->end * k->block_words;
    depth = (depth < s->project.depth ? depth : s->project.depth) - skip;
    const float *from = g->begin > 0 ? g->y : (s->is_residual ? g->x : NULL);
    multiply(
        &s->project, 0, s->project.n_vectors, skip,
        &(product_io){
            .args =
                {
                    .a = g->m->deep,
                    .a_step = k->block_words,
                    .segment = k->block_words,
                    .a_segment = g->deep_block,
                    .depth = depth,
                    .from = from,
                    .c = g->y,
                    .c_block = (int64_t)s->out_size * s->out_size * k->lanes,
                    .place = g->f->place + (int64_t)first * s->out_size,
                },
            .pixels = (end - first) * s->out_size,
        });
}

/* Keeps the rows of `wide` from input row `first` on, moved to its top. */
static void keep_rows(const group_run *g, int top, int first, int filled) {
    int64_t row = (int64_t)g->s->packed_w * g->f->kernels->lanes;
    if (first == top || first >= filled) {
        return;
    }
    for (int b = 0; b < g->end - g->begin; b++) {
        float *wide = g->m->wide + b * g->wide_block;
        memmove(wide, wide + (first - top) * row,
                (size_t)((filled - first) * row) * sizeof *wide);
    }
}

static void run_group(const group_run *g) {
    const apq_infer_stage *s = g->s;
    int pad = s->kernel / 2;
    int top = 0;    /* input row at the top of `wide` */
    int filled = 0; /* input rows already there, from row 0 on */
    for (int i = 0; i < s->out_size; i += s->strip) {
        int end = i + s->strip < s->out_size ? i + s->strip : s->out_size;
        int first = i * s->stride - pad;
        int last = (end - 1) * s->stride - pad + s->kernel;
        first = first < 0 ? 0 : first;
        last = last > s->in_size ? s->in_size : last;
        keep_rows(g, top, first, filled);
        top = first;
        filled = filled < first ? first : filled;
        fill_rows(g, filled, last, filled - top);
        filled = last;
        correlate(g, i, end, top);
        project(g, i, end);
    }
}

/* The columns left and right of the pixels of `wide`. */
static void clear_margins(const apq_infer_stage *s, int lanes, float *wide) {
    int64_t rows = (int64_t)s->group * s->wide_rows;
    int64_t left = (int64_t)s->kernel / 2 * lanes;
    int64_t right = left + (int64_t)s->in_size * lanes;
    int64_t step = (int64_t)s->packed_w * lanes;
    for (int64_t i = 0; i < rows; i++) {
        float *row = wide + i * step;
        memset(row, 0, (size_t)left * sizeof *row);
        memset(row + right, 0, (size_t)(step - right) * sizeof *row);
    }
}

/* Words between the operands of neighbouring images. */
static int64_t operand_step(const apq_infer *f) {
    return f->narrow / f->kernels->lanes * f->kernels->block_words;
}

/* x, n_vectors of each of n images, as operands. */
static const float *as_operands(const apq_infer *f, const apq_infer_scratch *m,
                                int n, int64_t n_vectors, const float *x) {
    if (f->kernels->round == NULL) {
        return x;
    }
    for (int i = 0; i < n; i++) {
        f->kernels->round(x + i * f->narrow, n_vectors,
                          m->operand + i * operand_step(f));
    }
    return m->operand;
}

/* x, y: of n images. */
static void run_stage(const apq_infer *f, const apq_infer_stage *s,
                      const apq_infer_scratch *m, int n, const float *x,
                      float *y) {
    const apq_infer_kernels *k = f->kernels;
    int64_t in_vectors = (int64_t)s->in_size * s->in_size * s->in_vectors;
    const float *operand =
        s->has_expand ? as_operands(f, m, n, in_vectors, x) : NULL;
    clear_margins(s, k->lanes, m->wide);
    for (int g = 0; g < s->n_groups; g++) {
        for (int i = 0; i < n; i++) {
            run_group(&(group_run){
                .f = f,
                .s = s,
                .m = m,
                .begin = apq_infer_part(s->vectors, g, s->n_groups),
                .end = apq_infer_part(s->vectors, g + 1, s->n_groups),
                .x = x + i * f->narrow,
                .operand =
                    operand == NULL ? NULL : operand + i * operand_step(f),
                .y = y + i * f->narrow,
                .wide_block = (int64_t)s->wide_rows * s->packed_w * k->lanes,
                .deep_block = (int64_t)s->strip * s->out_size * k->block_words,
            });
        }
    }
}

/* Head -------------------------------------------------------------------- */

/* The mix of every image of a tile, averaged a panel at a time. */
static void run_mix(const apq_infer *f, const apq_infer_scratch *m, int n,
                    const float *x) {
    const apq_infer_kernels *k = f->kernels;
    int pixels = f->mix_size * f->mix_size;
    const float *operand =
        as_operands(f, m, n, (int64_t)pixels * f->mix_in_vectors, x);
    int n_groups = f->mix.n_groups;
    for (int g = 0; g < n_groups; g++) {
        int begin = apq_infer_part(f->mix.n_vectors, g, n_groups);
        int end = apq_infer_part(f->mix.n_vectors, g + 1, n_groups);
        for (int i = 0; i < n; i++) {
            multiply(&f->mix, begin, end, 0,
                     &(product_io){
                         .args =
                             {
                                 .a = operand + i * operand_step(f),
                                 .a_step = k->block_words,
                                 .segment = k->block_words,
                                 .a_segment = (int64_t)pixels * k->block_words,
                                 .depth = f->mix.depth,
                                 .c = m->deep,
                                 .c_block = (int64_t)pixels * k->lanes,
                                 .place = f->place,
                             },
                         .pixels = pixels,
                     });
            for (int b = begin; b < end; b++) {
                k->average(m->deep + (int64_t)(b - begin) * pixels * k->lanes,
                           pixels,
                           m->pooled + ((int64_t)b * f->tile + i) * k->lanes);
            }
        }
    }
}

static void classify(const apq_infer *f, const apq_infer_scratch *m, int n,
                     float *logits) {
    int lanes = f->kernels->lanes;
    int64_t block = (int64_t)f->tile * lanes;
    multiply(&f->classifier, 0, f->classifier.n_vectors, 0,
             &(product_io){
                 .args =
                     {
                         .a = m->pooled,
                         .a_step = lanes,
                         .segment = lanes,
                         .a_segment = block,
                         .depth = f->classifier.depth,
                         .c = m->logits,
                         .c_block = block,
                         .place = f->place,
                     },
                 .pixels = n,
             });
    for (int i = 0; i < n; i++) {
        for (int c = 0; c < f->n_classes; c++) {
            logits[(int64_t)i * f->n_classes + c] =
                m->logits[c / lanes * block + i * lanes + c % lanes];
        }
    }
}

static void run_tile(const apq_infer *f, const apq_infer_scratch *m, int n,
                     const float *images, float *logits) {
    int64_t image = (int64_t)f->image_size * f->image_size * f->image_channels;
    for (int i = 0; i < n; i++) {
        run_stem(f, images + i * image, m->image, m->narrow[0] + i * f->narrow);
    }
    for (int i = 0; i < f->n_stages; i++) {
        run_stage(f, &f->stages[i], m, n, m->narrow[i % 2],
                  m->narrow[(i + 1) % 2]);
    }
    run_mix(f, m, n, m->narrow[f->n_stages % 2]);
    classify(f, m, n, logits);
}

void apq_cpu_infer_run(apq_infer *f, const float *images, int n_images,
                       float *logits) {
    int64_t image = (int64_t)f->image_size * f->image_size * f->image_channels;
    /* Small batches: tiles for all threads before full tiles. */
    int share = (n_images + f->n_threads - 1) / f->n_threads;
    int tile = share < f->tile ? share : f->tile;
    int n_tiles = (n_images + tile - 1) / tile;
    int n_threads = n_tiles < f->n_threads ? n_tiles : f->n_threads;
#pragma omp parallel for schedule(dynamic) num_threads(n_threads)
    for (int t = 0; t < n_tiles; t++) {
        int first = t * tile;
        int n = n_images - first < tile ? n_images - first : tile;
        run_tile(f, &f->scratch[omp_get_thread_num()], n,
                 images + first * image,
                 logits + (int64_t)first * f->n_classes);
    }
}
