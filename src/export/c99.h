#ifndef APQ_EXPORT_C99_H
#define APQ_EXPORT_C99_H

#include "base/status.h"
#include "deploy/int_model.h"

#include <stdint.h>

/* A network as C99 source that needs no library: whole numbers only, no
 * allocation, static working memory. It computes what int_reference.h defines,
 * to the bit, from the pixels on. docs/export-c.md describes the files. */
enum { APQ_C99_PREFIX_MAX = 32, APQ_C99_MAX_VECTORS = 16 };

/* Where a network is from, as the files tell it. */
typedef struct apq_c99_origin {
    const char *version; /* of apq; NULL: nothing is told */
    const char *space;
    const char *hash;   /* of the network's file */
    double test_top1;   /* measured by the integer engine, a fraction, ... */
    int64_t test_count; /* ... of so many images; 0: not known */
} apq_c99_origin;

typedef struct apq_c99_options {
    /* Of every name with external linkage: 1 .. 31 of a-z, 0-9 and _ that
     * begin with a letter and do not end in _. */
    const char *prefix;
    /* Of pixels in units of 0 .. 1, as apq_dataset_normalisation gives them;
     * std > 0. */
    float mean[3], std[3];
    /* Test vectors: (n_images, H, W, 3) RGB bytes, 0 .. 16 images; NULL with
     * n_images 0 is two of noise. Borrowed during the call. */
    const uint8_t *images;
    int n_images;
    char *const *class_names; /* (n_classes), UTF-8; NULL: not known */
    apq_c99_origin origin;
} apq_c99_options;

#define APQ_C99_OPTIONS_INIT                                                   \
    {                                                                          \
        .prefix = "network", .std = { 1.0F, 1.0F, 1.0F }                       \
    }

/* Errors: ARG for what is no such prefix. */
APQ_NODISCARD apq_status apq_c99_check_prefix(const char *prefix);

/* What the network needs on a device, in bytes. */
typedef struct apq_c99_sizes {
    size_t weight_bytes; /* constant: codes of weights as packed */
    size_t table_bytes;  /* constant: biases, scales, tables of codes */
    size_t arena_bytes;  /* static working memory */
} apq_c99_sizes;

/* Makes the folder `dir` where there is none, and writes or replaces network.h,
 * network.c, weights.h, weights.c, arith.h, main_test.c, Makefile and README.md
 * in it. sizes may be NULL. Errors: ARG for an option out of range; UNSUPPORTED
 * for another structure than the spaces lower to; NUMERIC for a step or scale
 * that is not a legal number; IO, NOMEM: some files may have been written. */
APQ_NODISCARD apq_status apq_export_c(const apq_int_model *model,
                                      const apq_c99_options *options,
                                      const char *dir, apq_c99_sizes *sizes);

#endif
