/* In place of the ONNX sources where the build found no protobuf-c or no
 * onnx.proto. */
#include "export/onnx.h"

#include "export/ort.h"
#include "export/verify.h"

static apq_status fail(void) {
    APQ_FAIL(APQ_ERR_UNSUPPORTED,
             "this build has no ONNX: install libonnx-dev, libprotobuf-c-dev "
             "and protobuf-c-compiler, then configure and build again");
}

bool apq_onnx_is_built(void) {
    return false;
}

apq_status apq_export_onnx(const apq_int_model *model,
                           const apq_onnx_options *options, const char *path) {
    (void)model, (void)options, (void)path;
    return fail();
}

apq_status apq_onnx_bytes(const apq_int_model *model,
                          const apq_onnx_options *options, char **bytes,
                          size_t *n_bytes) {
    (void)model, (void)options, (void)bytes, (void)n_bytes;
    return fail();
}

apq_status apq_onnx_show_layers(const apq_int_model *model, const char *bytes,
                                size_t n_bytes, char **out, size_t *n_out) {
    (void)model, (void)bytes, (void)n_bytes, (void)out, (void)n_out;
    return fail();
}

apq_status apq_verify_onnx(const apq_int_model *model, const char *path,
                           apq_loader *loader,
                           const apq_verify_options *options,
                           apq_verification *out) {
    (void)model, (void)path, (void)loader, (void)options, (void)out;
    return fail();
}

apq_status apq_verify_runtime(const char *library,
                              char out[APQ_VERIFY_TEXT_MAX]) {
    (void)library, (void)out;
    return fail();
}

apq_status apq_ort_open(const char *library, apq_ort **out) {
    (void)library, (void)out;
    return fail();
}

/* Without apq_ort_open() there is nothing that these could be called with. */
void apq_ort_close(apq_ort *ort) {
    (void)ort;
}

const char *apq_ort_version(const apq_ort *ort) {
    (void)ort;
    return "";
}

apq_status apq_ort_session_create(apq_ort *ort, const char *bytes,
                                  size_t n_bytes, apq_ort_level level,
                                  int n_threads, apq_ort_session **out) {
    (void)ort, (void)bytes, (void)n_bytes, (void)level, (void)n_threads;
    (void)out;
    return fail();
}

void apq_ort_session_destroy(apq_ort_session *session) {
    (void)session;
}

apq_status apq_ort_run(apq_ort_session *session, float *image,
                       const int64_t dims[4], const apq_ort_output *outputs,
                       size_t n_outputs) {
    (void)session, (void)image, (void)dims, (void)outputs, (void)n_outputs;
    return fail();
}
