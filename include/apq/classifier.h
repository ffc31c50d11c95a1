#ifndef APQ_CLASSIFIER_H
#define APQ_CLASSIFIER_H

#include <apq/export.h>
#include <apq/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A fine-tuned network that tells what an image shows, in integers as it is
 * deployed. One image at a time: a thread of its own needs a classifier of its
 * own. */
typedef struct apq_classifier apq_classifier;

/* One answer. */
typedef struct apq_class {
    int label;          /* 0.., in the order of the training data; -1: none */
    const char *name;   /* of the training data, else the number; borrowed
                           from the classifier; NULL: none */
    double probability; /* softmax of the logits */
} apq_class;

typedef struct apq_classifier_options {
    const char *space; /* name or YAML file, for a network of one's own space
                          that does not carry it (older files); NULL: the space
                          that the network carries, or the built-in one that it
                          names */
    const char *data;  /* the data that the network was trained on, read only
                          where its file does not tell the statistics of the
                          images (older files); NULL: none */
} apq_classifier_options;

/* In the order of the members, so that C++ reads it too. */
#define APQ_CLASSIFIER_OPTIONS_INIT                                            \
    { NULL, NULL }

/* Reads a network that `apq finetune` wrote (docs/formats/network.md), or, when
 * path is NULL, the one shipped for options->space (cifar10 when that is NULL).
 * options may be NULL.
 * Errors: IO the file, or none is shipped; FORMAT not such a file, damaged, or
 * without statistics of the images where options->data is NULL; MISMATCH it is
 * of another space or other data; NOMEM. */
APQ_API APQ_NODISCARD apq_status
apq_classifier_create(const char *path, const apq_classifier_options *options,
                      apq_classifier **out);
/* NULL is fine. */
APQ_API void apq_classifier_destroy(apq_classifier *classifier);

/* The n most probable classes of a JPEG or PNG file, falling, n >= 1; with
 * fewer classes than n the rest of `classes` (n) has label -1. The image is
 * turned upright, resized and cut as those of an evaluation are.
 * Errors: IO; FORMAT no such image, or damaged; NUMERIC the network's answer is
 * not finite; NOMEM. */
APQ_API APQ_NODISCARD apq_status apq_classifier_file(apq_classifier *classifier,
                                                     const char *path, size_t n,
                                                     apq_class *classes);
/* The same of pixels: `rgb` is (height, width, 3), sides of 1..16384. Errors:
 * ARG a side out of range; NUMERIC; NOMEM. */
APQ_API APQ_NODISCARD apq_status
apq_classifier_pixels(apq_classifier *classifier, const uint8_t *rgb, int width,
                      int height, size_t n, apq_class *classes);

#ifdef __cplusplus
}
#endif

#endif
