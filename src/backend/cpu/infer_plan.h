#ifndef APQ_BACKEND_CPU_INFER_PLAN_H
#define APQ_BACKEND_CPU_INFER_PLAN_H

#include "backend/cpu/infer_kernels.h"
#include "backend/infer.h"
#include "base/memory.h"

/* What evaluation prepares once: folded and packed weights, how each block is
 * cut so that its scratch stays in cache, and the memory of every thread. */

/* A matrix, packed: vectors of output channels in groups, each cut into panels
 * of up to APQ_INFER_VECTORS. */
typedef struct apq_infer_matrix {
    const apq_infer_kernels *kernels;
    int64_t depth;     /* words */
    int n_vectors;     /* of outputs */
    int n_groups;      /* of about equal width */
    float *w;          /* words */
    const float *bias; /* (whole vectors) */
    float clip;
} apq_infer_matrix;

/* Where part i of n of `total` begins, and part i - 1 ends. */
static inline int apq_infer_part(int total, int i, int n) {
    return (int)((int64_t)total * i / n);
}

/* A block. Channels are handled a group of vectors at a time, rows a strip at a
 * time: expanded into `wide`, correlated into `deep`, and added up by the
 * projection. Rows of `wide` that the next strip reads again move to the top.
 */
typedef struct apq_infer_stage {
    bool has_expand, is_residual;
    apq_infer_matrix expand, project;
    int in_vectors, vectors; /* of the input; of the middle, in groups */
    int n_groups, group;     /* the widest, vectors */
    int in_size, out_size, kernel, stride;
    int packed_w;      /* pixels of a row of `wide`, with zero margins */
    int strip;         /* output rows */
    int wide_rows;     /* that a strip needs */
    const float *taps; /* (vectors, R*R, lanes) */
    const float *bias; /* (whole vectors) */
    float clip;
    const int32_t *place; /* pixel of wide_rows rows -> floats in `wide` */
} apq_infer_stage;

/* The memory of one thread. */
typedef struct apq_infer_scratch {
    float *image;     /* padded */
    float *narrow[2]; /* (tile, blocked) inputs and outputs of blocks */
    float *operand;   /* (tile, blocked) the input, rounded; bfloat16 only */
    float *wide, *deep;
    float *pooled; /* blocked over the images of a tile */
    float *logits; /* likewise */
} apq_infer_scratch;

struct apq_infer {
    apq_arena *arena; /* holds all below */
    const apq_infer_kernels *kernels;
    int n_stages;
    apq_infer_stage *stages;
    apq_infer_matrix stem, mix, classifier;
    int image_size, image_channels, stem_kernel, stem_stride, stem_size;
    int mix_size, mix_in_vectors, n_classes;
    const int32_t *place; /* pixel -> floats in a blocked tensor */
    int tile;             /* images run together by a thread */
    int64_t narrow;       /* floats of the largest such tensor */
    int n_threads;
    apq_infer_scratch *scratch; /* (n_threads) */
};

apq_status apq_cpu_infer_create(const apq_infer_network *network,
                                bool is_bfloat16, apq_infer **out);
void apq_cpu_infer_destroy(apq_infer *infer);
void apq_cpu_infer_run(apq_infer *infer, const float *images, int n_images,
                       float *logits);
bool apq_cpu_infer_has_bfloat16(void);
double apq_cpu_infer_bfloat16_peak(double seconds);

#endif
