#ifndef APQ_DEPLOY_INT_STAGES_H
#define APQ_DEPLOY_INT_STAGES_H

#include "base/memory.h"
#include "deploy/int_engine.h"
#include "deploy/int_kernels.h"

/* What the integer engine holds; the fused evaluation is planned from it, so
 * that both share codes, scales and rounding. */

/* What surrounds a layer's kernel. Offsets are in bytes of the workspace. */
typedef struct apq_int_stage {
    apq_int_layer layer;
    apq_ir_kind kind;
    bool has_codes;  /* the next layer reads codes */
    bool has_values; /* a residual or the pool reads floats */
    int residual_from;
    size_t values; /* offset, when has_values */
} apq_int_stage;

struct apq_int_engine {
    apq_arena *arena; /* owns all tables */
    int n_stages;     /* convolutions; the classifier follows */
    apq_int_stage stages[APQ_IR_MAX_LAYERS];
    int n_classes;
    size_t image_values;
    /* The classifier: (n_classes, channels) codes. */
    int channels;
    const int8_t *w;
    float pooled_scale, pooled_high;
    const float *logit_scale, *bias; /* (n_classes) */
    /* Offsets of the workspace of one thread. */
    size_t codes[2], padded, pooled, pooled_codes, workspace_bytes;
};

/* logits (n_classes) from x, the values of the last stage: `side` rows of so
 * many pixels, `pitch` pixels from row to row, ldx floats a pixel. pooled and
 * codes are scratch of `channels` each. */
void apq_int_classify(const apq_int_engine *e, const float *x, int side,
                      int pitch, int64_t ldx, float *pooled, uint8_t *codes,
                      float *logits);

#endif
