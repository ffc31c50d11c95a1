/* Plans the fused integer evaluation: finds the blocks of a chain, packs codes
 * in words of four for the kernels, takes the memory of every thread. */
#include "deploy/int_plan.h"

#include "backend/backend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Zeroed memory of the arena; NULL when exhausted. */
static void *take(apq_int_infer *f, int64_t n, size_t size) {
    void *p = apq_arena_alloc(f->arena, (size_t)n, size);
    return p == NULL ? NULL : memset(p, 0, (size_t)n * size);
}

#define TAKE(ptr, f, n)                                                        \
    do {                                                                       \
        (ptr) = take((f), (n), sizeof *(ptr));                                 \
        if ((ptr) == NULL) {                                                   \
            APQ_FAIL(APQ_ERR_NOMEM,                                            \
                     "integer evaluation: no memory for %lld values",          \
                     (long long)(n));                                          \
        }                                                                      \
    } while (0)

/* The chain --------------------------------------------------------------- */

static bool is_signed(const apq_int_conv *c) {
    return c->out.low < 0;
}

/* Whether no sum is further from its codes than the kernels can tell. */
static bool is_tame(const apq_int_conv *c) {
    double products = 255.0 * 127.0 * (double)apq_int_depth(&c->ir);
    double most = 0;
    for (int k = 0; k < c->ir.out_channels; k++) {
        double sum = fabs((double)c->bias[k]) + products;
        most = fmax(most, sum * (double)c->rescale[k]);
    }
    return most < APQ_INT_MAX_CODE;
}

/* Layers of the block that begins at layer i; 0: none does. */
static int block_length(const apq_int_model *m, int i) {
    int n = m->convs[i].ir.kind == APQ_IR_POINTWISE ? 3 : 2;
    if (i + n >= m->n_convs) {
        return 0;
    }
    const apq_ir_layer *depthwise = &m->convs[i + n - 2].ir;
    const apq_ir_layer *project = &m->convs[i + n - 1].ir;
    int kernel = depthwise->kernel;
    bool is_block = depthwise->kind == APQ_IR_DEPTHWISE &&
                    (kernel == 3 || kernel == 5 || kernel == 7) &&
                    depthwise->stride <= 2 &&
                    project->kind == APQ_IR_POINTWISE &&
                    (project->residual_from < 0 ||
                     (project->residual_from == i - 1 && i > 1));
    for (int k = i; k < i + n - 1; k++) {
        is_block &= !is_signed(&m->convs[k]);
    }
    return is_block ? n : 0;
}

/* Blocks between stem and mix; -1: the layers are no such chain. */
static int count_blocks(const apq_int_model *m) {
    int last = m->n_convs - 1;
    int n = 0;
    if (last < 1 || m->convs[0].ir.kind != APQ_IR_CONV ||
        is_signed(&m->convs[0]) || m->convs[last].ir.kind != APQ_IR_POINTWISE ||
        m->convs[last].ir.residual_from >= 0 || is_signed(&m->convs[last])) {
        return -1;
    }
    for (int i = 0; i <= last; i++) {
        if (!is_tame(&m->convs[i])) {
            return -1;
        }
    }
    for (int i = 1; i < last; n++) {
        int length = block_length(m, i);
        if (length == 0) {
            return -1;
        }
        i += length;
    }
    return n;
}

/* Packing ----------------------------------------------------------------- */

static int divide_up(int a, int b) {
    return (a + b - 1) / b;
}

/* Codes d .. d + 3 of output k, of which those from `end` on are 0, as bytes.
 */
static int32_t pack_word(const apq_int_conv *c, int64_t k, int64_t d,
                         int64_t end) {
    int8_t bytes[APQ_INT_WORD] = {0};
    const int8_t *w = c->w + k * apq_int_depth(&c->ir);
    for (int i = 0; i < APQ_INT_WORD; i++) {
        if (k < c->ir.out_channels && d + i < end) {
            bytes[i] = w[d + i];
        }
    }
    int32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static apq_status pack_matrix(apq_int_infer *f, const apq_int_conv *c,
                              apq_int_matrix *m) {
    int lanes = f->tiles->lanes, channels = c->ir.in_channels;
    int n_vectors = divide_up(c->ir.out_channels, lanes);
    *m = (apq_int_matrix){
        .n_vectors = n_vectors,
        .n_panels = divide_up(n_vectors, APQ_INT_VECTORS),
        .depth = divide_up(channels, APQ_INT_WORD),
    };
    APQ_TRY(apq_int_layer_init(f->arena, c, &m->layer));
    int32_t *b;
    TAKE(b, f, m->depth * n_vectors * lanes);
    m->b = b;
    for (int p = 0; p < m->n_panels; p++) {
        int first = apq_int_part(n_vectors, p, m->n_panels) * lanes;
        int end = apq_int_part(n_vectors, p + 1, m->n_panels) * lanes;
        for (int64_t i = 0; i < m->depth; i++) {
            for (int k = first; k < end; k++) {
                *b++ = pack_word(c, k, i * APQ_INT_WORD, channels);
            }
        }
    }
    return APQ_OK;
}

/* Runs of `length` codes, each in whole words, of all outputs. */
static apq_status pack_runs(apq_int_infer *f, const apq_int_conv *c, int length,
                            const int32_t **out) {
    int lanes = f->tiles->lanes;
    int n_vectors = divide_up(c->ir.out_channels, lanes);
    int run_words = divide_up(length, APQ_INT_WORD);
    int64_t n_runs = apq_int_depth(&c->ir) / length;
    int32_t *w;
    TAKE(w, f, n_vectors * n_runs * run_words * lanes);
    *out = w;
    for (int v = 0; v < n_vectors; v++) {
        for (int64_t u = 0; u < n_runs; u++) {
            for (int i = 0; i < run_words; i++) {
                for (int k = v * lanes; k < (v + 1) * lanes; k++) {
                    *w++ = pack_word(c, k, u * length + i * APQ_INT_WORD,
                                     (u + 1) * length);
                }
            }
        }
    }
    return APQ_OK;
}

static apq_status plan_stem(apq_int_infer *f, const apq_int_conv *c) {
    apq_int_start *s = &f->stem;
    APQ_TRY(apq_int_layer_init(f->arena, c, &s->layer));
    s->pixel_words = divide_up(c->ir.in_channels, APQ_INT_WORD);
    /* Kernels write whole quads. */
    int span = (apq_int_pitch(c->ir.out_size) - 1) * c->ir.stride;
    int least = c->ir.in_size + c->ir.kernel / 2;
    s->width = span + c->ir.kernel > least ? span + c->ir.kernel : least;
    span = (c->ir.out_size - 1) * c->ir.stride;
    s->height = span + c->ir.kernel > least ? span + c->ir.kernel : least;
    return pack_runs(f, c, c->ir.in_channels, &s->w);
}

static apq_status plan_block(apq_int_infer *f, const apq_int_model *m,
                             int begin, int length, apq_int_block *b) {
    const apq_int_conv *depthwise = &m->convs[begin + length - 2];
    const apq_int_conv *project = &m->convs[begin + length - 1];
    b->has_expand = length == 3;
    b->is_residual = project->ir.residual_from >= 0;
    APQ_TRY(apq_int_layer_init(f->arena, depthwise, &b->depthwise));
    const apq_int_layer *d = &b->depthwise;
    b->n_vectors = divide_up(d->in_channels, f->tiles->lanes);
    b->n_groups = divide_up(b->n_vectors, APQ_INT_VECTORS);
    b->n_quads = apq_int_row_quads(d->kernel, d->stride, d->out_size);
    b->plane_row =
        (int64_t)b->n_quads * (APQ_INT_WORD / d->stride) * f->tiles->lanes;
    APQ_TRY(pack_runs(f, depthwise, d->kernel, &b->taps));
    if (b->has_expand) {
        APQ_TRY(pack_matrix(f, &m->convs[begin], &b->expand));
    }
    return pack_matrix(f, project, &b->project);
}

/* Memory ------------------------------------------------------------------ */

static int64_t largest(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* Largest sizes over all blocks. */
typedef struct extent {
    int64_t narrow, wide, plane, deep;
} extent;

static int64_t outputs_of(const apq_int_layer *l) {
    return apq_int_stored_pixels(l->out_size) * l->ldy;
}

static extent measure(const apq_int_infer *f) {
    int group = APQ_INT_VECTORS * f->tiles->lanes;
    extent e = {.narrow = largest(outputs_of(&f->stem.layer),
                                  outputs_of(&f->mix.layer))};
    for (int i = 0; i < f->n_blocks; i++) {
        const apq_int_block *b = &f->blocks[i];
        const apq_int_layer *d = &b->depthwise;
        int64_t rows = d->in_size + 2 * (int64_t)d->kernel;
        e.narrow = largest(e.narrow, outputs_of(&b->project.layer));
        e.wide = largest(e.wide, apq_int_stored_pixels(d->in_size) * group);
        e.plane = largest(e.plane, rows * b->plane_row);
        e.deep = largest(e.deep, outputs_of(d));
    }
    return e;
}

static apq_status take_scratch(apq_int_infer *f) {
    extent e = measure(f);
    const apq_int_start *stem = &f->stem;
    int64_t n_words = (int64_t)stem->width * stem->height * stem->pixel_words;
    TAKE(f->scratch, f, f->n_threads);
    for (int t = 0; t < f->n_threads; t++) {
        apq_int_scratch *s = &f->scratch[t];
        TAKE(s->image, f, (int64_t)f->image_values + APQ_INT_WORD - 1);
        TAKE(s->padded, f, n_words);
        memset(s->padded, stem->layer.in_zero,
               (size_t)n_words * sizeof *s->padded);
        TAKE(s->narrow[0], f, e.narrow);
        TAKE(s->narrow[1], f, e.narrow);
        TAKE(s->reread, f, e.narrow);
        TAKE(s->wide, f, e.wide);
        TAKE(s->plane, f, e.plane);
        TAKE(s->deep, f, e.deep);
        TAKE(s->totals, f, f->mix.layer.ldy);
        TAKE(s->pooled, f, f->head.channels);
    }
    return APQ_OK;
}

static apq_status plan(apq_int_infer *f, const apq_int_model *m) {
    f->n_threads = apq_backend_threads();
    f->image_values = (size_t)m->resolution * (size_t)m->resolution *
                      (size_t)m->image_channels;
    f->image_step = m->convs[0].in.step;
    APQ_TRY(plan_stem(f, &m->convs[0]));
    TAKE(f->blocks, f, f->n_blocks);
    int begin = 1;
    for (int i = 0; i < f->n_blocks; i++) {
        int length = block_length(m, begin);
        APQ_TRY(plan_block(f, m, begin, length, &f->blocks[i]));
        begin += length;
    }
    APQ_TRY(pack_matrix(f, &m->convs[begin], &f->mix));
    APQ_TRY(apq_int_head_create(f->arena, m, &f->head));
    return take_scratch(f);
}

apq_status apq_int_infer_create_with(const apq_int_model *model,
                                     const apq_int_tiles *tiles,
                                     apq_int_infer **out) {
    int n_blocks = count_blocks(model);
    *out = NULL;
    if (n_blocks < 0) {
        return APQ_OK;
    }
    apq_int_infer *f = apq_calloc(1, sizeof *f);
    if (f == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "integer evaluation: out of memory");
    }
    f->tiles = tiles;
    f->n_blocks = n_blocks;
    apq_status st = apq_arena_create(&f->arena);
    if (st == APQ_OK) {
        st = plan(f, model);
    }
    if (st != APQ_OK) {
        apq_int_infer_destroy(f);
        return st;
    }
    *out = f;
    return APQ_OK;
}

apq_status apq_int_infer_create(const apq_int_model *model,
                                apq_int_infer **out) {
    return apq_int_infer_create_with(model, apq_int_tiles_get(0), out);
}

void apq_int_infer_destroy(apq_int_infer *f) {
    if (f != NULL) {
        apq_arena_destroy(f->arena);
        free(f);
    }
}
