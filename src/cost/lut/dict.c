/* The authors' table format, read and written, and CSV for spreadsheets. The
 * two keys without a shape are the stem and the feature mix of the paper's
 * network. Format: mit-han-lab/apq, lut/BitFusion_new.b1.dict. */
#include "cost/lut/dict.h"

#include "cost/lut/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

enum { KEY_BYTES = 96 };

/* Layers whose key is a name. */
static const struct {
    const char *key;
    apq_ir_kind kind;
    int in_channels, out_channels, size, kernel, stride;
} named[] = {
    {"head", APQ_IR_CONV, 3, 32, 224, 3, 2},
    {"tail", APQ_IR_POINTWISE, 320, 1280, 7, 1, 1},
};
enum { N_NAMED = sizeof named / sizeof named[0], NAMED_BITS = 8 };

/* The key of a layer; a linear one has none. */
static void make_key(const apq_ir_layer *l, char out[KEY_BYTES]) {
    for (int i = 0; i < N_NAMED; i++) {
        if (l->kind == named[i].kind &&
            l->in_channels == named[i].in_channels &&
            l->out_channels == named[i].out_channels &&
            l->in_size == named[i].size && l->kernel == named[i].kernel &&
            l->stride == named[i].stride && l->weight_bits == NAMED_BITS &&
            l->act_bits == NAMED_BITS) {
            (void)snprintf(out, KEY_BYTES, "%s", named[i].key);
            return;
        }
    }
    (void)snprintf(out, KEY_BYTES, "(%d, %d, %d, %d, %d, %d, %d)-W%dA%d",
                   l->in_channels, l->out_channels, l->in_size, l->kernel,
                   l->stride, l->kernel / 2,
                   l->kind == APQ_IR_DEPTHWISE ? l->in_channels : 1,
                   l->weight_bits, l->act_bits);
}

static apq_status parse_key(const char *path, const char *key,
                            apq_ir_layer *out) {
    *out = (apq_ir_layer){.weight_bits = NAMED_BITS, .act_bits = NAMED_BITS};
    int pad = 0, groups = 1;
    const int n =
        sscanf(key, "(%d, %d, %d, %d, %d, %d, %d)-W%dA%d", &out->in_channels,
               &out->out_channels, &out->in_size, &out->kernel, &out->stride,
               &pad, &groups, &out->weight_bits, &out->act_bits);
    for (int i = 0; i < N_NAMED; i++) {
        if (strcmp(key, named[i].key) == 0) {
            out->in_channels = named[i].in_channels;
            out->out_channels = named[i].out_channels;
            out->in_size = named[i].size;
            out->kernel = named[i].kernel;
            out->stride = named[i].stride;
        }
    }
    out->kind = groups > 1         ? APQ_IR_DEPTHWISE
                : out->kernel == 1 ? APQ_IR_POINTWISE
                                   : APQ_IR_CONV;
    out->is_input_image = out->kind == APQ_IR_CONV;
    (void)snprintf(out->name, sizeof out->name, "%.40s", key);
    /* Writing what was understood must give the key back: this refuses other
     * paddings, groups, signs and anything behind. */
    char back[KEY_BYTES];
    make_key(out, back);
    if ((n != 9 && n != 0) || strcmp(key, back) != 0) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: key '%.60s' is not (in, out, size, kernel, stride, "
                 "kernel/2, 1 or in)-WwAa, head or tail",
                 path, key);
    }
    return APQ_OK;
}

static apq_status add_entry(const char *path, const char *key,
                            const json_t *value, apq_lut *lut) {
    apq_ir_layer layer;
    APQ_TRY(parse_key(path, key, &layer));
    const json_t *latency = json_object_get(value, "latency");
    const json_t *energy = json_object_get(value, "energy");
    if (json_object_size(value) != 2 || !json_is_number(latency) ||
        !json_is_number(energy)) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s: '%s' is not {\"energy\": mJ, \"latency\": ms}", path,
                 key);
    }
    const apq_lut_sample sample = {
        .latency_ms = json_number_value(latency),
        .energy_mj = json_number_value(energy),
        .count = 1,
        .weight_container_bits = layer.weight_bits,
        .act_container_bits = layer.act_bits,
    };
    apq_status st = apq_lut_add(lut, &layer, &sample);
    return st == APQ_OK ? st
                        : APQ_ERROR(st, "%s: %s", path, apq_error_message());
}

apq_status apq_dict_load(const char *path, const apq_lut_header *header,
                         apq_lut **out) {
    char *text = NULL;
    size_t n_bytes;
    json_error_t error;
    apq_lut *lut = NULL;
    apq_lut_header plain = *header;
    plain.has_flags = false;
    APQ_TRY(apq_file_read(path, &text, &n_bytes));
    json_t *root = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES, &error);
    free(text);
    apq_status st = APQ_OK;
    if (!json_is_object(root) || json_object_size(root) == 0) {
        st = root == NULL ? APQ_ERROR(APQ_ERR_FORMAT, "%s:%d: not JSON: %s",
                                      path, error.line, error.text)
                          : APQ_ERROR(APQ_ERR_FORMAT,
                                      "%s: not an object with entries", path);
        goto done;
    }
    if ((st = apq_lut_create(&plain, &lut)) != APQ_OK) {
        goto done;
    }
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value) {
        if ((st = add_entry(path, key, value, lut)) != APQ_OK) {
            goto done;
        }
    }
    if ((st = apq_lut_index(lut)) == APQ_OK) {
        *out = lut; /* success: ownership moves to the caller */
        lut = NULL;
    }
done:
    apq_lut_destroy(lut);
    json_decref(root);
    return st;
}

/* The first row with the same key, were flags not told apart. */
static apq_status check_flags(const apq_lut *lut, const apq_lut_row *row,
                              apq_lut *seen, bool *is_new) {
    apq_ir_layer layer;
    apq_lut_row_layer(row, &layer);
    const apq_lut_row *other = apq_lut_find(seen, &layer);
    *is_new = other == NULL;
    if (other == NULL) {
        return apq_lut_add(seen, &layer, &row->sample);
    }
    if (other->sample.latency_ms != row->sample.latency_ms ||
        other->sample.energy_mj != row->sample.energy_mj) {
        char key[KEY_BYTES];
        make_key(&layer, key);
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "%s costs %g or %g ms with other activations on %s; this "
                 "format has one entry for both",
                 key, other->sample.latency_ms, row->sample.latency_ms,
                 apq_lut_header_of(lut)->target);
    }
    return APQ_OK;
}

static apq_status write_entry(const apq_lut_row *row, bool is_first,
                              apq_text *text) {
    apq_ir_layer layer;
    char key[KEY_BYTES];
    apq_lut_row_layer(row, &layer);
    make_key(&layer, key);
    if (layer.kind == APQ_IR_LINEAR) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "linear %d->%d: this format holds convolutions only",
                 layer.in_channels, layer.out_channels);
    }
    if (!isfinite(row->sample.energy_mj)) {
        APQ_FAIL(APQ_ERR_UNSUPPORTED,
                 "%s: energy is not known, and this format needs it", key);
    }
    apq_text_add(text, "%s\"%s\": {\"energy\": ", is_first ? "" : ", ", key);
    apq_text_number(text, row->sample.energy_mj);
    apq_text_add(text, ", \"latency\": ");
    apq_text_number(text, row->sample.latency_ms);
    apq_text_add(text, "}");
    return APQ_OK;
}

static apq_status write_entries(const apq_lut *lut, apq_lut *seen,
                                apq_text *text) {
    bool is_first = true, is_new = false;
    apq_text_add(text, "{");
    for (size_t i = 0; i < apq_lut_n_rows(lut); i++) {
        const apq_lut_row *row = apq_lut_row_at(lut, i);
        if (row->is_supported) {
            APQ_TRY(check_flags(lut, row, seen, &is_new));
        }
        if (row->is_supported && is_new) {
            APQ_TRY(write_entry(row, is_first, text));
            is_first = false;
        }
    }
    apq_text_add(text, "}\n");
    return APQ_OK;
}

apq_status apq_dict_save(const apq_lut *lut, const char *path) {
    apq_lut_header plain = *apq_lut_header_of(lut);
    apq_lut *seen = NULL;
    apq_text text = {.bytes = NULL};
    plain.has_flags = false;
    APQ_TRY(apq_lut_create(&plain, &seen));
    apq_status st = write_entries(lut, seen, &text);
    apq_lut_destroy(seen);
    if (st != APQ_OK) {
        free(text.bytes);
        return st;
    }
    return apq_text_write(&text, path);
}

static void csv_number(apq_text *text, double value) {
    apq_text_add(text, ",");
    if (isfinite(value)) {
        apq_text_number(text, value);
    }
}

apq_status apq_lut_save_csv(const apq_lut *lut, const char *path) {
    apq_text text = {.bytes = NULL};
    for (int i = 0; i < APQ_LUT_N_KEY; i++) {
        apq_text_add(&text, "%s,", apq_lut_key_name(i));
    }
    apq_text_add(&text, "supported,latency_ms,latency_spread_ms,energy_mj,"
                        "energy_spread_mj,count,weight_container_bits,"
                        "act_container_bits\n");
    for (size_t r = 0; r < apq_lut_n_rows(lut); r++) {
        const apq_lut_row *row = apq_lut_row_at(lut, r);
        const apq_lut_sample *s = &row->sample;
        apq_text_add(&text, "%s",
                     apq_ir_kind_name((apq_ir_kind)row->key[APQ_LUT_KIND]));
        for (int i = APQ_LUT_INPUT_IMAGE; i < APQ_LUT_N_KEY; i++) {
            apq_text_add(&text, ",%d", row->key[i]);
        }
        if (!row->is_supported) {
            apq_text_add(&text, ",0,,,,,,,\n");
            continue;
        }
        apq_text_add(&text, ",1");
        csv_number(&text, s->latency_ms);
        csv_number(&text, s->latency_spread_ms);
        csv_number(&text, s->energy_mj);
        csv_number(&text, s->energy_spread_mj);
        apq_text_add(&text, ",%" PRId64 ",%d,%d\n", s->count,
                     s->weight_container_bits, s->act_container_bits);
    }
    return apq_text_write(&text, path);
}
