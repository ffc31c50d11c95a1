#ifndef APQ_EXPORT_VERIFY_H
#define APQ_EXPORT_VERIFY_H

#include "base/log.h"
#include "base/status.h"
#include "data/data.h"
#include "deploy/int_model.h"

#include <stdbool.h>
#include <stdint.h>

/* An exported file run by its runtime, beside the integer model that it was
 * written from. */
enum { APQ_VERIFY_TEXT_MAX = 96 };

typedef struct apq_verify_options {
    const char *runtime; /* library of ONNX Runtime */
    bool is_float;       /* the runtime computes in float: see below */
    bool has_codes;      /* LAYER.out are codes, not values */
    bool is_changed; /* the file is not as it was exported, so it is to blame
                        where the runtime fails on it */
    int n_threads;   /* >= 1 */
    const apq_progress *progress; /* may be NULL */
} apq_verify_options;

typedef struct apq_verification {
    char runtime[APQ_VERIFY_TEXT_MAX]; /* name and version */
    int64_t n_images;
    int64_t n_other_class; /* images whose largest logit is another */
    int64_t n_far; /* images with a logit off by more than 1e-3 of the range of
                      all logits */
    bool has_correct;
    int64_t n_correct, n_correct_own; /* images of their class by the file in
                                         its runtime, and by the model */
    double worst, mean;               /* difference of logits, in ranges */
    bool agrees;
    /* In words, where exports are compared to the bit; that ends with the first
     * image that differs, the last of n_images, so that n_other_class, n_far,
     * worst and mean are not known then. */
    char difference[192];
    /* Where it does not: the first layer with other codes, of the image that is
     * furthest off; empty where there is none before the logits. */
    char layer[APQ_IR_NAME_MAX];
    /* Why that layer cannot be named, where the file does not give the values
     * of the network's layers; else empty. */
    char no_layer[320];
    int64_t image;   /* its number */
    int64_t n_codes; /* of that layer that differ */
} apq_verification;

/* Runs `path` on the images of a loader that has been started. `out` says
 * whether they agree, which is no error: no image of another class and none
 * far; with is_float, where sums are rounded differently, at most 1 % of the
 * images (or one) of another class and a mean of 1e-2. Errors: EXTERNAL for the
 * runtime, FORMAT for a file that it cannot read or, as it was changed, not
 * run, ARG for no images, NOMEM, INTERRUPTED, those of the loader. */
APQ_NODISCARD apq_status apq_verify_onnx(const apq_int_model *model,
                                         const char *path, apq_loader *loader,
                                         const apq_verify_options *options,
                                         apq_verification *out);

/* Loads the library and tries it: "ONNX Runtime 1.19.2". Errors: EXTERNAL. */
APQ_NODISCARD apq_status apq_verify_runtime(const char *library,
                                            char out[APQ_VERIFY_TEXT_MAX]);

#endif
