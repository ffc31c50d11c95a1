/* An ONNX file in ONNX Runtime against the integer engine: logits of every
 * image; where they differ, the file runs again with the values of all layers
 * as outputs, against the definition of the integer model. */
#include "export/verify.h"

#include "base/file.h"
#include "base/memory.h"
#include "deploy/int_engine.h"
#include "deploy/int_reference.h"
#include "export/onnx.h"
#include "export/ort.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double FAR = 1e-3, MEAN_OF_FLOAT = 1e-2;

typedef struct comparison {
    const apq_int_model *model;
    const char *path;
    const apq_verify_options *options;
    apq_int_engine *engine;
    apq_ort *ort;
    char *file;
    size_t n_file;
    size_t n, capacity;       /* images */
    float *expected, *actual; /* (n, n_classes) */
    int64_t n_correct, n_correct_own;
    float *chw; /* (batch, C, H, W) */
    size_t batch;
    float *furthest; /* (H, W, C), the image that is furthest off so far */
    size_t i_furthest;
    double distance; /* of its logits; < 0: none yet */
} comparison;

static size_t image_floats(const apq_int_model *m) {
    return (size_t)m->resolution * (size_t)m->resolution *
           (size_t)m->image_channels;
}

/* (n, H, W, C) to (n, C, H, W) */
static void channels_first(const apq_int_model *m, const float *hwc, size_t n,
                           float *chw) {
    size_t channels = (size_t)m->image_channels;
    size_t pixels = image_floats(m) / channels;
    for (size_t i = 0; i < n; i++) {
        for (size_t p = 0; p < pixels; p++) {
            for (size_t c = 0; c < channels; c++) {
                chw[(i * channels + c) * pixels + p] =
                    hwc[(i * pixels + p) * channels + c];
            }
        }
    }
}

static apq_status grow(comparison *c, size_t n) {
    size_t classes = (size_t)c->model->n_classes;
    if (c->n + n > c->capacity) {
        size_t capacity = 2 * (c->n + n);
        float *expected =
            realloc(c->expected, capacity * classes * sizeof *expected);
        c->expected = expected != NULL ? expected : c->expected;
        float *actual = realloc(c->actual, capacity * classes * sizeof *actual);
        c->actual = actual != NULL ? actual : c->actual;
        if (expected == NULL || actual == NULL) {
            APQ_FAIL(APQ_ERR_NOMEM, "verification: out of memory");
        }
        c->capacity = capacity;
    }
    if (n > c->batch) {
        free(c->chw);
        c->chw = apq_calloc(n * image_floats(c->model), sizeof *c->chw);
        c->batch = c->chw == NULL ? 0 : n;
        if (c->chw == NULL) {
            APQ_FAIL(APQ_ERR_NOMEM, "verification: out of memory");
        }
    }
    return APQ_OK;
}

/* The largest difference of an image's logits; NaN is as far as can be. */
static double distance_of(const comparison *c, size_t image) {
    size_t classes = (size_t)c->model->n_classes;
    double most = 0;
    for (size_t k = image * classes; k < (image + 1) * classes; k++) {
        double d = fabs((double)c->actual[k] - (double)c->expected[k]);
        most = d >= 0 ? fmax(most, d) : (double)INFINITY;
    }
    return most;
}

static int largest(const float *logits, int n) {
    int best = 0;
    for (int k = 1; k < n; k++) {
        best = logits[k] > logits[best] ? k : best;
    }
    return best;
}

/* labels: of images c->n and up */
static void count_correct(comparison *c, const int *labels, size_t n) {
    int classes = c->model->n_classes;
    for (size_t i = 0; i < n; i++) {
        size_t at = (c->n + i) * (size_t)classes;
        c->n_correct += largest(c->actual + at, classes) == labels[i];
        c->n_correct_own += largest(c->expected + at, classes) == labels[i];
    }
}

/* images: numbers c->n and up */
static void keep_furthest(comparison *c, const float *images, size_t n) {
    size_t stride = image_floats(c->model);
    for (size_t i = 0; i < n; i++) {
        double distance = distance_of(c, c->n + i);
        if (distance > c->distance) {
            c->distance = distance;
            c->i_furthest = c->n + i;
            memcpy(c->furthest, images + i * stride,
                   stride * sizeof *c->furthest);
        }
    }
}

static apq_status compare_batch(comparison *c, apq_ort_session *session,
                                const float *images, const int *labels,
                                size_t n) {
    const apq_int_model *m = c->model;
    APQ_TRY(grow(c, n));
    size_t at = c->n * (size_t)m->n_classes;
    channels_first(m, images, n, c->chw);
    const int64_t dims[] = {(int64_t)n, m->image_channels, m->resolution,
                            m->resolution};
    APQ_TRY(apq_ort_run(
        session, c->chw, dims,
        &(apq_ort_output){"logits", c->actual + at, n * (size_t)m->n_classes},
        1));
    APQ_TRY(apq_int_engine_run(c->engine, images, (int)n, c->expected + at));
    count_correct(c, labels, n);
    keep_furthest(c, images, n);
    c->n += n;
    return APQ_OK;
}

/* What the runtime says names no file. */
static apq_status name_file(const comparison *c, apq_status st) {
    if (st != APQ_ERR_EXTERNAL && st != APQ_ERR_FORMAT) {
        return st;
    }
    return APQ_ERROR(c->options->is_changed ? APQ_ERR_FORMAT : st, "%s: %s",
                     c->path, apq_error_message());
}

static apq_status compare_all(comparison *c, apq_loader *loader) {
    apq_ort_session *session;
    APQ_TRY(name_file(
        c, apq_ort_session_create(c->ort, c->file, c->n_file, APQ_ORT_ALL,
                                  c->options->n_threads, &session)));
    apq_status st = APQ_OK;
    int n = 1;
    size_t total = apq_loader_batches(loader), done = 0;
    while (st == APQ_OK && n > 0) {
        const float *images;
        const int *labels;
        st = apq_loader_next(loader, &images, &labels, &n);
        if (st == APQ_OK && n > 0) {
            st = name_file(
                c, compare_batch(c, session, images, labels, (size_t)n));
            apq_progress_update(c->options->progress, "verify", ++done, total,
                                "");
        }
        if (st == APQ_OK && apq_stop_requested(c->options->progress)) {
            st = APQ_ERROR(APQ_ERR_INTERRUPTED, "interrupted");
        }
    }
    apq_ort_session_destroy(session);
    if (st == APQ_OK && c->n == 0) {
        st = APQ_ERROR(APQ_ERR_ARG, "verification: no images");
    }
    return st;
}

/* ----------------------------------------------------------------- verdict */

static double range_of(const float *values, size_t n) {
    double low = (double)INFINITY, high = -low;
    for (size_t i = 0; i < n; i++) {
        low = fmin(low, (double)values[i]);
        high = fmax(high, (double)values[i]);
    }
    return high > low ? high - low : 1.0;
}

static void judge(const comparison *c, apq_verification *out) {
    int classes = c->model->n_classes;
    size_t n = c->n * (size_t)classes;
    double range = range_of(c->expected, n);
    for (size_t i = 0; i < c->n; i++) {
        const float *expected = c->expected + i * (size_t)classes;
        const float *actual = c->actual + i * (size_t)classes;
        double distance = distance_of(c, i) / range;
        out->n_far += !(distance <= FAR);
        out->n_other_class +=
            largest(actual, classes) != largest(expected, classes);
        out->mean += distance / (double)c->n;
    }
    out->worst = c->distance / range;
    out->image = (int64_t)c->i_furthest;
    out->n_images = (int64_t)c->n;
    out->has_correct = true;
    out->n_correct = c->n_correct;
    out->n_correct_own = c->n_correct_own;
    int64_t few = out->n_images / 100 > 1 ? out->n_images / 100 : 1;
    out->agrees = c->options->is_float
                      ? out->n_other_class <= few && out->mean <= MEAN_OF_FLOAT
                      : out->n_other_class == 0 && out->n_far == 0;
}

/* ------------------------------------------------------ the layer at fault */

/* codes: (H*W, K); values: (K, H*W) in multiples of the step */
static int64_t count_other_codes(const apq_int_conv *conv, const int16_t *codes,
                                 const float *values, float step) {
    size_t channels = (size_t)conv->ir.out_channels;
    size_t pixels = apq_ir_layer_outputs(&conv->ir) / channels;
    int64_t n = 0;
    for (size_t k = 0; k < channels; k++) {
        for (size_t p = 0; p < pixels; p++) {
            float code = rintf(values[k * pixels + p] / step);
            n += !(code == (float)codes[p * channels + k]);
        }
    }
    return n;
}

static void find_layer(const comparison *c, int16_t *const *codes,
                       const apq_ort_output *outputs, apq_verification *out) {
    const apq_int_model *m = c->model;
    for (int i = 0; i < m->n_convs; i++) {
        float step = c->options->has_codes ? 1.0F : m->convs[i].out.step;
        int64_t n =
            count_other_codes(&m->convs[i], codes[i], outputs[i].values, step);
        if (n > 0) {
            (void)snprintf(out->layer, sizeof out->layer, "%s",
                           m->convs[i].ir.name);
            out->n_codes = n;
            return;
        }
    }
}

/* Runs the image furthest off once more, with all layers shown. */
static apq_status run_shown(comparison *c, apq_ort_session *session,
                            apq_verification *out) {
    const apq_int_model *m = c->model;
    size_t total = 0;
    for (int i = 0; i < m->n_convs; i++) {
        total += apq_ir_layer_outputs(&m->convs[i].ir);
    }
    float *values = apq_calloc(total, sizeof *values);
    int16_t *all = apq_calloc(total, sizeof *all);
    apq_status st = APQ_OK;
    if (values == NULL || all == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "verification: out of memory");
        goto done;
    }
    char names[APQ_IR_MAX_LAYERS][APQ_IR_NAME_MAX + 8];
    apq_ort_output outputs[APQ_IR_MAX_LAYERS];
    int16_t *codes[APQ_IR_MAX_LAYERS];
    size_t at = 0;
    for (int i = 0; i < m->n_convs; i++) {
        const apq_ir_layer *ir = &m->convs[i].ir;
        (void)snprintf(names[i], sizeof names[i], "%s.out", ir->name);
        outputs[i] =
            (apq_ort_output){names[i], values + at, apq_ir_layer_outputs(ir)};
        codes[i] = all + at;
        at += apq_ir_layer_outputs(ir);
    }
    channels_first(m, c->furthest, 1, c->chw);
    const int64_t dims[] = {1, m->image_channels, m->resolution, m->resolution};
    st = apq_ort_run(session, c->chw, dims, outputs, (size_t)m->n_convs);
    if (st == APQ_OK) {
        st = apq_int_reference_run(m, c->furthest, codes, c->expected);
    }
    if (st == APQ_OK) {
        find_layer(c, codes, outputs, out);
    }
done:
    free(values);
    free(all);
    return st;
}

static apq_status show_layers(comparison *c, apq_verification *out) {
    char *bytes;
    size_t n_bytes;
    APQ_TRY(
        apq_onnx_show_layers(c->model, c->file, c->n_file, &bytes, &n_bytes));
    apq_ort_session *session = NULL;
    apq_status st = apq_ort_session_create(c->ort, bytes, n_bytes, APQ_ORT_ALL,
                                           c->options->n_threads, &session);
    if (st == APQ_OK) {
        st = run_shown(c, session, out);
    }
    apq_ort_session_destroy(session);
    free(bytes);
    return st;
}

/* The logits have been compared: what does not give the layers, as files that
 * another tool has changed or that are of another network, is no error. */
static apq_status name_layer(comparison *c, apq_verification *out) {
    apq_status st = show_layers(c, out);
    if (st == APQ_ERR_FORMAT || st == APQ_ERR_EXTERNAL) {
        (void)snprintf(out->no_layer, sizeof out->no_layer, "%s",
                       apq_error_message());
        st = APQ_OK;
    }
    return st;
}

static void name_runtime(const apq_ort *ort, char out[APQ_VERIFY_TEXT_MAX]) {
    (void)snprintf(out, APQ_VERIFY_TEXT_MAX, "ONNX Runtime %s",
                   apq_ort_version(ort));
}

static apq_status compare(comparison *c, apq_loader *loader,
                          apq_verification *out) {
    c->furthest = apq_calloc(image_floats(c->model), sizeof *c->furthest);
    if (c->furthest == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "verification: out of memory");
    }
    APQ_TRY(apq_int_engine_create(c->model, &c->engine));
    APQ_TRY(apq_ort_open(c->options->runtime, &c->ort));
    name_runtime(c->ort, out->runtime);
    APQ_TRY(compare_all(c, loader));
    judge(c, out);
    return out->agrees ? APQ_OK : name_layer(c, out);
}

apq_status apq_verify_onnx(const apq_int_model *model, const char *path,
                           apq_loader *loader,
                           const apq_verify_options *options,
                           apq_verification *out) {
    *out = (apq_verification){.n_images = 0};
    comparison c = {
        .model = model, .path = path, .options = options, .distance = -1};
    APQ_TRY(apq_file_read(path, &c.file, &c.n_file));
    apq_status st = compare(&c, loader, out);
    apq_int_engine_destroy(c.engine);
    apq_ort_close(c.ort);
    free(c.file);
    free(c.expected);
    free(c.actual);
    free(c.chw);
    free(c.furthest);
    return st;
}

apq_status apq_verify_runtime(const char *library,
                              char out[APQ_VERIFY_TEXT_MAX]) {
    apq_ort *ort;
    APQ_TRY(apq_ort_open(library, &ort));
    name_runtime(ort, out);
    apq_ort_close(ort);
    return APQ_OK;
}
