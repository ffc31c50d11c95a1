/* Weights read back: the network that a program would rebuild from the file,
 * beside the one that it was written from. */
#include "export/verify_weights.h"

#include "deploy/int_engine.h"
#include "deploy/int_reference.h"
#include "export/describe.h"
#include "export/weights.h"
#include "tensor/safetensors.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 64, MAX_BIAS = 1 << 30 };

typedef struct reading {
    const char *path;
    apq_tensor_file *file;
    json_t *network;     /* the description in the file */
    apq_int_model model; /* as the original, tensors of the file */
    apq_arena *arena;    /* of weights in our order */
} reading;

/* Tensors ----------------------------------------------------------------- */

static apq_status get(const reading *r, const char *layer, const char *what,
                      apq_dtype dtype, int rank, const int64_t *shape,
                      const void **out) {
    char name[APQ_IR_NAME_MAX + 24];
    (void)snprintf(name, sizeof name, "%s.%s", layer, what);
    return apq_tensor_file_get(r->file, name, dtype, rank, shape, out);
}

static apq_status no_number(const reading *r, const char *layer,
                            const char *what, double value) {
    APQ_FAIL(APQ_ERR_FORMAT, "%s: %s.%s: %g, legal > 0", r->path, layer, what,
             value);
}

/* n numbers above 0. */
static apq_status get_scales(const reading *r, const char *layer,
                             const char *what, int n, const float **out) {
    const int64_t shape[] = {n};
    const void *data;
    APQ_TRY(get(r, layer, what, APQ_F32, 1, shape, &data));
    *out = data;
    for (int i = 0; i < n; i++) {
        if (!(isfinite((*out)[i]) && (*out)[i] > 0.0F)) {
            return no_number(r, layer, what, (double)(*out)[i]);
        }
    }
    return APQ_OK;
}

static apq_status get_scale(const reading *r, const char *layer,
                            const char *what, float *out) {
    const void *data;
    APQ_TRY(get(r, layer, what, APQ_F32, 0, NULL, &data));
    memcpy(out, data, sizeof *out);
    return isfinite(*out) && *out > 0.0F
               ? APQ_OK
               : no_number(r, layer, what, (double)*out);
}

/* The step of codes; the code of 0 is 0 everywhere. */
static apq_status get_step(const reading *r, const char *layer,
                           const char *side, float *out) {
    char what[24];
    const void *zero_point;
    (void)snprintf(what, sizeof what, "%s_zero_point", side);
    APQ_TRY(get(r, layer, what, APQ_I32, 0, NULL, &zero_point));
    if (*(const int32_t *)zero_point != 0) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: %s.%s: %d, legal 0", r->path, layer, what,
                 (int)*(const int32_t *)zero_point);
    }
    (void)snprintf(what, sizeof what, "%s_step", side);
    return get_scale(r, layer, what, out);
}

/* Such that no 32-bit sum overflows. */
static apq_status get_bias(const reading *r, const char *layer, int n,
                           const int32_t **out) {
    const int64_t shape[] = {n};
    const void *data;
    APQ_TRY(get(r, layer, "bias", APQ_I32, 1, shape, &data));
    *out = data;
    for (int i = 0; i < n; i++) {
        if ((*out)[i] < -MAX_BIAS || (*out)[i] > MAX_BIAS) {
            APQ_FAIL(APQ_ERR_FORMAT, "%s: %s.bias: %d, legal -%d ... %d",
                     r->path, layer, (int)(*out)[i], MAX_BIAS, MAX_BIAS);
        }
    }
    return APQ_OK;
}

/* A rank of 4 or 2, (K, C, R, R) or (K, C), in our order: channels last. */
static apq_status get_weight(const reading *r, const apq_ir_layer *ir, int rank,
                             const int8_t **out) {
    int64_t depth = apq_int_depth(ir), taps = rank == 4 ? ir->kernel : 1;
    taps *= taps;
    int64_t channels = depth / taps, limit = (1 << (ir->weight_bits - 1)) - 1;
    const int64_t shape[] = {ir->out_channels, channels, ir->kernel,
                             ir->kernel};
    const void *data;
    APQ_TRY(get(r, ir->name, "weight", APQ_I8, rank, shape, &data));
    const int8_t *from = data;
    int8_t *w = apq_arena_alloc(r->arena, (size_t)(shape[0] * depth), 1);
    if (w == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", r->path);
    }
    for (int64_t i = 0; i < shape[0] * depth; i++) {
        int64_t k = i / depth, tap = i % depth / channels, c = i % channels;
        w[i] = from[(k * channels + c) * taps + tap];
        if (w[i] < -limit || w[i] > limit) {
            APQ_FAIL(APQ_ERR_FORMAT,
                     "%s: %s.weight: %d, legal -%d ... %d in %d bits", r->path,
                     ir->name, w[i], (int)limit, (int)limit, ir->weight_bits);
        }
    }
    *out = w;
    return APQ_OK;
}

static apq_status get_reround(const reading *r, apq_int_conv *l) {
    const int64_t shape[] = {256};
    const void *data;
    if (l->reround == NULL) {
        return APQ_OK;
    }
    APQ_TRY(get(r, l->ir.name, "reround", APQ_I8, 1, shape, &data));
    l->reround = data;
    return APQ_OK;
}

static apq_status read_conv(reading *r, apq_int_conv *l) {
    const char *name = l->ir.name;
    int n = l->ir.out_channels;
    APQ_TRY(get_weight(r, &l->ir, 4, &l->w));
    APQ_TRY(get_scales(r, name, "weight_step", n, &l->weight_step));
    APQ_TRY(get_bias(r, name, n, &l->bias));
    APQ_TRY(get_scales(r, name, "rescale", n, &l->rescale));
    APQ_TRY(get_step(r, name, "input", &l->in.step));
    APQ_TRY(get_step(r, name, "output", &l->out.step));
    return get_reround(r, l);
}

static apq_status read_tensors(reading *r) {
    apq_int_model *m = &r->model;
    const char *name = m->classifier.name;
    for (int i = 0; i < m->n_convs; i++) {
        APQ_TRY(read_conv(r, &m->convs[i]));
    }
    APQ_TRY(get_weight(r, &m->classifier, 2, &m->w));
    APQ_TRY(get_scales(r, name, "weight_step", m->n_classes, &m->weight_step));
    APQ_TRY(get_bias(r, name, m->n_classes, &m->bias));
    APQ_TRY(get_scales(r, name, "logit_scale", m->n_classes, &m->logit_scale));
    APQ_TRY(get_scale(r, name, "pool_rescale", &m->pool_rescale));
    return get_step(r, name, "input", &m->pooled.step);
}

/* Description ------------------------------------------------------------- */

/* Three numbers, as they were written. */
static bool has_numbers(const reading *r, const char *key,
                        const float expected[3]) {
    const json_t *list = json_object_get(r->network, key);
    bool is_equal = json_array_size(list) == 3;
    for (size_t i = 0; is_equal && i < 3; i++) {
        const json_t *number = json_array_get(list, i);
        float value = (float)json_number_value(number);
        is_equal = json_is_number(number) && !(value < expected[i]) &&
                   !(value > expected[i]);
    }
    return is_equal;
}

/* Of pixels, as compare_layers. */
static void compare_normalisation(const reading *r,
                                  const apq_verify_weights_options *options,
                                  apq_verification *out) {
    if (!has_numbers(r, "mean", options->mean) ||
        !has_numbers(r, "std", options->std)) {
        (void)snprintf(out->difference, sizeof out->difference,
                       "pixels are described with another mean or deviation");
    }
}

/* In one form, as reals are written; the caller's. */
static char *canonical(const json_t *value) {
    return json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS |
                                 JSON_REAL_PRECISION(9));
}

/* A member that exports before it was thought of lack; takes `ours`. */
static apq_status compare_member(const reading *r, const char *key,
                                 json_t *ours, const char *difference,
                                 apq_verification *out) {
    const json_t *member = json_object_get(r->network, key);
    char *expected = canonical(ours), *actual = canonical(member);
    json_decref(ours);
    bool is_whole = expected != NULL && (member == NULL || actual != NULL);
    if (is_whole && member != NULL && strcmp(actual, expected) != 0) {
        (void)snprintf(out->difference, sizeof out->difference, "%s",
                       difference);
    }
    free(expected);
    free(actual);
    if (!is_whole) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", r->path);
    }
    return APQ_OK;
}

static apq_status
compare_images_and_classes(const reading *r,
                           const apq_verify_weights_options *o,
                           apq_verification *out) {
    APQ_TRY(
        compare_member(r, "class_names",
                       apq_describe_classes(o->class_names, r->model.n_classes),
                       "classes have other names", out));
    return compare_member(
        r, "preprocessing",
        apq_describe_preprocessing(r->model.resolution, o->mean, o->std),
        "images are described as prepared otherwise", out);
}

/* What is another in the file is left in out->difference and out->layer. */
static apq_status compare_layers(const reading *r, apq_verification *out) {
    json_t *ours = apq_weights_layers(&r->model);
    const json_t *theirs = json_object_get(r->network, "layers");
    if (ours == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", r->path);
    }
    size_t n = json_array_size(ours);
    if (json_array_size(theirs) != n) {
        (void)snprintf(out->difference, sizeof out->difference,
                       "%zu layers are described, not %zu",
                       json_array_size(theirs), n);
    }
    for (size_t i = 0; i < n && out->difference[0] == '\0'; i++) {
        const json_t *layer = json_array_get(ours, i);
        if (!json_equal(layer, json_array_get(theirs, i))) {
            (void)snprintf(out->layer, sizeof out->layer, "%s",
                           json_string_value(json_object_get(layer, "name")));
            (void)snprintf(out->difference, sizeof out->difference,
                           "%s is described as another layer", out->layer);
        }
    }
    json_decref(ours);
    return APQ_OK;
}

static apq_status open_reading(reading *r,
                               const apq_verify_weights_options *options,
                               apq_verification *out) {
    APQ_TRY(apq_tensor_file_load(r->path, &r->file));
    APQ_TRY(apq_tensor_file_check_format(r->file, "apq integer network",
                                         "an integer network", 1));
    const char *text = apq_tensor_file_meta(r->file, "network");
    r->network = text == NULL ? NULL : json_loads(text, 0, NULL);
    if (!json_is_object(r->network)) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: no description of a network", r->path);
    }
    APQ_TRY(compare_images_and_classes(r, options, out));
    compare_normalisation(r, options, out);
    APQ_TRY(compare_layers(r, out));
    if (out->difference[0] != '\0') {
        return APQ_OK; /* tensors of other layers */
    }
    APQ_TRY(apq_arena_create(&r->arena));
    return read_tensors(r);
}

static void close_reading(reading *r) {
    apq_arena_destroy(r->arena);
    json_decref(r->network);
    apq_tensor_file_destroy(r->file);
}

/* Images ------------------------------------------------------------------ */

typedef struct checker {
    const apq_int_model *model; /* the original */
    const apq_verify_weights_options *options;
    const reading *reading;
    size_t n_values;              /* of an image */
    float *values;                /* (BATCH, n_values) */
    float *logits, *their_logits; /* (BATCH, classes) */
} checker;

static void normalise(const uint8_t *bytes, size_t n, const float mean[3],
                      const float std[3], float *out) {
    for (size_t i = 0; i < n; i++) {
        out[i] = ((float)bytes[i] / 255.0F - mean[i % 3]) / std[i % 3];
    }
}

/* An image through both, with the codes of all layers, by the plain
 * definition. */
static apq_status find_layer(const checker *c, const float *image,
                             apq_verification *out) {
    const apq_int_model *m = c->model;
    size_t total = 0, at = 0, sizes[APQ_IR_MAX_LAYERS];
    for (int i = 0; i < m->n_convs; i++) {
        const apq_ir_layer *ir = &m->convs[i].ir;
        sizes[i] = (size_t)ir->out_size * (size_t)ir->out_size *
                   (size_t)ir->out_channels;
        total += sizes[i];
    }
    int16_t *all = apq_calloc(2 * total, sizeof *all);
    int16_t *codes[APQ_IR_MAX_LAYERS], *their_codes[APQ_IR_MAX_LAYERS];
    for (int i = 0; all != NULL && i < m->n_convs; at += sizes[i++]) {
        codes[i] = all + at;
        their_codes[i] = all + total + at;
    }
    apq_status st =
        all == NULL ? APQ_ERROR(APQ_ERR_NOMEM, "verification: out of memory")
                    : apq_int_reference_run(m, image, codes, c->logits);
    if (st == APQ_OK) {
        st = apq_int_reference_run(&c->reading->model, image, their_codes,
                                   c->their_logits);
    }
    for (int i = 0; st == APQ_OK && i < m->n_convs && out->n_codes == 0; i++) {
        for (size_t j = 0; j < sizes[i]; j++) {
            out->n_codes += codes[i][j] != their_codes[i][j];
        }
        if (out->n_codes > 0) {
            (void)snprintf(out->layer, sizeof out->layer, "%s",
                           m->convs[i].ir.name);
        }
    }
    free(all);
    APQ_TRY(st);
    if (out->n_codes == 0) {
        (void)snprintf(out->layer, sizeof out->layer, "%s", m->classifier.name);
    }
    return APQ_OK;
}

static apq_status compare_batch(checker *c, const apq_int_engine *engine,
                                const apq_int_engine *their_engine, int first,
                                int n, apq_verification *out) {
    size_t n_classes = (size_t)c->model->n_classes;
    const uint8_t *bytes = c->options->images + (size_t)first * c->n_values;
    normalise(bytes, (size_t)n * c->n_values, c->options->mean, c->options->std,
              c->values);
    APQ_TRY(apq_int_engine_run(engine, c->values, n, c->logits));
    APQ_TRY(apq_int_engine_run(their_engine, c->values, n, c->their_logits));
    for (int i = 0; i < n; i++) {
        size_t at = (size_t)i * n_classes;
        out->n_images++;
        if (memcmp(c->logits + at, c->their_logits + at,
                   n_classes * sizeof *c->logits) != 0) {
            out->image = first + i;
            size_t pixel = (size_t)i * c->n_values;
            APQ_TRY(find_layer(c, c->values + pixel, out));
            (void)snprintf(out->difference, sizeof out->difference,
                           "image %d has other logits; the first layer that "
                           "differs is %s",
                           first + i, out->layer);
            break;
        }
    }
    return APQ_OK;
}

static apq_status compare_all(checker *c, const apq_int_engine *engine,
                              const apq_int_engine *their_engine,
                              apq_verification *out) {
    int n_images = c->options->n_images;
    for (int i = 0; i < n_images && out->difference[0] == '\0'; i += BATCH) {
        int n = n_images - i < BATCH ? n_images - i : BATCH;
        if (apq_stop_requested(c->options->progress)) {
            APQ_FAIL(APQ_ERR_INTERRUPTED, "verification interrupted");
        }
        APQ_TRY(compare_batch(c, engine, their_engine, i, n, out));
        apq_progress_update(c->options->progress, "verify", (uint64_t)(i + n),
                            (uint64_t)n_images, "");
    }
    return APQ_OK;
}

static apq_status compare_images(const apq_int_model *model,
                                 const apq_verify_weights_options *options,
                                 const reading *r, apq_verification *out) {
    size_t side = (size_t)model->resolution,
           n_classes = (size_t)model->n_classes;
    checker c = {.model = model,
                 .options = options,
                 .reading = r,
                 .n_values = 3 * side * side};
    apq_int_engine *engine = NULL, *their_engine = NULL;
    c.values = apq_calloc(BATCH * c.n_values, sizeof *c.values);
    c.logits = apq_calloc(BATCH * n_classes, sizeof *c.logits);
    c.their_logits = apq_calloc(BATCH * n_classes, sizeof *c.their_logits);
    apq_status st = APQ_OK;
    if (c.values == NULL || c.logits == NULL || c.their_logits == NULL) {
        st = APQ_ERROR(APQ_ERR_NOMEM, "verification: out of memory");
    }
    if (st == APQ_OK) {
        st = apq_int_engine_create(model, &engine);
    }
    if (st == APQ_OK) {
        st = apq_int_engine_create(&r->model, &their_engine);
    }
    if (st == APQ_OK) {
        st = compare_all(&c, engine, their_engine, out);
    }
    apq_int_engine_destroy(engine);
    apq_int_engine_destroy(their_engine);
    free(c.values);
    free(c.logits);
    free(c.their_logits);
    return st;
}

apq_status apq_verify_weights(const apq_int_model *model, const char *path,
                              const apq_verify_weights_options *options,
                              apq_verification *out) {
    *out = (apq_verification){.n_images = 0};
    (void)snprintf(out->runtime, sizeof out->runtime, "apq, read back");
    reading *r = calloc(1, sizeof *r);
    if (r == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "verification: out of memory");
    }
    r->path = path;
    r->model = *model;
    apq_status st = open_reading(r, options, out);
    if (st == APQ_OK && out->difference[0] == '\0') {
        st = compare_images(model, options, r, out);
    }
    close_reading(r);
    free(r);
    out->agrees = st == APQ_OK && out->difference[0] == '\0';
    return st;
}
