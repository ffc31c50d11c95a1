/* JSON that the documents of several steps have in common. */
#include "app/json.h"

#include "base/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

json_t *apq_json_number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *apq_json_cost(const apq_cost *cost) {
    json_t *object = json_object();
    for (int i = 0; i < APQ_COST_N_FIELDS; i++) {
        apq_cost_field field = (apq_cost_field)i;
        (void)json_object_set_new(object, apq_cost_field_name(field),
                                  apq_json_number(apq_cost_get(cost, field)));
    }
    return object;
}

json_t *apq_json_text(const char *text) {
    json_t *value = json_string(text);
    char *plain = value != NULL ? NULL : strdup(text);
    for (char *c = plain; c != NULL && *c != '\0'; c++) {
        if ((unsigned char)*c > 127) {
            *c = '?';
        }
    }
    if (plain != NULL) {
        value = json_string(plain);
        free(plain);
    }
    return value;
}

json_t *apq_json_policy(const apq_space *space, const apq_policy *policy) {
    char *text = apq_policy_to_json(space, policy);
    json_t *value = text == NULL ? NULL : json_loads(text, 0, NULL);
    free(text);
    return value;
}

apq_status apq_json_to_policy(const apq_space *space, const json_t *value,
                              const char *where, apq_policy *out) {
    if (value == NULL) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s: there is no policy", where);
    }
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", where);
    }
    apq_status st = apq_policy_from_json(space, text, where, out);
    free(text);
    return st;
}

apq_status apq_json_read(const char *path, json_t **out) {
    char *text;
    size_t n;
    APQ_TRY(apq_file_read(path, &text, &n));
    json_error_t error;
    json_t *value = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    free(text);
    if (value == NULL) {
        APQ_FAIL(APQ_ERR_FORMAT, "%s:%d: not JSON: %s", path, error.line,
                 error.text);
    }
    if (!json_is_object(value)) {
        json_decref(value);
        APQ_FAIL(APQ_ERR_FORMAT, "%s: not a JSON object", path);
    }
    *out = value;
    return APQ_OK;
}

apq_status apq_json_write(json_t *root, int digits, const char *path) {
    size_t flags = JSON_INDENT(2) | JSON_REAL_PRECISION((size_t)digits);
    char *text = root == NULL ? NULL : json_dumps(root, flags);
    json_decref(root);
    if (text == NULL) {
        APQ_FAIL(APQ_ERR_NOMEM, "%s: out of memory", path);
    }
    apq_status st = apq_file_write_text(path, text);
    free(text);
    return st;
}
