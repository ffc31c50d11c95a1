/* Typed, range-checked access to a libyaml document; every refusal names
 * file, line, value and what would be legal. */
#include "base/yaml.h"

#include "base/words.h"

#include "base/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

struct apq_yaml {
    char path[APQ_PATH_MAX];
    yaml_document_t document;
};

static yaml_node_t *get(const apq_yaml *yaml, apq_yaml_node node) {
    /* libyaml takes a non-const document but does not change it. */
    union {
        const yaml_document_t *in;
        yaml_document_t *out;
    } doc = {.in = &yaml->document};
    return node == 0 ? NULL : yaml_document_get_node(doc.out, node);
}

const char *apq_yaml_text(const apq_yaml *yaml, apq_yaml_node node) {
    const yaml_node_t *n = get(yaml, node);
    return n != NULL && n->type == YAML_SCALAR_NODE
               ? (const char *)n->data.scalar.value
               : NULL;
}

int apq_yaml_line(const apq_yaml *yaml, apq_yaml_node node) {
    const yaml_node_t *n = get(yaml, node);
    return n == NULL ? 1 : (int)n->start_mark.line + 1;
}

const char *apq_yaml_path(const apq_yaml *yaml) {
    return yaml->path;
}

static apq_status check_duplicates(const apq_yaml *yaml) {
    for (int i = 1; get(yaml, i) != NULL; i++) {
        const yaml_node_t *n = get(yaml, i);
        if (n->type != YAML_MAPPING_NODE) {
            continue;
        }
        const yaml_node_pair_t *end = n->data.mapping.pairs.top;
        for (yaml_node_pair_t *a = n->data.mapping.pairs.start; a < end; a++) {
            const char *key = apq_yaml_text(yaml, a->key);
            if (key == NULL) {
                APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: keys must be plain words",
                         yaml->path, apq_yaml_line(yaml, a->key));
            }
            for (yaml_node_pair_t *b = a + 1; b < end; b++) {
                const char *other = apq_yaml_text(yaml, b->key);
                if (other != NULL && strcmp(key, other) == 0) {
                    APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: key '%s' given twice",
                             yaml->path, apq_yaml_line(yaml, b->key), key);
                }
            }
        }
    }
    return APQ_OK;
}

apq_status apq_yaml_parse(const char *text, size_t n_bytes, const char *path,
                          apq_yaml **out) {
    apq_yaml *yaml = calloc(1, sizeof *yaml);
    yaml_parser_t parser;
    if (yaml == NULL || !yaml_parser_initialize(&parser)) {
        free(yaml);
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", path);
    }
    (void)strncpy(yaml->path, path, sizeof yaml->path - 1);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n_bytes);
    apq_status st = APQ_OK;
    if (!yaml_parser_load(&parser, &yaml->document)) {
        st = APQ_ERROR(APQ_ERR_FORMAT, "%s:%zu: not valid YAML: %s", path,
                       parser.problem_mark.line + 1,
                       parser.problem != NULL ? parser.problem : "syntax");
        free(yaml);
    } else {
        if (!apq_yaml_is_mapping(yaml, 1)) {
            st = APQ_ERROR(APQ_ERR_FORMAT,
                           "%s: expected 'key: value' lines at the top", path);
        } else {
            st = check_duplicates(yaml);
        }
        if (st == APQ_OK) {
            *out = yaml;
        } else {
            apq_yaml_destroy(yaml);
        }
    }
    yaml_parser_delete(&parser);
    return st;
}

apq_status apq_yaml_load(const char *path, apq_yaml **out) {
    char *text = NULL;
    size_t n_bytes;
    APQ_TRY(apq_file_read(path, &text, &n_bytes));
    apq_status st = apq_yaml_parse(text, n_bytes, path, out);
    free(text);
    return st;
}

void apq_yaml_destroy(apq_yaml *yaml) {
    if (yaml != NULL) {
        yaml_document_delete(&yaml->document);
        free(yaml);
    }
}

apq_yaml_node apq_yaml_root(const apq_yaml *yaml) {
    (void)yaml;
    return 1;
}

bool apq_yaml_is_sequence(const apq_yaml *yaml, apq_yaml_node node) {
    const yaml_node_t *n = get(yaml, node);
    return n != NULL && n->type == YAML_SEQUENCE_NODE;
}

bool apq_yaml_is_mapping(const apq_yaml *yaml, apq_yaml_node node) {
    const yaml_node_t *n = get(yaml, node);
    return n != NULL && n->type == YAML_MAPPING_NODE;
}

size_t apq_yaml_length(const apq_yaml *yaml, apq_yaml_node sequence) {
    const yaml_node_t *n = get(yaml, sequence);
    if (n == NULL || n->type != YAML_SEQUENCE_NODE) {
        return 0;
    }
    return (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
}

apq_yaml_node apq_yaml_at(const apq_yaml *yaml, apq_yaml_node sequence,
                          size_t i) {
    APQ_ASSERT(i < apq_yaml_length(yaml, sequence));
    return get(yaml, sequence)->data.sequence.items.start[i];
}

apq_yaml_node apq_yaml_find(const apq_yaml *yaml, apq_yaml_node mapping,
                            const char *key) {
    const yaml_node_t *n = get(yaml, mapping);
    if (n == NULL || n->type != YAML_MAPPING_NODE) {
        return 0;
    }
    for (const yaml_node_pair_t *p = n->data.mapping.pairs.start;
         p < n->data.mapping.pairs.top; p++) {
        if (strcmp(apq_yaml_text(yaml, p->key), key) == 0) {
            return p->value;
        }
    }
    return 0;
}

apq_status apq_yaml_check_keys(const apq_yaml *yaml, apq_yaml_node mapping,
                               const char *const *legal) {
    const yaml_node_t *n = get(yaml, mapping);
    if (n == NULL || n->type != YAML_MAPPING_NODE) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: expected 'key: value' lines",
                 yaml->path, apq_yaml_line(yaml, mapping));
    }
    for (const yaml_node_pair_t *p = n->data.mapping.pairs.start;
         p < n->data.mapping.pairs.top; p++) {
        const char *key = apq_yaml_text(yaml, p->key);
        const char *const *known = legal;
        while (*known != NULL && strcmp(*known, key) != 0) {
            known++;
        }
        if (*known == NULL) {
            const char *near = apq_nearest_word(key, legal);
            APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: unknown key '%s'%s%s%s",
                     yaml->path, apq_yaml_line(yaml, p->key), key,
                     near != NULL ? ", did you mean '" : "",
                     near != NULL ? near : "", near != NULL ? "'?" : "");
        }
    }
    return APQ_OK;
}

/* The scalar text of a key; NULL when it is absent and may be. */
static apq_status find_scalar(const apq_yaml *yaml, apq_yaml_node mapping,
                              const char *key, bool optional, const char **text,
                              apq_yaml_node *node) {
    *node = apq_yaml_find(yaml, mapping, key);
    *text = apq_yaml_text(yaml, *node);
    if (*node == 0 && !optional) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: key '%s' is missing", yaml->path,
                 apq_yaml_line(yaml, mapping), key);
    }
    if (*node != 0 && *text == NULL) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: '%s' must be a single value",
                 yaml->path, apq_yaml_line(yaml, *node), key);
    }
    return APQ_OK;
}

static apq_status parse_int(const apq_yaml *yaml, apq_yaml_node node,
                            const char *key, const char *text, int64_t low,
                            int64_t high, int64_t *out) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < low ||
        value > high) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s:%d: %s: '%s' is not an integer in %" PRId64 "..%" PRId64,
                 yaml->path, apq_yaml_line(yaml, node), key, text, low, high);
    }
    *out = value;
    return APQ_OK;
}

apq_status apq_yaml_int(const apq_yaml *yaml, apq_yaml_node mapping,
                        const char *key, bool optional, int64_t low,
                        int64_t high, int64_t *out) {
    const char *text;
    apq_yaml_node node;
    APQ_TRY(find_scalar(yaml, mapping, key, optional, &text, &node));
    return text == NULL ? APQ_OK
                        : parse_int(yaml, node, key, text, low, high, out);
}

apq_status apq_yaml_double(const apq_yaml *yaml, apq_yaml_node mapping,
                           const char *key, bool optional, double low,
                           double high, double *out) {
    const char *text;
    apq_yaml_node node;
    APQ_TRY(find_scalar(yaml, mapping, key, optional, &text, &node));
    if (text == NULL) {
        return APQ_OK;
    }
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= low && value <= high)) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: %s: '%s' is not a number in %g..%g",
                 yaml->path, apq_yaml_line(yaml, node), key, text, low, high);
    }
    *out = value;
    return APQ_OK;
}

bool apq_yaml_bool_of(const char *text, bool *out) {
    bool is_true = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    bool is_false = strcmp(text, "false") == 0 || strcmp(text, "0") == 0;
    if (is_true || is_false) {
        *out = is_true;
    }
    return is_true || is_false;
}

apq_status apq_yaml_bool(const apq_yaml *yaml, apq_yaml_node mapping,
                         const char *key, bool optional, bool *out) {
    const char *text;
    apq_yaml_node node;
    APQ_TRY(find_scalar(yaml, mapping, key, optional, &text, &node));
    if (text == NULL) {
        return APQ_OK;
    }
    if (!apq_yaml_bool_of(text, out)) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: %s: '%s' is not true or false",
                 yaml->path, apq_yaml_line(yaml, node), key, text);
    }
    return APQ_OK;
}

apq_status apq_yaml_string(const apq_yaml *yaml, apq_yaml_node mapping,
                           const char *key, bool optional, const char **out) {
    const char *text;
    apq_yaml_node node;
    APQ_TRY(find_scalar(yaml, mapping, key, optional, &text, &node));
    if (text != NULL) {
        *out = text;
    }
    return APQ_OK;
}

apq_status apq_yaml_int_list(const apq_yaml *yaml, apq_yaml_node mapping,
                             const char *key, bool optional, int64_t low,
                             int64_t high, size_t capacity, int *out,
                             size_t *n) {
    apq_yaml_node list = apq_yaml_find(yaml, mapping, key);
    if (list == 0 && optional) {
        return APQ_OK;
    }
    size_t length = apq_yaml_length(yaml, list);
    if (!apq_yaml_is_sequence(yaml, list) || length == 0 || length > capacity) {
        APQ_FAIL(APQ_ERR_FORMAT,
                 "%s:%d: %s: expected a list of 1 to %zu integers", yaml->path,
                 apq_yaml_line(yaml, list != 0 ? list : mapping), key,
                 capacity);
    }
    for (size_t i = 0; i < length; i++) {
        apq_yaml_node item = apq_yaml_at(yaml, list, i);
        const char *text = apq_yaml_text(yaml, item);
        int64_t value;
        APQ_TRY(parse_int(yaml, item, key, text != NULL ? text : "(nested)",
                          low, high, &value));
        out[i] = (int)value;
    }
    *n = length;
    return APQ_OK;
}
