/* Tables as JSON lines: a header, then one layer a line. Nothing is guessed:
 * a key too many or too few, a row twice, or a file cut short is refused with
 * its line. Format: docs/formats/table.md. */
#include "cost/lut/lut.h"

#include "base/words.h"
#include "cost/lut/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

/* One line being read. */
typedef struct reader {
    const char *path;
    size_t line;
    json_t *object;
} reader;

static const char *const header_keys[] = {
    "schema_version", "target",    "target_hash", "space", "space_hash",
    "units",          "batch",     "date",        "rows",  "tool_version",
    "width_step",     "has_flags", "is_complete", NULL};
static const char *const row_keys[] = {"kind",
                                       "input_image",
                                       "act_signed",
                                       "relu6",
                                       "kernel",
                                       "stride",
                                       "size",
                                       "weight_bits",
                                       "act_bits",
                                       "in_channels",
                                       "out_channels",
                                       "supported",
                                       "latency_ms",
                                       "latency_spread_ms",
                                       "energy_mj",
                                       "energy_spread_mj",
                                       "count",
                                       "weight_container_bits",
                                       "act_container_bits",
                                       NULL};

static apq_status check_keys(const reader *r, const char *const *legal) {
    const char *key;
    json_t *value;
    json_object_foreach(r->object, key, value) {
        bool is_known = false;
        for (size_t i = 0; legal[i] != NULL; i++) {
            is_known = is_known || strcmp(key, legal[i]) == 0;
        }
        if (!is_known) {
            const char *near = apq_nearest_word(key, legal);
            APQ_FAIL(APQ_ERR_FORMAT, "%s:%zu: unknown key '%.40s'%s%s%s",
                     r->path, r->line, key,
                     near != NULL ? ", did you mean '" : "",
                     near != NULL ? near : "", near != NULL ? "'?" : "");
        }
    }
    return APQ_OK;
}

static apq_status find(const reader *r, const char *key, const json_t **out) {
    *out = json_object_get(r->object, key);
    if (*out == NULL) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%zu: key '%s' is missing", r->path,
                 r->line, key);
    }
    return APQ_OK;
}

static apq_status read_int(const reader *r, const char *key, int64_t low,
                           int64_t high, int64_t *out) {
    const json_t *value;
    APQ_TRY(find(r, key, &value));
    if (!json_is_integer(value) || json_integer_value(value) < low ||
        json_integer_value(value) > high) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s:%zu: '%s' is not an integer in %" PRId64 "..%" PRId64,
                 r->path, r->line, key, low, high);
    }
    *out = json_integer_value(value);
    return APQ_OK;
}

static apq_status read_bool(const reader *r, const char *key, bool *out) {
    const json_t *value;
    APQ_TRY(find(r, key, &value));
    if (!json_is_boolean(value)) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%zu: '%s' is not true or false", r->path,
                 r->line, key);
    }
    *out = json_is_true(value);
    return APQ_OK;
}

/* NaN for null where that is legal. */
static apq_status read_amount(const reader *r, const char *key, bool may_miss,
                              double *out) {
    const json_t *value;
    APQ_TRY(find(r, key, &value));
    if (may_miss && json_is_null(value)) {
        *out = (double)NAN;
        return APQ_OK;
    }
    if (!json_is_number(value) || !(json_number_value(value) >= 0)) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%zu: '%s' is not a number >= 0%s", r->path,
                 r->line, key, may_miss ? " or null" : "");
    }
    *out = json_number_value(value);
    return APQ_OK;
}

static apq_status read_text(const reader *r, const char *key, size_t size,
                            char *out) {
    const json_t *value;
    APQ_TRY(find(r, key, &value));
    size_t n = json_string_length(value);
    if (!json_is_string(value) || n >= size) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s:%zu: '%s' is not a text of at most %zu "
                 "bytes",
                 r->path, r->line, key, size - 1);
    }
    memcpy(out, json_string_value(value), n + 1);
    for (size_t i = 0; i < n; i++) {
        if (iscntrl((unsigned char)out[i])) { /* messages are one line */
            APQ_FAIL(APQ_ERR_FORMAT, "%s:%zu: '%s' has a control character",
                     r->path, r->line, key);
        }
    }
    return APQ_OK;
}

static apq_status read_units(const reader *r) {
    const json_t *units;
    APQ_TRY(find(r, "units", &units));
    const char *latency = json_string_value(json_object_get(units, "latency"));
    const char *energy = json_string_value(json_object_get(units, "energy"));
    if (latency == NULL || energy == NULL || strcmp(latency, "ms") != 0 ||
        strcmp(energy, "mJ") != 0 || json_object_size(units) != 2) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s:%zu: 'units' is not {\"latency\":\"ms\","
                 "\"energy\":\"mJ\"}",
                 r->path, r->line);
    }
    return APQ_OK;
}

static apq_status read_header(const reader *r, apq_lut_header *out,
                              size_t *n_rows) {
    int64_t schema, batch, step, rows;
    apq_lut_header h = {.batch = 0};
    APQ_TRY(check_keys(r, header_keys));
    APQ_TRY(
        read_int(r, "schema_version", APQ_LUT_SCHEMA, APQ_LUT_SCHEMA, &schema));
    APQ_TRY(read_text(r, "target", sizeof h.target, h.target));
    APQ_TRY(read_text(r, "target_hash", sizeof h.target_hash, h.target_hash));
    APQ_TRY(read_text(r, "space", sizeof h.space, h.space));
    APQ_TRY(read_text(r, "space_hash", sizeof h.space_hash, h.space_hash));
    APQ_TRY(read_units(r));
    APQ_TRY(read_int(r, "batch", 1, 1 << 20, &batch));
    APQ_TRY(read_text(r, "date", sizeof h.date, h.date));
    APQ_TRY(
        read_text(r, "tool_version", sizeof h.tool_version, h.tool_version));
    APQ_TRY(read_int(r, "width_step", 1, 65536, &step));
    APQ_TRY(read_bool(r, "has_flags", &h.has_flags));
    APQ_TRY(read_bool(r, "is_complete", &h.is_complete));
    APQ_TRY(read_int(r, "rows", 0, INT32_MAX, &rows));
    if (h.target[0] == '\0' || h.space[0] == '\0') {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%zu: target or space without a name",
                 r->path, r->line);
    }
    h.batch = (int)batch;
    h.width_step = (int)step;
    *n_rows = (size_t)rows;
    *out = h;
    return APQ_OK;
}

static apq_status read_layer(const reader *r, bool has_flags,
                             apq_lut_row *row) {
    char kind[16];
    APQ_TRY(read_text(r, "kind", sizeof kind, kind));
    row->key[APQ_LUT_KIND] = apq_lut_kind_find(kind);
    if (row->key[APQ_LUT_KIND] < 0) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s:%zu: kind '%s' is not one of conv, pointwise, depthwise, "
                 "linear",
                 r->path, r->line, kind);
    }
    for (int i = APQ_LUT_INPUT_IMAGE; i < APQ_LUT_N_KEY; i++) {
        int32_t low, high;
        int64_t value = 0;
        bool flag = false;
        apq_lut_key_range(i, &low, &high);
        if (i > APQ_LUT_RELU6) {
            APQ_TRY(read_int(r, apq_lut_key_name(i), low, high, &value));
        } else {
            APQ_TRY(read_bool(r, apq_lut_key_name(i), &flag));
            if (flag && !has_flags && i != APQ_LUT_INPUT_IMAGE) {
                APQ_FAIL(APQ_ERR_FORMAT,
                         "%s:%zu: '%s' is set in a table without flags",
                         r->path, r->line, apq_lut_key_name(i));
            }
            value = flag;
        }
        row->key[i] = (int32_t)value;
    }
    return APQ_OK;
}

static apq_status read_sample(const reader *r, apq_lut_sample *out) {
    int64_t count, weight, act;
    APQ_TRY(read_amount(r, "latency_ms", false, &out->latency_ms));
    APQ_TRY(
        read_amount(r, "latency_spread_ms", false, &out->latency_spread_ms));
    APQ_TRY(read_amount(r, "energy_mj", true, &out->energy_mj));
    APQ_TRY(read_amount(r, "energy_spread_mj", true, &out->energy_spread_mj));
    APQ_TRY(read_int(r, "count", 1, INT64_MAX, &count));
    APQ_TRY(read_int(r, "weight_container_bits", 1, 64, &weight));
    APQ_TRY(read_int(r, "act_container_bits", 1, 64, &act));
    out->count = count;
    out->weight_container_bits = (int)weight;
    out->act_container_bits = (int)act;
    return APQ_OK;
}

static apq_status read_row(const reader *r, apq_lut *lut) {
    apq_lut_row row = {.is_supported = true};
    apq_ir_layer layer;
    APQ_TRY(check_keys(r, row_keys));
    APQ_TRY(read_layer(r, apq_lut_header_of(lut)->has_flags, &row));
    if (json_object_get(r->object, "supported") != NULL) {
        APQ_TRY(read_bool(r, "supported", &row.is_supported));
        if (row.is_supported ||
            json_object_size(r->object) != APQ_LUT_N_KEY + 1) {
            APQ_FAIL(APQ_ERR_FORMAT,
                     "%s:%zu: 'supported' can only be false, and then the row "
                     "has no numbers",
                     r->path, r->line);
        }
    } else {
        APQ_TRY(read_sample(r, &row.sample));
    }
    apq_lut_row_layer(&row, &layer);
    apq_status st =
        apq_lut_add(lut, &layer, row.is_supported ? &row.sample : NULL);
    return st == APQ_OK ? st
                        : APQ_ERROR(st, "%s:%zu: %s", r->path, r->line,
                                    apq_error_message());
}

/* Takes one line off *at; its object is the caller's to release. */
static apq_status next_line(reader *r, const char **at) {
    size_t n = strcspn(*at, "\n");
    json_error_t error;
    r->line++;
    if ((*at)[n] != '\n') {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%zu: the line has no end: file cut short",
                 r->path, r->line);
    }
    r->object = json_loadb(*at, n, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(r->object)) {
        json_decref(r->object);
        r->object = NULL;
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%zu: not a JSON object%s%s", r->path,
                 r->line, error.text[0] != '\0' ? ": " : "", error.text);
    }
    *at += n + 1;
    return APQ_OK;
}

static apq_status read_rows(reader *r, const char *at, size_t n_rows,
                            apq_lut *lut) {
    while (*at != '\0') {
        apq_status st = next_line(r, &at);
        if (st == APQ_OK) {
            st = read_row(r, lut);
        }
        json_decref(r->object);
        r->object = NULL;
        APQ_TRY(st);
    }
    if (apq_lut_n_rows(lut) != n_rows) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s:%zu: %zu rows, but the header says %zu: file cut short "
                 "or joined",
                 r->path, r->line, apq_lut_n_rows(lut), n_rows);
    }
    return apq_lut_index(lut);
}

apq_status apq_lut_load(const char *path, apq_lut **out) {
    reader r = {.path = path};
    char *text = NULL;
    size_t n_bytes, n_rows = 0;
    apq_lut_header header;
    apq_lut *lut = NULL;
    APQ_TRY(apq_file_read(path, &text, &n_bytes));
    const char *at = text;
    apq_status st = APQ_OK;
    if (strlen(text) != n_bytes) {
        st = APQ_ERROR(APQ_ERR_FORMAT, "%s: not text", path);
        goto done;
    }
    if ((st = next_line(&r, &at)) != APQ_OK) {
        goto done;
    }
    st = read_header(&r, &header, &n_rows);
    json_decref(r.object);
    r.object = NULL;
    if (st != APQ_OK || (st = apq_lut_create(&header, &lut)) != APQ_OK) {
        goto done;
    }
    st = read_rows(&r, at, n_rows, lut);
    if (st == APQ_OK) {
        *out = lut; /* success: ownership moves to the caller */
        lut = NULL;
    }
done:
    apq_lut_destroy(lut);
    free(text);
    return st;
}

static void write_header(const apq_lut *lut, apq_text *text) {
    const apq_lut_header *h = apq_lut_header_of(lut);
    json_t *object = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:{s:s, s:s}, s:i, s:s, s:s, s:i, s:b, s:b, "
        "s:I}",
        "schema_version", APQ_LUT_SCHEMA, "target", h->target, "target_hash",
        h->target_hash, "space", h->space, "space_hash", h->space_hash, "units",
        "latency", "ms", "energy", "mJ", "batch", h->batch, "date", h->date,
        "tool_version", h->tool_version, "width_step", h->width_step,
        "has_flags", h->has_flags, "is_complete", h->is_complete, "rows",
        (json_int_t)apq_lut_n_rows(lut));
    char *line = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (line == NULL) {
        text->failed = true;
    } else {
        apq_text_add(text, "%s\n", line);
    }
    free(line);
}

static void write_row(const apq_lut_row *row, apq_text *text) {
    apq_text_add(text, "{\"kind\":\"%s\"",
                 apq_ir_kind_name((apq_ir_kind)row->key[APQ_LUT_KIND]));
    for (int i = APQ_LUT_INPUT_IMAGE; i < APQ_LUT_N_KEY; i++) {
        if (i <= APQ_LUT_RELU6) {
            apq_text_add(text, ",\"%s\":%s", apq_lut_key_name(i),
                         row->key[i] != 0 ? "true" : "false");
        } else {
            apq_text_add(text, ",\"%s\":%d", apq_lut_key_name(i), row->key[i]);
        }
    }
    if (!row->is_supported) {
        apq_text_add(text, ",\"supported\":false}\n");
        return;
    }
    const apq_lut_sample *s = &row->sample;
    const struct {
        const char *key;
        double value;
    } amounts[] = {
        {"latency_ms", s->latency_ms},
        {"latency_spread_ms", s->latency_spread_ms},
        {"energy_mj", s->energy_mj},
        {"energy_spread_mj", s->energy_spread_mj},
    };
    for (size_t i = 0; i < sizeof amounts / sizeof amounts[0]; i++) {
        apq_text_add(text, ",\"%s\":", amounts[i].key);
        apq_text_number(text, amounts[i].value);
    }
    apq_text_add(text,
                 ",\"count\":%" PRId64 ",\"weight_container_bits\":%d,"
                 "\"act_container_bits\":%d}\n",
                 s->count, s->weight_container_bits, s->act_container_bits);
}

apq_status apq_lut_save(const apq_lut *lut, const char *path) {
    apq_text text = {.bytes = NULL};
    write_header(lut, &text);
    for (size_t i = 0; i < apq_lut_n_rows(lut); i++) {
        write_row(apq_lut_row_at(lut, i), &text);
    }
    return apq_text_write(&text, path);
}
