/* Plans the fused integer evaluation: finds the blocks of a chain, packs codes
 * in words of four for the kernels, takes the memory of every thread. */
#include "deploy/int_plan.h"

#include "backend/backend.h"

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

static const apq_int_stage *stage_at(const apq_int_engine *e, int i) {
    return &e->stages[i];
}

/* Codes as a plain kernel writes them, and nothing else. */
static bool is_plain(const apq_int_stage *s) {
    return s->has_codes && !s->has_values && s->residual_from < 0 &&
           s->layer.code_zero == 0 && s->layer.code_scale == 1.0F;
}

/* Stages of the block that begins at stage i; 0: none does. */
static int block_length(const apq_int_engine *e, int i) {
    int n = stage_at(e, i)->kind == APQ_IR_POINTWISE ? 3 : 2;
    if (i + n >= e->n_stages) {
        return 0;
    }
    const apq_int_stage *depthwise = stage_at(e, i + n - 2);
    const apq_int_stage *project = stage_at(e, i + n - 1);
    int kernel = depthwise->layer.kernel;
    bool is_block = depthwise->kind == APQ_IR_DEPTHWISE &&
                    (kernel == 3 || kernel == 5 || kernel == 7) &&
                    depthwise->layer.stride <= 2 &&
                    project->kind == APQ_IR_POINTWISE &&
                    (project->residual_from < 0 ||
                     (project->residual_from == i - 1 && i > 1));
    for (int k = i; k < i + n - 1; k++) {
        is_block &= is_plain(stage_at(e, k));
    }
    return is_block ? n : 0;
}

/* Blocks between stem and mix; -1: the stages are no such chain. */
static int count_blocks(const apq_int_engine *e) {
    int last = e->n_stages - 1;
    int n = 0;
    const apq_int_stage *stem = stage_at(e, 0), *mix = stage_at(e, last);
    if (last < 1 || stem->kind != APQ_IR_CONV || stem->has_values ||
        mix->kind != APQ_IR_POINTWISE || mix->residual_from >= 0) {
        return -1;
    }
    for (int i = 1; i < last; n++) {
        int length = block_length(e, i);
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

/* Code d of output k. */
static int code_at(const apq_int_layer *l, int64_t depth, int64_t k,
                   int64_t d) {
    if (k >= l->out_channels || d >= depth) {
        return 0;
    }
    const int32_t *block = l->w + k / APQ_INT_LANES * APQ_INT_LANES * depth;
    return block[d * APQ_INT_LANES + k % APQ_INT_LANES];
}

/* Codes d .. d + 3, of which those from `end` on are 0, as bytes. */
static int32_t pack_word(const apq_int_layer *l, int64_t depth, int64_t k,
                         int64_t d, int64_t end) {
    int8_t bytes[APQ_INT_WORD];
    for (int i = 0; i < APQ_INT_WORD; i++) {
        bytes[i] = (int8_t)(d + i < end ? code_at(l, depth, k, d + i) : 0);
    }
    int32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static apq_status pack_matrix(apq_int_infer *f, const apq_int_stage *stage,
                              apq_int_matrix *m) {
    const apq_int_layer *l = &stage->layer;
    int lanes = f->tiles->lanes;
    int n_vectors = divide_up(l->out_channels, lanes);
    *m = (apq_int_matrix){
        .stage = stage,
        .n_vectors = n_vectors,
        .n_panels = divide_up(n_vectors, APQ_INT_VECTORS),
        .depth = divide_up(l->in_channels, APQ_INT_WORD),
    };
    int32_t *b;
    TAKE(b, f, m->depth * n_vectors * lanes);
    m->b = b;
    for (int p = 0; p < m->n_panels; p++) {
        int first = apq_int_part(n_vectors, p, m->n_panels) * lanes;
        int end = apq_int_part(n_vectors, p + 1, m->n_panels) * lanes;
        for (int64_t i = 0; i < m->depth; i++) {
            for (int k = first; k < end; k++) {
                *b++ = pack_word(l, l->in_channels, k, i * APQ_INT_WORD,
                                 l->in_channels);
            }
        }
    }
    return APQ_OK;
}

static apq_status pack_taps(apq_int_infer *f, const apq_int_layer *l,
                            int n_vectors, const int32_t **out) {
    int lanes = f->tiles->lanes;
    int64_t n_taps = (int64_t)l->kernel * l->kernel;
    int row_words = divide_up(l->kernel, APQ_INT_WORD);
    int32_t *w;
    TAKE(w, f, (int64_t)n_vectors * l->kernel * row_words * lanes);
    *out = w;
    for (int v = 0; v < n_vectors; v++) {
        for (int u = 0; u < l->kernel; u++) {
            for (int i = 0; i < row_words; i++) {
                for (int k = v * lanes; k < (v + 1) * lanes; k++) {
                    int row = u * l->kernel;
                    *w++ = pack_word(l, n_taps, k, row + i * APQ_INT_WORD,
                                     row + l->kernel);
                }
            }
        }
    }
    return APQ_OK;
}

static apq_status pack_stem(apq_int_infer *f) {
    const apq_int_layer *l = &f->engine.stages[0].layer;
    int lanes = f->tiles->lanes;
    int64_t depth = (int64_t)l->kernel * l->kernel * l->in_channels;
    int n_vectors = divide_up(l->out_channels, lanes);
    float *w;
    TAKE(w, f, n_vectors * depth * lanes);
    f->stem = w;
    for (int v = 0; v < n_vectors; v++) {
        for (int64_t d = 0; d < depth; d++) {
            for (int k = v * lanes; k < (v + 1) * lanes; k++) {
                *w++ = (float)code_at(l, depth, k, d);
            }
        }
    }
    int height;
    apq_int_padded_size(l, &height, &f->stem_width);
    return APQ_OK;
}

static apq_status plan_block(apq_int_infer *f, int begin, int length,
                             apq_int_block *b) {
    const apq_int_stage *stages = f->engine.stages;
    b->has_expand = length == 3;
    b->depthwise = &stages[begin + length - 2];
    const apq_int_layer *d = &b->depthwise->layer;
    b->n_vectors = divide_up(d->in_channels, f->tiles->lanes);
    b->n_groups = divide_up(b->n_vectors, APQ_INT_VECTORS);
    b->n_quads = apq_int_row_quads(d->kernel, d->stride, d->out_size);
    b->plane_row =
        (int64_t)b->n_quads * (APQ_INT_WORD / d->stride) * f->tiles->lanes;
    APQ_TRY(pack_taps(f, d, b->n_vectors, &b->taps));
    if (b->has_expand) {
        APQ_TRY(pack_matrix(f, &stages[begin], &b->expand));
    }
    return pack_matrix(f, &stages[begin + length - 1], &b->project);
}

/* Memory ------------------------------------------------------------------ */

static int64_t largest(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* Largest sizes over all blocks. */
typedef struct extent {
    int64_t narrow, wide, plane, deep;
} extent;

/* Pixels of an image as stored. */
static int64_t pixels_of(int side) {
    return (int64_t)side * apq_int_pitch(side);
}

static int64_t outputs_of(const apq_int_stage *s) {
    return pixels_of(s->layer.out_size) * s->layer.ldy;
}

static extent measure(const apq_int_infer *f) {
    int group = APQ_INT_VECTORS * f->tiles->lanes;
    extent e = {.narrow = largest(outputs_of(&f->engine.stages[0]),
                                  outputs_of(f->mix.stage))};
    for (int i = 0; i < f->n_blocks; i++) {
        const apq_int_block *b = &f->blocks[i];
        const apq_int_layer *d = &b->depthwise->layer;
        int64_t rows = d->in_size + 2 * (int64_t)d->kernel;
        e.narrow = largest(e.narrow, outputs_of(b->project.stage));
        e.wide = largest(e.wide, pixels_of(d->in_size) * group);
        e.plane = largest(e.plane, rows * b->plane_row);
        e.deep = largest(e.deep, outputs_of(b->depthwise));
    }
    return e;
}

static apq_status take_scratch(apq_int_infer *f) {
    extent e = measure(f);
    const apq_int_layer *stem = &f->engine.stages[0].layer;
    int height, width;
    apq_int_padded_size(stem, &height, &width);
    TAKE(f->scratch, f, f->n_threads);
    for (int t = 0; t < f->n_threads; t++) {
        apq_int_scratch *s = &f->scratch[t];
        TAKE(s->image, f, (int64_t)height * width * stem->in_channels);
        for (int i = 0; i < 2; i++) {
            TAKE(s->narrow[i], f, e.narrow);
            TAKE(s->values[i], f, e.narrow);
        }
        TAKE(s->wide, f, e.wide);
        TAKE(s->plane, f, e.plane);
        TAKE(s->deep, f, e.deep);
        TAKE(s->pooled, f, f->engine.channels);
        TAKE(s->pooled_codes, f, f->engine.channels);
    }
    return APQ_OK;
}

/* The tables that the kernels read as they are. */
static apq_status copy_tables(apq_int_infer *f, const apq_int_engine *e) {
    f->engine = *e;
    f->engine.arena = NULL;
    for (int i = 0; i < e->n_stages; i++) {
        apq_int_layer *l = &f->engine.stages[i].layer;
        int32_t *init;
        float *scale, *shift;
        TAKE(init, f, l->ldy);
        TAKE(scale, f, l->ldy);
        TAKE(shift, f, l->ldy);
        size_t n = (size_t)l->ldy;
        memcpy(init, l->init, n * sizeof *init);
        memcpy(scale, l->scale, n * sizeof *scale);
        memcpy(shift, l->shift, n * sizeof *shift);
        l->init = init;
        l->scale = scale;
        l->shift = shift;
    }
    int8_t *w;
    float *logit_scale, *bias;
    size_t n_weights = (size_t)e->n_classes * (size_t)e->channels;
    TAKE(w, f, (int64_t)n_weights);
    TAKE(logit_scale, f, e->n_classes);
    TAKE(bias, f, e->n_classes);
    memcpy(w, e->w, n_weights);
    memcpy(bias, e->bias, (size_t)e->n_classes * sizeof *bias);
    memcpy(logit_scale, e->logit_scale,
           (size_t)e->n_classes * sizeof *logit_scale);
    f->engine.w = w;
    f->engine.logit_scale = logit_scale;
    f->engine.bias = bias;
    return APQ_OK;
}

/* Weights are packed from the engine's own, which need not stay. */
static apq_status plan(apq_int_infer *f, const apq_int_engine *engine) {
    f->n_threads = apq_backend_threads();
    f->image_values = engine->image_values;
    APQ_TRY(copy_tables(f, engine));
    APQ_TRY(pack_stem(f));
    TAKE(f->blocks, f, f->n_blocks);
    int begin = 1;
    for (int i = 0; i < f->n_blocks; i++) {
        int length = block_length(engine, begin);
        APQ_TRY(plan_block(f, begin, length, &f->blocks[i]));
        begin += length;
    }
    APQ_TRY(pack_matrix(f, &f->engine.stages[begin], &f->mix));
    for (int i = 0; i < engine->n_stages; i++) {
        f->engine.stages[i].layer.w = NULL; /* the engine's own */
    }
    return take_scratch(f);
}

apq_status apq_int_infer_create_with(const apq_int_engine *engine,
                                     const apq_int_tiles *tiles,
                                     apq_int_infer **out) {
    int n_blocks = count_blocks(engine);
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
        st = plan(f, engine);
    }
    if (st != APQ_OK) {
        apq_int_infer_destroy(f);
        return st;
    }
    *out = f;
    return APQ_OK;
}

apq_status apq_int_infer_create(const apq_int_engine *engine,
                                apq_int_infer **out) {
    return apq_int_infer_create_with(engine, apq_int_tiles_get(0), out);
}

void apq_int_infer_destroy(apq_int_infer *f) {
    if (f != NULL) {
        apq_arena_destroy(f->arena);
        free(f);
    }
}
