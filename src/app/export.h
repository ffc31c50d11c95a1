#ifndef APQ_APP_EXPORT_H
#define APQ_APP_EXPORT_H

#include "app/recipe.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "export/verify.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* `apq export` and `apq verify`: a fine-tuned network for other runtimes, the
 * manifest beside it, and the comparison with the integer model. */

/* Names of formats; the list ends with NULL. */
extern const char *const apq_export_format_names[];

typedef struct apq_export_request {
    const char *format;  /* of apq_export_format_names; export only */
    const char *path;    /* of the export: a file with the format's ending, or
                            a folder that is made */
    const char *model;   /* network.safetensors; NULL: the run's or shipped */
    const char *runtime; /* library that verifies; NULL: none is known */
    bool is_packed;      /* onnx: weights of up to 4 bits stored in 4 */
    bool is_function_left_out; /* qonnx: without IntQuant's definition */
    bool is_called_quant;      /* qonnx: IntQuant by its former name */
    bool is_scaled;            /* qonnx: of values in place of codes */
    const char *prefix;        /* c: of names; NULL: "network" */
    int64_t n_images;          /* that verify; 0: all */
    bool has_data;   /* the recipe's data were named, they are not a default */
    bool needs_data; /* the recipe's images; else, where they are not there,
                        drawn ones verify */
} apq_export_request;

enum { APQ_IMAGES_MAX = APQ_PATH_MAX + 64 };

typedef struct apq_export_answer {
    char file[APQ_PATH_MAX]; /* the exported file */
    char hash[APQ_HASH_MAX]; /* of it as it is now */
    json_t *manifest;        /* the caller's */
    const json_t *changed;   /* names of files that are not as the manifest has
                                them, borrowed from it; NULL: none */
    bool is_verified;
    const char *how;        /* where not: what verifies such an export */
    char not_entered[1024]; /* why the manifest on disk is not this one; "": it
                               is */
    apq_verification verification;
    char images[APQ_IMAGES_MAX]; /* what they were, where it is verified */
} apq_export_answer;

/* ARG for options that are not for the format. */
APQ_NODISCARD apq_status
apq_app_export_check(const apq_export_request *request);

/* Writes the export and manifest.json beside it, then verifies it where there
 * is a runtime; what does not agree is no error but said in the answer. Errors:
 * those of the check; ARG for a file in the way that no earlier export has
 * written; IO for a folder where another export or verification is at work;
 * those of what is read and written. */
APQ_NODISCARD apq_status apq_app_export(const apq_recipe *recipe,
                                        const char *run_dir_or_null,
                                        const apq_export_request *request,
                                        const apq_progress *progress,
                                        apq_export_answer *out);

/* Verifies an earlier export and enters the result in its manifest; where that
 * cannot be written, the answer says why. Errors:
 * MISMATCH for an export of another network; UNSUPPORTED without the runtime or
 * compiler that the format needs; FORMAT, IO for one that is damaged, so that
 * it cannot be run; as above. */
APQ_NODISCARD apq_status apq_app_verify(const apq_recipe *recipe,
                                        const char *run_dir_or_null,
                                        const apq_export_request *request,
                                        const apq_progress *progress,
                                        apq_export_answer *out);

/* The library that APQ_ORT names, or NULL. */
const char *apq_app_runtime(void);

/* For `apq doctor`: whether ONNX files can be written, and ONNX Runtime's
 * version or why there is none. */
bool apq_app_has_onnx(void);
void apq_app_describe_runtime(char out[256]);

#endif
