#ifndef APQ_DEPLOY_INT_ENGINE_H
#define APQ_DEPLOY_INT_ENGINE_H

#include "base/status.h"
#include "deploy/int_model.h"

/* An integer model run layer by layer, by plain loops that the compiler turns
 * into vector code. Results are those of int_reference.h to the bit. */
typedef struct apq_int_engine apq_int_engine;

/* Copies what it needs, so the model may go. Errors: NOMEM. */
APQ_NODISCARD apq_status apq_int_engine_create(const apq_int_model *model,
                                               apq_int_engine **out);
void apq_int_engine_destroy(apq_int_engine *engine);

/* images (n, H, W, image_channels), finite -> logits (n, n_classes). Images
 * are shared among the OpenMP threads; results do not depend on their number.
 * The engine is only read: concurrent runs are safe. Errors: NOMEM. */
APQ_NODISCARD apq_status apq_int_engine_run(const apq_int_engine *engine,
                                            const float *images, int n,
                                            float *logits);

/* Bytes of scratch that one image needs. */
size_t apq_int_engine_workspace_bytes(const apq_int_engine *engine);
/* Layers begin .. end - 1 of one image on the calling thread, allocating
 * nothing; the classifier is layer n_convs of the model. The workspace is
 * 64-byte aligned, zeroed before its first use, and keeps what layers hand on,
 * so a net may be run in pieces, in order, or one layer again and again.
 * image as above; logits (n_classes) is written by the classifier only. */
void apq_int_engine_run_layers(const apq_int_engine *engine, int begin, int end,
                               const float *image, void *workspace,
                               float *logits);

#endif
