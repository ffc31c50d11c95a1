/* The lines of cost.jsonl. */
#include "store/effort.h"

#include "base/log.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *effort_json(const apq_effort *e) {
    char now[APQ_UTC_MAX];
    const char *ended = e->ended;
    if (ended[0] == '\0') {
        apq_utc_now(now);
        ended = now;
    }
    return json_pack("{s:s, s:s, s:f, s:f, s:f, s:o, s:o, s:i, s:s, s:s, s:s}",
                     "step", e->step, "input", e->input, "wall_s", e->wall_s,
                     "core_s", e->core_s, "gpu_s", e->gpu_s, "energy_j",
                     isnan(e->energy_j) ? json_null() : json_real(e->energy_j),
                     "flop", e->flop > 0 ? json_real(e->flop) : json_null(),
                     "threads", e->threads, "version", e->version, "cpu",
                     e->cpu, "ended", ended);
}

apq_status apq_effort_append(const char *path, const apq_effort *effort) {
    json_t *object = effort_json(effort);
    char *text =
        object == NULL
            ? NULL
            : json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(object);
    if (text == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory, or a text is not UTF-8",
                 path);
    }
    apq_status st = apq_file_append_line(path, text);
    free(text);
    return st;
}

static bool copy_text(const json_t *line, const char *key, char *out,
                      size_t size) {
    const char *text = json_string_value(json_object_get(line, key));
    if (text == NULL || strlen(text) >= size) {
        return false;
    }
    (void)strcpy(out, text);
    return true;
}

/* A number >= 0; null is `absent`, unless that is negative. */
static bool copy_number(const json_t *line, const char *key, double absent,
                        double *out) {
    const json_t *value = json_object_get(line, key);
    bool may_be_null = !(absent < 0);
    *out =
        json_is_null(value) && may_be_null ? absent : json_number_value(value);
    return (json_is_null(value) && may_be_null) ||
           (json_is_number(value) && *out >= 0);
}

static apq_status parse_line(const char *path, size_t number, const char *text,
                             size_t n, apq_effort *out) {
    json_error_t error;
    json_t *line = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    if (line == NULL) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%zu: not JSON: %s", path, number,
                 error.text);
    }
    *out = (apq_effort){.threads = 0};
    double threads = 0;
    bool ok = copy_text(line, "step", out->step, sizeof out->step) &&
              copy_text(line, "input", out->input, sizeof out->input) &&
              copy_text(line, "version", out->version, sizeof out->version) &&
              copy_text(line, "cpu", out->cpu, sizeof out->cpu) &&
              copy_text(line, "ended", out->ended, sizeof out->ended) &&
              copy_number(line, "wall_s", -1, &out->wall_s) &&
              copy_number(line, "core_s", -1, &out->core_s) &&
              copy_number(line, "gpu_s", -1, &out->gpu_s) &&
              copy_number(line, "threads", -1, &threads) && threads <= 65536 &&
              copy_number(line, "energy_j", (double)NAN, &out->energy_j) &&
              copy_number(line, "flop", 0, &out->flop);
    json_decref(line);
    if (!ok) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s:%zu: a member is missing or of the wrong kind", path,
                 number);
    }
    out->threads = (int)threads;
    return APQ_OK;
}

static size_t count_lines(const char *text, size_t n_bytes) {
    size_t n = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        n += text[i] == '\n';
    }
    return n;
}

apq_status apq_effort_read(const char *path, apq_effort **out, size_t *n) {
    char *text = NULL;
    size_t n_bytes = 0;
    if (apq_file_exists(path)) {
        APQ_TRY(apq_file_read(path, &text, &n_bytes));
    }
    size_t n_lines = text == NULL ? 0 : count_lines(text, n_bytes);
    apq_effort *lines = calloc(n_lines + 1, sizeof *lines);
    apq_status st = lines == NULL
                        ? APQ_ERROR(APQ_ERR_NOMEM, "%s: out of memory", path)
                        : APQ_OK;
    const char *at = text;
    for (size_t i = 0; st == APQ_OK && i < n_lines; i++) {
        const char *end = memchr(at, '\n', n_bytes - (size_t)(at - text));
        st = parse_line(path, i + 1, at, (size_t)(end - at), &lines[i]);
        at = end + 1;
    }
    free(text);
    if (st != APQ_OK) {
        free(lines);
        return st;
    }
    *out = lines;
    *n = n_lines;
    return APQ_OK;
}
