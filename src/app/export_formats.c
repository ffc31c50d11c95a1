/* The formats of `apq export`: how each is written, and what runs it. */
#include "app/export_job.h"

#include "app/export_folder.h"
#include "export/describe.h"
#include "export/onnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Values of the file's metadata; NULL: not known, or no memory. */
typedef struct onnx_texts {
    char *policy, *preprocessing, *classes;
    char normalisation[256];
} onnx_texts;

static char *dump(json_t *value) {
    char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(value);
    return text;
}

static apq_status make_texts(const apq_export_job *job, onnx_texts *t) {
    const apq_network_file *n = &job->network;
    const float *m = job->mean, *s = job->std;
    (void)snprintf(t->normalisation, sizeof t->normalisation,
                   "{\"mean\":[%.9g,%.9g,%.9g],\"std\":[%.9g,%.9g,%.9g]}",
                   (double)m[0], (double)m[1], (double)m[2], (double)s[0],
                   (double)s[1], (double)s[2]);
    t->policy = apq_policy_to_json(&job->session.space, &n->policy);
    t->preprocessing = dump(apq_export_preprocessing(job));
    t->classes = n->class_names == NULL
                     ? NULL
                     : dump(apq_describe_classes(n->class_names, n->n_classes));
    if (t->policy == NULL || t->preprocessing == NULL ||
        (t->classes == NULL && n->class_names != NULL)) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", n->path);
    }
    return APQ_OK;
}

static void free_texts(onnx_texts *t) {
    free(t->policy);
    free(t->preprocessing);
    free(t->classes);
}

static apq_status write_onnx(const apq_export_job *job,
                             apq_onnx_flavour flavour, const char *path) {
    onnx_texts texts;
    apq_status st = make_texts(job, &texts);
    const apq_onnx_pair metadata[] = {
        {"apq.space", job->session.space.name},
        {"apq.policy", texts.policy},
        {"apq.source_hash", job->network.hash},
        {"apq.normalisation",
         job->has_normalisation ? texts.normalisation : NULL},
        {"apq.preprocessing", texts.preprocessing},
        {"apq.classes", texts.classes},
    };
    if (st == APQ_OK) {
        st = apq_export_onnx(
            job->network.model,
            &(apq_onnx_options){
                .flavour = flavour,
                .is_packed = job->request->is_packed,
                .is_function_left_out = job->request->is_function_left_out,
                .is_called_quant = job->request->is_called_quant,
                .is_scaled = job->request->is_scaled,
                .metadata = metadata,
                .n_metadata = sizeof metadata / sizeof metadata[0],
            },
            path);
    }
    free_texts(&texts);
    return st;
}

/* options: what the flavour says; the rest is filled in */
static apq_status verify_onnx(const apq_export_job *job,
                              apq_verify_options options, const char *path,
                              apq_loader *loader, apq_verification *out) {
    options.runtime = job->request->runtime;
    options.is_changed = json_array_size(job->changed) > 0;
    options.n_threads = apq_backend_threads();
    options.progress = job->session.progress;
    return apq_verify_onnx(job->network.model, path, loader, &options, out);
}

static apq_status write_qdq(const apq_export_job *job, const char *path) {
    return write_onnx(job, APQ_ONNX_QDQ, path);
}

/* Layers with INT4 weights are computed in float. */
static apq_status verify_qdq(const apq_export_job *job, const char *path,
                             apq_loader *loader, apq_verification *out) {
    apq_verify_options options = {.is_float = job->request->is_packed};
    return verify_onnx(job, options, path, loader, out);
}

static apq_status write_qonnx(const apq_export_job *job, const char *path) {
    return write_onnx(job, APQ_ONNX_QONNX, path);
}

static apq_status verify_qonnx(const apq_export_job *job, const char *path,
                               apq_loader *loader, apq_verification *out) {
    bool is_scaled = job->request->is_scaled;
    apq_verify_options options = {.is_float = is_scaled,
                                  .has_codes = !is_scaled};
    return verify_onnx(job, options, path, loader, out);
}

static const char *need_runtime(const apq_export_request *request) {
    return request->runtime != NULL
               ? NULL
               : "apq verify needs ONNX Runtime's libonnxruntime.so, named "
                 "with --runtime or in APQ_ORT";
}

static const char *need_function(const apq_export_request *request) {
    return request->is_function_left_out
               ? "without the definition of IntQuant ONNX Runtime cannot run "
                 "it; an export with it can be verified"
               : need_runtime(request);
}

static const char *need_compiler(const apq_export_request *request) {
    (void)request;
    return apq_export_can_compile() ? NULL : "apq verify needs a C compiler cc";
}

static const char *need_nothing(const apq_export_request *request) {
    (void)request;
    return NULL;
}

/* A format is a row here and a name below. */
static const apq_export_format formats[] = {
    {.name = "onnx",
     .ending = ".onnx",
     .may_pack = true,
     .obstacle = need_runtime,
     .write = write_qdq,
     .verify = verify_qdq},
    {.name = "qonnx",
     .ending = ".onnx",
     .has_intquant = true,
     .obstacle = need_function,
     .write = write_qonnx,
     .verify = verify_qonnx},
    {.name = "c",
     .member = "network.c",
     .may_have_prefix = true,
     .reads_pixels = true,
     .obstacle = need_compiler,
     .write = apq_export_write_c,
     .verify = apq_export_verify_c},
    {.name = "safetensors",
     .member = "network.safetensors",
     .reads_pixels = true,
     .obstacle = need_nothing,
     .write = apq_export_write_weights,
     .verify = apq_export_verify_weights},
};
enum { N_FORMATS = sizeof formats / sizeof formats[0] };

const char *const apq_export_format_names[] = {"onnx", "qonnx", "c",
                                               "safetensors", NULL};

const apq_export_format *apq_export_format_find(const char *name) {
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (strcmp(formats[i].name, name) == 0) {
            return &formats[i];
        }
    }
    return NULL;
}

bool apq_app_has_onnx(void) {
    return apq_onnx_is_built();
}

const char *apq_app_runtime(void) {
    const char *library = getenv("APQ_ORT");
    return library != NULL && library[0] != '\0' ? library : NULL;
}

void apq_app_describe_runtime(char out[256]) {
    const char *library = apq_app_runtime();
    char version[APQ_VERIFY_TEXT_MAX];
    if (library == NULL) {
        (void)snprintf(out, 256, "none: APQ_ORT does not name its library");
    } else if (apq_verify_runtime(library, version) == APQ_OK) {
        (void)snprintf(out, 256, "%s", version);
    } else {
        (void)snprintf(out, 256, "none: %s", apq_error_message());
    }
}
