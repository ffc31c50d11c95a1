#ifndef APQ_DEPLOY_INT_ENGINE_H
#define APQ_DEPLOY_INT_ENGINE_H

#include "base/status.h"
#include "nn/net.h"

/* A quantised network evaluated in integers: weights are s8 codes, inputs u8
 * codes (after ReLU6) or s8 codes (after a linear bottleneck), sums int32.
 * Batch norm and the step sizes, whichever quantiser they are of, are one float
 * scale and shift per output channel. The image stays float times integer
 * codes; linear bottlenecks and residual sums stay float. The logits are those
 * of apq_nn_forward in evaluation mode but for values that round the other way
 * at a tie. Source: METHODS, "Quantiser A" and "Quantiser B". */
typedef struct apq_int_engine apq_int_engine;

/* Copies what it needs, so the net and its weights may go. The net must be
 * calibrated (is_quantised) and hold batch-norm statistics. Errors:
 * UNSUPPORTED for a net that is not quantised, another structure than the
 * spaces lower to, or a layer too deep for 32-bit sums; NUMERIC for a step,
 * range or variance that is not a legal number; NOMEM. */
APQ_NODISCARD apq_status apq_int_engine_create(const apq_nn_net *net,
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
 * nothing; the classifier is layer n_layers - 1 of the net. The workspace is
 * 64-byte aligned, zeroed before its first use, and keeps what layers hand on,
 * so a net may be run in pieces, in order, or one layer again and again.
 * image as above; logits (n_classes) is written by the classifier only. */
void apq_int_engine_run_layers(const apq_int_engine *engine, int begin, int end,
                               const float *image, void *workspace,
                               float *logits);

#endif
