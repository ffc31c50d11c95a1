#ifndef APQ_DEPLOY_INT_INFER_H
#define APQ_DEPLOY_INT_INFER_H

#include "base/status.h"
#include "deploy/int_model.h"

/* The fused evaluation of batches by an integer model: bytes are multiplied
 * four at a time, whole inverted-residual blocks stay in cache, images are
 * shared among threads. The logits are those of int_reference.h to the bit. */
typedef struct apq_int_infer apq_int_infer;

/* Copies what it needs. *out is NULL where the layers are no chain of stem,
 * inverted-residual blocks, feature mix and classifier, a kernel is not 3, 5
 * or 7, or sums could be a thousand million codes: such nets are left to
 * apq_int_engine_run. Uses up to the OpenMP threads set now. Errors: NOMEM. */
APQ_NODISCARD apq_status apq_int_infer_create(const apq_int_model *model,
                                              apq_int_infer **out);
void apq_int_infer_destroy(apq_int_infer *infer);

/* images (n, H, W, image_channels), finite -> logits (n, n_classes), n >= 0.
 * Allocates nothing. The logits of an image depend on nothing but the image. */
void apq_int_infer_run(apq_int_infer *infer, const float *images, int n,
                       float *logits);

/* Operations a second, two a product, of u8 with s8 in registers by all OpenMP
 * threads, the best of about `seconds`: no product of matrices is faster. */
double apq_int_infer_peak(double seconds);

#endif
