/* Exports that are folders: C99 source and weights. */
#include "app/export_folder.h"

#include "base/path.h"
#include "export/c99.h"
#include "export/verify_c.h"
#include "export/verify_weights.h"
#include "export/weights.h"

#include <apq/apq.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEST_VECTORS = 4 };

/* n test images spread evenly over the split, (n, H, W, 3) bytes, the
 * caller's; 0 is all. */
static apq_status read_pixels(const apq_export_job *job, int64_t n,
                              uint8_t **pixels, int *n_images) {
    const apq_dataset *data = job->session.dataset;
    size_t length = apq_dataset_length(data, APQ_SPLIT_TEST);
    size_t side = (size_t)apq_dataset_resolution(data);
    size_t wanted = n == 0 || (size_t)n > length ? length : (size_t)n;
    uint8_t *bytes = apq_calloc(wanted, 3 * side * side);
    if (bytes == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "out of memory for %zu images", wanted);
    }
    for (size_t i = 0; i < wanted; i++) {
        apq_status st =
            apq_dataset_image(data, APQ_SPLIT_TEST, i * length / wanted,
                              bytes + i * 3 * side * side);
        if (st != APQ_OK) {
            free(bytes);
            return st;
        }
    }
    *pixels = bytes;
    *n_images = (int)wanted;
    return APQ_OK;
}

apq_status apq_export_write_c(const apq_export_job *job, const char *file) {
    char dir[APQ_PATH_MAX];
    uint8_t *pixels;
    apq_path_folder(file, dir);
    apq_c99_options options = APQ_C99_OPTIONS_INIT;
    APQ_TRY(read_pixels(job, TEST_VECTORS, &pixels, &options.n_images));
    if (job->request->prefix != NULL) {
        options.prefix = job->request->prefix;
    }
    options.images = pixels;
    memcpy(options.mean, job->mean, sizeof options.mean);
    memcpy(options.std, job->std, sizeof options.std);
    options.class_names = job->network.class_names;
    const json_t *expected = job->expected;
    options.origin = (apq_c99_origin){
        .version = apq_version(),
        .space = job->session.space.name,
        .hash = job->network.hash,
        .test_top1 = json_number_value(json_object_get(expected, "test_top1")),
        .test_count =
            json_integer_value(json_object_get(expected, "test_count"))};
    apq_status st = apq_export_c(job->network.model, &options, dir, NULL);
    free(pixels);
    return st;
}

apq_status apq_export_write_weights(const apq_export_job *job,
                                    const char *file) {
    char dir[APQ_PATH_MAX];
    apq_path_folder(file, dir);
    apq_weights_options options = APQ_WEIGHTS_OPTIONS_INIT;
    char *policy =
        apq_policy_to_json(&job->session.space, &job->network.policy);
    if (policy == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", file);
    }
    options.policy = policy;
    memcpy(options.mean, job->mean, sizeof options.mean);
    memcpy(options.std, job->std, sizeof options.std);
    options.class_names = job->network.class_names;
    apq_status st = apq_export_weights(job->network.model, &options, dir);
    free(policy);
    return st;
}

bool apq_export_can_compile(void) {
    apq_verify_c_options options = APQ_VERIFY_C_OPTIONS_INIT;
    return apq_verify_c_has(options.compiler);
}

apq_status apq_export_verify_c(const apq_export_job *job, const char *file,
                               apq_loader *loader, apq_verification *out) {
    (void)loader;
    char dir[APQ_PATH_MAX];
    uint8_t *pixels;
    apq_verify_c_result result;
    apq_path_folder(file, dir);
    apq_verify_c_options options = APQ_VERIFY_C_OPTIONS_INIT;
    APQ_TRY(
        read_pixels(job, job->request->n_images, &pixels, &options.n_images));
    options.images = pixels;
    options.progress = job->session.progress;
    memcpy(options.mean, job->mean, sizeof options.mean);
    memcpy(options.std, job->std, sizeof options.std);
    apq_status st = apq_verify_c(job->network.model, dir, &options, &result);
    free(pixels);
    if (st == APQ_ERR_EXTERNAL && json_array_size(job->changed) > 0) {
        /* The compiler is not to blame, the export is. */
        return APQ_ERROR(APQ_ERR_FORMAT, "%s", apq_error_message());
    }
    APQ_TRY(st);
    bool agrees = result.difference[0] == '\0';
    *out = (apq_verification){.n_images = result.n_equal + !agrees,
                              .agrees = agrees};
    (void)snprintf(out->runtime, sizeof out->runtime, "C99 compiled by %s",
                   options.compiler);
    (void)snprintf(out->difference, sizeof out->difference, "%s",
                   result.difference);
    (void)snprintf(out->layer, sizeof out->layer, "%s", result.layer);
    return APQ_OK;
}

apq_status apq_export_verify_weights(const apq_export_job *job,
                                     const char *file, apq_loader *loader,
                                     apq_verification *out) {
    (void)loader;
    uint8_t *pixels;
    apq_verify_weights_options options = {.progress = job->session.progress};
    APQ_TRY(
        read_pixels(job, job->request->n_images, &pixels, &options.n_images));
    options.images = pixels;
    memcpy(options.mean, job->mean, sizeof options.mean);
    memcpy(options.std, job->std, sizeof options.std);
    options.class_names = job->network.class_names;
    apq_status st = apq_verify_weights(job->network.model, file, &options, out);
    free(pixels);
    return st;
}
