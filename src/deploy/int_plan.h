#ifndef APQ_DEPLOY_INT_PLAN_H
#define APQ_DEPLOY_INT_PLAN_H

#include "base/memory.h"
#include "deploy/int_infer.h"
#include "deploy/int_stages.h"
#include "deploy/int_tiles.h"

/* What the fused integer evaluation prepares once: packed weights and the
 * memory of every thread. */

/* The weights of a product: vectors of outputs in panels of up to
 * APQ_INT_VECTORS, of about equal width. */
typedef struct apq_int_matrix {
    const apq_int_stage *stage;
    int n_vectors, n_panels;
    int64_t depth;    /* words */
    const int32_t *b; /* panels of words (depth, width) */
} apq_int_matrix;

/* Expansion (optional), depthwise convolution, projection. */
typedef struct apq_int_block {
    bool has_expand;
    apq_int_matrix expand, project;
    const apq_int_stage *depthwise;
    int n_vectors, n_groups; /* channels in between; a group is a panel */
    int n_quads;             /* of a spread row */
    int64_t plane_row;       /* words of a spread row, all lanes */
    const int32_t *taps;     /* words (vectors, R, words of R taps, lanes) */
} apq_int_block;

/* The memory of one thread; codes in quads. */
typedef struct apq_int_scratch {
    float *image;       /* padded */
    uint8_t *narrow[2]; /* codes that enter and leave blocks */
    float *values[2];   /* the same before rounding, where wanted */
    uint8_t *wide;      /* a group of the expansion */
    int32_t *plane;     /* a vector of it, spread */
    uint8_t *deep;      /* all that the projection reads */
    float *pooled;
    uint8_t *pooled_codes;
} apq_int_scratch;

struct apq_int_infer {
    apq_arena *arena; /* holds all below */
    const apq_int_tiles *tiles;
    apq_int_engine engine; /* a copy; its tables are in `arena`, too */
    size_t image_values;
    const float *stem; /* (vectors, depth, lanes) */
    int stem_width;    /* pixels of a padded row */
    int n_blocks;
    apq_int_block *blocks;
    apq_int_matrix mix;
    int n_threads;
    apq_int_scratch *scratch; /* (n_threads) */
};

/* Where part i of n of `total` begins, and part i - 1 ends. */
static inline int apq_int_part(int total, int i, int n) {
    return (int)((int64_t)total * i / n);
}

/* With kernels of choice; else as apq_int_infer_create. For tests. */
APQ_NODISCARD apq_status apq_int_infer_create_with(const apq_int_engine *engine,
                                                   const apq_int_tiles *tiles,
                                                   apq_int_infer **out);

#endif
