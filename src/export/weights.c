/* An integer network as a safetensors file and its description in JSON. Layouts
 * are PyTorch's: channels before taps (docs/formats/integer-weights.md). */
#include "export/weights.h"

#include "base/file.h"
#include "export/describe.h"
#include "tensor/safetensors.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_MAX_BYTES = APQ_IR_NAME_MAX + 24, FLOAT_DIGITS = 9 };

/* Tensors ----------------------------------------------------------------- */

static apq_status put(apq_tensor_file *file, const char *layer,
                      const char *what, apq_dtype dtype, int rank,
                      const int64_t *shape, const void *data) {
    char name[NAME_MAX_BYTES];
    (void)snprintf(name, sizeof name, "%s.%s", layer, what);
    return apq_tensor_file_put(file, name, dtype, rank, shape, data);
}

/* The step of codes, and the code of 0, which is 0 everywhere. */
static apq_status put_codes(apq_tensor_file *file, const char *layer,
                            const char *side, const apq_int_codes *codes) {
    char what[24];
    const int32_t zero_point = 0;
    (void)snprintf(what, sizeof what, "%s_step", side);
    APQ_TRY(put(file, layer, what, APQ_F32, 0, NULL, &codes->step));
    (void)snprintf(what, sizeof what, "%s_zero_point", side);
    return put(file, layer, what, APQ_I32, 0, NULL, &zero_point);
}

/* (K, taps, C) to (K, C, R, R). */
static apq_status put_weight(apq_tensor_file *file, const apq_int_conv *l) {
    int64_t depth = apq_int_depth(&l->ir);
    int64_t taps = (int64_t)l->ir.kernel * l->ir.kernel;
    int64_t channels = depth / taps;
    int64_t shape[4] = {l->ir.out_channels, channels, l->ir.kernel,
                        l->ir.kernel};
    int8_t *w = malloc((size_t)(shape[0] * depth));
    if (w == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", l->ir.name);
    }
    for (int64_t i = 0; i < shape[0] * depth; i++) {
        int64_t k = i / depth, tap = i % depth / channels, c = i % channels;
        w[(k * channels + c) * taps + tap] = l->w[i];
    }
    apq_status st = put(file, l->ir.name, "weight", APQ_I8, 4, shape, w);
    free(w);
    return st;
}

static apq_status put_conv(apq_tensor_file *file, const apq_int_conv *l) {
    const char *name = l->ir.name;
    const int64_t n[] = {l->ir.out_channels}, n_table[] = {256};
    APQ_TRY(put_weight(file, l));
    APQ_TRY(put(file, name, "weight_step", APQ_F32, 1, n, l->weight_step));
    APQ_TRY(put(file, name, "bias", APQ_I32, 1, n, l->bias));
    APQ_TRY(put(file, name, "rescale", APQ_F32, 1, n, l->rescale));
    APQ_TRY(put_codes(file, name, "input", &l->in));
    APQ_TRY(put_codes(file, name, "output", &l->out));
    return l->reround == NULL
               ? APQ_OK
               : put(file, name, "reround", APQ_I8, 1, n_table, l->reround);
}

static apq_status put_classifier(apq_tensor_file *file,
                                 const apq_int_model *m) {
    const char *name = m->classifier.name;
    const int64_t shape[] = {m->n_classes, m->channels};
    APQ_TRY(put(file, name, "weight", APQ_I8, 2, shape, m->w));
    APQ_TRY(put(file, name, "weight_step", APQ_F32, 1, shape, m->weight_step));
    APQ_TRY(put(file, name, "bias", APQ_I32, 1, shape, m->bias));
    APQ_TRY(put(file, name, "logit_scale", APQ_F32, 1, shape, m->logit_scale));
    APQ_TRY(
        put(file, name, "pool_rescale", APQ_F32, 0, NULL, &m->pool_rescale));
    return put_codes(file, name, "input", &m->pooled);
}

static apq_status put_all(apq_tensor_file *file, const apq_int_model *m,
                          const char *description) {
    for (int i = 0; i < m->n_convs; i++) {
        APQ_TRY(put_conv(file, &m->convs[i]));
    }
    APQ_TRY(put_classifier(file, m));
    APQ_TRY(apq_tensor_file_put_meta(file, "format", "apq integer network 1"));
    return apq_tensor_file_put_meta(file, "network", description);
}

/* Description ------------------------------------------------------------- */

static json_t *describe_layer(const apq_int_model *m, const apq_ir_layer *ir,
                              const apq_int_codes *in,
                              const apq_int_codes *out) {
    json_t *output =
        out == NULL ? json_null() : json_pack("[i,i]", out->low, out->high);
    const char *from =
        ir->residual_from < 0 ? NULL : m->convs[ir->residual_from].ir.name;
    return json_pack("{s:s,s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:[i,i],s:o,"
                     "s:s?}",
                     "name", ir->name, "kind", apq_ir_kind_name(ir->kind),
                     "in_channels", ir->in_channels, "out_channels",
                     ir->out_channels, "kernel", ir->kernel, "stride",
                     ir->stride, "in_size", ir->in_size, "out_size",
                     ir->out_size, "weight_bits", ir->weight_bits, "input_bits",
                     ir->act_bits, "input_codes", in->low, in->high,
                     "output_codes", output, "residual_from", from);
}

json_t *apq_weights_layers(const apq_int_model *m) {
    json_t *layers = json_array();
    int failed = 0;
    for (int i = 0; i < m->n_convs; i++) {
        const apq_int_conv *l = &m->convs[i];
        failed |= json_array_append_new(
            layers, describe_layer(m, &l->ir, &l->in, &l->out));
    }
    failed |= json_array_append_new(
        layers, describe_layer(m, &m->classifier, &m->pooled, NULL));
    if (failed != 0) {
        json_decref(layers);
        layers = NULL;
    }
    return layers;
}

static json_t *describe(const apq_int_model *m, const apq_weights_options *o,
                        json_t *policy) {
    return json_pack("{s:s,s:i,s:i,s:o,s:[f,f,f],s:[f,f,f],s:o,s:O?,s:o}",
                     "format", "apq integer network 1", "resolution",
                     m->resolution, "classes", m->n_classes, "class_names",
                     apq_describe_classes(o->class_names, m->n_classes), "mean",
                     (double)o->mean[0], (double)o->mean[1], (double)o->mean[2],
                     "std", (double)o->std[0], (double)o->std[1],
                     (double)o->std[2], "preprocessing",
                     apq_describe_preprocessing(m->resolution, o->mean, o->std),
                     "policy", policy, "layers", apq_weights_layers(m));
}

static apq_status parse_policy(const char *text, json_t **out) {
    json_error_t error;
    *out = NULL;
    if (text == NULL) {
        return APQ_OK;
    }
    *out = json_loads(text, 0, &error);
    if (!json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        APQ_FAIL(APQ_ERR_ARG, "weights: the policy is no JSON object");
    }
    return APQ_OK;
}

apq_status apq_export_weights(const apq_int_model *model,
                              const apq_weights_options *options,
                              const char *dir) {
    char tensors[APQ_PATH_MAX], sidecar[APQ_PATH_MAX];
    json_t *policy;
    APQ_TRY(apq_path_join(tensors, dir, "network.safetensors"));
    APQ_TRY(apq_path_join(sidecar, dir, "network.json"));
    APQ_TRY(parse_policy(options->policy, &policy));
    apq_status st = APQ_OK;
    apq_tensor_file *file = NULL;
    json_t *root = describe(model, options, policy);
    const size_t digits = JSON_REAL_PRECISION(FLOAT_DIGITS);
    char *line = root == NULL ? NULL : json_dumps(root, digits | JSON_COMPACT);
    char *text =
        root == NULL ? NULL : json_dumps(root, digits | JSON_INDENT(1));
    if (line == NULL || text == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "weights: out of memory");
        goto done;
    }
    if ((st = apq_tensor_file_create(&file)) != APQ_OK ||
        (st = put_all(file, model, line)) != APQ_OK ||
        (st = apq_dir_make(dir)) != APQ_OK ||
        (st = apq_tensor_file_save(file, tensors)) != APQ_OK) {
        goto done;
    }
    st = apq_file_write_text(sidecar, text);
done:
    apq_tensor_file_destroy(file);
    json_decref(root);
    json_decref(policy);
    free(line);
    free(text);
    return st;
}
