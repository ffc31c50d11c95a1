/* The integer engine: at creation a model becomes a chain of kernels with
 * weights packed for them, at run time every thread walks images through it in
 * a workspace of its own. */
#include "deploy/int_engine.h"

#include "deploy/int_kernels.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* What surrounds a layer's kernel. Offsets are in bytes of the workspace. */
typedef struct stage {
    apq_int_layer layer;
    apq_ir_kind kind;
    int residual_from; /* -1: none */
    size_t codes;      /* offset of its output */
} stage;

struct apq_int_engine {
    apq_arena *arena; /* owns all tables */
    int n_stages;     /* convolutions; the classifier follows */
    stage stages[APQ_IR_MAX_LAYERS];
    apq_int_head head;
    float image_step;
    size_t image_values;
    /* Offsets of the workspace of one thread. */
    size_t image, reread, padded, totals, pooled, workspace_bytes;
};

/* Creation ---------------------------------------------------------------- */

/* Blocks of LANES output channels. */
static void pack(const apq_int_conv *c, int32_t *w) {
    int64_t depth = apq_int_depth(&c->ir);
    for (int64_t k = 0; k < c->ir.out_channels; k++) {
        int32_t *block = w + k / APQ_INT_LANES * APQ_INT_LANES * depth;
        for (int64_t d = 0; d < depth; d++) {
            block[d * APQ_INT_LANES + k % APQ_INT_LANES] = c->w[k * depth + d];
        }
    }
}

static apq_status build_stage(apq_int_engine *e, const apq_int_conv *c,
                              stage *s) {
    *s = (stage){.kind = c->ir.kind, .residual_from = c->ir.residual_from};
    APQ_TRY(apq_int_layer_init(e->arena, c, &s->layer));
    size_t n = (size_t)s->layer.ldy * (size_t)apq_int_depth(&c->ir);
    int32_t *w = apq_arena_alloc(e->arena, n, sizeof *w);
    if (w == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "integer engine: out of memory");
    }
    memset(w, 0, n * sizeof *w);
    pack(c, w);
    s->layer.w = w;
    return APQ_OK;
}

/* Books n bytes of the workspace in whole cache lines. */
static size_t book(apq_int_engine *e, size_t n) {
    size_t offset = e->workspace_bytes;
    e->workspace_bytes += (n + 63) / 64 * 64;
    return offset;
}

static size_t max_size(size_t a, size_t b) {
    return a > b ? a : b;
}

static bool is_residual(const apq_int_engine *e, int i) {
    bool is_read = false;
    for (int k = i + 1; k < e->n_stages; k++) {
        is_read |= e->stages[k].residual_from == i;
    }
    return is_read;
}

/* Outputs take turns in two buffers, but those that a residual reads later. */
static void plan_workspace(apq_int_engine *e) {
    size_t codes = 0, padded = 0;
    for (int i = 0; i < e->n_stages; i++) {
        const apq_int_layer *l = &e->stages[i].layer;
        size_t side = (size_t)l->out_size;
        codes =
            max_size(codes, (side * side + APQ_INT_TILE - 1) * (size_t)l->ldy);
        int height, width;
        apq_int_padded_size(l, &height, &width);
        size_t row = (size_t)width;
        if (e->stages[i].kind == APQ_IR_CONV) {
            row *= (size_t)height * (size_t)l->in_channels;
            padded = max_size(padded, row);
        } else if (e->stages[i].kind == APQ_IR_DEPTHWISE) {
            row *= (size_t)l->kernel * (size_t)l->ldx * sizeof(int32_t);
            padded = max_size(padded, row);
        }
    }
    size_t turns[2] = {book(e, codes), book(e, codes)};
    for (int i = 0; i < e->n_stages; i++) {
        e->stages[i].codes = is_residual(e, i) ? book(e, codes) : turns[i % 2];
    }
    size_t channels = (size_t)e->head.channels;
    e->image = book(e, e->image_values);
    e->reread = book(e, codes);
    e->padded = book(e, padded);
    e->totals = book(e, channels * sizeof(int32_t));
    e->pooled = book(e, channels);
}

static apq_status build(apq_int_engine *e, const apq_int_model *m) {
    APQ_TRY(apq_arena_create(&e->arena));
    e->n_stages = m->n_convs;
    e->image_step = m->convs[0].in.step;
    e->image_values = (size_t)m->resolution * (size_t)m->resolution *
                      (size_t)m->image_channels;
    for (int i = 0; i < e->n_stages; i++) {
        APQ_TRY(build_stage(e, &m->convs[i], &e->stages[i]));
    }
    APQ_TRY(apq_int_head_create(e->arena, m, &e->head));
    plan_workspace(e);
    return APQ_OK;
}

apq_status apq_int_engine_create(const apq_int_model *model,
                                 apq_int_engine **out) {
    apq_int_engine *e = calloc(1, sizeof *e);
    if (e == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "integer engine: out of memory");
    }
    apq_status st = build(e, model);
    if (st != APQ_OK) {
        apq_int_engine_destroy(e);
        return st;
    }
    *out = e;
    return APQ_OK;
}

void apq_int_engine_destroy(apq_int_engine *engine) {
    if (engine != NULL) {
        apq_arena_destroy(engine->arena);
        free(engine);
    }
}

/* Run --------------------------------------------------------------------- */

/* Every offset is a whole number of cache lines. */
static void *at(unsigned char *workspace, size_t offset) {
    return workspace + offset;
}

/* Codes as layer i wants them. */
static const uint8_t *input_of(const apq_int_engine *e, int i,
                               unsigned char *workspace) {
    const stage *s = &e->stages[i];
    const uint8_t *x = at(workspace, e->stages[i - 1].codes);
    if (s->layer.reround == NULL) {
        return x;
    }
    int64_t n = (int64_t)s->layer.in_size * s->layer.in_size * s->layer.ldx;
    uint8_t *reread = at(workspace, e->reread);
    apq_int_reround(s->layer.reround, x, n, reread);
    return reread;
}

static void run_stage(const apq_int_engine *e, int i, const float *image,
                      unsigned char *workspace) {
    const stage *s = &e->stages[i];
    uint8_t *y = at(workspace, s->codes);
    if (i == 0) {
        uint8_t *codes = at(workspace, e->image);
        apq_int_encode_image(image, (int64_t)e->image_values, e->image_step,
                             codes);
        apq_int_stem(&s->layer, codes, at(workspace, e->padded), y);
        return;
    }
    const uint8_t *x = input_of(e, i, workspace);
    const uint8_t *residual =
        s->residual_from >= 0 ? at(workspace, e->stages[s->residual_from].codes)
                              : NULL;
    if (s->kind == APQ_IR_DEPTHWISE) {
        apq_int_depthwise(&s->layer, x, at(workspace, e->padded), residual, y);
    } else {
        apq_int_pointwise(&s->layer, x, residual, y);
    }
}

static void classify(const apq_int_engine *e, unsigned char *workspace,
                     float *logits) {
    const stage *last = &e->stages[e->n_stages - 1];
    int32_t *totals = at(workspace, e->totals);
    const uint8_t *x = at(workspace, last->codes);
    int pixels = last->layer.out_size * last->layer.out_size;
    memset(totals, 0, (size_t)e->head.channels * sizeof *totals);
    for (int p = 0; p < pixels; p++) {
        for (int c = 0; c < e->head.channels; c++) {
            totals[c] += x[p * last->layer.ldy + c];
        }
    }
    apq_int_classify(&e->head, totals, at(workspace, e->pooled), logits);
}

size_t apq_int_engine_workspace_bytes(const apq_int_engine *engine) {
    return engine->workspace_bytes;
}

void apq_int_engine_run_layers(const apq_int_engine *engine, int begin, int end,
                               const float *image, void *workspace,
                               float *logits) {
    APQ_ASSERT(0 <= begin && begin <= end && end <= engine->n_stages + 1);
    for (int i = begin; i < end && i < engine->n_stages; i++) {
        run_stage(engine, i, image, workspace);
    }
    if (end > engine->n_stages && begin < end) {
        classify(engine, workspace, logits);
    }
}

apq_status apq_int_engine_run(const apq_int_engine *engine, const float *images,
                              int n, float *logits) {
    int n_threads = omp_get_max_threads();
    if (n_threads > n) {
        n_threads = n > 0 ? n : 1;
    }
    /* Zeroed: spare pixels and lanes are read, though never used. */
    unsigned char *workspaces =
        apq_calloc((size_t)n_threads, engine->workspace_bytes);
    if (workspaces == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM,
                 "integer engine: no memory for %d workspaces of %zu bytes",
                 n_threads, engine->workspace_bytes);
    }
#pragma omp parallel for schedule(static) num_threads(n_threads)
    for (int i = 0; i < n; i++) {
        size_t thread = (size_t)omp_get_thread_num();
        apq_int_engine_run_layers(engine, 0, engine->n_stages + 1,
                                  images + (size_t)i * engine->image_values,
                                  workspaces + thread * engine->workspace_bytes,
                                  logits + (int64_t)i * engine->head.n_classes);
    }
    free(workspaces);
    return APQ_OK;
}
