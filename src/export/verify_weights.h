#ifndef APQ_EXPORT_VERIFY_WEIGHTS_H
#define APQ_EXPORT_VERIFY_WEIGHTS_H

#include "base/log.h"
#include "base/status.h"
#include "deploy/int_model.h"
#include "export/verify.h"

#include <stdint.h>

/* Reads back what apq_export_weights wrote and runs it on images. */
typedef struct apq_verify_weights_options {
    float mean[3], std[3];    /* of the network's images */
    char *const *class_names; /* of the network; NULL: not known */
    const uint8_t *images; /* (n_images, H, W, 3), borrowed during the call */
    int n_images;          /* >= 1 */
    const apq_progress *progress; /* told of the images, asked whether to stop;
                                     may be NULL */
} apq_verify_weights_options;

/* A network made of the file's tensors, described as `model` and its images
 * are, against `model` itself: logits must be equal to the
 * bit. Where they are not, or the description is another, `out` says so; that
 * is no error. Errors: FORMAT for a file that is damaged, is none of these, or
 * has numbers that no integer model has; IO, NOMEM, INTERRUPTED. */
APQ_NODISCARD apq_status apq_verify_weights(
    const apq_int_model *model, const char *path,
    const apq_verify_weights_options *options, apq_verification *out);

#endif
