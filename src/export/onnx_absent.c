/* In place of the ONNX sources where the build found no protobuf-c or no
 * onnx.proto. */
#include "export/onnx.h"

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
