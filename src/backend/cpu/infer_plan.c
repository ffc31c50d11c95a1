/* Folds batch norms into weights and biases, packs them for the kernels and
 * plans the cuts that keep every block's scratch in a level-two cache. */
#include "backend/cpu/infer_plan.h"

#include "backend/backend.h"

#include <stdlib.h>
#include <string.h>

enum {
    /* Floats: of the wide tensors of a block, and of the narrow ones of a
     * tile. Together they fill most of one mebibyte of cache. */
    WIDE_FLOATS = 96 * 1024,
    NARROW_FLOATS = 96 * 1024,
    MAX_TILE = 8,
};

static int vectors_of(const apq_infer_kernels *k, int channels) {
    return (channels + k->lanes - 1) / k->lanes;
}

/* Zeroed memory of the arena; NULL when exhausted. */
static void *take(apq_infer *f, int64_t n, size_t size) {
    void *p = apq_arena_alloc(f->arena, (size_t)n, size);
    return p == NULL ? NULL : memset(p, 0, (size_t)n * size);
}

#define TAKE(ptr, f, n)                                                        \
    do {                                                                       \
        (ptr) = take((f), (n), sizeof *(ptr));                                 \
        if ((ptr) == NULL) {                                                   \
            APQ_FAIL(APQ_ERR_NOMEM, "evaluation: no memory for %lld values",   \
                     (long long)(n));                                          \
        }                                                                      \
    } while (0)

/* Round to nearest, ties to even; NaN stays NaN. */
static uint16_t to_bfloat16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (value != value) {
        return (uint16_t)(bits >> 16 | 0x40U);
    }
    return (uint16_t)((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

/* Channel c of output k, folded. */
static float folded(const apq_infer_layer *l, int k, int64_t c, int64_t depth) {
    if (k >= l->out_channels || c >= depth) {
        return 0.0F;
    }
    float scale = l->scale != NULL ? l->scale[k] : 1.0F;
    return scale * l->w[k * l->ldw + c];
}

static apq_status fold_bias(apq_infer *f, const apq_infer_layer *l,
                            const float **out) {
    int lanes = f->kernels->lanes;
    int n_vectors = vectors_of(f->kernels, l->out_channels);
    float *bias;
    TAKE(bias, f, (int64_t)n_vectors * lanes);
    memcpy(bias, l->shift, (size_t)l->out_channels * sizeof *bias);
    *out = bias;
    return APQ_OK;
}

/* One panel of `width` outputs from `first` on: words (depth, width). */
static void pack_panel(const apq_infer_matrix *m, const apq_infer_layer *l,
                       int64_t depth, int first, int width, float *dst) {
    for (int64_t i = 0; i < m->depth; i++) {
        for (int j = 0; j < width; j++, dst++) {
            if (m->kernels->is_bfloat16) {
                uint16_t pair[2] = {
                    to_bfloat16(folded(l, first + j, 2 * i, depth)),
                    to_bfloat16(folded(l, first + j, 2 * i + 1, depth)),
                };
                memcpy(dst, pair, sizeof *dst);
            } else {
                *dst = folded(l, first + j, i, depth);
            }
        }
    }
}

static apq_status pack_matrix(apq_infer *f, const apq_infer_kernels *kernels,
                              const apq_infer_layer *l, int n_groups,
                              apq_infer_matrix *m) {
    int lanes = kernels->lanes;
    int64_t depth = (int64_t)l->kernel * l->kernel * l->in_channels;
    *m = (apq_infer_matrix){
        .kernels = kernels,
        .depth = kernels->is_bfloat16 ? (depth + 1) / 2 : depth,
        .n_vectors = vectors_of(kernels, l->out_channels),
        .n_groups = n_groups,
        .clip = l->clip,
    };
    APQ_TRY(fold_bias(f, l, &m->bias));
    TAKE(m->w, f, m->depth * m->n_vectors * lanes);
    for (int g = 0; g < n_groups; g++) {
        int begin = apq_infer_part(m->n_vectors, g, n_groups);
        int count = apq_infer_part(m->n_vectors, g + 1, n_groups) - begin;
        int n_panels = (count + APQ_INFER_VECTORS - 1) / APQ_INFER_VECTORS;
        for (int p = 0; p < n_panels; p++) {
            int first = begin + apq_infer_part(count, p, n_panels);
            int end = begin + apq_infer_part(count, p + 1, n_panels);
            pack_panel(m, l, depth, first * lanes, (end - first) * lanes,
                       m->w + m->depth * first * lanes);
        }
    }
    return APQ_OK;
}

static apq_status pack_taps(apq_infer *f, const apq_infer_layer *l,
                            apq_infer_stage *s) {
    int lanes = f->kernels->lanes;
    int n_taps = l->kernel * l->kernel;
    float *taps;
    APQ_TRY(fold_bias(f, l, &s->bias));
    TAKE(taps, f, (int64_t)s->vectors * n_taps * lanes);
    for (int c = 0; c < l->out_channels; c++) {
        float scale = l->scale != NULL ? l->scale[c] : 1.0F;
        for (int t = 0; t < n_taps; t++) {
            taps[(c / lanes * n_taps + t) * lanes + c % lanes] =
                scale * l->w[t * l->ldw + c];
        }
    }
    s->taps = taps;
    return APQ_OK;
}

/* Input rows that so many output rows read. */
static int rows_of_strip(const apq_infer_stage *s, int strip) {
    int rows = (strip - 1) * s->stride + s->kernel;
    return rows < s->in_size ? rows : s->in_size;
}

/* Floats of a vector of `wide`, and of `deep`, for strips of so many rows. */
static int64_t wide_floats(const apq_infer_stage *s, int strip, int lanes) {
    return (int64_t)rows_of_strip(s, strip) * s->packed_w * lanes;
}

static int64_t deep_floats(const apq_infer_stage *s, int strip, int lanes) {
    return (int64_t)strip * s->out_size * lanes;
}

static int64_t strip_floats(const apq_infer_stage *s, int strip, int lanes) {
    return wide_floats(s, strip, lanes) + deep_floats(s, strip, lanes);
}

/* A group is one panel unless whole images of more fit. */
static void cut_stage(apq_infer_stage *s, int lanes) {
    int group = s->vectors < APQ_INFER_VECTORS ? s->vectors : APQ_INFER_VECTORS;
    s->strip = s->out_size;
    while (s->strip > 1 &&
           group * strip_floats(s, s->strip, lanes) > WIDE_FLOATS) {
        s->strip--;
    }
    if (s->strip == s->out_size) {
        int64_t fit =
            WIDE_FLOATS / strip_floats(s, s->strip, lanes) / APQ_INFER_VECTORS;
        group = fit > 1 ? (int)fit * APQ_INFER_VECTORS : group;
        group = group > s->vectors ? s->vectors : group;
    }
    s->n_groups = (s->vectors + group - 1) / group;
    s->group = group;
    s->wide_rows = rows_of_strip(s, s->strip);
}

static apq_status plan_stage(apq_infer *f, const apq_infer_block *b,
                             apq_infer_stage *s) {
    const apq_infer_layer *d = &b->depthwise;
    int lanes = f->kernels->lanes;
    int pad = d->kernel / 2;
    int end = (d->out_size - 1) * d->stride + d->kernel;
    *s = (apq_infer_stage){
        .has_expand = b->has_expand,
        .is_residual = b->is_residual,
        .vectors = vectors_of(f->kernels, d->in_channels),
        .in_size = d->in_size,
        .out_size = d->out_size,
        .kernel = d->kernel,
        .stride = d->stride,
        .packed_w = end > pad + d->in_size ? end : pad + d->in_size,
        .clip = d->clip,
    };
    s->in_vectors = b->has_expand
                        ? vectors_of(f->kernels, b->expand.in_channels)
                        : s->vectors;
    cut_stage(s, lanes);
    int32_t *place;
    TAKE(place, f, (int64_t)s->wide_rows * s->in_size);
    for (int i = 0; i < s->wide_rows * s->in_size; i++) {
        place[i] =
            (i / s->in_size * s->packed_w + pad + i % s->in_size) * lanes;
    }
    s->place = place;
    APQ_TRY(pack_taps(f, d, s));
    if (b->has_expand) {
        APQ_TRY(
            pack_matrix(f, f->kernels, &b->expand, s->n_groups, &s->expand));
    }
    return pack_matrix(f, f->kernels, &b->project, 1, &s->project);
}

static int64_t largest(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t blocked_floats(int size, int n_vectors, int lanes) {
    return (int64_t)size * size * n_vectors * lanes;
}

/* Largest sizes over all blocks, floats. */
typedef struct extent {
    int64_t wide, deep;
} extent;

/* Also decides how many images a tile has. */
static extent measure(apq_infer *f) {
    int lanes = f->kernels->lanes;
    extent e = {
        .deep = (int64_t)f->mix_size * f->mix_size * APQ_INFER_VECTORS * lanes,
    };
    f->narrow = blocked_floats(f->stem_size, f->stem.n_vectors, lanes);
    for (int i = 0; i < f->n_stages; i++) {
        const apq_infer_stage *s = &f->stages[i];
        f->narrow =
            largest(f->narrow,
                    blocked_floats(s->out_size, s->project.n_vectors, lanes));
        e.wide = largest(e.wide, s->group * wide_floats(s, s->strip, lanes));
        e.deep = largest(e.deep, s->group * deep_floats(s, s->strip, lanes));
    }
    int64_t fit = NARROW_FLOATS / f->narrow;
    f->tile = fit < 1 ? 1 : (fit > MAX_TILE ? MAX_TILE : (int)fit);
    return e;
}

static apq_status make_scratch(apq_infer *f) {
    extent e = measure(f);
    int lanes = f->kernels->lanes;
    int64_t side = f->image_size + f->stem_kernel;
    for (int t = 0; t < f->n_threads; t++) {
        apq_infer_scratch *s = &f->scratch[t];
        TAKE(s->image, f, side * side * f->image_channels);
        TAKE(s->narrow[0], f, f->tile * f->narrow);
        TAKE(s->narrow[1], f, f->tile * f->narrow);
        if (f->kernels->round != NULL) {
            TAKE(s->operand, f,
                 f->tile * f->narrow / lanes * f->kernels->block_words);
        }
        TAKE(s->wide, f, e.wide);
        TAKE(s->deep, f, e.deep);
        TAKE(s->pooled, f, (int64_t)f->tile * f->mix.n_vectors * lanes);
        TAKE(s->logits, f, (int64_t)f->tile * f->classifier.n_vectors * lanes);
    }
    return APQ_OK;
}

/* Offsets of consecutive vectors, enough for every blocked tensor. */
static apq_status make_places(apq_infer *f) {
    int64_t n = largest((int64_t)f->stem_size * f->stem_size, MAX_TILE);
    n = largest(n, (int64_t)f->mix_size * f->mix_size);
    for (int i = 0; i < f->n_stages; i++) {
        const apq_infer_stage *s = &f->stages[i];
        n = largest(n, (int64_t)s->out_size * s->out_size);
    }
    int32_t *place;
    TAKE(place, f, n);
    for (int64_t i = 0; i < n; i++) {
        place[i] = (int32_t)(i * f->kernels->lanes);
    }
    f->place = place;
    return APQ_OK;
}

static apq_status plan(apq_infer *f, const apq_infer_network *network) {
    const apq_infer_kernels *plain = apq_infer_kernels_float();
    const apq_infer_layer *stem = &network->stem;
    f->n_threads = apq_backend_threads();
    f->n_stages = network->n_blocks;
    f->image_size = stem->in_size;
    f->image_channels = stem->in_channels;
    f->stem_kernel = stem->kernel;
    f->stem_stride = stem->stride;
    f->stem_size = stem->out_size;
    f->mix_size = network->mix.in_size;
    f->mix_in_vectors = vectors_of(f->kernels, network->mix.in_channels);
    f->n_classes = network->classifier.out_channels;
    TAKE(f->scratch, f, f->n_threads);
    TAKE(f->stages, f, f->n_stages);
    APQ_TRY(pack_matrix(f, plain, stem, 1, &f->stem));
    for (int i = 0; i < f->n_stages; i++) {
        APQ_TRY(plan_stage(f, &network->blocks[i], &f->stages[i]));
    }
    int mix_vectors = vectors_of(f->kernels, network->mix.out_channels);
    int mix_groups = (mix_vectors + APQ_INFER_VECTORS - 1) / APQ_INFER_VECTORS;
    APQ_TRY(pack_matrix(f, f->kernels, &network->mix, mix_groups, &f->mix));
    APQ_TRY(pack_matrix(f, plain, &network->classifier, 1, &f->classifier));
    APQ_TRY(make_places(f));
    return make_scratch(f);
}

bool apq_cpu_infer_has_bfloat16(void) {
    return apq_infer_kernels_bfloat16() != NULL;
}

apq_status apq_cpu_infer_create(const apq_infer_network *network,
                                bool is_bfloat16, apq_infer **out) {
    if (is_bfloat16 && !apq_cpu_infer_has_bfloat16()) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "this processor has no bfloat16 products (AVX512_BF16)");
    }
    apq_infer *f = apq_calloc(1, sizeof *f);
    if (f == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "evaluation: out of memory");
    }
    f->kernels =
        is_bfloat16 ? apq_infer_kernels_bfloat16() : apq_infer_kernels_float();
    apq_status st = apq_arena_create(&f->arena);
    if (st == APQ_OK) {
        st = plan(f, network);
    }
    if (st != APQ_OK) {
        apq_cpu_infer_destroy(f);
        return st;
    }
    *out = f;
    return APQ_OK;
}

void apq_cpu_infer_destroy(apq_infer *f) {
    if (f != NULL) {
        apq_arena_destroy(f->arena);
        free(f);
    }
}
