#ifndef APQ_DEPLOY_INT_PLAN_H
#define APQ_DEPLOY_INT_PLAN_H

#include "base/memory.h"
#include "deploy/int_infer.h"
#include "deploy/int_kernels.h"
#include "deploy/int_tiles.h"

/* What the fused integer evaluation prepares once: packed weights and the
 * memory of every thread. */

/* The weights of a product: vectors of outputs in panels of up to
 * APQ_INT_VECTORS, of about equal width. */
typedef struct apq_int_matrix {
    apq_int_layer layer;
    int n_vectors, n_panels;
    int64_t depth;    /* words */
    const int32_t *b; /* panels of words (depth, width) */
} apq_int_matrix;

/* Expansion (optional), depthwise convolution, projection. */
typedef struct apq_int_block {
    bool has_expand, is_residual;
    apq_int_matrix expand, project;
    apq_int_layer depthwise;
    int n_vectors, n_groups; /* channels in between; a group is a panel */
    int n_quads;             /* of a spread row */
    int64_t plane_row;       /* words of a spread row, all lanes */
    const int32_t *taps;     /* words (vectors, R, words of R taps, lanes) */
} apq_int_block;

/* The stem: a pixel of up to four channels is a word, of more so many words. */
typedef struct apq_int_start {
    apq_int_layer layer;
    int pixel_words;
    int width, height; /* pixels, padded */
    const int32_t *w;  /* words (vectors, taps, pixel words, lanes) */
} apq_int_start;

/* The memory of one thread; codes in quads, but those of the image. */
typedef struct apq_int_scratch {
    uint8_t *image;     /* codes, and spare ones for the last word */
    int32_t *padded;    /* their words, zeros around them */
    uint8_t *narrow[2]; /* what enters and leaves blocks */
    uint8_t *reread;    /* what enters, rounded again */
    uint8_t *wide;      /* a group of the expansion */
    int32_t *plane;     /* a vector of it, spread */
    uint8_t *deep;      /* all that the projection reads */
    int32_t *totals;
    uint8_t *pooled;
} apq_int_scratch;

struct apq_int_infer {
    apq_arena *arena; /* holds all below */
    const apq_int_tiles *tiles;
    size_t image_values;
    float image_step;
    apq_int_start stem;
    int n_blocks;
    apq_int_block *blocks;
    apq_int_matrix mix;
    apq_int_head head;
    int n_threads;
    apq_int_scratch *scratch; /* (n_threads) */
};

/* Where part i of n of `total` begins, and part i - 1 ends. */
static inline int apq_int_part(int total, int i, int n) {
    return (int)((int64_t)total * i / n);
}

/* With kernels of choice; else as apq_int_infer_create. For tests. */
APQ_NODISCARD apq_status apq_int_infer_create_with(const apq_int_model *model,
                                                   const apq_int_tiles *tiles,
                                                   apq_int_infer **out);

#endif
