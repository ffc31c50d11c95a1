#ifndef APQ_PREDICTOR_H
#define APQ_PREDICTOR_H

#include <apq/export.h>
#include <apq/space.h>
#include <apq/status.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Accuracy of a policy without training it: a small perceptron fitted to
 * measured networks. Never changed once made: any number of threads may use
 * one. Source: APQ, CVPR 2020, section 3.2. */
typedef struct apq_predictor apq_predictor;

/* Reads a predictor of the space: a file that `apq predictor fit` wrote
 * (docs/formats/predictor.md), or the one shipped with apq when path is NULL.
 * The space is copied.
 * Errors: IO the file, or none is shipped for this space; FORMAT; MISMATCH the
 * file was made for another space; NOMEM. */
APQ_API APQ_NODISCARD apq_status apq_predictor_create(const apq_space *space,
                                                      const char *path,
                                                      apq_predictor **out);
/* NULL is fine. */
APQ_API void apq_predictor_destroy(apq_predictor *predictor);

/* Predicted top-1 accuracy, a fraction (a good fit stays within 0..1, which
 * is not enforced). is_quantised false: of the same network in float.
 * Errors: FORMAT the policy is not of the predictor's space; NOMEM. */
APQ_API APQ_NODISCARD apq_status
apq_predictor_accuracy(const apq_predictor *predictor, const apq_policy *policy,
                       bool is_quantised, double *accuracy);

#ifdef __cplusplus
}
#endif

#endif
