#ifndef APQ_EXPORT_VERIFY_C_H
#define APQ_EXPORT_VERIFY_C_H

#include "base/log.h"
#include "base/status.h"
#include "deploy/int_model.h"

#include <stdbool.h>
#include <stdint.h>

/* Checks a C99 export: compiles it with the host's compiler, runs it on images
 * and compares sums, logits and classes with int_reference.h, to the bit. */
typedef struct apq_verify_c_options {
    const char *compiler; /* looked up in PATH */
    bool is_sanitized;    /* -fsanitize=address,undefined */
    float mean[3], std[3];
    const uint8_t *images; /* (n_images, H, W, 3), borrowed during the call */
    int n_images;          /* >= 1 */
    const apq_progress *progress; /* told of each image, asked whether to stop;
                                     may be NULL */
} apq_verify_c_options;

#define APQ_VERIFY_C_OPTIONS_INIT                                              \
    {                                                                          \
        .compiler = "cc", .is_sanitized = true, .std = { 1.0F, 1.0F, 1.0F }    \
    }

typedef struct apq_verify_c_result {
    int n_equal;          /* images, before the first that differs */
    char difference[192]; /* where the first one differs; empty: nowhere */
    char layer[APQ_IR_NAME_MAX]; /* the first of its layers that does */
} apq_verify_c_result;

/* False where the compiler cannot be started. */
bool apq_verify_c_has(const char *compiler);

/* dir: what apq_export_c wrote for this model and normalisation. A network that
 * computes something else is a result, no error. Errors: ARG for options out of
 * range; IO where folder or compiler cannot be opened; EXTERNAL where it does
 * not compile or stops with an error, with the first line that says why;
 * FORMAT where it prints something else than main_test.c does; those of
 * apq_export_c; NOMEM; INTERRUPTED, with compiler and program gone. */
APQ_NODISCARD apq_status apq_verify_c(const apq_int_model *model,
                                      const char *dir,
                                      const apq_verify_c_options *options,
                                      apq_verify_c_result *result);

#endif
